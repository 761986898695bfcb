"""Checkpoints, references and audio that cannot be scored."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from scored_systems import read_rows
from spoken_emoji import ABSENT, BROKEN, LABELS, fit_head, mix, write_checkpoint, write_systems, write_table

import emoji_lightning
from emoji_lightning.bundle.bundle import write_bundle
from emoji_lightning.errors import (
    AudioError,
    CheckpointError,
    EmojiLightningError,
    LabelError,
    ManifestError,
    StoreError,
)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return write_systems(tmp_path, {"a": mix(3), "b": mix(3, wrong=[1])})


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "checkpoint")


def score(*args: Any, **options: Any) -> Any:
    return emoji_lightning.score(*args, num_resamples=100, **options)


def test_a_checkpoint_that_gives_nan_is_named(manifest: Path, tmp_path: Path) -> None:
    state = dict(fit_head().state_dict)
    state["6.weight"] = torch.full_like(state["6.weight"], 3e38)  # finite itself; its logits are not
    write_bundle(replace(fit_head(), state_dict=state), tmp_path / "broken")
    expected = (
        r"broken: gives no finite probabilities for 6 of 6 utterances, such as 'audio/a/000.wav' \(systems\.csv:2\)"
    )
    with pytest.raises(CheckpointError, match=expected):
        score(manifest, tmp_path / "broken")


def test_a_head_of_the_synthetic_corpus_cannot_hear(manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"trained on the synthetic demo corpus.*it cannot hear audio"):
        score(manifest, write_checkpoint(tmp_path / "demo", encoder="synthetic"))


def test_another_encoder_than_that_of_training_is_refused(manifest: Path, tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "other", encoder="emotion2vec_base")
    with pytest.raises(CheckpointError, match="trained on embeddings of emotion2vec_base, --encoder is logmel"):
        score(manifest, checkpoint, encoder="logmel")


@pytest.mark.parametrize("temperature", [0.0, float("inf"), -1.0, "warm", True])
def test_a_temperature_that_is_none_is_refused(manifest: Path, tmp_path: Path, temperature: Any) -> None:
    checkpoint = write_checkpoint(tmp_path / "odd", temperature=temperature)
    with pytest.raises(CheckpointError, match=r"odd: summary\.json says model\.calibration\.temperature"):
        score(manifest, checkpoint)


def test_a_store_of_another_encoder_is_refused(manifest: Path, checkpoint: Path, tmp_path: Path) -> None:
    score(manifest, checkpoint, store=tmp_path / "store")
    spec = tmp_path / "store" / "spec.json"
    spec.write_text(spec.read_text().replace('"logmel"', '"other"'))
    with pytest.raises(StoreError, match="holds embeddings of other"):
        score(manifest, checkpoint, store=tmp_path / "store")


def test_a_system_of_which_nothing_was_heard_is_refused_after_its_list_is_written(
    checkpoint: Path, tmp_path: Path
) -> None:
    deaf = [("😂", BROKEN), ("😊", ABSENT)]
    manifest = write_systems(tmp_path, {"a": mix(3), "deaf": deaf})
    with pytest.raises(AudioError, match="none of the 2 utterances of deaf was heard") as caught:
        score(manifest, checkpoint, output_dir=tmp_path / "out", max_failed=9)
    assert "systems.csv:5: audio/deaf/000.wav: holds text" in str(caught.value)
    assert "systems.csv:6: audio/deaf/001.wav: no such file" in str(caught.value)
    assert [row["status"] for row in read_rows(tmp_path / "out")][3:5] == ["failed", "missing"]


def test_audio_that_is_all_in_another_folder_is_said_to_be_missing(checkpoint: Path, tmp_path: Path) -> None:
    table = write_table(tmp_path / "t.csv", [["audio", "label"], ["1.wav", "😂"], ["2.wav", "😊"]])
    with pytest.raises(AudioError, match=r"t\.csv:2: 1\.wav: no such file\n(.*\n)t\.csv: none of the 2 .*--audio-root"):
        score(table, checkpoint)


@pytest.mark.parametrize(
    ("rows", "options", "match"),
    [
        ([["audio"], ["1.wav"]], {}, r"real\.csv: no column 'label'"),
        ([["audio", "label"], ["1.wav", "🙏"]], {}, r"real\.csv:2: label '🙏' is not one of"),
        (
            [["audio", "label"], ["1.wav", "🙏"]],
            {"unknown": "drop"},
            r"real\.csv: no utterance asks for a label of the ch",
        ),
    ],
)
def test_real_speech_without_usable_labels_is_refused(
    manifest: Path, checkpoint: Path, tmp_path: Path, rows: list[list[str]], options: dict[str, str], match: str
) -> None:
    with pytest.raises(ManifestError, match=match):
        score(manifest, checkpoint, reference=write_table(tmp_path / "real.csv", rows), **options)


def test_real_speech_of_other_emoji_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    manifest = write_systems(tmp_path, {"a": [("😂", "😂")] * 3})
    reference = write_table(tmp_path / "real.csv", [["audio", "label"], ["1.wav", "😊"], ["2.wav", "😭"]])
    with pytest.raises(ManifestError, match=r"real\.csv: --reference has no .* asked for 😂, it has 😭 😊; give real"):
        score(manifest, checkpoint, reference=reference)


def test_a_label_set_is_no_map(manifest: Path, checkpoint: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.json"
    labels.write_text(str([*LABELS]).replace("'", '"'), encoding="utf-8")
    with pytest.raises(LabelError, match=r"labels\.json: is a label set; expected a map of labels to labels"):
        score(manifest, checkpoint, labels=labels)


def test_everything_refused_is_an_error_of_this_package(manifest: Path, checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for options, match in (
        ({"output_dir": tmp_path / "file"}, "file: --output_dir is a file; expected a folder"),
        ({"device": "tpu"}, "device 'tpu' is not one of"),
        ({"audio_root": tmp_path / "no"}, "--audio-root is no folder"),
        ({"columns": {"label": "mood"}}, r"systems\.csv: no column 'mood' to take as 'label'"),
    ):
        with pytest.raises(EmojiLightningError, match=match):
            score(manifest, checkpoint, **options)
    with pytest.raises(EmojiLightningError, match="expected 100 or more"):
        emoji_lightning.score(manifest, checkpoint, num_resamples=5)
