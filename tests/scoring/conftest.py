"""Two systems scored once, for the tests that look at the result."""

import pytest
from scored_systems import NUM_RESAMPLES, Scored
from spoken_emoji import ABSENT, BROKEN, mix, write_checkpoint, write_systems

import emoji_lightning


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Scored:
    """Systems `plain` (wrong on every other text) and `lively` (three wrong, one broken, one absent, two lacking)."""
    folder = tmp_path_factory.mktemp("scored")
    lively = mix(22, wrong=[0, 4, 9])
    lively[7], lively[8] = (lively[7][0], BROKEN), (lively[8][0], ABSENT)
    manifest = write_systems(folder, {"plain": mix(24, wrong=range(0, 24, 2)), "lively": lively})
    checkpoint = write_checkpoint(folder / "checkpoint")
    score = emoji_lightning.score(
        manifest,
        checkpoint,
        output_dir=folder / "out",
        compare=True,
        max_failed=2,
        num_resamples=NUM_RESAMPLES,
        with_audio=True,
    )
    return Scored(manifest, checkpoint, folder / "out", score)
