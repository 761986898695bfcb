"""Scoring from the manifest to the files, in order."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from emoji_lightning.checkpoint.stored_head import StoredHead, read_head
from emoji_lightning.embedding.encoder import load_encoder
from emoji_lightning.embedding.long_audio import LongAudio
from emoji_lightning.embedding.store import EmbeddingStore
from emoji_lightning.errors import ConfigError, ManifestError
from emoji_lightning.evaluation.resampling import FEW_GROUPS, Resampling
from emoji_lightning.label_map import LabelMap
from emoji_lightning.predictor import Predictor, find_encoder
from emoji_lightning.scoring.asked import ERROR, NOT_SCORED, Asked, check_asked, read_asked
from emoji_lightning.scoring.hearing import Hearing, Listener, find_temperature
from emoji_lightning.scoring.outputs import begin_outputs, write_score
from emoji_lightning.scoring.pairing import compare_systems
from emoji_lightning.scoring.result import Score, SystemScore
from emoji_lightning.scoring.summary import describe_checkpoint, describe_versions
from emoji_lightning.scoring.systems import list_utterances, score_reference, score_systems


@dataclass(frozen=True)
class ScoreOptions:
    """What `score` takes besides manifest and checkpoint; said at `score`."""

    output_dir: Path | None = None
    store: Path | None = None
    compare: bool = False
    reference: str | Path | None = None
    group: str | None = None
    unknown: str = ERROR
    encoder: str | None = None
    device: str = "auto"
    long_audio: LongAudio = field(default_factory=LongAudio)
    resampling: Resampling = field(default_factory=Resampling)
    columns: Mapping[str, str] | None = None
    labels: str | Path | None = None
    audio_root: str | Path | None = None
    with_audio: bool = False
    progress: bool = False


def score(
    manifest: str | Path,
    checkpoint: str | Path,
    *,
    output_dir: str | Path | None = None,
    store: str | Path | None = None,
    compare: bool = False,
    reference: str | Path | None = None,
    group: str | None = None,
    unknown: str = ERROR,
    encoder: str | None = None,
    device: str = "auto",
    max_failed: int = 0,
    num_resamples: int = 10_000,
    seed: int = 0,
    columns: Mapping[str, str] | None = None,
    labels: str | Path | None = None,
    audio_root: str | Path | None = None,
    long_audio: LongAudio | None = None,
    with_audio: bool = False,
) -> Score:
    """Score how well speech expresses the emoji that it was asked for.

    Args:
        manifest: Table with `audio` and `label` (the emoji asked for), and as they exist `system` and
            `text_id`.
        checkpoint: A head of any readable layout, or its folder.
        output_dir: Where `score.json`, `utterances.csv` and `report.html` go; by default nothing is written.
        store: Folder of embeddings, made where it is absent; by default `OUTPUT_DIR/store`, and without `output_dir` a
            temporary one.
        compare: Whether every two systems are compared on the texts that they share.
        reference: Manifest of real speech with labels, scored beside the systems.
        group: Column of the groups that the bootstrap draws; by default `text_id`, else `text`, else `source_id`, else
            each utterance.
        unknown: "error" or "drop": what becomes of utterances that ask for a label outside the head's.
        encoder: Name or folder of the encoder; by default the name that the checkpoint records.
        device: "auto", "cpu", "cuda" or "cuda:N", for the encoder.
        max_failed: How many rows may have audio that is not there or cannot be used.
        num_resamples: Resamples of the bootstrap, and permutations of the test.
        seed: Of these.
        columns: Our column name -> the manifest's.
        labels: YAML or JSON that maps the labels of manifest and reference to the head's.
        audio_root: Folder that the manifest's audio paths are relative to, if not its own.
        long_audio: What is done with long audio; by default more than 120 s is a failure.
        with_audio: Whether the report holds the audio of the errors that it shows.

    Raises:
        ManifestError: The manifest cannot be scored as asked; all problems at once, each with its line.
        CheckpointError: The checkpoint cannot be read, does not fit the encoder, or gives NaN.
        AudioError: More than `max_failed` utterances failed, or a system has none that was heard; all files that can
            be are written by then.
        StoreError: The store was made by another encoder, is damaged, or cannot be written.
    """
    options = ScoreOptions(
        output_dir=None if output_dir is None else Path(output_dir),
        store=None if store is None else Path(store),
        compare=compare,
        reference=reference,
        group=group,
        unknown=unknown,
        encoder=encoder,
        device=device,
        long_audio=long_audio or LongAudio(),
        resampling=Resampling(num_resamples=num_resamples, seed=seed),
        columns=columns,
        labels=labels,
        audio_root=audio_root,
        with_audio=with_audio,
    )
    found = run_score(manifest, checkpoint, options)
    found.check_failed(max_failed)
    return found


def run_score(manifest: str | Path, checkpoint: str | Path, options: ScoreOptions) -> Score:
    """Do what `score` does, but leave it to the caller to refuse audio that failed; errors as there."""
    if options.output_dir is not None and options.output_dir.exists() and not options.output_dir.is_dir():
        raise ConfigError(f"{options.output_dir}: --output_dir is a file; expected a folder, which is made if absent")
    head = read_head(checkpoint)
    asked, reference = _read_tables(manifest, head, options)
    with _open_listener(head, checkpoint, options) as listener:
        # Real speech first: `failed.csv` in the store is then that of the manifest.
        real = None if reference is None else listener.hear(reference, progress=options.progress)
        return _finish(listener.hear(asked, progress=options.progress), real, listener, options)


def _finish(hearing: Hearing, real: Hearing | None, listener: Listener, options: ScoreOptions) -> Score:
    """Compute the numbers and write the files."""
    asked, names = hearing.asked, list(listener.predictor.head.label_set)
    utterances = list_utterances(hearing, names)
    if options.output_dir is not None:  # before anything that may fail: it says what was missing and what failed
        begin_outputs(options.output_dir, utterances)
    systems = score_systems(hearing, utterances, names=names, resampling=options.resampling)
    comparisons, notes = (
        compare_systems(hearing, names=names, resampling=options.resampling) if options.compare else ([], [])
    )
    found = Score(
        checkpoint=describe_checkpoint(listener.predictor.head, listener.temperature, listener.predictor.encoder.spec),
        manifest={"file": asked.manifest.source.name, "num_rows": len(asked.manifest)},
        settings=_describe_settings(asked, options),
        unknown=asked.unknown,
        systems=systems,
        reference=None if real is None else score_reference(real, names=names, resampling=options.resampling),
        comparisons=comparisons,
        utterances=utterances,
        versions=describe_versions(),
        notes=[*asked.notes, *(real.asked.notes if real else ()), *_list_notes(asked, systems), *notes],
        embedded=[each.report for each in (real, hearing) if each is not None],
    )
    if options.output_dir is not None:
        write_score(options.output_dir, found, asked.manifest, with_audio=options.with_audio)
    return found


def _read_tables(manifest: str | Path, head: StoredHead, options: ScoreOptions) -> tuple[Asked, Asked | None]:
    """Read the manifest and the one of real speech, and check both before any audio is read."""
    label_map = None if options.labels is None else LabelMap.from_file(options.labels)
    table, notes = read_asked(manifest, columns=options.columns, audio_root=options.audio_root, label_map=label_map)
    asked = check_asked(
        table, head.label_set, group=options.group, unknown=options.unknown, compare=options.compare, notes=notes
    )
    if options.reference is None:
        return asked, None
    table, notes = read_asked(options.reference, label_map=label_map)
    # Which system spoke is no question here.
    table = table.without_column("system")
    group = options.group if options.group and table.has(options.group) else None
    reference = check_asked(table, head.label_set, group=group, unknown=options.unknown, notes=notes)
    _check_shared(asked, reference, head)
    return asked, reference


def _check_shared(asked: Asked, reference: Asked, head: StoredHead) -> None:
    mine, theirs = (set(each.labels[each.labels != NOT_SCORED].tolist()) for each in (asked, reference))
    if not mine & theirs:
        wanted, found = (
            " ".join(name for code, name in enumerate(head.label_set) if code in codes) for codes in (mine, theirs)
        )
        raise ManifestError(
            f"{reference.manifest.source.name}: --reference has no utterance of an emoji that is asked for: the "
            f"systems are asked for {wanted}, it has {found}; give real speech of the same emoji"
        )


@contextmanager
def _open_listener(head: StoredHead, checkpoint: str | Path, options: ScoreOptions) -> Iterator[Listener]:
    """Load the encoder, check that it fits the head, and open the store; a temporary one is gone at the end."""
    temperature = find_temperature(head, str(checkpoint))
    name = options.encoder or find_encoder(head, checkpoint)
    predictor = Predictor(head, load_encoder(name, device=options.device))
    spec = replace(predictor.encoder.spec, long_audio=options.long_audio.describe())
    with tempfile.TemporaryDirectory(prefix="emoji-lightning-") as temporary:
        own = Path(temporary) if options.output_dir is None else options.output_dir
        store = EmbeddingStore.open_or_create(options.store or own / "store", spec)
        yield Listener(predictor, store, options.long_audio, temperature, str(checkpoint))


def _describe_settings(asked: Asked, options: ScoreOptions) -> dict[str, str | int | float]:
    return {
        "group": asked.group_name,
        "level": options.resampling.level,
        "num_resamples": options.resampling.num_resamples,
        "seed": options.resampling.seed,
        "unknown": options.unknown,
    }


def _list_notes(asked: Asked, systems: Mapping[str, SystemScore]) -> list[str]:
    """Say which numbers mean little or are not there."""
    notes = [
        f"{name}: every utterance asks for a label that the checkpoint does not know, so it has no numbers"
        for name in dict.fromkeys(asked.systems)
        if name not in systems
    ]
    for system in systems.values():
        numbers = system.evaluation
        if numbers.has_few_groups and numbers.num_groups > 1:
            notes.append(
                f"{system.name}: {numbers.num_groups} {numbers.group_name} only were heard: intervals are too narrow "
                f"with fewer than {FEW_GROUPS}"
            )
        num_labels = len({each.asked for each in system.utterances if each.status == "heard"})
        if numbers.num_groups < 2:
            notes.append(f"{system.name}: one {numbers.group_name} only was heard: a bootstrap needs two or more")
        if num_labels < 2:
            notes.append(f"{system.name}: one emoji only was asked for, so macro recall is accuracy")
    return notes
