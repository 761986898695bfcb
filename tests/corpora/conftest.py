"""A folder of TTS folders to work in, and texts."""

from pathlib import Path

import pytest
from tts_folders import write_texts

from emoji_lightning.manifest import Manifest


@pytest.fixture
def texts(tmp_path: Path) -> Manifest:
    """Six texts, a to f."""
    return write_texts(tmp_path, "abcdef")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder above the TTS folders, which commands are given from."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
