"""`embed` on several devices or nodes: Lightning starts the processes, each embeds its share into the same store."""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from itertools import takewhile
from pathlib import Path
from threading import current_thread, main_thread
from traceback import format_exception
from typing import Any, NoReturn

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import BasePredictionWriter
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher
from torch import distributed
from torch.utils.data import DataLoader, IterableDataset

from emoji_lightning.embedding.encoder import Encoder
from emoji_lightning.embedding.extract import Embedded, EmbedReport, Extraction, progress_bar
from emoji_lightning.embedding.long_audio import LongAudio
from emoji_lightning.embedding.reading import Reading, Utterance, list_utterances
from emoji_lightning.embedding.store import EmbeddingStore
from emoji_lightning.errors import EmojiLightningError, StoreError
from emoji_lightning.manifest import Manifest

_PATIENCE = timedelta(days=30)
"""How long a process that is done waits for the others; by default half an hour."""
_SAMPLE = 4096
"""Bytes from the middle of a file that, with its size, decide whose it is."""


def embed_on_devices(
    manifest: Manifest,
    load: Callable[[str], Encoder],
    open_store: Callable[[Encoder], EmbeddingStore],
    *,
    accelerator: str,
    devices: int,
    num_nodes: int = 1,
    max_failed: int = 0,
    long_audio: LongAudio | None = None,
    progress: bool = True,
) -> EmbedReport | None:
    """Bring the vector of every utterance into the store, each in one of several processes.

    Args:
        manifest: Table with the column `audio`.
        load: Called in each process with its device, "cpu" or "cuda:N"; returns what makes the vectors.
        open_store: Called in each process; returns where they go.
        accelerator: "cpu" or "gpu", as Lightning names them.
        devices: Processes on each node.
        num_nodes: Nodes.
        max_failed: How many utterances may have unusable audio.
        long_audio: What is done with long audio.
        progress: Whether the first process shows a progress bar, of its own share.

    Returns:
        What all processes did together; None in all but the first.

    Raises:
        AudioError: More than `max_failed` utterances failed; everything else is stored by then.
        EmojiLightningError: What stopped a process; the others have finished their shares by then.
    """
    manifest.require("audio")
    callback = PartCallback(progress=progress)
    trainer = pl.Trainer(
        accelerator=accelerator,
        devices=devices,
        num_nodes=num_nodes,
        strategy=DDPStrategy(timeout=_PATIENCE) if devices * num_nodes > 1 else "auto",
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[callback],
    )
    module = ExtractionModule(manifest, load, open_store, long_audio or LongAudio())
    try:
        trainer.predict(module, return_predictions=False)
    except SystemExit:  # what Lightning makes of Ctrl-C
        if callback.interrupted:
            raise KeyboardInterrupt from None
        raise
    outcomes = _gather(module.outcome)
    if not trainer.is_global_zero:
        return None
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    reports = [outcome.report for outcome in outcomes if outcome.report is not None]
    if not reports:
        raise errors[0]
    whole = EmbedReport(reports[0].store, len(manifest))
    for report in reports:
        whole.num_new += report.num_new
        whole.num_known += report.num_known
        whole.duration_s += report.duration_s
        whole.elapsed_s = max(whole.elapsed_s, report.elapsed_s)
        whole.failures += report.failures
    if errors:
        with suppress(StoreError, OSError):  # the error that ends the run is the one to show
            whole.finish(manifest, max_failed=len(manifest))
        raise errors[0]
    whole.finish(manifest, max_failed)
    return whole


@dataclass
class Outcome:
    """What one process did, None if it could not begin, and what stopped it, if anything."""

    report: EmbedReport | None = None
    error: Exception | None = None

    def stop(self, error: Exception) -> None:
        """Note what stopped the process; an error that is nobody's input takes its traceback along."""
        if not isinstance(error, EmojiLightningError):
            error = RuntimeError("".join(format_exception(error)))
        self.error = self.error or error


