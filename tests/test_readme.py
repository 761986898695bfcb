"""The README's commands are commands of this program, and its Python runs."""

import argparse
import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from emoji_lightning.bundle.bundle import write_bundle
from emoji_lightning.checkpoint.architecture import plain
from emoji_lightning.checkpoint.stored_head import StoredHead
from emoji_lightning.cli.main import LIGHTNING_VERBS, OWN_VERBS
from emoji_lightning.cli.static_options import check, options_of
from emoji_lightning.labels import LabelSet

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
COMMANDS = [
    line
    for kind, block in BLOCKS
    if kind == "bash"
    for line in block.replace("\\\n", " ").splitlines()
    if line.startswith("emoji-lightning ")
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_has_only_options_that_exist(command: str) -> None:
    _, verb, *words = shlex.split(command, comments=True)
    if verb in LIGHTNING_VERBS:
        check(verb, words, options_of(verb))
        for option, value in pairwise(words):
            assert option != "--config" or (REPOSITORY / value).is_file()
    else:
        parser = argparse.ArgumentParser(allow_abbrev=False)
        OWN_VERBS[verb].add_options(parser)
        parser.parse_args(words)


def test_every_verb_is_shown() -> None:
    assert {shlex.split(command)[1] for command in COMMANDS} >= {"embed", "split", "fit", "test", "export", "classify"}
    assert all(f"`{verb}" in README for verb in (*OWN_VERBS, *LIGHTNING_VERBS))


@pytest.mark.parametrize("target", re.findall(r"^make (\w+)", README, re.MULTILINE))
def test_a_make_target_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("script", sorted(set(re.findall(r"python (benchmarks/\w+\.py)", README))))
def test_a_benchmark_exists(script: str) -> None:
    assert (REPOSITORY / script).is_file()


def test_the_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = [block for kind, block in BLOCKS if kind == "python"]
    shape = plain(768, 512, 11)
    head = StoredHead(shape, shape.build(0.2).state_dict(), LabelSet.card(), encoder="emotion2vec_base")
    write_bundle(head, tmp_path / "checkpoints" / "mine")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(example, names)
    torch.testing.assert_close(names["logits"], head.build()(torch.zeros(1, 768)))
