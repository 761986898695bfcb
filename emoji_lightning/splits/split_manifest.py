"""Manifest -> the same manifest with a column `split` or `fold`, and the record of how it came about."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from emoji_lightning import __version__
from emoji_lightning.embedding.store import EmbeddingStore
from emoji_lightning.errors import EmojiLightningError, SplitError
from emoji_lightning.labels import LabelSet, normalize_label
from emoji_lightning.manifest import Manifest
from emoji_lightning.manifest.audio_places import record_path
from emoji_lightning.manifest.split_names import SPLITS
from emoji_lightning.manifest.writers import check_suffix, find_overwritten
from emoji_lightning.splits.balance import split_balanced
from emoji_lightning.splits.earlier import (
    Earlier,
    check_earlier,
    describe_growth,
    find_part_column,
    read_earlier,
    read_options,
)
from emoji_lightning.splits.evidence import Evidence
from emoji_lightning.splits.folds import make_folds
from emoji_lightning.splits.leakage import LEAKS, Codes, Placement, judge
from emoji_lightning.splits.options import AuditOptions, Reading, SplitOptions


class _Made(NamedTuple):
    """A split or folds: the column, its parts, and what the record says of them."""

    column: str
    values: Sequence[str] | Sequence[int]
    parts: Sequence[str]
    codes: Codes
    facts: dict[str, Any]


def split_manifest(
    manifest: Manifest,
    label_set: LabelSet | None,
    options: SplitOptions,
    *,
    output: str | Path,
    audit: AuditOptions | None = None,
    update: bool = False,
    reading: Reading | None = None,
) -> dict[str, Any]:
    """Split a manifest, audit the result, and write it with its record `OUTPUT.json`.

    Args:
        manifest: Table with the column `label`; a column `split` (with folds, `fold`) in it is replaced.
        label_set: What the labels are balanced over; None infers it from the manifest.
        options: Sizes or folds, groups, seed.
        output: New manifest; `.csv .tsv .jsonl .parquet`.
        audit: What is looked at beside the table, and which leaks are accepted.
        update: Whether `output` is an earlier split whose utterances keep their place.
        reading: How the table was read, for the record.

    Returns:
        The record: version, options, counts and targets per split and label, deviation from balance, and what was
        checked for leakage and what was not. It holds no absolute path.

    Raises:
        ManifestError: There is no column `label` or no column of `group`, or the suffix is unknown.
        LabelError: Labels are not in `label_set`.
        SplitError: The manifest cannot be split as asked, or there is a leak; nothing is written.
    """
    output, audit, reading = Path(output), audit or AuditOptions(), reading or Reading()
    _check_output(output, manifest, known=update, others=reading.files)
    earlier = read_earlier(output, manifest) if update else None
    manifest.require("label")
    evidence = _gather(manifest, audit)
    made = _make(evidence, label_set or manifest.infer_labels(), options, earlier)
    placement = Placement(made.parts, made.codes, manifest.where)
    record = {
        "version": __version__,
        "manifest": manifest.source.name,
        "options": {
            **options.describe(),
            **reading.describe(),
            **({"allow": list(audit.allow)} if audit.allow else {}),
        },
        "num_utterances": len(manifest),
        **made.facts,
        **_audit(evidence, placement, options.columns, audit),
    }
    if earlier is None and output.exists():
        record["replaced"] = _count_moved(output, manifest, made.values)
    other = "fold" if made.column == "split" else "split"  # of an earlier run, and about to mislead
    manifest.without_column(other).with_column(made.column, made.values).write(output, record=record)
    return record


def _check_output(output: Path, manifest: Manifest, *, known: bool, others: Sequence[Path]) -> None:
    """Refuse an output that, itself or by its record, would replace a file that is read or that no split wrote."""
    check_suffix(output)
    record = record_path(output)
    if output.is_dir():
        raise SplitError(f"{output}: --output is a folder; expected a file, such as {output / 'split.csv'}")
    folder = manifest.source if manifest.source.is_dir() else manifest.source.parent
    inputs = [manifest.source, *(folder / name for name in set(manifest.files)), *others]
    if replaced := find_overwritten((output, record), inputs):
        what = "the manifest itself" if replaced.resolve() == manifest.source.resolve() else "a file that is read"
        raise SplitError(f"{replaced}: --output is {what}, which would be replaced; give another file")
    if manifest.source.is_dir() and output.stem == "metadata" and output.resolve().is_relative_to(folder.resolve()):
        raise SplitError(f"{output}: would become the metadata of the folder that is split; give another file")
    if output.exists() and not known and not record.exists():
        raise SplitError(
            f"{output}: is there, and `split` did not write it: it has no record {record.name}; give another file, or "
            "remove it"
        )
    if record.exists() and not known:
        read_options(output)


def _count_moved(output: Path, manifest: Manifest, places: Sequence[object]) -> dict[str, int]:
    """Count the utterances of a file that is about to be replaced, and those that are elsewhere now."""
    try:
        old = read_earlier(output, manifest).places
    except EmojiLightningError:  # it will be gone in a moment
        return {"kept": 0, "moved": 0}
    pairs = [(old[name], str(place)) for name, place in zip(manifest.ids, places, strict=True) if name in old]
    return {"kept": len(pairs), "moved": sum(before != after for before, after in pairs)}


def check_splits(
    manifest: Manifest,
    label_set: LabelSet | None,
    *,
    group: Sequence[str] | None = None,
    audit: AuditOptions | None = None,
) -> dict[str, Any]:
    """Audit the splits (or folds) that a manifest has; nothing is written.

    Args:
        manifest: Table with a column `split` or `fold`.
        label_set: Labels to count; None infers them, and without a column `label` nothing is counted.
        group: Columns whose values may not be in two splits; None takes those that the record beside it names.
        audit: What is looked at beside the table, and which leaks are accepted.

    Returns:
        `counts`, and what was checked for leakage and what was not.

    Raises:
        ManifestError: There is neither column.
        SplitError: There is a leak.
    """
    audit = audit or AuditOptions()
    column = find_part_column(manifest)
    values = ["" if value is None else str(value) for value in manifest.column(column)]
    found = set(values) - {""}
    parts = [name for name in SPLITS if name in found] if column == "split" else sorted(found, key=_number)
    evidence = _gather(manifest, audit)
    remembered = read_options(manifest.source)
    if group is None:
        group = SplitOptions.of({"group": remembered.get("group")}).columns
    else:
        evidence.require(group)
    known = {*LEAKS, *group}
    audit = replace(audit, allow=[*audit.allow, *(name for name in remembered.get("allow", ()) if name in known)])
    codes = np.array([parts.index(value) if value else -1 for value in values], dtype=np.int64)
    record = _audit(evidence, Placement(parts, codes, manifest.where), group, audit)
    if column == "split" and manifest.has("fold"):
        record["not_checked"] = {**record["not_checked"], "fold": "there is a column 'split', too; that was looked at"}
    return {"counts": _count(manifest, label_set, codes, parts), **record}


def _make(evidence: Evidence, label_set: LabelSet, options: SplitOptions, earlier: Earlier | None) -> _Made:
    manifest = evidence.manifest
    labels, ids = manifest.encode_labels(label_set), manifest.ids
    groups = evidence.groups(options.columns)
    facts: dict[str, Any] = {"num_groups": None if groups is None else len(groups)}
    kept = None
    if earlier is not None:
        check_earlier(earlier, manifest, "fold" if options.folds else "split")
        kept = [earlier.places.get(name) for name in ids]
        facts["earlier"] = describe_growth(earlier, manifest)
    common: dict[str, Any] = {"label_names": label_set.labels, "groups": groups, "seed": options.seed, "kept": kept}
    if options.folds:
        folds = make_folds(labels, ids, num_folds=options.folds, **common)
        facts |= {"counts": folds.counts, "deviation": folds.deviation}
        return _Made("fold", folds.fold.tolist(), list(folds.counts), folds.fold, facts)
    split = split_balanced(labels, ids, dev=options.dev, test=options.test, **common)
    codes = np.array([SPLITS.index(name) for name in split.names], dtype=np.int64)
    facts |= {"counts": split.counts, "targets": split.targets, "deviation": split.deviation}
    return _Made("split", split.names, SPLITS, codes, facts)


def _gather(manifest: Manifest, audit: AuditOptions) -> Evidence:
    store = EmbeddingStore.open(Path(audit.store)) if audit.store else None
    return Evidence(manifest, store=store, similarity=audit.similarity)


def _audit(evidence: Evidence, placement: Placement, group: Sequence[str], audit: AuditOptions) -> dict[str, Any]:
    findings, not_checked = evidence.find(placement, groups=group)
    return judge(findings, groups=group, allow=audit.allow, not_checked=not_checked)


def _count(
    manifest: Manifest, label_set: LabelSet | None, codes: Codes, parts: Sequence[str]
) -> dict[str, dict[str, int]]:
    """Count labels; any that are there, if they are too few for a label set."""
    if not manifest.has("label"):
        return {}
    texts = [normalize_label(text) for text in manifest.column("label")]
    names = list(label_set) if label_set else sorted(set(texts))
    found = Counter(zip(codes.tolist(), texts, strict=True))
    return {part: {name: found[code, name] for name in names} for code, part in enumerate(parts)}


def _number(fold: str) -> tuple[int, str]:
    return (int(fold), "") if fold.isdecimal() else (-1, fold)
