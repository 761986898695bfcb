"""The verbs that are not Lightning's: their options, and the library calls that they make.

Nothing heavy is imported before the options are known to be right, so that help and errors come at once.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emoji_lightning.manifest import Manifest

STORE_HELP = "folder of embeddings; made where it is absent"
AUDIO_ROOT_HELP = "folder that audio paths are relative to, if not the manifest's"
ENCODER_HELP = (
    "emotion2vec_base, emotion2vec_plus_seed, emotion2vec_plus_base or emotion2vec_plus_large from the hub; a FOLDER "
    "with such a model; or logmel, 768 log-mel statistics without any download, for first runs and tests"
)
MAX_FRAMES_HELP = "frames of 20 ms in a batch on a GPU, padding included; by default what its memory holds"
LONG_HELP = (
    "audio above --max-seconds: error lists it as failed, truncate embeds its beginning, chunk embeds equal pieces and "
    "takes the mean of their vectors, weighted by duration"
)
FROM_NPY_HELP = (
    "take vectors of another program instead of audio, found by the id of the row: a folder with ID.npy, or X.npy of "
    "emotion2vec's recipe with X.lengths and X.emo beside it; --encoder then only names what made them"
)
DEVICE_HELP = "auto, cpu, cuda or cuda:N"


def add_embed(parser: argparse.ArgumentParser) -> None:
    """Add the options of `embed`."""
    parser.add_argument(
        "manifest", metavar="MANIFEST", help="table of utterances: CSV, TSV, JSONL, Parquet or a folder"
    )
    parser.add_argument("--store", metavar="DIR", required=True, help=STORE_HELP)
    parser.add_argument("--encoder", help=ENCODER_HELP + "; by default emotion2vec_base")
    parser.add_argument("--device", default="auto", help=DEVICE_HELP)
    parser.add_argument(
        "--precision", default="fp32", help="fp32, or bf16: about twice as fast, other vectors, a store of its own"
    )
    parser.add_argument("--max-frames", metavar="N", type=_positive, help=MAX_FRAMES_HELP)
    parser.add_argument("--long", default="error", metavar="error|truncate|chunk", help=LONG_HELP)
    parser.add_argument(
        "--max-seconds", metavar="S", type=float, default=120.0, help="audio above this is long (seconds)"
    )
    parser.add_argument("--audio-root", metavar="DIR", help=AUDIO_ROOT_HELP)
    parser.add_argument("--from-npy", metavar="SOURCE", help=FROM_NPY_HELP)
    parser.add_argument(
        "--max-failed",
        metavar="N",
        type=_count,
        default=0,
        help="utterances whose audio may fail, else the verb does",
    )
    parser.add_argument(
        "--trainer.devices", dest="devices", metavar="N", type=_positive, default=1, help="processes on each node"
    )
    parser.add_argument(
        "--trainer.num_nodes", dest="num_nodes", metavar="N", type=_positive, default=1, help="nodes, as for fit"
    )


def embed(options: argparse.Namespace) -> None:
    """Turn the manifest's audio into a store of embeddings; does only what is missing."""
    from dataclasses import replace

    from emoji_lightning.embedding.encoder import Encoder, load_encoder
    from emoji_lightning.embedding.extract import embed_manifest
    from emoji_lightning.embedding.long_audio import LongAudio
    from emoji_lightning.embedding.store import EmbeddingStore
    from emoji_lightning.errors import ConfigError
    from emoji_lightning.manifest import read_manifest

    long_audio = LongAudio(options.long, options.max_seconds)
    if options.from_npy and not options.encoder:
        raise ConfigError("--from-npy needs --encoder: the name of what made these vectors")
    options.encoder = options.encoder or "emotion2vec_base"
    manifest = read_manifest(Path(options.manifest), audio_root=_path(options.audio_root))
    if options.from_npy:
        _import_vectors(options, manifest)
        return

    def load(device: str) -> Encoder:
        return load_encoder(options.encoder, device=device, precision=options.precision, max_frames=options.max_frames)

    def open_store(encoder: Encoder) -> EmbeddingStore:
        spec = replace(encoder.spec, long_audio=long_audio.describe())
        return EmbeddingStore.open_or_create(Path(options.store), spec)

    if _num_processes(options) > 1:
        from emoji_lightning.cli.notices import quiet_lightning

        quiet_lightning()
        from emoji_lightning.embedding.devices import embed_on_devices

        report = embed_on_devices(
            manifest,
            load,
            open_store,
            accelerator=_accelerator(options),
            devices=options.devices,
            num_nodes=options.num_nodes,
            max_failed=options.max_failed,
            long_audio=long_audio,
        )
    else:
        encoder = load(options.device)
        store = open_store(encoder)
        report = embed_manifest(manifest, encoder, store, max_failed=options.max_failed, long_audio=long_audio)
    if report is not None:
        print(report.summary())


def _import_vectors(options: argparse.Namespace, manifest: "Manifest") -> None:
    """Bring vectors of another program into the store; no audio is read and no encoder loaded."""
    from emoji_lightning.embedding.store import EmbeddingStore
    from emoji_lightning.embedding.vector_import import import_vectors, imported_spec

    def open_store(dim: int) -> EmbeddingStore:
        return EmbeddingStore.open_or_create(Path(options.store), imported_spec(Path(options.encoder).name, dim))

    report = import_vectors(manifest, Path(options.from_npy), open_store, max_failed=options.max_failed)
    print(report.summary())


