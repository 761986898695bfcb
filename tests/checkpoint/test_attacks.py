"""Nothing in a file is executed, and no file takes all memory or time."""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from attack_files import Calling, bombs, pickled, running, with_content, with_structure
from broken_files import good, raw, saved
from reading_process import read_apart

import emoji_lightning.checkpoint
from emoji_lightning.checkpoint.stored_head import read_head
from emoji_lightning.errors import CheckpointError, LabelError

MAX_MB, MAX_SECONDS = 300.0, 10.0
REASONS = {
    "a storage of 4 GB": "has 100 bytes, its structure says 4,294,967,296",
    "a million entries": "a zip file with more than 10,000 entries",
    "entries that overlap": "its entries overlap",
    "a storage outside": "is not in it",
}
"""Bombs that would be refused in another way, or later, if the check that is meant for them were not there."""


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that an attack would make, and an environment variable that it would take."""
    monkeypatch.setenv("CANARY", "sings")
    yield tmp_path / "executed"
    assert not (tmp_path / "executed").exists()
    assert os.environ["CANARY"] == "sings"


def attacks(canary: Path) -> dict[str, Calling]:
    touch = f"touch {canary}"
    return {
        "os.system": Calling(os.system, touch),
        "eval": Calling(eval, f"__import__('os').system({touch!r})"),
        "exec": Calling(exec, f"import os; os.environ.pop('CANARY'); open({str(canary)!r}, 'w')"),
        "Path.touch": Calling(Path.touch, canary),
        "Popen": Calling(subprocess.Popen, ["touch", str(canary)]),
        "torch.load": Calling(torch.load, str(canary)),
        "open": Calling(open, str(canary), "w"),
    }


def in_weights(attack: object) -> dict[str, Any]:
    return good() | {"state_dict": {**good()["state_dict"], "net.9.weight": attack}}


PLACES: dict[str, Callable[[object], object]] = {
    "alone": lambda attack: attack,
    "a weight": in_weights,
    "a label": lambda attack: good() | {"label2id": {"a": 0, "b": 1, "c": attack}},
    "a label map": lambda attack: good() | {"label2id": attack},
    "a key": lambda attack: good() | {("deep", (1, 2)): {"x": [{"y": (attack,)}]}},
    "hyper_parameters": lambda attack: good() | {"hyper_parameters": {"lr": 1e-3, "net": attack}},
    "callbacks": lambda attack: good() | {"callbacks": {"ModelCheckpoint{}": {"best": attack}}},
    "optimizer": lambda attack: good() | {"optimizer_states": [{"state": {0: {"step": attack}}, "param_groups": []}]},
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", attacks(Path("executed")))
def test_a_call_anywhere_in_a_file_is_refused_by_its_name(name: str, place: str, canary: Path, tmp_path: Path) -> None:
    path = saved(PLACES[place](attacks(canary)[name]))(tmp_path)
    with pytest.raises(CheckpointError, match=r"head.pt: wants to build .*nothing in a file is executed"):
        read_head(path)


@pytest.mark.parametrize("name", running("true"))
def test_no_instruction_runs_a_command(name: str, canary: Path, tmp_path: Path) -> None:
    path = raw(with_structure(running(f"touch {canary}")[name]))(tmp_path)
    with pytest.raises(
        CheckpointError, match=r"head.pt: (wants to build .*nothing in a file is|its structure has the)"
    ):
        read_head(path)


@pytest.mark.parametrize("name", attacks(Path("executed")))
def test_a_call_beside_weights_that_are_right_is_refused(name: str, canary: Path, tmp_path: Path) -> None:
    path = raw(with_content(more=attacks(canary)[name]))(tmp_path)
    with pytest.raises(CheckpointError, match="nothing in a file is executed"):
        read_head(path)


def test_the_same_weights_without_the_call_are_read(tmp_path: Path) -> None:
    assert read_head(raw(with_content(more="nothing"))(tmp_path)).label_set.labels == ("a", "b", "c")


def test_an_environment_that_switches_safety_off_changes_nothing(
    canary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    path = saved(in_weights(attacks(canary)["os.system"]))(tmp_path)
    with pytest.raises(CheckpointError, match=r"wants to build posix\.system"):
        read_head(path)


def test_a_program_that_trusts_an_object_does_not_make_the_reader_trust_it(canary: Path, tmp_path: Path) -> None:
    path = saved(in_weights(Calling(Path.touch, canary)))(tmp_path)
    trusted = torch.serialization.safe_globals([(getattr, "builtins.getattr"), (Path, "pathlib.Path")])
    with trusted, pytest.raises(CheckpointError, match="nothing in a file is executed"):
        read_head(path)


def test_all_names_that_are_wanted_are_named_up_to_five(tmp_path: Path) -> None:
    functions = [os.system, eval, exec, print, len, sum, max]
    path = saved(good() | {"x": [Calling(function, "") for function in functions]})(tmp_path)
    with pytest.raises(CheckpointError, match=r"builtins.eval, builtins.exec, builtins.len, .* and 2 more"):
        read_head(path)


def test_a_dict_that_contains_itself_is_read(tmp_path: Path) -> None:
    content = good()
    content["itself"] = content
    content["config"] = {"parent": content, "labels": list(content["label2id"])}
    content["history"] = [content]
    head = read_head(saved(content)(tmp_path))
    assert head.label_set.labels == ("<none>", "😭", "joy")


@pytest.mark.parametrize("name", ["labels", "temperature", "feature_mean", "activation", "label2id", "hidden_dim"])
def test_a_list_that_contains_itself_is_refused_shortly(name: str, tmp_path: Path) -> None:
    content: Any = ["a"]
    content += [content, {"x": content}]
    path = raw(with_content(config={name: content}, **{name: content}))(tmp_path)
    with pytest.raises(CheckpointError, match=r"head.pt.* is \[.*\]") as refused:
        read_head(path)
    assert len(str(refused.value)) < 1000


def test_no_file_takes_much_memory_or_time_or_ends_the_process(tmp_path: Path) -> None:
    paths = [raw(make(), f"{name}.pt")(tmp_path) for name, make in bombs().items()]
    readings = read_apart([raw(with_content(), "good.pt")(tmp_path), *paths])
    assert readings[0].outcome == "head"
    assert [Path(reading.path) for reading in readings[1:]] == paths
    for reading in readings[1:]:
        assert reading.outcome in ("CheckpointError", "UnknownObjectsError"), reading
        assert Path(reading.path).name in reading.message
        assert len(reading.message) < 2000
        assert REASONS.get(Path(reading.path).stem, "") in reading.message
        assert reading.grown_mb < MAX_MB, reading
        assert reading.seconds < MAX_SECONDS, reading


def test_no_switch_in_the_package_lets_a_file_run_something() -> None:
    folder = Path(emoji_lightning.checkpoint.__file__).parent
    sources = {file.name: file.read_text(encoding="utf-8") for file in folder.glob("*.py")}
    switches = r"weights_only\s*=\s*(?!True)|safe_globals|pickle\.load|Unpickler|import pickle$|environ|getenv"
    calls_of_text = r"(?<!\.)\b(eval|exec|compile|__import__)\("
    forbidden = re.compile(f"{switches}|{calls_of_text}", re.MULTILINE)
    assert not {name for name, text in sources.items() if forbidden.search(text)}
    calls = [call for text in sources.values() for call in re.findall(r"torch\.load\(file.*\)", text)]
    assert calls == ['torch.load(file, map_location="cpu", weights_only=True, mmap=True)']


def test_errors_are_those_that_the_reader_promises() -> None:
    assert pickled({"a": 1})[:2] == b"\x80\x02"
    assert not issubclass(LabelError, CheckpointError)
