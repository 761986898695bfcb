"""What became of a corpus of texts: its record, the list of what was dropped, and how both are shown."""

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from emoji_lightning import __version__
from emoji_lightning.corpora.choice import Choice
from emoji_lightning.corpora.systems import Recordings
from emoji_lightning.errors import ManifestError
from emoji_lightning.files import write_whole
from emoji_lightning.labels import CARD_LABELS, normalize_label
from emoji_lightning.manifest import Manifest, read_manifest

if TYPE_CHECKING:
    from rich.table import Table

_FEW = 5


class Dropped(NamedTuple):
    """A text without usable audio, or a file that cannot be decoded."""

    id: str
    label: str
    system: str
    audio: str
    reason: str


def dropped_path(output: Path) -> Path:
    """Return where the list of what was dropped lies: `manifest.csv` -> `manifest.dropped.csv`."""
    return output.with_suffix(".dropped.csv")


def write_dropped(path: Path, dropped: Iterable[Dropped]) -> None:
    """Write the list of what was dropped, whole or not at all; a header alone where nothing was."""

    def write(file: Path) -> None:
        with file.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(Dropped._fields)
            writer.writerows(dropped)

    write_whole(path, write)


def describe_corpus(
    texts: Manifest, recordings: Sequence[Recordings], candidates: Sequence[Sequence[object]], choice: Choice, keep: str
) -> dict[str, Any]:
    """Make the record of a corpus.

    Args:
        texts: N texts.
        recordings: What was found in each folder, in order of preference.
        candidates: Files of each text, N sequences.
        choice: What was kept of them.
        keep: "first" or "all".

    Returns:
        JSON types; counts are per label in normal form. `num_missing` texts have no file; `num_unreadable` and
        `num_unmatched` are files; `hours` is the duration of what was kept.
    """
    labels = [normalize_label(label) for label in texts.column("label")]
    systems = [each.system for each in recordings]
    shared = _find_shared_audio(texts, choice)
    return {
        "version": __version__,
        "texts": texts.source.name,
        "options": {"keep": keep, "systems": {system.name: system.folder.name for system in systems}},
        "counts": {
            "before": {
                "texts": _sort_labels(Counter(labels)),
                "files": {r.system.name: r.num_files for r in recordings},
            },
            "after": _count_kept(labels, [system.name for system in systems], choice),
        },
        "num_texts": len(texts),
        "num_voiced": len({candidate.row for candidate, _ in choice.kept}),
        "num_utterances": len(choice.kept),
        "num_missing": sum(not found for found in candidates),
        "num_unreadable": len(choice.failed),
        "num_unmatched": sum(len(each.unmatched) for each in recordings),
        "unmatched": {each.system.name: list(each.unmatched[:_FEW]) for each in recordings},
        "hours": round(sum(facts.duration_s for _, facts in choice.kept) / 3600, 4),
        "same_audio": shared,
        "warnings": [_warn_of_shared(ids) for ids in shared],
    }


def render_record(record: Mapping[str, Any], output: Path, changes: str = "") -> None:
    """Print the record of a corpus: utterances per label and system, what was dropped, and where the list lies.

    Args:
        record: As `voice_texts` returns it.
        output: The manifest that was written.
        changes: What `describe_changes` says.
    """
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    console.print(_make_table(record["counts"]))
    for line in _describe_counts(record):
        console.print(line)
    for warning in record["warnings"][:_FEW]:
        console.print(f"warning: {warning}")
    if len(record["warnings"]) > _FEW:
        console.print(f"warning: ... and {len(record['warnings']) - _FEW} more, all in {output}.json")
    if record["num_missing"] or record["num_unreadable"]:
        console.print(f"dropped, each with its reason: {dropped_path(output)}")
    if changes:
        console.print(changes)


def read_last(output: Path) -> dict[str, str] | None:
    """Return id -> audio file of the manifest at `output`: None if there is none, empty if it is damaged."""
    if not output.is_file():
        return None
    try:
        manifest = read_manifest(output)
        return dict(zip(manifest.ids, map(str, manifest.audio_paths()), strict=True))
    except (ManifestError, OSError):
        return {}


