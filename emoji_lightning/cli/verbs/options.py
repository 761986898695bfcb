"""What the options of several verbs share."""

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emoji_lightning.label_map import LabelMap
    from emoji_lightning.labels import LabelSet
    from emoji_lightning.manifest import Manifest

    Mappings = tuple[dict[str, str], LabelSet | LabelMap | None]

AUDIO_ROOT_HELP = "folder that audio paths are relative to, if not the manifest's"
COLUMN_HELP = "the source's name of a column: label=emotion, audio=wav; may be given several times"
LABELS_HELP = (
    "YAML or JSON: a map of the source's labels (`joy: 😊`, `calm: null` to leave it out), or a label set "
    "(label2id.json or a list); by default the labels as they stand"
)
DEVICE_HELP = "auto, cpu, cuda or cuda:N"


def add_table_options(parser: argparse.ArgumentParser, *, audio_root: bool = True, labels: bool = True) -> None:
    """Add the options by which a foreign table is read: --column, --audio-root, --labels."""
    parser.add_argument(
        "--column", metavar="OURS=THEIRS", action="append", default=[], type=column_pair, help=COLUMN_HELP
    )
    if audio_root:
        parser.add_argument("--audio-root", metavar="DIR", help=AUDIO_ROOT_HELP)
    if labels:
        parser.add_argument("--labels", metavar="FILE", help=LABELS_HELP)


def read_table(
    options: argparse.Namespace, path: str, *, mappings: "Mappings | None" = None
) -> "tuple[Manifest, LabelSet | None]":
    """Read a table as the options say, its labels mapped; and the label set, if --labels is one.

    Args:
        options: Of the command line.
        path: The table.
        mappings: Columns and labels, where `read_mappings` has read them already.
    """
    from emoji_lightning.label_map import LabelMap
    from emoji_lightning.manifest import read_manifest

    columns, labels = mappings or read_mappings(options)
    manifest = read_manifest(path, audio_root=vars(options).get("audio_root"), columns=columns)
    if isinstance(labels, LabelMap):
        return manifest.map_labels(labels), None
    return manifest, labels


def read_mappings(options: argparse.Namespace, remembered: Mapping[str, Any] | None = None) -> "Mappings":
    """Return the columns and the labels that the options name.

    Args:
        options: Of the command line.
        remembered: `columns` and `labels` of an earlier run, which hold where the options say nothing.
    """
    from emoji_lightning.errors import ManifestError
    from emoji_lightning.label_map import parse_labels, read_labels

    if len(dict(options.column)) < len(options.column):
        raise ManifestError(f"--column {', '.join('='.join(pair) for pair in options.column)}: each name of ours once")
    remembered = remembered or {}
    columns = dict(options.column) or dict(remembered.get("columns", {}))
    if vars(options).get("labels"):
        return columns, read_labels(options.labels)
    if "labels" in remembered:
        return columns, parse_labels(remembered["labels"], source="the record of the earlier split")
    return columns, None


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