class ExtractionModule(pl.LightningModule):
    """One process's share of an extraction; a step embeds a window of utterances.

    An error that stops one process is kept in `outcome` until all have finished: who left the others would end them.
    """

    def __init__(
        self,
        manifest: Manifest,
        load: Callable[[str], Encoder],
        open_store: Callable[[Encoder], EmbeddingStore],
        long_audio: LongAudio,
    ) -> None:
        super().__init__()
        self._manifest = manifest
        self._load = load
        self._open_store = open_store
        self._long_audio = long_audio
        self.outcome = Outcome()
        self.extraction: Extraction | None = None

    def setup(self, stage: str) -> None:
        """Load the encoder on this process's device and take this process's utterances."""
        try:
            encoder = self._load(str(self.trainer.strategy.root_device))
            store = self._open_store(encoder)
            utterances = share(list_utterances(self._manifest), self.trainer.global_rank, self.trainer.world_size)
            self.outcome.report = EmbedReport(store.path, len(utterances))
            self.extraction = Extraction(utterances, encoder, store, self.outcome.report, self._long_audio)
        except Exception as error:
            self.outcome.stop(error)

    def predict_dataloader(self) -> DataLoader[Any]:
        """Return the windows of this process's utterances; they are read in threads, so no worker processes are."""
        return DataLoader(_Windows(self), batch_size=None)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Leave waveforms where they are: the encoder moves them."""
        return batch

    def predict_step(self, window: list[Reading], batch_idx: int) -> Iterator[Embedded]:
        """Return what became of each utterance, as it is done."""
        assert self.extraction is not None
        return self.extraction.embed(window)


class PartCallback(BasePredictionWriter):
    """Writes vectors into the store as they come, and what is finished when the run ends, however it ends."""

    def __init__(self, *, progress: bool) -> None:
        super().__init__(write_interval="batch")
        self.interrupted = False
        self._show = progress
        self._bar = progress_bar(show=False)  # a process may be stopped before the run starts

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Show the first process's progress, and end on SIGTERM: Lightning only notes it, for the end of an epoch."""
        assert isinstance(pl_module, ExtractionModule)
        self._bar = progress_bar(show=self._show and trainer.is_global_zero)
        report = pl_module.outcome.report
        total = report.num_utterances if report else 0
        self._task = self._bar.add_task(f"embed (1 of {trainer.world_size})", total=total, hours=0.0, rate=0.0)
        self._bar.start()
        if current_thread() is main_thread():
            signal.signal(signal.SIGTERM, lambda number, _: _end(trainer, number))

    def write_on_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        prediction: Any,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Keep the vectors of a window."""
        assert isinstance(pl_module, ExtractionModule)
        assert pl_module.extraction is not None
        if pl_module.outcome.error is not None:
            return
        try:
            for embedded in prediction:
                pl_module.extraction.keep(embedded)
                hours, rate = pl_module.extraction.progress()
                self._bar.update(self._task, advance=1, hours=hours, rate=rate)
        except Exception as error:
            pl_module.outcome.stop(error)

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write what is finished."""
        self._close(pl_module)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Write what is finished."""
        self.interrupted = isinstance(exception, KeyboardInterrupt)
        self._close(pl_module)

    def _close(self, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, ExtractionModule)
        if pl_module.extraction is None:
            return
        self._bar.stop()
        try:
            pl_module.extraction.__exit__()
        except EmojiLightningError as error:
            pl_module.outcome.stop(error)


class _Windows(IterableDataset[list[Reading]]):
    def __init__(self, module: ExtractionModule) -> None:
        self._module = module

    def __iter__(self) -> Iterator[list[Reading]]:
        if self._module.extraction is not None:
            yield from takewhile(lambda _: self._module.outcome.error is None, self._module.extraction.windows())


def _end(trainer: pl.Trainer, number: int) -> NoReturn:
    """Leave as the signal asks, once what is finished is written; processes that this one started leave, too."""
    if isinstance(trainer.strategy.launcher, _SubprocessScriptLauncher):
        trainer.strategy.launcher.kill(signal.SIGTERM)
    raise SystemExit(128 + number)


def share(utterances: Sequence[Utterance], rank: int, world_size: int) -> list[Utterance]:
    """Return the utterances of one process out of several: each belongs to exactly one.

    Byte-identical files belong to the same process, which then embeds them once. A sample of each file decides, so no
    process reads all audio; what is there already plays no part, so processes that start at different times agree.
    """
    return [each for each in utterances if _hint(each) % world_size == rank]


def _hint(utterance: Utterance) -> int:
    content = f"{utterance.row}".encode()
    try:
        if utterance.path.is_file():
            content = _sample(utterance.path) + f"{utterance.start or 0.0}:{utterance.end}".encode()
    except (OSError, ValueError):
        pass  # it cannot be read: whoever gets it will say so
    return int.from_bytes(sha256(content).digest()[:8])


def _sample(path: Path) -> bytes:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _SAMPLE) // 2)
        return str(size).encode() + file.read(_SAMPLE)


def _gather(outcome: Outcome) -> list[Outcome]:
    if not distributed.is_available() or not distributed.is_initialized():
        return [outcome]
    outcomes: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(outcomes, outcome)
    distributed.destroy_process_group()
    return outcomes
