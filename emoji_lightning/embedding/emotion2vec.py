"""emotion2vec through funasr's own model code, loaded strictly and without its side effects."""

import json
import logging
import os
import random
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from hashlib import file_digest
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from emoji_lightning.embedding.encoder import Encoder
from emoji_lightning.embedding.spec import EmbeddingSpec
from emoji_lightning.errors import EncoderError

MIN_SAMPLES = 400
"""The receptive field of the convolutions, 25 ms; shorter input raises inside conv1d."""
OWN_PREFIXES = ("blocks.", "norm.", "modality_encoders.")
WRAPPED = "d2v_model."
"""Before each key of the published plus models, which were fine-tuned as a part of a classifier; base has none."""
DECODER = ".decoder."
"""Part of the pretraining loss; embeddings do not touch it."""
MAX_CACHED_FRAMES = 1500
"""ALiBi biases are cached at the size of the longest utterance so far and never freed: 432 MB after one minute."""
# funasr evaluates this text as Python: let through nothing but lists of numbers and one factor below 100.
_LAYERS = r"\[(\(\d{1,4},\d{1,3},\d{1,3}\),?)+\](\*\d{1,2})?"
_FRONT_END = re.compile(rf"{_LAYERS}(\+{_LAYERS})*")


class Emotion2vecEncoder(Encoder):
    """Utterance embedding: the mean over frames of the last layer, extra tokens dropped.

    The waveform is layer-normed over its own length first, as funasr's `inference` does; vectors equal those of
    `AutoModel(...).generate(granularity="utterance", extract_embedding=True)`.

    Args:
        folder: `config.yaml`, weights, and `configuration.json` that names them.
        name: Name that the store records.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        EncoderError: funasr or the device is missing, or the files of the folder do not fit each other.
    """

    def __init__(self, folder: Path, *, name: str, device: str = "auto") -> None:
        self._device = _choose_device(device)
        config_file, weights_file = _find_files(folder)
        config = _read_config(config_file)
        with undisturbed():
            model = _build_model(config, config_file)
        _load_weights(model, weights_file)
        self._model = model.eval().requires_grad_(False).to(self._device)
        self._normalize = bool(config.get("normalize", False))
        self._spec = EmbeddingSpec(
            encoder=name,
            dim=int(config["embed_dim"]),
            weights_sha256=_sha256(weights_file),
            config_sha256=_sha256(config_file),
            device=self._device.type,
        )

    @property
    def spec(self) -> EmbeddingSpec:
        """What a store must record about these vectors."""
        return self._spec

    @property
    def min_samples(self) -> int:
        """400 samples, 25 ms."""
        return MIN_SAMPLES

    @torch.no_grad()
    def _embed(self, waveform: NDArray[np.float32]) -> NDArray[np.float32]:
        self._model.eval()  # a parent module's train() would make dropout draw other vectors each time
        source = torch.from_numpy(waveform).to(self._device)
        if self._normalize:
            source = nn.functional.layer_norm(source, source.shape)
        # By default cuDNN convolutions run in TF32, 1e-3 off, while the spec promises fp32.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            features = self._model.extract_features(source.view(1, -1), padding_mask=None)  # type: ignore[operator]
        self._free_long_biases()
        frames: NDArray[np.float32] = features["x"].squeeze(0).float().cpu().numpy()
        return np.asarray(frames.mean(axis=0))

    def _free_long_biases(self) -> None:
        biases: dict[str, Tensor] = self._model.alibi_biases  # type: ignore[assignment]
        if any(bias.shape[-1] > MAX_CACHED_FRAMES for bias in biases.values()):
            biases.clear()


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


def _read_config(file: Path) -> dict[str, Any]:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:  # OmegaConf reads 1e-05 as a number, PyYAML as text
        content: Any = OmegaConf.to_container(OmegaConf.load(file), resolve=True)
        config: dict[str, Any] = content["model_conf"]
        front_end = str(config["modalities"]["audio"]["feature_encoder_spec"])
        int(config["embed_dim"])
    except (YAMLError, OmegaConfBaseException, KeyError, TypeError, ValueError, OSError) as error:
        raise EncoderError(f"{file}: not the configuration of an emotion2vec model ({error!r})") from None
    if content.get("model", "Emotion2vec") != "Emotion2vec":
        raise EncoderError(f"{file}: describes the model {content['model']!r}; Emotion2vec is needed")
    if not _FRONT_END.fullmatch(front_end.replace(" ", "")):
        raise EncoderError(
            f"{file}: feature_encoder_spec is {front_end[:80]!r}; only lists of (channels, kernel, stride) are taken, "
            "since funasr would run it as Python"
        )
    return config


def _build_model(config: Mapping[str, Any], file: Path) -> nn.Module:
    try:
        from funasr.models.emotion2vec.model import Emotion2vec
    except (ImportError, OSError) as error:  # OSError: a torchaudio built for another torch
        raise EncoderError(
            f"emotion2vec needs funasr ({error}); install it with `pip install 'emoji-lightning[extract]'`"
        ) from None
    try:
        model: nn.Module = Emotion2vec(model_conf=dict(config))
    except Exception as error:  # whatever funasr raises for values that it cannot use
        raise EncoderError(f"{file}: funasr cannot build a model from it ({error!r}); download it again") from error
    return model


def _load_weights(model: nn.Module, file: Path) -> None:
    stored = _read_state_dict(file)
    expected = {name: value for name, value in model.state_dict().items() if DECODER not in name}
    # What lies outside the model's own parts is left over from pretraining (the EMA teacher) or a classifier.
    given = {name: value for name, value in stored.items() if name.startswith(OWN_PREFIXES) and DECODER not in name}
    problems = [f"{name} is missing" for name in expected if name not in stored]
    problems += [f"{name} is not in the model" for name in given if name not in expected]
    problems += [
        f"{name} is {tuple(stored[name].shape)}, the model has {tuple(value.shape)}"
        for name, value in expected.items()
        if name in stored and stored[name].shape != value.shape
    ]
    problems += [f"{name} holds NaN" for name in expected if name in stored and not stored[name].isfinite().all()]
    if problems:
        shown = "; ".join(problems[:3]) + (f"; and {len(problems) - 3} more" if len(problems) > 3 else "")
        raise EncoderError(f"{file}: the weights do not fit config.yaml: {shown}. Download both again, from one place")
    model.load_state_dict({name: stored[name] for name in expected}, strict=False)


def _read_state_dict(file: Path) -> dict[str, Tensor]:
    try:
        content: Any = torch.load(file, map_location="cpu", weights_only=True)
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
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    return {name.removeprefix("module.").removeprefix(WRAPPED): value for name, value in tensors.items()}


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


@contextmanager
def undisturbed() -> Iterator[None]:
    """Run code that reseeds generators, sets threads, configures logging and prints, and leave all of it as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    threads, environment = torch.get_num_threads(), dict(os.environ)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)  # also makes every logger forget what it remembered of the other level
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
        torch.set_num_threads(threads)
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
