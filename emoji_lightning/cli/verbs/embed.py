"""`embed`: audio -> embedding store."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from emoji_lightning.cli.verbs.options import DEVICE_HELP, add_table_options, count, positive, read_table

if TYPE_CHECKING:
    from emoji_lightning.manifest import Manifest

STORE_HELP = "folder of embeddings; made where it is absent"
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


def add_options(parser: argparse.ArgumentParser) -> None:
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
    parser.add_argument("--max-frames", metavar="N", type=positive, help=MAX_FRAMES_HELP)
    parser.add_argument("--long", default="error", metavar="error|truncate|chunk", help=LONG_HELP)
    parser.add_argument(
        "--max-seconds", metavar="S", type=float, default=120.0, help="audio above this is long (seconds)"
    )
    add_table_options(parser, labels=False)
    parser.add_argument("--from-npy", metavar="SOURCE", help=FROM_NPY_HELP)
    parser.add_argument(
        "--max-failed",
        metavar="N",
        type=count,
        default=0,
        help="utterances whose audio may fail, else the verb does",
    )
    parser.add_argument(
        "--trainer.devices", dest="devices", metavar="N", type=positive, default=1, help="processes on each node"
    )
    parser.add_argument(
        "--trainer.num_nodes", dest="num_nodes", metavar="N", type=positive, default=1, help="nodes, as for fit"
    )


def run(options: argparse.Namespace) -> None:
    """Turn the manifest's audio into a store of embeddings; does only what is missing."""
    from dataclasses import replace

    from emoji_lightning.embedding.encoder import Encoder, load_encoder
    from emoji_lightning.embedding.extract import embed_manifest
    from emoji_lightning.embedding.long_audio import LongAudio
    from emoji_lightning.embedding.store import EmbeddingStore
    from emoji_lightning.errors import ConfigError

    long_audio = LongAudio(options.long, options.max_seconds)
    if options.from_npy and not options.encoder:
        raise ConfigError("--from-npy needs --encoder: the name of what made these vectors")
    options.encoder = options.encoder or "emotion2vec_base"
    manifest, _ = read_table(options, options.manifest)
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
