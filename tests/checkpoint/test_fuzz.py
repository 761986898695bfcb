"""Checkpoints changed at random: a head or a clear error, never anything else."""

import json
import subprocess
import sys
from pathlib import Path

import fuzzing
import pytest
from layouts import LAYOUTS

CHOSEN = (
    "fc with bn",
    "0 4 8 LayerNorm",
    "linear with a gap",
    "provenance",
    "calibrated, scale",
    "calibrated, lists",
    "buffers",
    "best_classifier",
    "class_names",
    "exported",
    "half precision torch.bfloat16",
    "folder with config.json",
    "safetensors",
    "transformers folder",
    "compiled",
)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    for layout in LAYOUTS:
        if layout.name in CHOSEN:
            folder = tmp_path / "base" / layout.name
            folder.mkdir(parents=True)
            layout.write(folder)
    assert len(list((tmp_path / "base").iterdir())) == len(CHOSEN)
    return tmp_path


def find_faults(first: int, last: int, corpus: Path) -> list[str]:
    """Read the changes of these seeds in another process; one line for each that is wrong."""
    program = [sys.executable, fuzzing.__file__, str(first), str(last), str(corpus)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=1500, check=False)
    faults = ["seed {}: {}".format(*json.loads(line)) for line in done.stdout.splitlines()]
    seed = (corpus / "seed").read_text(encoding="utf-8")
    if done.returncode != 0:
        faults.append(f"seed {seed} ended the process with {done.returncode}: {done.stderr[-2000:]}")
    elif done.stderr:
        faults.append(f"seeds {first} to {last} printed {done.stderr[:2000]}")
    return faults


def test_three_hundred_changes_give_a_head_or_a_clear_error(corpus: Path) -> None:
    assert find_faults(0, 300, corpus) == []


@pytest.mark.slow
def test_five_thousand_changes_give_a_head_or_a_clear_error(corpus: Path) -> None:
    assert find_faults(1_000, 6_000, corpus) == []
