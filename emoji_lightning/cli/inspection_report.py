"""What `inspect` shows in the terminal; it fits into 80 columns."""

from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.table import Table

from emoji_lightning.corpora.duplicates import DuplicateGroup
from emoji_lightning.corpora.inspection import AudioSummary, Inspection
from emoji_lightning.corpora.table_counts import MAX_LISTED, ColumnCounts, ValueCount
from emoji_lightning.labels import ascii_alias

MAX_SHOWN = 5
"""Groups of duplicates and rows of a group that are shown; `--json` holds all."""

_KIND_NAMES = {
    "clipped": ("clipped", "%"),
    "over_full_scale": ("over full scale", "peak"),
    "silent": ("silent", "s"),
    "long_leading_silence": ("silence at start", "s"),
    "long_trailing_silence": ("silence at end", "s"),
    "too_short": ("shorter than 25 ms", "s"),
    "too_long": ("longer than 120 s", "s"),
}


def print_inspection(inspection: Inspection) -> None:
    """Print what a manifest holds as tables."""
    console = Console(highlight=False, markup=False, emoji=False)
    audio = inspection.audio
    length = f", {audio.num_files} audio files, {spell_hours(audio.hours)}" if audio else ""
    console.print(f"{inspection.manifest}: {inspection.num_utterances} utterances{length}")
    if inspection.labels:
        _print_counts(console, "label", {_name_label(text): n for text, n in inspection.labels.items()})
    if inspection.unknown_labels:
        console.print(f"\nnot in --labels: {', '.join(map(_name_label, inspection.unknown_labels))}")
    for name, column in inspection.columns.items():
        _print_column(console, name, column)
    _print_spellings(console, inspection)
    if audio is None:
        console.print(f"\nthe audio was not looked at: {inspection.audio_skipped}")
    else:
        _print_audio(console, audio)


def spell_hours(hours: float) -> str:
    """Write a length in hours, minutes or seconds.

    >>> spell_hours(0.297), spell_hours(0.05), spell_hours(0.001)
    ('0.30 h', '3.0 min', '3.6 s')
    """
    if hours >= 0.1:
        return f"{hours:.2f} h"
    return f"{hours * 60:.1f} min" if hours >= 1 / 60 else f"{hours * 3600:.1f} s"


def _print_table(console: Console, columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: int = 0) -> None:
    """Print a table; the last `right` columns are numbers."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for place, column in enumerate(columns):
        is_number = place >= len(columns) - right
        table.add_column(column, justify="right" if is_number else "left", overflow="fold", no_wrap=is_number)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _print_counts(console: Console, name: str, counts: Mapping[str, ValueCount]) -> None:
    total = sum(count.num_utterances for count in counts.values())
    rows = [
        (
            value,
            str(count.num_utterances),
            f"{count.num_utterances / total:.1%}",
            *(() if count.hours is None else (spell_hours(count.hours),)),
        )
        for value, count in counts.items()
    ]
    columns = [name, "utterances", "share", "length"][: len(rows[0])]
    console.print()
    _print_table(console, columns, rows, right=len(columns) - 1)


def _print_column(console: Console, name: str, column: ColumnCounts) -> None:
    if column.values:
        _print_counts(console, name, column.values)
    else:
        console.print(
            f"\n{name}: {column.num_values} different values, {column.min_per_value} to {column.max_per_value} "
            f"utterances each (median {column.median_per_value:g})"
        )
    if column.num_empty:
        console.print(f"rows without {name}: {column.num_empty}")


def _print_spellings(console: Console, inspection: Inspection) -> None:
    spellings = inspection.spellings
    if not spellings:
        return
    # ascii() shows what a terminal does not: variation selectors, bytes of a broken encoding.
    rows = [
        (each.spelling, ascii(each.spelling)[1:-1], each.label, each.kind, str(each.num_utterances))
        for each in spellings[:MAX_LISTED]
    ]
    console.print()
    _print_table(console, ("spelling", "in ASCII", "label", "normalised", "utterances"), rows, right=1)
    _print_rest(console, len(spellings), MAX_LISTED)


def _print_audio(console: Console, audio: AudioSummary) -> None:
    rows = []
    if audio.duration_s:
        rows.append(("duration", ", ".join(f"{name} {value:.2f} s" for name, value in audio.duration_s.items())))
    rows.append(("sampling rate", _join({f"{rate} Hz": n for rate, n in audio.sample_rates.items()})))
    rows.append(("channels", _join(audio.num_channels)))
    rows.append(("format", _join(audio.formats)))
    console.print()
    _print_table(console, ("audio", ""), [row for row in rows if row[1]])
    _print_findings(console, audio)
    _print_duplicates(console, audio)
    if audio.failed:
        failed = [(each.place, each.audio, each.reason) for each in audio.failed[:MAX_LISTED]]
        console.print()
        _print_table(console, ("cannot be used", "audio", "reason"), failed)
        _print_rest(console, len(audio.failed), MAX_LISTED)


def _print_findings(console: Console, audio: AudioSummary) -> None:
    rows = []
    for name, kind in audio.findings.items():
        if kind.utterances:
            worst = kind.utterances[0]
            # Not two decimals: a share may be a few samples, and 0.00 reads as none.
            title, unit = _KIND_NAMES[name]
            number = f"{worst.value * (100 if unit == '%' else 1):.3g} {unit}"
            rows.append((title, str(len(kind.utterances)), number, f"{worst.place} {worst.audio}"))
    if rows:
        console.print()
        _print_table(console, ("worth listening to", "utterances", "the worst", "where"), rows)
    clean = [_KIND_NAMES[name][0] for name, kind in audio.findings.items() if not kind.utterances]
    if clean:
        console.print(f"\nnone: {', '.join(clean)}")


def _print_duplicates(console: Console, audio: AudioSummary) -> None:
    found = audio.duplicates
    if not found.num_repeated:
        console.print("no utterance repeats the audio of another")
        return
    console.print(
        f"\nutterances that repeat the audio of another: {found.num_repeated}; "
        f"audio under several labels: {found.num_label_conflicts}, in several splits: {found.num_split_leaks}"
    )
    for title, groups in (("same bytes", found.identical_files), ("same audio", found.same_audio)):
        for group in groups[:MAX_SHOWN]:
            _print_group(console, title, group)
        _print_rest(console, len(groups), MAX_SHOWN)


def _print_group(console: Console, title: str, group: DuplicateGroup) -> None:
    faults = [("LABELS DISAGREE", group.labels_disagree), ("IN SEVERAL SPLITS", group.splits_disagree)]
    console.print("\n" + ", ".join([title, *(text for text, applies in faults if applies)]))
    rows = [
        (f"{row.place} {row.audio}", row.format, " ".join(filter(None, (_name_label(row.label), row.split))))
        for row in group.rows[:MAX_SHOWN]
    ]
    _print_table(console, ("utterance", "format", "label, split"), rows)
    _print_rest(console, len(group.rows), MAX_SHOWN)


def _print_rest(console: Console, found: int, shown: int) -> None:
    if found > shown:
        console.print(f"... and {found - shown} more; --json holds all")


def _join(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{value}: {number}" for value, number in counts.items())


def _name_label(label: str) -> str:
    """Return an emoji with its name, for terminals that cannot draw it; a class name as it is."""
    return label if label.isascii() else f"{label} {ascii_alias(label)}"