def describe_changes(last: Mapping[str, str] | None, now: Mapping[str, str], name: str) -> str:
    """Say what a new run changed; empty where it was the first.

    Args:
        last: What `read_last` found before.
        now: What it finds after.
        name: The manifest's name.

    >>> describe_changes({"a": "1.wav", "b": "2.wav"}, {"b": "3.wav", "c": "4.wav"}, "corpus.csv")
    'since the last corpus.csv: 1 utterances are new, 1 have another file, 1 are gone'
    """
    if last is None:
        return ""
    damaged = "" if last else ", which could not be read"
    num_new = len(now.keys() - last.keys())
    num_changed = sum(last[each] != now[each] for each in now.keys() & last.keys())
    num_gone = len(last.keys() - now.keys())
    return f"since the last {name}{damaged}: {num_new:,} utterances are new, {num_changed:,} have another file, " + (
        f"{num_gone:,} are gone"
    )


def _count_kept(labels: Sequence[str], systems: Sequence[str], choice: Choice) -> dict[str, Any]:
    kept = [(labels[candidate.row], candidate.system) for candidate, _ in choice.kept]
    pairs = Counter(kept)
    voiced = Counter(labels[row] for row in {candidate.row for candidate, _ in choice.kept})
    names = _sort_labels(Counter(labels))
    per_system = Counter(system for _, system in kept)
    return {
        "texts": {label: voiced[label] for label in names},
        "labels": {label: sum(pairs[label, system] for system in systems) for label in names},
        "systems": {system: per_system[system] for system in systems},
        "labels_by_system": {label: {system: pairs[label, system] for system in systems} for label in names},
    }


def _sort_labels(counts: Counter[str]) -> dict[str, int]:
    """Put the card's labels first, in its order, then all others by name."""
    places = {label: place for place, label in enumerate(CARD_LABELS)}
    return {label: counts[label] for label in sorted(counts, key=lambda each: (places.get(each, len(places)), each))}


def _find_shared_audio(texts: Manifest, choice: Choice) -> list[list[str]]:
    """Return the ids of different texts whose audio is the same to the byte: what a TTS server sends when it fails."""
    ids = texts.ids
    spoken = texts.column("text") if texts.has("text") else ids
    rows: defaultdict[str, dict[int, None]] = defaultdict(dict)
    for candidate, facts in choice.kept:
        rows[facts.file_sha256][candidate.row] = None
    return [[ids[row] for row in each] for each in rows.values() if len({spoken[row] for row in each}) > 1]


def _warn_of_shared(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - _FEW} more" if len(ids) > _FEW else ""
    return f"different texts have the same audio, byte for byte: {', '.join(ids[:_FEW])}{more}; listen to one of them"


def _make_table(counts: Mapping[str, Any]) -> "Table":
    from rich.table import Table

    before, after = counts["before"]["texts"], counts["after"]
    table = Table("label", box=None)
    for name in ("texts", *after["systems"], "kept", "missing"):
        table.add_column(name, justify="right")
    for label, num_texts in before.items():
        by_system = after["labels_by_system"][label].values()
        numbers = (num_texts, *by_system, after["labels"][label], num_texts - after["texts"][label])
        table.add_row(label, *(f"{number:,}" for number in numbers))
    num_texts, num_kept = sum(before.values()), sum(after["labels"].values())
    totals = (num_texts, *after["systems"].values(), num_kept, num_texts - sum(after["texts"].values()))
    table.add_row("all", *(f"{number:,}" for number in totals), style="bold")
    return table


def _describe_counts(record: Mapping[str, Any]) -> list[str]:
    files = ", ".join(f"{name} {number:,}" for name, number in record["counts"]["before"]["files"].items())
    lines = [
        f"{record['num_voiced']:,} of {record['num_texts']:,} texts are voiced: {record['num_utterances']:,} "
        f"utterances, {record['hours']:.2f} h; audio files: {files}",
        f"{record['num_missing']:,} texts have no audio, {record['num_unreadable']:,} files cannot be decoded, "
        f"{record['num_unmatched']:,} voice no text",
    ]
    lines += [f"{name}: no text has the id of {', '.join(few)}" for name, few in record["unmatched"].items() if few]
    if record["options"]["keep"] == "all":
        lines.append("a text has several utterances now: keep them in one split with `split --group source_id`")
    return lines
