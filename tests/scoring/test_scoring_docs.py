"""docs/scoring.md: its commands are commands, its layout is the one that is written, its Python runs."""

import argparse
import json
import re
import shlex
import shutil
import sys
import types
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import soundfile
from scored_systems import Scored, read_rows
from spoken_emoji import LABELS, make_voice, write_checkpoint, write_systems

from emoji_lightning.cli.main import OWN_VERBS
from emoji_lightning.errors import AudioError
from emoji_lightning.scoring.outputs import COLUMNS

DOCS = (Path(__file__).parents[2] / "docs" / "scoring.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"(<!-- not run.*?-->\n)?```(\w+)\n(.*?)```", DOCS, re.DOTALL)
PYTHON = [block for skipped, kind, block in BLOCKS if kind == "python" and not skipped]


def test_its_command_has_only_options_that_exist() -> None:
    (command,) = [block for _, kind, block in BLOCKS if kind == "bash"]
    parser = argparse.ArgumentParser(allow_abbrev=False)
    OWN_VERBS["score"].add_options(parser)
    parser.parse_args(shlex.split(command)[2:])


def test_every_option_that_it_names_exists() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    OWN_VERBS["score"].add_options(parser)
    known = {option for action in parser._actions for option in action.option_strings}
    assert set(re.findall(r"`(--[\w-]+)", DOCS)) <= known


def test_the_layout_it_shows_is_the_one_that_is_written(scored: Scored) -> None:
    (layout,) = [json.loads(block) for _, kind, block in BLOCKS if kind == "json"]
    written = scored.content
    layout["reference"] = None  # the example has one; its entry is like a system's
    layout["unknown"], layout["versions"] = {}, {"python": ""}
    (system,) = layout["systems"].values()
    layout["systems"] = dict.fromkeys(written["systems"], system)
    assert_keys(layout, written, "score.json")
    assert layout.keys() == written.keys()


def assert_keys(shown: Any, written: Any, place: str) -> None:
    if isinstance(shown, dict):
        for key, value in shown.items():
            assert key in written, f"{place} has no {key}"
            assert_keys(value, written[key], f"{place}.{key}")
    elif isinstance(shown, list) and shown and isinstance(shown[0], dict):
        for each in written:
            assert_keys(shown[0], each, f"{place}[]")


def test_the_columns_it_names_are_written(scored: Scored) -> None:
    (named,) = re.findall(r"`utterances\.csv`: `(.*?)`", DOCS)
    assert tuple(named.split(", ")) == COLUMNS == tuple(read_rows(scored.output_dir)[0])


def test_the_numbers_it_explains_are_written(scored: Scored) -> None:
    system = scored.content["systems"]["plain"]
    (table,) = re.findall(r"\| in `score\.json` \|.*?\n\n", DOCS, re.DOTALL)
    named = {name for line in table.strip().splitlines()[2:] for name in re.findall(r"`(\w+)`", line.split("|")[1])}
    assert len(named) >= 10
    assert named <= system.keys()


def test_the_call_runs(
    scored: Scored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spoken = [("😂", "😂"), ("😊", "😭"), ("😊", "😊")]
    write_systems(tmp_path, {"a": spoken, "b": spoken})
    shutil.copytree(scored.checkpoint, tmp_path / "checkpoints" / "mine")
    monkeypatch.chdir(tmp_path)
    names = run(PYTHON[0])
    assert re.findall(r"^(\w) 0\.666\d* .* 3 3$", capsys.readouterr().out, re.MULTILINE) == ["a", "b"]
    assert names["numbers"]["systems"].keys() == {"a", "b"}


def run(block: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(block, names)
    return names


class BaseMetric(ABC):
    """VERSA's contract, as far as a metric sees it."""

    def __init__(self, config: dict[str, Any] | None = None) -> None:
        self.config = config or {}
        self._setup()

    @abstractmethod
    def _setup(self) -> None: ...

    @abstractmethod
    def compute(self, predictions: Any, references: Any = None, metadata: dict[str, Any] | None = None) -> Any: ...

    @abstractmethod
    def get_metadata(self) -> Any: ...


MetricCategory = Enum("MetricCategory", ["INDEPENDENT", "DEPENDENT", "NON_MATCH", "DISTRIBUTIONAL"])
MetricType = Enum("MetricType", ["STRING", "FLOAT", "INT", "BOOL", "LIST", "DICT", "TUPLE", "ARRAY", "TIME"])


@dataclass
class MetricMetadata:
    """The fields without a default are those that VERSA demands."""

    name: str
    category: MetricCategory
    metric_type: MetricType
    requires_reference: bool
    requires_text: bool
    gpu_compatible: bool
    auto_install: bool
    dependencies: list[str]
    description: str
    paper_reference: str | None = None
    implementation_source: str | None = None


class Registry:
    """Takes what VERSA's takes."""

    def __init__(self) -> None:
        self.metrics: dict[str, type[BaseMetric]] = {}

    def register(self, metric_class: type[BaseMetric], metadata: MetricMetadata, aliases: list[str]) -> None:
        assert len(fields(metadata)) == 11
        self.metrics |= dict.fromkeys([metadata.name, *aliases], metric_class)


@pytest.fixture
def metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BaseMetric:
    """The metric of the docs, registered and made as VERSA does it, under a stand-in for VERSA itself."""
    definition = types.ModuleType("versa.definition")
    vars(definition).update({each.__name__: each for each in (BaseMetric, MetricCategory, MetricMetadata, MetricType)})
    monkeypatch.setitem(sys.modules, "versa", types.ModuleType("versa"))
    monkeypatch.setitem(sys.modules, "versa.definition", definition)
    (example,) = [block for block in PYTHON if "versa" in block]
    registry = Registry()
    run(example)["register_emoji_metric"](registry)
    checkpoint = write_checkpoint(tmp_path / "mine")
    (tmp_path / "asked.txt").write_text("u1 :joy:\nu2 😭\n", encoding="utf-8")
    config = {"checkpoint": str(checkpoint), "asked": str(tmp_path / "asked.txt"), "use_gpu": False}
    return registry.metrics["emoji"](config)


def test_the_versa_metric_hears_what_was_asked_for(metric: BaseMetric) -> None:
    waveform = make_voice("😂", 5).astype("float64")  # as VERSA hands it over
    found = metric.compute(waveform, None, metadata={"key": "u1", "sample_rate": 16_000})
    assert (found["emoji_heard"], found["emoji_accuracy"]) == ("😂", 1.0)
    assert 0.5 < found["emoji_probability"] < 1
    found = metric.compute(waveform, metadata={"key": "u2", "sample_rate": 16_000})
    assert (found["emoji_heard"], found["emoji_accuracy"]) == ("😂", 0.0)
    assert 0 < found["emoji_probability"] < 0.5


def test_the_versa_metric_brings_audio_to_its_rate(metric: BaseMetric, tmp_path: Path) -> None:
    """Read at a rate of 8 kHz the formant of 😂 would be that of another emoji."""
    soundfile.write(tmp_path / "a.wav", make_voice("😂", 5), 16_000)
    samples, _ = soundfile.read(tmp_path / "a.wav")
    doubled = samples.repeat(2)  # 32 kHz
    assert metric.compute(doubled, metadata={"key": "u1", "sample_rate": 32_000})["emoji_heard"] == "😂"
    assert metric.compute(samples, metadata={"key": "u1", "sample_rate": 5_333})["emoji_heard"] == "😭"


def test_the_versa_metric_says_what_it_cannot_do(metric: BaseMetric) -> None:
    voice = make_voice(LABELS[0], 0)
    with pytest.raises(ValueError, match=r"'u9' has no line in .*asked\.txt"):
        metric.compute(voice, metadata={"key": "u9"})
    with pytest.raises(ValueError, match="no audio to listen to"):
        metric.compute(None, metadata={"key": "u1"})
    with pytest.raises(AudioError, match=r"u1: .*10 samples"):
        metric.compute(voice[:10], metadata={"key": "u1"})
    assert metric.get_metadata().name == "emoji"