def _num_processes(options: argparse.Namespace) -> int:
    """Return how many processes embed together.

    Raises:
        ConfigError: Another number of them was started by torchrun or srun: each would do what others do, too.
    """
    from emoji_lightning.errors import ConfigError

    wanted = int(options.devices * options.num_nodes)
    started = os.environ.get("WORLD_SIZE") or os.environ.get("SLURM_STEP_NUM_TASKS") or "1"
    if started.isdecimal() and int(started) not in (1, wanted):
        raise ConfigError(
            f"{started} processes were started, --trainer.devices {options.devices} x --trainer.num_nodes "
            f"{options.num_nodes} asks for {wanted}; make them agree"
        )
    return wanted


def _accelerator(options: argparse.Namespace) -> str:
    """Return Lightning's word for a kind of device."""
    import torch

    from emoji_lightning.embedding.encoder import LOGMEL
    from emoji_lightning.errors import ConfigError

    if options.device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"--device is {options.device!r} with several processes; expected auto, cpu or cuda")
    count = torch.cuda.device_count()
    if options.device == "cpu" or options.encoder == LOGMEL or (options.device == "auto" and not count):
        return "cpu"
    if options.devices > count:
        raise ConfigError(
            f"--trainer.devices is {options.devices}, torch {torch.__version__} finds {count} CUDA devices; "
            "ask for as many as there are, or for --device cpu"
        )
    return "gpu"


def add_split(parser: argparse.ArgumentParser) -> None:
    """Add the options of `split`."""
    parser.add_argument("manifest", metavar="MANIFEST", help="table of utterances with a label column")
    parser.add_argument("--output", metavar="FILE", required=True, help="manifest to write, with a column `split`")
    parser.add_argument("--dev", metavar="N", type=float, default=0.1, help="utterances in dev, or a share below 1")
    parser.add_argument("--test", metavar="N", type=float, default=0.1, help="utterances in test, or a share below 1")
    parser.add_argument("--group", metavar="COLUMN", help="column whose values may not appear in two splits: speaker")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="the same seed gives the same split")
    parser.add_argument("--labels", metavar="FILE", help="label2id.json or a list; by default as the manifest's labels")
    parser.add_argument("--audio-root", metavar="DIR", help=AUDIO_ROOT_HELP)


def split(options: argparse.Namespace) -> None:
    """Write the manifest with balanced, group-safe, repeatable splits, and a record of what was checked."""
    from emoji_lightning.data.split_manifest import render_record, split_manifest
    from emoji_lightning.labels import LabelSet
    from emoji_lightning.manifest import read_manifest

    manifest = read_manifest(Path(options.manifest), audio_root=_path(options.audio_root))
    record = split_manifest(
        manifest,
        LabelSet.from_file(Path(options.labels)) if options.labels else None,
        output=Path(options.output),
        dev=options.dev,
        test=options.test,
        group=options.group,
        seed=options.seed,
    )
    render_record(record)


def add_classify(parser: argparse.ArgumentParser) -> None:
    """Add the options of `classify`."""
    parser.add_argument("audio", metavar="AUDIO", nargs="+", help="audio files, or folders of them")
    parser.add_argument("--checkpoint", metavar="PATH", required=True, help="best_classifier.pt or its folder")
    parser.add_argument(
        "--encoder", help="encoder's name or FOLDER; by default what the checkpoint records. Other weights are refused"
    )
    parser.add_argument("--device", default="auto", help=DEVICE_HELP)
    parser.add_argument("--top", metavar="N", type=int, default=1, help="how many labels to print, likeliest first")
    parser.add_argument("--json", action="store_true", help="print one JSON object a file")
    parser.add_argument(
        "--max-failed", metavar="N", type=_count, default=0, help="files that may fail before the verb fails"
    )


def classify(options: argparse.Namespace) -> None:
    """Print label, emoji and probability of every file."""
    from emoji_lightning.errors import AudioError, ConfigError, join_problems
    from emoji_lightning.labels import ascii_alias
    from emoji_lightning.predictor import Predictor, find_audio

    if options.top < 1:
        raise ConfigError(f"--top is {options.top}; expected at least 1 label")
    files = list(find_audio(options.audio))
    predictor = Predictor.load(options.checkpoint, encoder=options.encoder, device=options.device)
    failed = []
    for file in files:
        try:
            top = predictor.classify(file).probabilities[: options.top]
        except AudioError as error:
            failed.append(str(error))
            continue
        if options.json:
            answers = [{"label": label, "alias": ascii_alias(label), "probability": p} for label, p in top]
            print(json.dumps({"audio": str(file)} | answers[0] | {"top": answers}, ensure_ascii=False), flush=True)
        else:
            print(f"{file}\t" + "\t".join(f"{_spell(label)} {p:.3f}" for label, p in top), flush=True)
    if len(failed) > options.max_failed:
        raise AudioError(
            f"{join_problems(failed)}\n{len(failed)} of {len(files)} files failed; --max-failed N allows some"
        )
    for problem in failed:
        print(f"warning: {problem}", file=sys.stderr)


def _spell(label: str) -> str:
    """Return an emoji with its name, for terminals that cannot draw it; a class name as it is."""
    from emoji_lightning.labels import ascii_alias

    return label if label.isascii() else f"{label} {ascii_alias(label)}"


def _count(text: str) -> int:
    return _whole(text, least=0)


def _positive(text: str) -> int:
    return _whole(text, least=1)


def _whole(text: str, *, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, {least} or more")
    return int(text)


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
