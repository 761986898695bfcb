"""emotion2vec from its released files: configuration and weights checked to the last key, then the own forward pass."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path
from typing import Any, cast
from zipfile import is_zipfile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emoji_lightning.audio import SAMPLE_RATE
from emoji_lightning.embedding.architecture import Architecture
from emoji_lightning.embedding.encoder import Encoder
from emoji_lightning.embedding.network import Network
from emoji_lightning.embedding.planner import BatchLimits
from emoji_lightning.embedding.spec import EmbeddingSpec
from emoji_lightning.embedding.workers import Workers
from emoji_lightning.errors import EncoderError

LEFTOVERS = ("_ema", "proj.", "recon_proj.")
"""Of pretraining (the EMA teacher) and of fine-tuning as a classifier; no embedding depends on them."""
WRAPPED = "d2v_model."
"""Before each key of the published plus models, which were fine-tuned as a part of a classifier; base has none."""
DECODER = ".decoder."
"""Part of the pretraining loss; embeddings do not touch it."""
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
FRAME_BYTES = 64 << 10
"""Of one padded frame in fp32 on a GPU: an estimate from the widths of the blocks, with room for the allocator."""
MIN_PADDED_FRAMES = 2_000
"""40 s of audio: on a small GPU a batch that does not fit after all is halved."""
MAX_PADDED_FRAMES = 1 << 16
"""22 minutes of audio: larger products are no faster, and four such batches of waveforms wait in memory."""
FIXED_BYTES = 5 << 29
"""Of the front end and the attention biases, which are made in pieces of fixed size, in fp32 on a GPU: an estimate."""


class Emotion2vecEncoder(Encoder):
    """Utterance embedding: the mean over frames of the last layer, extra tokens dropped.

    Vectors equal those of funasr's `AutoModel(...).generate(granularity="utterance", extract_embedding=True)`: in fp32
    to 5e-5. On a CPU utterances are computed one by one, a worker per core, and the vector of an utterance is the same
    to the bit whatever stands beside it; on a GPU they are padded to batches.

    Args:
        folder: `config.yaml`, weights, and `configuration.json` that names them.
        name: Name that the store records.
        device: "auto", "cpu", "cuda" or "cuda:N".
        precision: "fp32" or "bf16".
        max_frames: Padded frames of 20 ms in a batch on a GPU; by default what 70 % of its free memory holds.

    Raises:
        EncoderError: The device is missing, or the files of the folder do not fit each other.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str,
        device: str = "auto",
        precision: str = "fp32",
        max_frames: int | None = None,
    ) -> None:
        self._device = _choose_device(device)
        config_file, weights_file = _find_files(folder)
        self._architecture = _read_architecture(config_file)
        weights = _read_weights(weights_file, self._architecture)
        self._network = Network(self._architecture, weights, self._device, DTYPES[precision])
        self._workers = Workers()
        self._limits = self._choose_limits(max_frames, precision)
        self._spec = EmbeddingSpec(
            encoder=name,
            dim=self._architecture.dim,
            weights_sha256=_sha256(weights_file),
            config_sha256=_sha256(config_file),
            precision=precision,
            device=self._device.type,
        )

    @property
    def spec(self) -> EmbeddingSpec:
        """What a store must record about these vectors."""
        return self._spec

    @property
    def min_samples(self) -> int:
        """The receptive field of the convolutions: 400 samples, 25 ms."""
        return self._architecture.receptive_field

    @property
    def limits(self) -> BatchLimits:
        """On a CPU enough utterances to keep every worker busy; on a GPU as many padded frames as fit its memory."""
        return self._limits

    def num_frames(self, num_samples: int) -> int:
        """Return the frames of so many samples."""
        return self._architecture.num_frames(num_samples)

    def _embed(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        with _full_precision():
            return self._run([waveform])[0]

    def _embed_batch(self, waveforms: Sequence[NDArray[np.float32]]) -> Iterator[tuple[int, NDArray[np.float32]]]:
        with _full_precision():
            if self._device.type != "cpu":
                yield from enumerate(self._run(waveforms))
                return
            # The longest first, so that no worker is left with one while the others have nothing to do.
            order = sorted(range(len(waveforms)), key=lambda position: -len(waveforms[position]))
            done = self._workers.map(self._run, [[waveforms[position]] for position in order])
            yield from ((order[place], vectors[0]) for place, vectors in done)

    def _run(self, waveforms: Sequence[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Embed B utterances in one padded batch, or, where the memory does not hold it, in halves of it."""
        try:
            tensors = [torch.from_numpy(waveform).to(self._device) for waveform in waveforms]
            return list(self._network(tensors).cpu().numpy())
        except torch.OutOfMemoryError as error:
            if len(waveforms) == 1:
                seconds = len(waveforms[0]) / SAMPLE_RATE
                raise EncoderError(
                    f"{self._device}: no memory for an utterance of {seconds:.1f} s ({str(error).splitlines()[0]}); "
                    "use --long chunk with a lower --max-seconds, --precision bf16, or --device cpu"
                ) from None
        torch.cuda.empty_cache()
        half = len(waveforms) // 2
        return self._run(waveforms[:half]) + self._run(waveforms[half:])

    def _choose_limits(self, max_frames: int | None, precision: str) -> BatchLimits:
        if self._device.type == "cpu":
            count = self._workers.count
            return BatchLimits(window_frames=6_000 * count, window_utterances=16 * count)
        size = DTYPES[precision].itemsize / 4
        free, _ = torch.cuda.mem_get_info(self._device)
        fitting = int((0.7 * free - FIXED_BYTES * size) / (FRAME_BYTES * size))
        padded = max_frames or min(max(MIN_PADDED_FRAMES, fitting), MAX_PADDED_FRAMES)
        return BatchLimits(window_frames=4 * padded, window_utterances=4_096, padded_frames=padded)


@contextmanager
def _full_precision() -> Iterator[None]:
    """Compute float32 as float32: by default cuDNN convolutions run in TF32, 1e-3 off, and users ask for more of it."""
    # As Any: torch makes these attributes of modules at run time.
    cuda, cudnn, mkldnn = (cast(Any, getattr(torch.backends, name)) for name in ("cuda", "cudnn", "mkldnn"))
    backends = [cuda.matmul, cudnn.conv, mkldnn.matmul, mkldnn.conv]
    chosen = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "ieee"
        yield
    finally:
        for backend, precision in zip(backends, chosen, strict=True):
            backend.fp32_precision = precision


def _choose_device(device: str) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, index = device.partition(":")  # torch.device("cuda:128") has the index -128
    if kind == "cuda" and (not torch.cuda.is_available() or int(index or 0) >= torch.cuda.device_count()):
        raise EncoderError(
            f"device {device!r} is not there: torch {torch.__version__} finds {torch.cuda.device_count()} CUDA "
            "devices; use --device cpu, or install a CUDA build of torch"
        )
    return torch.device(device)


def _find_files(folder: Path) -> tuple[Path, Path]:
    """Return the configuration and the weights of a model folder."""
    names: Mapping[str, Any] = {}
    metas = folder / "configuration.json"
    if metas.is_file():
        try:
            names = dict(json.loads(metas.read_text(encoding="utf-8")).get("file_path_metas", {}))
        except (ValueError, AttributeError, TypeError) as error:
            raise EncoderError(f"{metas}: not the JSON of a model folder ({error}); download it again") from None
    config = folder / str(names.get("config", "config.yaml"))
    weights = [folder / str(name) for name in (names.get("init_param"), "emotion2vec_base.pt", "model.pt") if name]
    found = next((file for file in weights[: 1 if "init_param" in names else None] if file.is_file()), None)
    if not config.is_file() or found is None:
        lacking = config.name if not config.is_file() else " or ".join(dict.fromkeys(file.name for file in weights[:1]))
        holds = sorted(path.name for path in folder.iterdir())
        raise EncoderError(f"{folder}: {lacking} is missing, the folder holds {holds}; download the model again")
    return config, found


def _read_architecture(file: Path) -> Architecture:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:  # OmegaConf reads 1e-05 as a number, PyYAML as text
        content: Any = OmegaConf.to_container(OmegaConf.load(file), resolve=True)
        config: dict[str, Any] = content["model_conf"]
        if content.get("model", "Emotion2vec") == "Emotion2vec":
            return Architecture.from_config(config)
    except ValueError as error:
        raise EncoderError(f"{file}: {error}; download it again") from None
    except (YAMLError, OmegaConfBaseException, KeyError, TypeError, AttributeError, OSError) as error:
        raise EncoderError(f"{file}: not the configuration of an emotion2vec model ({error!r})") from None
    raise EncoderError(f"{file}: describes the model {content['model']!r}; Emotion2vec is needed")


def _read_weights(file: Path, architecture: Architecture) -> dict[str, Tensor]:
    stored = _read_state_dict(file)
    expected = architecture.shapes()
    given = [name for name in stored if not name.startswith(LEFTOVERS) and DECODER not in name]
    problems = [f"{name} is missing" for name in expected if name not in stored]
    problems += [f"{name} is not in the model" for name in given if name not in expected]
    problems += [
        f"{name} is {tuple(stored[name].shape)}, the model has {shape}"
        for name, shape in expected.items()
        if name in stored and tuple(stored[name].shape) != shape
    ]
    problems += [f"{name} holds NaN" for name in expected if name in stored and not stored[name].isfinite().all()]
    if problems:
        shown = "; ".join(problems[:3]) + (f"; and {len(problems) - 3} more" if len(problems) > 3 else "")
        raise EncoderError(f"{file}: the weights do not fit config.yaml: {shown}. Download both again, from one place")
    return {name: stored[name].float() for name in expected}


def _read_state_dict(file: Path) -> dict[str, Tensor]:
    try:
        content: Any = torch.load(file, map_location="cpu", weights_only=True, mmap=is_zipfile(file))
    except Exception as error:  # damaged bytes lead the unpickler anywhere: KeyError, AssertionError, TypeError
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise EncoderError(
            f"{file}: torch.load(weights_only=True) cannot read it ({reason}); download it again"
        ) from None
    for wrapper in ("state_dict", "model_state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict):
        raise EncoderError(f"{file}: holds a {type(content).__name__}, not the weights of a model")
    tensors: dict[str, Tensor] = {}
    for key, value in content.items():
        name = str(key).removeprefix("module.").removeprefix(WRAPPED)
        if name in tensors:
            raise EncoderError(f"{file}: holds {name} twice, under different prefixes; download it again")
        if isinstance(value, Tensor):
            tensors[name] = value
    return tensors


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()
