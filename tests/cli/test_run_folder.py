"""Which run folder and checkpoint the options mean."""

from pathlib import Path

import pytest

from emoji_lightning.cli.run_folder import find_run_folder, move_earlier_run, resolve_checkpoint
from emoji_lightning.errors import CheckpointError, ConfigError


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "best.ckpt").touch()
    (folder / "fit.yaml").write_text("trainer: {}")
    return folder


def test_the_default_run_folder() -> None:
    assert find_run_folder([]) == Path("runs/default")


@pytest.mark.parametrize("words", [["--trainer.default_root_dir", "a"], ["--trainer.default_root_dir=a"]])
def test_the_option_names_the_run_folder(words: list[str]) -> None:
    assert find_run_folder(words) == Path("a")


def test_the_last_of_overlay_and_option_wins(tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("trainer:\n  default_root_dir: from-overlay\n")
    option = ["--trainer.default_root_dir", "from-option"]
    assert find_run_folder(["--config", str(overlay)]) == Path("from-overlay")
    assert find_run_folder(["--config", str(overlay), *option]) == Path("from-option")
    assert find_run_folder([*option, "--config", str(overlay)]) == Path("from-overlay")


def test_a_checkpoint_file_points_to_the_run_above_it(run: Path) -> None:
    assert find_run_folder(["--ckpt_path", str(run / "checkpoints" / "best.ckpt")]) == run
    assert find_run_folder(["--ckpt_path", "elsewhere/best.ckpt"]) == Path("runs/default")


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "no such file"), ("- a\n- b\n", "holds a list"), ("a: [", "not a YAML mapping")]
)
def test_an_overlay_that_is_none_is_named(tmp_path: Path, content: str | None, reason: str) -> None:
    overlay = tmp_path / "overlay.yaml"
    if content is not None:
        overlay.write_text(content)
    with pytest.raises(ConfigError, match=rf"overlay\.yaml: {reason}"):
        find_run_folder(["--config", str(overlay)])


def test_best_last_and_files_are_resolved(run: Path) -> None:
    best = run / "checkpoints" / "best.ckpt"
    assert resolve_checkpoint("best", run) == str(best)
    assert resolve_checkpoint(str(best), Path("elsewhere")) == str(best)
    with pytest.raises(CheckpointError, match=r"last\.ckpt: no such checkpoint; that run folder holds .*best\.ckpt"):
        resolve_checkpoint("last", run)


def test_best_where_nothing_was_trained_says_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nothing was trained in that run folder\. Run `emoji-lightning fit"):
        resolve_checkpoint("best", tmp_path)


def test_an_earlier_run_is_moved_and_other_files_stay(run: Path) -> None:
    (run / "split.csv").write_text("mine")
    assert move_earlier_run(run) == run / "previous" / "1"
    assert (run / "previous" / "1" / "checkpoints" / "best.ckpt").is_file()
    assert (run / "split.csv").read_text() == "mine"
    assert move_earlier_run(run) is None
    (run / "fit.yaml").touch()
    assert move_earlier_run(run) == run / "previous" / "2"
