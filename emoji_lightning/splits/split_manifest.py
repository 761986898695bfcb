"""Manifest -> the same manifest with a column `split` or `fold`, and the record of how it came about."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from emoji_lightning import __version__
from emoji_lightning.embedding.store import EmbeddingStore
from emoji_lightning.errors import ManifestError, SplitError
from emoji_lightning.labels import LabelSet
from emoji_lightning.manifest import Manifest, read_manifest
from emoji_lightning.manifest.audio_places import record_path
from emoji_lightning.manifest.writers import check_suffix
from emoji_lightning.splits.balance import SPLITS, split_balanced
from emoji_lightning.splits.evidence import Evidence
from emoji_lightning.splits.folds import make_folds
from emoji_lightning.splits.leakage import Placement, judge
from emoji_lightning.splits.options import AuditOptions, SplitOptions


class _Made(NamedTuple):
    """A split or folds: the column, its parts, and what the record says of them."""

    column: str
    values: Sequence[str] | Sequence[int]
    parts: Sequence[str]
    codes: "np.ndarray[Any, np.dtype[np.int64]]"
    facts: dict[str, Any]


class Earlier(NamedTuple):
    """An earlier split, whose utterances keep their place.

    Attributes:
        name: Its file name.
        column: `split` or `fold`.
        places: Id -> split or fold.
        options: Those that its record names.
    """

    name: str
    column: str
    places: Mapping[str, str]
    options: Mapping[str, Any]


def read_earlier(path: Path) -> Earlier:
    """Read what `split_manifest` wrote.

    Raises:
        ManifestError: It cannot be read, or has neither a column `split` nor `fold`.
    """
    manifest = read_manifest(path)
    column = _part_column(manifest)
    places = {
        name: str(place) for name, place in zip(manifest.ids, manifest.column(column), strict=True) if place != ""
    }
    return Earlier(path.name, column, places, _read_options(record_path(path)))


def _read_options(record: Path) -> dict[str, Any]:
    """Return the options that a record names, none where there is no record.

    Raises:
        ManifestError: Somebody edited it into something else.
    """
    content = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    options = content.get("options", {}) if isinstance(content, dict) else content
    if not isinstance(options, dict):
        raise ManifestError(f"{record.name}: options are {options!r}; expected a mapping; delete it or split anew")
    kinds: dict[str, Any] = {"dev": float | int, "test": float | int, "folds": int, "seed": int, "group": list | str}
    for name, kind in kinds.items():
        value = options.get(name)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            raise ManifestError(f"{record.name}: option {name!r} is {value!r}; give --{name}, and delete it there")
    return options


def split_manifest(
    manifest: Manifest,
    label_set: LabelSet | None,
    options: SplitOptions,
    *,
    output: str | Path,
    audit: AuditOptions | None = None,
    earlier: Earlier | None = None,
) -> dict[str, Any]:
    """Split a manifest, audit the result, and write it with its record `OUTPUT.json`.

    Args:
        manifest: Table with the column `label`; a column `split` (with folds, `fold`) in it is replaced.
        label_set: What the labels are balanced over; None infers it from the manifest.
        options: Sizes or folds, groups, seed.
        output: New manifest; `.csv .tsv .jsonl .parquet`.
        audit: What is looked at beside the table, and which leaks are accepted.
        earlier: A split whose utterances keep their place.

    Returns:
        The record: version, options, counts and targets per split and label, deviation from balance, and what was
        checked for leakage and what was not. It holds no absolute path.

    Raises:
        ManifestError: There is no column `label` or no column of `group`, or the suffix is unknown.
        LabelError: Labels are not in `label_set`.
        SplitError: The manifest cannot be split as asked, or there is a leak; nothing is written.
    """
    output, audit = Path(output), audit or AuditOptions()
    check_suffix(output)
    if output.exists() and output.resolve() == manifest.source.resolve():
        raise SplitError(f"{output}: --output is the manifest itself, which would be replaced; give another file")
    manifest.require("label")
    evidence = _gather(manifest, audit)
    made = _make(evidence, label_set or manifest.infer_labels(), options, earlier)
    placement = Placement(made.parts, made.codes, manifest.where)
    record = {
        "version": __version__,
        "manifest": manifest.source.name,
        "options": options.describe(),
        "num_utterances": len(manifest),
        **made.facts,
        **_audit(evidence, placement, options.columns, audit),
    }
    manifest.with_column(made.column, made.values).write(output, record=record)
    return record


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
    column = _part_column(manifest)
    values = ["" if value is None else str(value) for value in manifest.column(column)]
    parts = (
        [name for name in SPLITS if name in values] if column == "split" else sorted(set(values) - {""}, key=_number)
    )
    if group is None:
        group = SplitOptions.of(_read_options(record_path(manifest.source))).columns
    codes = np.array([parts.index(value) if value else -1 for value in values], dtype=np.int64)
    evidence = _gather(manifest, audit)
    counts = _count(manifest, label_set or manifest.infer_labels(), codes, parts) if manifest.has("label") else {}
    return {"counts": counts, **_audit(evidence, Placement(parts, codes, manifest.where), group, audit)}


def _make(evidence: Evidence, label_set: LabelSet, options: SplitOptions, earlier: Earlier | None) -> _Made:
    manifest = evidence.manifest
    labels, ids = manifest.encode_labels(label_set), manifest.ids
    groups = evidence.groups(options.columns)
    facts: dict[str, Any] = {"num_groups": None if groups is None else len(groups)}
    kept = None
    if earlier is not None:
        _check_earlier(earlier, manifest, "fold" if options.folds else "split")
        kept = [earlier.places.get(name) for name in ids]
        facts["earlier"] = _describe_growth(earlier, ids)
    common: dict[str, Any] = {"label_names": label_set.labels, "groups": groups, "seed": options.seed, "kept": kept}
    if options.folds:
        folds = make_folds(labels, ids, num_folds=options.folds, **common)
        facts |= {"counts": folds.counts, "deviation": folds.deviation}
        return _Made("fold", folds.fold.tolist(), list(folds.counts), folds.fold, facts)
    split = split_balanced(labels, ids, dev=options.dev, test=options.test, **common)
    codes = np.array([SPLITS.index(name) for name in split.names], dtype=np.int64)
    facts |= {"counts": split.counts, "targets": split.targets, "deviation": split.deviation}
    return _Made("split", split.names, SPLITS, codes, facts)


def _check_earlier(earlier: Earlier, manifest: Manifest, column: str) -> None:
    if earlier.column != column:
        raise SplitError(
            f"{earlier.name} has a column {earlier.column!r}, and a {column!r} is asked for; give the options that it "
            "was made with, or another --output"
        )
    ids = manifest.ids
    if not any(name in earlier.places for name in ids):
        theirs = f"{len(earlier.places)} utterances of {earlier.name} ({next(iter(earlier.places), '')!r}, ...)"
        raise SplitError(
            f"none of the {theirs} is in {manifest.source.name} ({ids[0]!r}, ...); their ids differ. Give both a "
            "column 'id', or leave out --update"
        )


def _describe_growth(earlier: Earlier, ids: Sequence[str]) -> dict[str, Any]:
    kept = sum(name in earlier.places for name in ids)
    return {"manifest": earlier.name, "kept": kept, "new": len(ids) - kept, "gone": len(earlier.places) - kept}


def _gather(manifest: Manifest, audit: AuditOptions) -> Evidence:
    store = EmbeddingStore.open(Path(audit.store)) if audit.store else None
    return Evidence(manifest, store=store, similarity=audit.similarity)


def _audit(evidence: Evidence, placement: Placement, group: Sequence[str], audit: AuditOptions) -> dict[str, object]:
    findings, not_checked = evidence.find(placement, groups=group)
    return judge(findings, groups=group, allow=audit.allow, not_checked=not_checked)


def _count(manifest: Manifest, label_set: LabelSet, codes: Any, parts: Sequence[str]) -> dict[str, dict[str, int]]:
    labels = manifest.encode_labels(label_set)
    counts = [np.bincount(labels[codes == code], minlength=len(label_set)) for code in range(len(parts))]
    return {part: dict(zip(label_set, each.tolist(), strict=True)) for part, each in zip(parts, counts, strict=True)}


def _part_column(manifest: Manifest) -> str:
    for name in ("split", "fold"):
        if manifest.has(name):
            return name
    raise ManifestError(
        f"{manifest.source.name}: neither a column 'split' nor 'fold'; found columns {manifest.table.column_names}; "
        "make one with `emoji-lightning split`"
    )


def _number(fold: str) -> tuple[int, str]:
    return (int(fold), "") if fold.isdecimal() else (-1, fold)
