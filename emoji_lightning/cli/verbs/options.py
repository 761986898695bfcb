"""What the options of several verbs share."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emoji_lightning.labels import LabelSet
    from emoji_lightning.manifest import Manifest

AUDIO_ROOT_HELP = "folder that audio paths are relative to, if not the manifest's"
COLUMN_HELP = "the source's name of a column: label=emotion, audio=wav; may be given several times"
LABELS_HELP = (
    "YAML or JSON: a map of the source's labels (`joy: 😊`, `calm: null` to leave it out), or a label set "
    "(label2id.json or a list); by default the labels as they stand"
)
DEVICE_HELP = "auto, cpu, cuda or cuda:N"


def add_table_options(parser: argparse.ArgumentParser, *, labels: bool = True) -> None:
    """Add the options by which a foreign table is read: --column, --audio-root, --labels."""
    parser.add_argument(
        "--column", metavar="OURS=THEIRS", action="append", default=[], type=column_pair, help=COLUMN_HELP
    )
    parser.add_argument("--audio-root", metavar="DIR", help=AUDIO_ROOT_HELP)
    if labels:
        parser.add_argument("--labels", metavar="FILE", help=LABELS_HELP)


def read_table(options: argparse.Namespace) -> "tuple[Manifest, LabelSet | None]":
    """Read the manifest that the options name, its labels mapped; and the label set, if --labels is one."""
    from emoji_lightning.label_map import LabelMap, read_labels
    from emoji_lightning.manifest import read_manifest

    manifest = read_manifest(
        Path(options.manifest), audio_root=path_or_none(options.audio_root), columns=dict(options.column)
    )
    labels = read_labels(options.labels) if getattr(options, "labels", None) else None
    if isinstance(labels, LabelMap):
        return manifest.map_labels(labels), None
    return manifest, labels


def column_pair(text: str) -> tuple[str, str]:
    """Read OURS=THEIRS."""
    ours, equals, theirs = text.partition("=")
    if not (ours and equals and theirs):
        raise argparse.ArgumentTypeError(f"{text!r} is not OURS=THEIRS, as in label=emotion")
    return ours, theirs


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
