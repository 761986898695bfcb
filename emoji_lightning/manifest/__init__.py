"""The table of utterances: read from any format, check, select, write."""

from emoji_lightning.manifest.reading import read_manifest
from emoji_lightning.manifest.table import Manifest

__all__ = ["Manifest", "read_manifest"]
