"""Audio -> what the classifier hears in it; what is missing or cannot be read is listed with its reason."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emoji_lightning.checkpoint.stored_head import StoredHead
from emoji_lightning.embedding.digests import manifest_keys
from emoji_lightning.embedding.extract import EmbedReport, embed_manifest
from emoji_lightning.embedding.long_audio import LongAudio
from emoji_lightning.embedding.store import EmbeddingStore
from emoji_lightning.errors import CheckpointError
from emoji_lightning.manifest import Manifest
from emoji_lightning.predictor import Predictor
from emoji_lightning.scoring.asked import NOT_SCORED, Asked

HEARD, MISSING, FAILED, NOT_KNOWN = "heard", "missing", "failed", "unknown"
BATCH = 8192
"""Embeddings that pass the head together: 40 MB in its widest layers."""


@dataclass(frozen=True, eq=False)
class Hearing:
    """What became of N utterances.

    Attributes:
        asked: What they were asked to express.
        status: N: "heard", "missing" (there is no file), "failed" (it cannot be used) or "unknown" (the head does not
            know the label that was asked for; its audio was not looked at).
        reasons: N; empty where it was heard.
        probabilities: (N, K) float64; NaN where it was not heard.
        report: What was embedded now and what was known.
    """

    asked: Asked
    status: Sequence[str]
    reasons: Sequence[str]
    probabilities: NDArray[np.float64]
    report: EmbedReport


@dataclass(frozen=True)
class Listener:
    """A head with its encoder, and the store that keeps what the encoder makes.

    Attributes:
        predictor: Head and encoder, which fit.
        store: Only what it lacks is embedded.
        long_audio: What is done with long audio.
        temperature: What logits are divided by.
        name: The checkpoint, as errors call it.
    """

    predictor: Predictor
    store: EmbeddingStore
    long_audio: LongAudio
    temperature: float
    name: str

    def hear(self, asked: Asked, *, progress: bool = False) -> Hearing:
        """Listen to every utterance whose label the head knows.

        Args:
            asked: N utterances.
            progress: Whether to show a progress bar on a terminal.

        Raises:
            CheckpointError: The head gives probabilities that are not finite.
            StoreError: The store cannot be read or written; what was embedded by then is kept.
        """
        manifest = asked.manifest
        paths, names = manifest.audio_paths(), manifest.column("audio")
        status = [NOT_KNOWN] * len(manifest)
        reasons = [f"the checkpoint does not know {label!r}" for label in asked.asked]
        present = []
        for row in np.flatnonzero(asked.labels != NOT_SCORED).tolist():
            status[row], reasons[row] = HEARD, ""
            if paths[row].exists():
                present.append(row)
            else:
                status[row], reasons[row] = MISSING, f"{names[row]}: no such file"
        report, failures = self._embed(manifest, present, progress)
        for row, reason in failures.items():
            # The report is passed on: it must not say where on this machine the audio lies.
            status[row], reasons[row] = FAILED, reason.replace(str(paths[row]), names[row])
        heard = [row for row in present if row not in failures]
        probabilities = np.full((len(manifest), len(self.predictor.head.label_set)), np.nan)
        probabilities[heard] = self._probabilities(manifest, heard)
        return Hearing(asked, status, reasons, probabilities, report)

    def _embed(self, manifest: Manifest, rows: list[int], progress: bool) -> tuple[EmbedReport, dict[int, str]]:
        """Bring these rows into the store; return the reason of each one that cannot be."""
        if not rows:
            return EmbedReport(self.store.path, 0), {}
        report = embed_manifest(
            manifest.select(rows),
            self.predictor.encoder,
            self.store,
            max_failed=len(rows),
            long_audio=self.long_audio,
            progress=progress,
        )
        return report, {rows[failure.row]: failure.reason for failure in report.failures}

    def _probabilities(self, manifest: Manifest, rows: list[int]) -> NDArray[np.float64]:
        """Return the probabilities (M, K) of rows that are in the store."""
        if not rows:
            return np.empty((0, len(self.predictor.head.label_set)))
        selected = manifest.select(rows)
        keys = [key or "" for key in manifest_keys(selected, self.store)]
        embeddings = self.store.read(keys)
        parts = [
            self.predictor.label_probabilities(embeddings[start : start + BATCH], temperature=self.temperature)
            for start in range(0, len(rows), BATCH)
        ]
        probabilities = np.concatenate(parts).astype(np.float64)
        broken = np.flatnonzero(~np.isfinite(probabilities).all(axis=1)).tolist()
        if broken:
            raise CheckpointError(
                f"{self.name}: gives no finite probabilities for {len(broken)} of {len(rows)} utterances, such as "
                f"{selected.ids[broken[0]]!r} ({selected.where(broken[0])}); the checkpoint is broken, export it again"
            )
        return probabilities


def find_temperature(head: StoredHead, name: str) -> float:
    """Return the temperature that was fitted on dev and stands in `summary.json`; 1 where there is none.

    Raises:
        CheckpointError: It is not a positive number.
    """
    model = head.summary.get("model", {})
    calibration = model.get("calibration") if isinstance(model, dict) else None
    if not isinstance(calibration, dict) or "temperature" not in calibration:
        return 1.0
    found = calibration["temperature"]
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 < found < float("inf"):
        raise CheckpointError(
            f"{name}: summary.json says model.calibration.temperature {found!r}; expected a number above 0; export the "
            "run again, or take the entry out"
        )
    return float(found)
