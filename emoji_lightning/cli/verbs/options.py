"""What the options of several verbs share."""

import argparse
from pathlib import Path

AUDIO_ROOT_HELP = "folder that audio paths are relative to, if not the manifest's"
DEVICE_HELP = "auto, cpu, cuda or cuda:N"


def count(text: str) -> int:
    """Read a whole number, 0 or more."""
    return _whole(text, least=0)


def positive(text: str) -> int:
    """Read a whole number, 1 or more."""
    return _whole(text, least=1)


def _whole(text: str, *, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, {least} or more")
    return int(text)


def path_or_none(text: str | None) -> Path | None:
    """Return the path that an option names, if it was given."""
    return None if text is None else Path(text)
