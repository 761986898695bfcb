"""Manifest -> the same manifest with a column `split`, and the record of how it came about."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emoji_lightning import __version__
from emoji_lightning.errors import SplitError, join_problems
from emoji_lightning.labels import LabelSet
from emoji_lightning.manifest import Manifest
from emoji_lightning.manifest.writers import check_suffix
from emoji_lightning.splits.balance import Split, split_balanced
from emoji_lightning.splits.leakage import audit, normalize_text


def split_manifest(
    manifest: Manifest,
    label_set: LabelSet | None,
    *,
    output: str | Path,
    dev: float,
    test: float,
    group: str | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Split a manifest, audit the result, and write it with its record `OUTPUT.json`.

    Args:
        manifest: Table with the column `label`; a column `split` in it is replaced.
        label_set: What the labels are balanced over; None infers it from the manifest.
        output: New manifest; `.csv .tsv .jsonl .parquet`.
        dev: Utterances in dev if >= 1, else their share.
        test: The same for test.
        group: Column whose equal values stay in one split; texts are compared in normal form.
        seed: Draws another split.

    Returns:
        The record: version, seed, options, counts and targets per split and label, deviation from balance, and what
        was checked for leakage and what was not. It holds no absolute path.

    Raises:
        ManifestError: There is no column `label` or no column named by `group`, or the suffix is unknown.
        LabelError: Labels are not in `label_set`.
        SplitError: The manifest cannot be split as asked; nothing is written.
    """
    output = Path(output)
    check_suffix(output)
    if output.exists() and output.resolve() == manifest.source.resolve():
        raise SplitError(f"{output}: --output is the manifest itself, which would be replaced; give another file")
    if seed < 0:
        raise SplitError(f"--seed is {seed}; expected 0 or more")
    manifest.require("label", *([group] if group else []))
    label_set = label_set or manifest.infer_labels()
    split = split_balanced(
        manifest.encode_labels(label_set),
        manifest.ids,
        dev=dev,
        test=test,
        label_names=label_set.labels,
        groups=read_groups(manifest, group) if group else None,
        seed=seed,
    )
    found = audit(split.names, _link_columns(manifest, group), group=group)
    record = _describe(manifest, split, dev=dev, test=test, group=group) | found
    manifest.with_column("split", split.names).write(output, record=record)
    return record


def render_record(record: Mapping[str, Any]) -> None:
    """Print the record of a split: utterances per label and split, balance, and what was checked."""
    from rich.console import Console
    from rich.table import Table

    counts = record["counts"]
    table = Table("label", *counts, box=None)
    for label in counts["train"]:
        table.add_row(label, *(str(counts[name][label]) for name in counts))
    table.add_row("all", *(str(sum(each.values())) for each in counts.values()), style="bold")
    console = Console(highlight=False, markup=False)
    console.print(table)
    for name, deviation in record["deviation"].items():
        console.print(f"{name}: at most {deviation} from the balanced number per label")
    console.print(f"checked for values in two splits: {', '.join(record['checked'])}")
    for name, reason in record["not_checked"].items():
        console.print(f"not checked: {name} ({reason})")
    for warning in record["warnings"]:
        console.print(f"warning: {warning}")


def read_groups(manifest: Manifest, group: str) -> list[str]:
    """Return the group of each row, N; texts in normal form, so that case and punctuation part nothing.

    Raises:
        ManifestError: There is no such column; the message lists those found.
        SplitError: Cells are empty; names their lines.
    """
    values = ["" if value is None else str(value) for value in manifest.column(group)]
    problems = [
        f"{manifest.where(row)}: {group} is empty; every utterance needs a group, or leave out --group"
        for row, value in enumerate(values)
        if not value.strip()
    ]
    if problems:
        raise SplitError(join_problems(problems))
    return [normalize_text(value) for value in values] if group == "text" else values


def _link_columns(manifest: Manifest, group: str | None) -> dict[str, Sequence[str]]:
    columns: dict[str, Sequence[str]] = {"id": manifest.ids}
    for name in ("text", "source_id", "speaker"):
        if manifest.has(name):
            columns[name] = manifest.column(name)
    # Segments of one recording may lie in several splits unless the recording is the group: worth a warning.
    if manifest.has("audio"):
        columns["audio"] = manifest.column("audio")
    if group and group not in columns:
        columns[group] = read_groups(manifest, group)
    return columns


def _describe(manifest: Manifest, split: Split, *, dev: float, test: float, group: str | None) -> dict[str, Any]:
    return {
        "version": __version__,
        "manifest": manifest.source.name,
        "seed": split.seed,
        "options": {"dev": _whole(dev), "test": _whole(test), "group": group},
        "num_utterances": len(manifest),
        "counts": split.counts,
        "targets": split.targets,
        "deviation": split.deviation,
        "num_groups": len(set(read_groups(manifest, group))) if group else None,
    }


def _whole(size: float) -> float:
    return int(size) if size >= 1 else size
