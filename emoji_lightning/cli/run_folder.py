"""The run folder: what `fit` leaves there, and how the other verbs find it."""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from emoji_lightning.errors import CheckpointError, ConfigError

DEFAULT = "runs/default"
CONFIG = "fit.yaml"
CHECKPOINTS = "checkpoints"
LAST = "last.ckpt"
EVALUATION = ("metrics.json", "predictions*.parquet", "report*.html", f"{CHECKPOINTS}/*.calibration.json")
RUN = (CONFIG, f"{CHECKPOINTS}/*.ckpt", "tensorboard", *EVALUATION)
ROOT_OPTION, CKPT_OPTION, CONFIG_OPTIONS = "--trainer.default_root_dir", "--ckpt_path", ("--config", "-c")


def put_overlays_first(words: Sequence[str]) -> list[str]:
    """Return the words with every `--config FILE` in front, so that flags win over overlays wherever they stand."""
    overlays: list[str] = []
    flags: list[str] = []
    rest = iter(words)
    for word in rest:
        if word in CONFIG_OPTIONS:
            overlays += [word, next(rest, "")]
        else:
            (overlays if word.startswith("--config=") else flags).append(word)
    return overlays + flags


def find_run_folder(words: Sequence[str], base: Path) -> Path:
    """Return the run folder that these options name, before they are parsed.

    The last `--trainer.default_root_dir` wins, then the overlays; without these a `--ckpt_path FILE` points to the run
    folder above it; without that it is the base configuration's.

    Args:
        words: Options as typed.
        base: The base configuration, which overlays may interpolate.
    """
    options = list(_pairs(words))
    for option, value in reversed(options):
        if option == ROOT_OPTION and value:
            return Path(value)
    overlays = [Path(value) for option, value in options if option in CONFIG_OPTIONS]
    named = _root_in_overlays(overlays, base)
    if named is not None:
        return Path(named)
    for option, value in reversed(options):
        if option == CKPT_OPTION and (Path(value).parent.parent / CONFIG).is_file():
            return Path(value).parent.parent
    return Path(DEFAULT)


def resumes(words: Sequence[str]) -> bool:
    """Tell whether a `fit` with these options goes on from a checkpoint, and so with the saved configuration."""
    return any(option == CKPT_OPTION and value not in ("", "null") for option, value in _pairs(words))


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    for word, following in zip(words, [*words[1:], ""], strict=False):
        option, equals, value = word.partition("=")
        if option.startswith("-"):
            yield option, value if equals else following


def _root_in_overlays(files: Sequence[Path], base: Path) -> str | None:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    overlays = [_read_overlay(file) for file in files]
    named = [file for file, overlay in zip(files, overlays, strict=True) if _names_root(overlay)]
    if not named:
        return None
    try:
        merged = OmegaConf.merge(OmegaConf.load(base), *overlays)
        return str(OmegaConf.select(merged, "trainer.default_root_dir", throw_on_missing=True))
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"--config {named[-1]}: trainer.default_root_dir: {reason}; give {ROOT_OPTION}") from error


def _names_root(overlay: Any) -> bool:
    trainer = overlay._content.get("trainer")
    return trainer is not None and "default_root_dir" in trainer


def _read_overlay(file: Path) -> Any:
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    if not file.is_file():
        raise ConfigError(f"--config {file}: no such file; expected a YAML overlay such as those in configs/")
    try:
        overlay = OmegaConf.load(file)
    except (YAMLError, OmegaConfBaseException, OSError, ValueError) as error:
        raise ConfigError(f"--config {file}: not a YAML mapping of options in UTF-8 ({error})") from error
    if not isinstance(overlay, DictConfig):
        raise ConfigError(f"--config {file}: holds no mapping of options; expected for example `trainer:`")
    return overlay


def resolve_checkpoint(ckpt_path: str, folder: Path) -> str:
    """Return the file of `best`, `last` or FILE.

    Raises:
        CheckpointError: There is no such file; the message says what the run folder holds.
    """
    named = ckpt_path in ("best", "last")
    file = folder / CHECKPOINTS / f"{ckpt_path}.ckpt" if named else Path(ckpt_path)
    if file.is_file():
        return str(file)
    found = sorted(str(path) for path in (folder / CHECKPOINTS).glob("*.ckpt"))
    holds = f"that run folder holds {found}" if found else "nothing was trained in that run folder"
    earlier = sorted(str(path) for path in folder.glob("previous/*/checkpoints/*.ckpt"))
    holds += f"; earlier runs are in {earlier}" if earlier and not found else ""
    raise CheckpointError(
        f"{file}: no such checkpoint; {holds}. Run `emoji-lightning fit {ROOT_OPTION} {folder}` first, "
        f"name another run folder with {ROOT_OPTION}, or give {CKPT_OPTION} FILE"
    )


class MovedFiles(NamedTuple):
    """What an earlier run left, and where it is now."""

    target: Path
    files: list[tuple[Path, Path]]

    def bring_back(self) -> None:
        """Put the files back; what stands in their place now is removed, for it came to nothing."""
        for old, new in self.files:
            if old.is_dir():
                shutil.rmtree(old)
            new.replace(old)
        shutil.rmtree(self.target)


def move_earlier_run(folder: Path, patterns: Sequence[str] = RUN) -> MovedFiles | None:
    """Move what an earlier `fit` left into `previous/N`, so that nothing finished is lost.

    Args:
        folder: A run folder; without `fit.yaml` only checkpoints that a run would replace are moved.
        patterns: What is moved.

    Returns:
        The moves; None if there was nothing to move.
    """
    if not (folder / CONFIG).is_file():
        patterns = [f"{CHECKPOINTS}/best.ckpt", f"{CHECKPOINTS}/{LAST}"] if patterns == RUN else []
    earlier = [path for pattern in patterns for path in folder.glob(pattern)]
    if not earlier:
        return None
    taken = [int(path.name) for path in folder.glob("previous/*") if path.name.isdigit()]
    target = folder / "previous" / str(max(taken, default=0) + 1)
    moves = [(path, target / path.relative_to(folder)) for path in earlier]
    for old, new in moves:
        new.parent.mkdir(parents=True, exist_ok=True)
        old.rename(new)
    return MovedFiles(target, moves)


def holds_checkpoints(folder: Path) -> bool:
    """Tell whether anything was trained in a run folder."""
    return any((folder / CHECKPOINTS).glob("*.ckpt"))


def is_main_process() -> bool:
    """Tell whether this is the process that touches the run folder, also before Lightning has started."""
    return all(os.environ.get(rank, "0") == "0" for rank in ("LOCAL_RANK", "RANK", "SLURM_PROCID", "NODE_RANK"))
