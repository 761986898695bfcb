import os
import time
from pathlib import Path
from typing import NoReturn

import pytest

from emoji_lightning.files import sweep, write_whole

HOUR_S = 3600


def age(file: Path, seconds: float) -> Path:
    """Make a file, if it is not there, that nobody has written to for so long."""
    if not file.exists():
        file.write_text("half")
    os.utime(file, (time.time(), time.time() - seconds))  # only the time of the last change counts, not of reading
    return file


def names_in(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}


# --- writing ---------------------------------------------------------------------------------------------------------


def test_a_file_is_written_into_a_folder_that_is_made(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "spec.json"
    write_whole(target, lambda file: file.write_text("{}\n"))
    assert target.read_text() == "{}\n"
    assert names_in(target.parent) == {"spec.json"}


def test_the_earlier_file_is_there_until_the_new_one_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "part-1.parquet"
    target.write_text("earlier")

    def write(file: Path) -> None:
        file.write_text("ne")
        assert target.read_text() == "earlier"
        assert file.parent == tmp_path  # a rename across file systems would be a copy
        assert names_in(tmp_path) == {"part-1.parquet", file.name}
        assert list(tmp_path.glob("*.parquet")) == list(tmp_path.glob("part-*")) == [target]
        assert file.name.startswith(".part-1.parquet.")
        file.write_text("new")

    write_whole(target, write)
    assert target.read_text() == "new"
    assert names_in(tmp_path) == {"part-1.parquet"}


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt("No space left")])
def test_a_write_that_fails_changes_nothing_and_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "files.arrow"
    target.write_text("earlier")

    def fail(file: Path) -> NoReturn:
        file.write_text("half")
        raise error

    with pytest.raises(type(error), match="No space left"):
        write_whole(target, fail)
    assert target.read_text() == "earlier"
    assert names_in(tmp_path) == {"files.arrow"}


def test_a_write_that_makes_no_file_changes_nothing(tmp_path: Path) -> None:
    target = tmp_path / "files.arrow"
    target.write_text("earlier")
    with pytest.raises(FileNotFoundError, match=r"\.files\.arrow\..*\.tmp"):
        write_whole(target, lambda file: None)
    assert target.read_text() == "earlier"


def test_a_name_that_is_taken_by_a_folder_leaves_no_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "spec.json").mkdir()
    with pytest.raises(IsADirectoryError, match=r"Is a directory.*spec\.json"):
        write_whole(tmp_path / "spec.json", lambda file: file.write_text("{}"))
    assert names_in(tmp_path) == {"spec.json"}


def test_the_bytes_are_on_the_disk_before_the_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it a power cut may leave a file of 0 bytes under the final name."""
    steps: list[tuple[str, int, bytes]] = []
    fsync, replace = os.fsync, Path.replace

    def record_fsync(handle: int) -> None:
        steps.append(("fsync", os.fstat(handle).st_ino, os.pread(handle, 100, 0)))
        fsync(handle)

    def record_replace(file: Path, target: Path) -> Path:
        steps.append(("replace", file.stat().st_ino, file.read_bytes()))
        return replace(file, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(Path, "replace", record_replace)
    write_whole(tmp_path / "part", lambda file: file.write_text("whole"))
    inode = (tmp_path / "part").stat().st_ino
    assert steps == [("fsync", inode, b"whole"), ("replace", inode, b"whole")]


def test_two_writers_of_one_file_do_not_meet_and_the_last_wins(tmp_path: Path) -> None:
    target = tmp_path / "spec.json"

    def write_while_another_does(file: Path) -> None:
        file.write_text("first, ")
        write_whole(target, lambda other: other.write_text("second"))
        assert target.read_text() == "second"
        with file.open("a") as stream:
            stream.write("whole")

    write_whole(target, write_while_another_does)
    assert target.read_text() == "first, whole"
    assert names_in(tmp_path) == {"spec.json"}


# --- sweeping --------------------------------------------------------------------------------------------------------


def test_only_temporary_files_that_are_an_hour_old_are_swept(tmp_path: Path) -> None:
    age(tmp_path / ".part-1.parquet.0123.tmp", HOUR_S + 60)
    age(tmp_path / ".spec.json.4567.tmp", 30 * 24 * HOUR_S)
    kept = [
        age(tmp_path / ".part-2.parquet.0123.tmp", HOUR_S - 60),
        age(tmp_path / ".part-3.parquet.0123.tmp", -HOUR_S),  # by the clock of another machine
        age(tmp_path / "part-1.parquet", 2 * HOUR_S),
        age(tmp_path / "mine.tmp", 2 * HOUR_S),
        age(tmp_path / ".hidden", 2 * HOUR_S),
    ]
    sweep(tmp_path)
    assert names_in(tmp_path) == {file.name for file in kept}


def test_a_folder_of_such_a_name_and_the_files_below_are_none_of_its_business(tmp_path: Path) -> None:
    inner = tmp_path / ".cache.tmp"
    inner.mkdir()
    age(inner / ".part-1.parquet.0123.tmp", 2 * HOUR_S)
    age(inner, 2 * HOUR_S)
    sweep(tmp_path)
    assert names_in(inner) == {".part-1.parquet.0123.tmp"}


def test_what_a_killed_write_leaves_is_what_is_swept(tmp_path: Path) -> None:
    seen = []

    def write(file: Path) -> None:
        file.write_text("half")
        sweep(tmp_path)
        seen.append(file.exists())
        age(file, HOUR_S + 60)
        sweep(tmp_path)
        seen.append(file.exists())
        file.write_text("whole")

    write_whole(tmp_path / "files.arrow", write)
    assert seen == [True, False]


def test_a_file_that_another_run_sweeps_meanwhile_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        age(tmp_path / f".part-{number}.parquet.0123.tmp", 2 * HOUR_S)
    unlink = Path.unlink

    def unlink_twice(file: Path) -> None:
        unlink(file)
        unlink(file)

    monkeypatch.setattr(Path, "unlink", unlink_twice)
    sweep(tmp_path)
    assert names_in(tmp_path) == set()


def test_a_folder_that_is_not_there_needs_no_sweeping(tmp_path: Path) -> None:
    sweep(tmp_path / "absent")
    assert names_in(tmp_path) == set()


def test_a_file_that_is_there_is_kept_where_that_is_asked_for(tmp_path: Path) -> None:
    for text in ("first", "second"):
        write_whole(tmp_path / "file", lambda file, text=text: file.write_text(text), keep=True)
    assert (tmp_path / "file").read_text() == "first"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_a_file_appears_where_there_are_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> NoReturn:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    for text in ("first", "second"):
        write_whole(tmp_path / "file", lambda file, text=text: file.write_text(text), keep=True)
    assert (tmp_path / "file").read_text() == "first"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
