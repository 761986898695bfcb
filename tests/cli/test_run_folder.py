"""Which run folder and checkpoint the options mean."""

from pathlib import Path

import pytest

from emoji_lightning.cli.configs import BASE_CONFIG
from emoji_lightning.cli.run_folder import (
    find_run_folder,
    move_earlier_run,
    put_overlays_first,
    resolve_checkpoint,
)
from emoji_lightning.errors import CheckpointError, ConfigError


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "best.ckpt").touch()
    (folder / "fit.yaml").write_text("trainer: {}")
    return folder


def test_the_default_run_folder() -> None:
    assert find_run_folder([], BASE_CONFIG) == Path("runs/default")


@pytest.mark.parametrize("words", [["--trainer.default_root_dir", "a"], ["--trainer.default_root_dir=a"]])
def test_the_option_names_the_run_folder(words: list[str]) -> None:
    assert find_run_folder(words, BASE_CONFIG) == Path("a")


def test_flags_win_over_overlays_wherever_they_stand(tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("trainer:\n  default_root_dir: from-overlay\n")
    option = ["--trainer.default_root_dir", "from-option"]
    assert find_run_folder(["--config", str(overlay)], BASE_CONFIG) == Path("from-overlay")
    assert find_run_folder(["--config", str(overlay), *option], BASE_CONFIG) == Path("from-option")
    assert find_run_folder([*option, "--config", str(overlay)], BASE_CONFIG) == Path("from-option")
    words = ["--data.batch_size", "7", "--config", "a.yaml", "--config=b.yaml", "-c", "c.yaml"]
    in_front = ["--config", "a.yaml", "--config=b.yaml", "-c", "c.yaml", "--data.batch_size", "7"]
    assert put_overlays_first(words) == in_front


def test_an_overlay_may_interpolate_the_base_in_the_run_folder(tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("trainer:\n  default_root_dir: runs/${trainer.max_epochs}\n")
    assert find_run_folder(["--config", str(overlay)], BASE_CONFIG) == Path("runs/20")
    overlay.write_text("trainer:\n  default_root_dir: runs/${model.nothing}\n")
    with pytest.raises(ConfigError, match=r"overlay\.yaml: trainer\.default_root_dir: .*model\.nothing"):
        find_run_folder(["--config", str(overlay)], BASE_CONFIG)


def test_a_checkpoint_file_points_to_the_run_above_it(run: Path) -> None:
    assert find_run_folder(["--ckpt_path", str(run / "checkpoints" / "best.ckpt")], BASE_CONFIG) == run
    assert find_run_folder(["--ckpt_path", "elsewhere/best.ckpt"], BASE_CONFIG) == Path("runs/default")


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "no such file"), ("- a\n- b\n", "holds no mapping"), ("a: [", "not a YAML mapping")]
)
def test_an_overlay_that_is_none_is_named(tmp_path: Path, content: str | None, reason: str) -> None:
    overlay = tmp_path / "overlay.yaml"
    if content is not None:
        overlay.write_text(content)
    with pytest.raises(ConfigError, match=rf"overlay\.yaml: {reason}"):
        find_run_folder(["--config", str(overlay)], BASE_CONFIG)


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
    (run / "checkpoints" / "released").mkdir()
    moved = move_earlier_run(run)
    assert moved is not None
    assert moved.target == run / "previous" / "1"
    assert (run / "checkpoints" / "released").is_dir()
    assert (run / "previous" / "1" / "checkpoints" / "best.ckpt").is_file()
    assert (run / "split.csv").read_text() == "mine"
    assert move_earlier_run(run) is None
    (run / "fit.yaml").write_text("came to nothing")
    second = move_earlier_run(run)
    assert second is not None
    assert second.target == run / "previous" / "2"


def test_of_a_folder_without_configuration_only_the_checkpoints_that_a_run_would_replace_are_moved(run: Path) -> None:
    (run / "fit.yaml").unlink()
    (run / "checkpoints" / "best.ckpt").write_text("somebody's")
    (run / "checkpoints" / "mine.ckpt").write_text("mine")
    (run / "metrics.json").write_text("{}")
    moved = move_earlier_run(run)
    assert moved is not None
    assert (run / "previous" / "1" / "checkpoints" / "best.ckpt").read_text() == "somebody's"
    assert (run / "checkpoints" / "mine.ckpt").read_text() == "mine"
    assert (run / "metrics.json").is_file()
    assert move_earlier_run(run) is None


def test_moved_files_come_back(run: Path) -> None:
    moved = move_earlier_run(run)
    assert moved is not None
    (run / "fit.yaml").write_text("came to nothing")
    moved.bring_back()
    assert (run / "fit.yaml").read_text() == "trainer: {}"
    assert (run / "checkpoints" / "best.ckpt").is_file()
    assert not (run / "previous" / "1").exists()
