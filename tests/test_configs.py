"""Shipped configurations: every one loads, merges with the base, and interpolation survives overlays and flags."""

from pathlib import Path

import pytest
import yaml

from emoji_lightning.cli import main
from emoji_lightning.cli.configs import BASE_CONFIG, CONFIGS

OVERLAYS = sorted(path for path in CONFIGS.rglob("*.yaml") if path != BASE_CONFIG)


def printed_config(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, dict[str, object]]:
    capsys.readouterr()
    with pytest.raises(SystemExit, match="0"):
        main(["fit", *words, "--print_config"])
    loaded: dict[str, dict[str, object]] = yaml.safe_load(capsys.readouterr().out)
    return loaded


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: path.stem)
def test_an_overlay_changes_what_it_says_and_nothing_else(overlay: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, merged = printed_config(capsys), printed_config(capsys, "--config", str(overlay))
    said = yaml.safe_load(overlay.read_text(encoding="utf-8"))
    for group, options in said.items():
        for name, value in options.items():
            assert merged[group][name] == value
    paths = ("logger", "dirpath")  # follow the run folder by interpolation
    for group in ("data", "model", "trainer", "checkpoint", "early_stopping"):
        for name, value in base[group].items():
            if name not in said.get(group, {}) and name not in paths:
                assert merged[group][name] == value
    assert len(overlay.read_text(encoding="utf-8").splitlines()) <= 25


@pytest.mark.parametrize("by", ["overlay", "flag", "overlay and flag"])
def test_interpolation_survives_overlays_and_flags(by: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("trainer:\n  default_root_dir: from/overlay\n")
    words = {
        "overlay": ["--config", str(overlay)],
        "flag": ["--trainer.default_root_dir", "from/flag"],
        "overlay and flag": ["--config", str(overlay), "--trainer.default_root_dir", "from/flag"],
    }[by]
    expected = "from/overlay" if by == "overlay" else "from/flag"
    config = printed_config(capsys, *words)
    assert config["checkpoint"]["dirpath"] == f"{expected}/checkpoints"
    assert config["trainer"]["logger"]["init_args"]["save_dir"] == expected  # type: ignore[index]


def test_an_overlay_may_interpolate_values_of_the_base(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("early_stopping:\n  patience: ${trainer.max_epochs}\n")
    config = printed_config(capsys, "--config", str(overlay), "--trainer.max_epochs", "33")
    assert config["early_stopping"]["patience"] == 33


def test_a_wrong_interpolation_is_an_error_that_names_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("early_stopping:\n  patience: ${trainer.nothing}\n")
    with pytest.raises(SystemExit, match="2"):
        main(["fit", "--config", str(overlay)])
    error = capsys.readouterr().err
    assert "trainer.nothing" in error
    assert "Traceback" not in error
