"""Names of published emotion2vec models -> a local folder, from the caches first, else from a hub."""

import os
from pathlib import Path

from emoji_lightning.errors import EncoderError

OWNERS = ("emotion2vec", "iic")
"""Owners on the Hugging Face hub and on ModelScope, in this order."""
MODELS = {
    "emotion2vec_base": ("config.yaml", "configuration.json", "emotion2vec_base.pt"),
    "emotion2vec_plus_seed": ("config.yaml", "configuration.json", "model.pt"),
    "emotion2vec_plus_base": ("config.yaml", "configuration.json", "model.pt"),
    "emotion2vec_plus_large": ("config.yaml", "configuration.json", "model.pt"),
}
"""Models by short name, with the files that are needed of each."""
TIMEOUT_S = 10


def short_name(name: str) -> str | None:
    """Return the short name of a model or hub id, None where it is neither.

    >>> short_name("iic/emotion2vec_base"), short_name("emotion2vec_plus_seed"), short_name("a/b")
    ('emotion2vec_base', 'emotion2vec_plus_seed', None)
    """
    model = name.rpartition("/")[2]
    return model if model in MODELS and name in (model, *(f"{owner}/{model}" for owner in OWNERS)) else None


def same_encoder(one: str, other: str) -> bool:
    """Tell whether two names mean the same encoder.

    >>> same_encoder("iic/emotion2vec_base", "emotion2vec_base"), same_encoder("logmel", "emotion2vec_base")
    (True, False)
    """
    return (short_name(one) or one) == (short_name(other) or other)


def fetch_model(name: str) -> Path:
    """Return the folder of a model, downloaded if it is in no cache yet.

    Args:
        name: Short name, a key of MODELS.

    Raises:
        EncoderError: It is in no cache and cannot be downloaded; the message says which files to put where.
    """
    cached = _find_cached(name)
    if cached is not None:
        return cached
    problems = []
    if os.environ.get("HF_HUB_OFFLINE", "").upper() not in ("1", "ON", "YES", "TRUE"):  # as huggingface_hub reads it
        for download in (_download_from_hugging_face, _download_from_modelscope):
            try:
                return download(name)
            except Exception as error:  # the hubs' libraries share no base class
                problems.append(f"{download.__doc__}: {str(error).strip().splitlines()[0][:200]}")
    else:
        problems.append("HF_HUB_OFFLINE is set")
    raise EncoderError(_how_to_download(name, problems))


def _find_cached(name: str) -> Path | None:
    home = Path(os.environ.get("MODELSCOPE_CACHE") or Path.home() / ".cache" / "modelscope")
    candidates = [home / "hub" / "models" / "iic" / name, home / "hub" / "iic" / name, home / "models" / "iic" / name]
    candidates += sorted((home / "models" / f"iic--{name}" / "snapshots").glob("*"))  # modelscope 1.40 writes this
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        pass
    else:
        config = try_to_load_from_cache(f"{OWNERS[0]}/{name}", "config.yaml")
        if isinstance(config, str):
            candidates.insert(0, Path(config).parent)
    return next((folder for folder in candidates if _is_whole(folder, name)), None)


def _is_whole(folder: Path, name: str) -> bool:
    """Tell whether configuration and weights are there; configuration.json only repeats their usual names."""
    return all((folder / file).is_file() for file in MODELS[name] if file != "configuration.json")


def _download_from_hugging_face(name: str) -> Path:
    """Hugging Face"""
    os.environ.setdefault("HF_HUB_ETAG_TIMEOUT", str(TIMEOUT_S))
    from huggingface_hub import constants, snapshot_download

    # One question, answered at once without a network: snapshot_download alone retries for minutes.
    _check_reachable(constants.ENDPOINT)
    return Path(snapshot_download(f"{OWNERS[0]}/{name}", allow_patterns=list(MODELS[name])))


def _download_from_modelscope(name: str) -> Path:
    """ModelScope"""
    from modelscope import snapshot_download

    _check_reachable("https://www.modelscope.cn")
    return Path(snapshot_download(f"{OWNERS[1]}/{name}", allow_patterns=list(MODELS[name])))


def _check_reachable(url: str) -> None:
    from urllib.request import Request, urlopen

    with urlopen(Request(url, method="HEAD"), timeout=TIMEOUT_S):
        pass


def _how_to_download(name: str, problems: list[str]) -> str:
    files = ", ".join(MODELS[name])
    size = " (1.13 GB)" if name == "emotion2vec_base" else ""
    return (
        f"encoder {name!r} is in no local cache and could not be downloaded ({'; '.join(problems)}). On a machine with "
        f"a network fetch {files}{size} from the Hugging Face repository {OWNERS[0]}/{name} or the ModelScope "
        f"repository {OWNERS[1]}/{name}, put them into one folder here, and give --encoder FOLDER. "
        "--encoder logmel needs no download, for first runs"
    )
