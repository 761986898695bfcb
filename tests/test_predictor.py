"""Which files `classify` finds in what it is given."""

from pathlib import Path

import pytest

from emoji_lightning.errors import AudioError
from emoji_lightning.predictor import find_audio


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_a_folder_gives_its_audio_and_a_file_itself(tmp_path: Path) -> None:
    folder = touch(tmp_path / "talks", "b.WAV", "a.flac", "deep/c.mp3", "notes.txt")
    found = list(find_audio([str(folder), tmp_path / "gone.wav"]))
    assert found == [folder / "a.flac", folder / "b.WAV", folder / "deep" / "c.mp3", tmp_path / "gone.wav"]


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    elsewhere, folder = touch(tmp_path / "elsewhere", "a.wav"), touch(tmp_path / "talks", "b.wav")
    (folder / "linked").symlink_to(elsewhere)
    (folder / "round").symlink_to(folder)
    assert list(find_audio([folder])) == [folder / "b.wav", folder / "linked" / "a.wav"]


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    folder = touch(tmp_path, "a.wav", "._a.wav", ".trash/b.wav", "album.wav/c.wav")
    assert list(find_audio([folder])) == [folder / "a.wav", folder / "album.wav" / "c.wav"]


def test_a_folder_without_audio_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"talks: no audio file in this folder; expected one of \['\.aac', .*'\.wma'"):
        list(find_audio([touch(tmp_path / "talks", "notes.txt", ".a.wav")]))
