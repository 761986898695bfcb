"""The run folder: what `fit` leaves there, and how the other verbs find it."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from emoji_lightning.errors import CheckpointError, ConfigError

DEFAULT = "runs/default"
CONFIG = "fit.yaml"
CHECKPOINTS = "checkpoints"
CONTENTS = (CONFIG, CHECKPOINTS, "tensorboard", "metrics.json", "predictions*.parquet")
ROOT_OPTION, CKPT_OPTION = "--trainer.default_root_dir", "--ckpt_path"


def find_run_folder(words: Sequence[str]) -> Path:
    """Return the run folder that these options name, before they are parsed.

    The last `--trainer.default_root_dir` or overlay that says it wins; without one, a `--ckpt_path FILE` points to the
    run folder above it; without that it is runs/default.
    """
    named = DEFAULT
    options = list(_pairs(words))
    for option, value in options:
        if option == CKPT_OPTION and (Path(value).parent.parent / CONFIG).is_file():
            named = str(Path(value).parent.parent)
    for option, value in options:
        if option == ROOT_OPTION:
            named = value
        elif option in ("--config", "-c"):
            named = _root_in_overlay(Path(value)) or named
    return Path(named)


def resumes(words: Sequence[str]) -> bool:
    """Tell whether a `fit` with these options goes on from a checkpoint, and so with the saved configuration."""
    return any(option == CKPT_OPTION and value not in ("", "null") for option, value in _pairs(words))


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    for word, following in zip(words, [*words[1:], ""], strict=False):
        option, equals, value = word.partition("=")
        if option.startswith("-"):
            yield option, value if equals else following


def _root_in_overlay(file: Path) -> str | None:
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    if not file.is_file():
        raise ConfigError(f"--config {file}: no such file; expected a YAML overlay such as those in configs/")
    try:
        overlay = OmegaConf.load(file)
    except (YAMLError, OmegaConfBaseException, OSError) as error:
        raise ConfigError(f"--config {file}: not a YAML mapping of options ({error})") from error
    if not isinstance(overlay, DictConfig):
        raise ConfigError(f"--config {file}: holds a list; expected a mapping of options, for example trainer:")
    root = OmegaConf.select(overlay, "trainer.default_root_dir")
    return None if root is None else str(root)


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
    raise CheckpointError(
        f"{file}: no such checkpoint; {holds}. Run `emoji-lightning fit {ROOT_OPTION} {folder}` first, "
        f"name another run folder with {ROOT_OPTION}, or give {CKPT_OPTION} FILE"
    )


def move_earlier_run(folder: Path) -> Path | None:
    """Move what an earlier `fit` left into `previous/N`, so that nothing finished is lost; say where it went."""
    earlier = [path for pattern in CONTENTS for path in folder.glob(pattern)]
    if not earlier:
        return None
    taken = [int(path.name) for path in folder.glob("previous/*") if path.name.isdigit()]
    target = folder / "previous" / str(max(taken, default=0) + 1)
    target.mkdir(parents=True)
    for path in earlier:
        path.rename(target / path.name)
    return target


def is_main_process() -> bool:
    """Tell whether this is the process that touches the run folder, also before Lightning has started."""
    return all(os.environ.get(rank, "0") == "0" for rank in ("LOCAL_RANK", "RANK", "SLURM_PROCID", "NODE_RANK"))
