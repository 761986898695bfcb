"""Which options a sweep tries, and between which values."""

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any

from emoji_lightning.errors import ConfigError
from emoji_lightning.model.classifier import EmojiClassifier
from emoji_lightning.model.finetuning import FineTuningOptions
from emoji_lightning.stacking.result import FROM_DATA

DEFAULT_SPACE = ("model.lr=3e-5:3e-3:log", "model.weight_decay=0.1:30:log", "model.dropout=0:0.6")
FORM = "expected model.NAME=LOW:HIGH or model.NAME=LOW:HIGH:log, for example model.lr=1e-5:1e-3:log"


@dataclass(frozen=True)
class Range:
    """The values of one option.

    Attributes:
        name: Argument of `EmojiClassifier`.
        low: Least value.
        high: Greatest value.
        log: Whether its logarithm is spread evenly.
        whole: Whether only whole numbers are tried.
    """

    name: str
    low: float
    high: float
    log: bool
    whole: bool

    def __str__(self) -> str:
        return f"model.{self.name}={self.low:g}:{self.high:g}{':log' if self.log else ''}"

    def holds(self, value: object) -> bool:
        """Tell whether a value lies in it."""
        return isinstance(value, int | float) and self.low <= value <= self.high

    def suggest(self, trial: Any) -> float | int:
        """Return the value that a trial of Optuna gives it."""
        if self.whole:
            number: int = trial.suggest_int(self.name, int(self.low), int(self.high), log=self.log)
            return number
        value: float = trial.suggest_float(self.name, self.low, self.high, log=self.log)
        return value


def read_space(words: Sequence[str] | str | None, options: Mapping[str, Any]) -> list[Range]:
    """Read `--space`.

    Args:
        words: One for each option, or all with commas between them; None for `DEFAULT_SPACE`.
        options: The other arguments of `EmojiClassifier`, to try the ends of each range with.

    Raises:
        ConfigError: A word has another form, names no option with numbers, or its ends are no values of the option.
    """
    given = words.split(",") if isinstance(words, str) else list(words or DEFAULT_SPACE)
    space = [_read(word.strip()) for word in given]
    names = [each.name for each in space]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ConfigError(f"--space names model.{repeated[0]} twice; expected each option once")
    for each in space:
        for end in (each.low, each.high):
            try:
                EmojiClassifier(**{**options, each.name: int(end) if each.whole else end})
            except ConfigError as error:
                raise ConfigError(f"--space {each}: {error}") from error
    return space


def _read(word: str) -> Range:
    name, _, values = word.partition("=")
    ends = values.split(":")
    if not name.startswith("model.") or len(ends) not in (2, 3) or ends[2:] not in ([], ["log"]):
        raise ConfigError(f"--space {word}: {FORM}")
    name, known = name.removeprefix("model."), _numbers()
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"; did you mean model.{near[0]}?" if near else ""
        raise ConfigError(f"--space {word}: model.{name} is none of {sorted(known)}{hint}")
    try:
        low, high = float(ends[0]), float(ends[1])
    except ValueError as error:
        raise ConfigError(f"--space {word}: {error}; {FORM}") from error
    log = len(ends) == 3
    if not -math.inf < low < high < math.inf or (log and low <= 0):
        raise ConfigError(f"--space {word}: expected LOW below HIGH{', and above 0 for log' if log else ''}")
    return Range(name, low, high, log, whole=known[name])


def _numbers() -> dict[str, bool]:
    """Return the options of a model from scratch that take a number, and whether it is a whole one."""
    left_out = {"self", *FROM_DATA, "init_from", *(each.name for each in fields(FineTuningOptions))}
    kinds = {
        name: str(parameter.annotation)
        for name, parameter in inspect.signature(EmojiClassifier.__init__).parameters.items()
        if name not in left_out
    }
    return {
        name: "float" not in kind for name, kind in kinds.items() if "float" in kind or "int" in kind.replace("'", "")
    }
