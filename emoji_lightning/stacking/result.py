"""The files that a cross-validation leaves."""

import csv
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from emoji_lightning.errors import ConfigError
from emoji_lightning.files import write_json, write_whole
from emoji_lightning.model.finetuning import FineTuningOptions
from emoji_lightning.stacking.crossval import Crossval
from emoji_lightning.stacking.suspicious import Suspicion, find_suspicious

RESULT, PREDICTIONS, SUSPICIOUS, CHOSEN = "crossval.json", "oof.parquet", "suspicious.csv", "chosen.yaml"
FROM_DATA = ("labels", "input_dim", "encoder", "weights_sha256", "class_weights")
"""Arguments of `EmojiClassifier` that are no options."""


def demand_room(folder: Path, names: tuple[str, ...] = (RESULT, PREDICTIONS, SUSPICIOUS, CHOSEN)) -> None:
    """Raise ConfigError where a folder holds an earlier result."""
    found = [name for name in names if (folder / name).exists()]
    if found:
        raise ConfigError(
            f"--output_dir {folder} holds an earlier result: {', '.join(found)}; give another folder, or remove them"
        )


def write_crossval(found: Crossval, folder: Path, overlay: Mapping[str, Any]) -> list[Suspicion]:
    """Write the four files of a cross-validation.

    Args:
        found: The outcome.
        folder: Where; it is made.
        overlay: Options for `fit --config`, see `to_overlay`.

    Returns:
        The labels that are suspicious.
    """
    folder.mkdir(parents=True, exist_ok=True)
    suspicions = find_suspicious(found.labels, found.mean)
    write_whole(folder / PREDICTIONS, lambda path: pq.write_table(_predictions(found), path))
    write_whole(folder / SUSPICIOUS, lambda path: _write_suspicious(found, suspicions, path))
    write_overlay(folder / CHOSEN, overlay)
    write_json(folder / RESULT, to_dict(found) | {"num_suspicious": len(suspicions), "setting": dict(overlay)})
    return suspicions


def to_dict(found: Crossval) -> dict[str, Any]:
    """Return all numbers as JSON's types."""
    folding = found.folding
    return {
        "corpus": found.corpus.name,
        "labels": list(found.corpus.label_set),
        "num_utterances": len(found.rows),
        "folds": {"source": folding.source, "names": folding.known, "group": folding.group_name},
        "mean_of_seeds": found.evaluation.to_dict(),
        "one_head": describe_seeds(found),
        "heads": [
            {
                **{name: getattr(head, name) for name in ("fold", "seed", "best_epoch", "num_epochs")},
                "dev": dict(head.dev),
                "test": head.test.to_dict(),
            }
            for head in found.heads
        ],
    }


def describe_seeds(found: Crossval) -> dict[str, dict[str, float]]:
    """Return for accuracy and macro-F1 of the heads of one seed their mean, standard deviation, least and greatest."""
    of_seeds = found.of_seeds()
    described = {}
    for name in ("accuracy", "macro_f1"):
        values = np.array([getattr(each, name) for each in of_seeds])
        spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
        described[name] = {
            "mean": float(values.mean()),
            "deviation": spread,
            "min": float(values.min()),
            "max": float(values.max()),
        }
    return described


def to_overlay(options: Mapping[str, Any], data: Any, *, max_epochs: int) -> dict[str, Any]:
    """Return options for `fit --config` that train one head as these were.

    Args:
        options: Arguments of `EmojiClassifier`.
        data: The datamodule.
        max_epochs: Epochs at most.
    """
    left_out = {*FROM_DATA, "init_from", *(each.name for each in fields(FineTuningOptions))}
    of_data = {"batch_size": data.given_batch_size, "balance": data.balance, "balance_beta": data.balance_beta}
    return {
        "data": {name: value for name, value in of_data.items() if value is not None or name == "batch_size"},
        "model": {name: value for name, value in options.items() if name not in left_out},
        "trainer": {"max_epochs": max_epochs},
    }


def write_overlay(file: Path, overlay: Mapping[str, Any]) -> None:
    """Write options as YAML."""
    text = yaml.safe_dump(dict(overlay), allow_unicode=True, sort_keys=False)
    write_whole(file, lambda path: path.write_text(text, encoding="utf-8"))


def _predictions(found: Crossval) -> pa.Table:
    names, rows = list(found.corpus.label_set), found.rows.tolist()
    return pa.table(
        {
            "id": pa.array([str(found.corpus.ids[row]) for row in rows], pa.string()),
            "label": pa.array([names[label] for label in found.labels], pa.string()),
            "fold": pa.array([found.folding.folds[row] for row in rows], pa.int64()),
            "predicted": pa.array([names[label] for label in found.mean.argmax(axis=1)], pa.string()),
            "probabilities": pa.array(found.mean.tolist(), pa.list_(pa.float64())),
        },
        metadata={"labels": "\n".join(names)},
    )


def _write_suspicious(found: Crossval, suspicions: list[Suspicion], path: Path) -> None:
    names = list(found.corpus.label_set)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", "label", "suggested", "probability", "probability_suggested", "margin"])
        for each in suspicions:
            own, other = found.mean[each.row, each.label], found.mean[each.row, each.suggested]
            ident = found.corpus.ids[int(found.rows[each.row])]
            numbers = (f"{number:.4f}" for number in (own, other, each.margin))
            writer.writerow([ident, names[each.label], names[each.suggested], *numbers])
