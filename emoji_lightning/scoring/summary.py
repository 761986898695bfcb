"""What `score.json` says of the checkpoint and the programs."""

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from emoji_lightning.checkpoint.stored_head import StoredHead
from emoji_lightning.embedding.spec import EmbeddingSpec

TEST_NUMBERS = ("accuracy", "balanced_accuracy", "macro_f1", "mean_probability", "num_utterances")
PROGRAMS = ("emoji-lightning", "torch", "numpy", "scipy", "scikit-learn")


def describe_checkpoint(head: StoredHead, temperature: float, spec: EmbeddingSpec) -> dict[str, Any]:
    """Return file, digest, encoder, labels and temperature of a head, and how it does on its own held-out test."""
    content = head.source.content if head.source is not None else None
    return {
        "file": content.file.name if content else None,
        "sha256": content.sha256 if content else None,
        "encoder": spec.encoder,
        "labels": list(head.label_set),
        "temperature": temperature,
        "test": _find_test(head.summary),
    }


def _find_test(summary: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the numbers of the held-out test with their intervals; None where `summary.json` has none."""
    metrics = summary.get("metrics")
    test = metrics.get("test") if isinstance(metrics, dict) else None
    if not isinstance(test, dict) or "accuracy" not in test:
        return None
    found: dict[str, Any] = {name: test.get(name) for name in ("accuracy", "macro_f1", "num_utterances")}
    found |= {name: test[name] for name in TEST_NUMBERS if name in test}
    intervals = test.get("intervals")
    if isinstance(intervals, dict):
        found["intervals"] = {name: intervals[name] for name in ("level", *TEST_NUMBERS[:-1]) if name in intervals}
    calibrated = test.get("calibrated_mean_probability")
    if isinstance(calibrated, dict):  # systems are scored at this temperature, too
        low, high = calibrated["low"], calibrated["high"]
        found["mean_probability"] = calibrated["value"]
        found.setdefault("intervals", {})["mean_probability"] = None if low is None else [low, high]
    return found


def describe_versions() -> dict[str, str]:
    """Return the versions of the programs that the numbers come from."""
    return {"python": platform.python_version()} | {name: version(name) for name in PROGRAMS}
