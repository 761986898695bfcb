from pathlib import Path

import pytest
from lightning.pytorch.profilers import Profiler, SimpleProfiler

from emoji_lightning.cli.callbacks import NoProfiler
from emoji_lightning.cli.lightning import EmojiCLI


@pytest.mark.parametrize(("given", "expected"), [([], NoProfiler), (["--trainer.profiler", "simple"], SimpleProfiler)])
def test_only_the_profiler_that_measures_nothing_is_replaced(
    given: list[str], expected: type[Profiler], tmp_path: Path
) -> None:
    words = ["fit", "--trainer.default_root_dir", str(tmp_path), "--trainer.fast_dev_run", "true"]
    cli = EmojiCLI([*words, "--model.discriminant", "false", *given], tmp_path)
    assert type(cli.trainer.profiler) is expected  # type: ignore[attr-defined]
