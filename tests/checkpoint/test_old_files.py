"""Files of an old torch.save, and other pickles: what they want to build is named, and the cure cures."""

import argparse
import pickle
import re
import subprocess
import sys
import tarfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from attack_files import running
from broken_files import good, raw
from layout_parts import DIMS
from their_modules import FullyConnected, sequential

from emoji_lightning.checkpoint.stored_head import read_head
from emoji_lightning.errors import CheckpointError

SAVE = r"save model.state_dict\(\) and the labels"


def old(content: object, folder: Path, name: str = "head.pt") -> Path:
    """Save as torch.save did before PyTorch 1.6."""
    with warnings.catch_warnings(action="ignore"):  # it looks for the source of a module's class
        torch.save(content, folder / name, _use_new_zipfile_serialization=False)
    return folder / name


def of_pickle(content: object, folder: Path, protocol: int = pickle.DEFAULT_PROTOCOL) -> Path:
    (folder / "head.pt").write_bytes(pickle.dumps(content, protocol))
    return folder / "head.pt"


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError, match=r"nothing in a file is executed|expected") as refused:
        read_head(path)
    return str(refused.value)


@pytest.mark.slow  # it starts another Python, which imports torch
def test_the_line_that_is_printed_writes_an_old_file_anew(tmp_path: Path) -> None:
    name = "a b'c.pth"
    (tmp_path / "new").mkdir()
    torch.save(good(), tmp_path / "new" / "head.pt")
    message = refusal(old(good(), tmp_path, name))
    assert "a file of torch.save before PyTorch 1.6; expected its zip format: write it anew with `python -c" in message
    command = re.search(r"`python (.*)`", message)
    assert command
    line = f"{sys.executable} {command[1]}"
    subprocess.run(line, shell=True, check=True, cwd="/", env={"OMP_NUM_THREADS": "1"})
    expected = read_head(tmp_path / "new")
    head = read_head(tmp_path / f"new-{name}")
    assert head.label_set == expected.label_set
    assert all(torch.equal(head.state_dict[key], tensor) for key, tensor in expected.state_dict.items())


OBJECTS: dict[str, tuple[Callable[[], object], str]] = {
    "a module": (lambda: FullyConnected(DIMS), rf"their_modules.FullyConnected, torch.nn.*; it may be .*: {SAVE}"),
    "a Sequential": (lambda: sequential(DIMS), rf"torch.nn.modules.activation.ReLU, .*: {SAVE}, where you"),
    "a Namespace": (lambda: good() | {"args": argparse.Namespace(lr=1)}, r"argparse.Namespace\. .* save vars\(args\)"),
    "an array": (
        lambda: good() | {"mean": np.ones(8)},
        "numpy._core.multiarray._reconstruct, .*arrays as torch tensors",
    ),
}


@pytest.mark.parametrize(("content", "reason"), OBJECTS.values(), ids=list(OBJECTS))
def test_objects_in_an_old_file_are_named_and_no_line_is_offered_that_fails(
    content: Callable[[], object], reason: str, tmp_path: Path
) -> None:
    message = refusal(old(content(), tmp_path))
    assert re.search(f"head.pt: a file of torch.save before PyTorch 1.6 that wants to build .*{reason}", message)
    assert "python -c" not in message


PICKLES: dict[str, tuple[Callable[[], object], str]] = {
    "a module": (lambda: FullyConnected(DIMS), "their_modules.FullyConnected, torch.nn"),
    "a state dict": (lambda: sequential(DIMS).state_dict(), "torch.storage._load_from_bytes"),
    "arrays": (lambda: {"fc1.weight": np.ones((5, 8))}, r"numpy\._core\..*numpy.dtype"),
}


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize(("content", "wanted"), PICKLES.values(), ids=list(PICKLES))
def test_objects_in_a_pickle_are_named(
    content: Callable[[], object], wanted: str, protocol: int, tmp_path: Path
) -> None:
    message = refusal(of_pickle(content(), tmp_path, protocol))
    assert re.search(
        rf"head.pt: a pickle that torch.save did not write, it wants to build .*{wanted}.*; expected a checkpoint of "
        r"torch.save .* in the program that wrote it save model.state_dict\(\) and the labels with torch.save",
        message,
    )
    assert "python -c" not in message


def test_a_pickle_of_plain_data_is_told_apart(tmp_path: Path) -> None:
    message = refusal(of_pickle({"weights": [[1.0]]}, tmp_path))
    assert "head.pt: a pickle that torch.save did not write; expected a checkpoint of torch.save" in message


def test_a_tar_file_of_the_first_torch_is_named(tmp_path: Path) -> None:
    stored = of_pickle({}, tmp_path).rename(tmp_path / "pickle")
    with tarfile.open(tmp_path / "head.pt", "w") as archive:
        archive.add(stored, "pickle")
    message = refusal(tmp_path / "head.pt")
    assert "head.pt: a tar file, as the first versions of torch.save wrote; expected a checkpoint" in message
    assert "python -c" not in message


@pytest.mark.parametrize("name", [name for name, each in running("true").items() if each[:1] == b"\x80"])
@pytest.mark.parametrize("behind", [b"", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}q\x00."])
def test_to_name_objects_runs_nothing(name: str, behind: bytes, tmp_path: Path) -> None:
    canary = tmp_path / "executed"
    message = refusal(raw(behind + running(f"touch {canary}")[name])(tmp_path))
    assert not canary.exists()
    assert "wants to build" in message or name == "EXT1"
    assert len(message) < 1000


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02" + b"]" * 8_000_000 + b".",
        b"\x80\x04" + b"\x8e" + (1 << 62).to_bytes(8, "little"),
        b"\x80\x02cos\n" + b"x" * 5_000_000 + b"\n.",
        b"\x80\x02." * 2_000_000,
    ],
    ids=["lists", "a long text", "a long name", "pickles"],
)
def test_to_name_objects_takes_little_time(content: bytes, tmp_path: Path) -> None:
    start = time.process_time()
    assert len(refusal(raw(content)(tmp_path))) < 2000
    assert time.process_time() - start < 5
