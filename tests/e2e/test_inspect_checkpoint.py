"""`inspect-checkpoint` and `classify` on checkpoints of other programs."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from emoji_lightning.checkpoint.architecture import plain
from emoji_lightning.cli import main

LABELS = ["<none>", "😭", "joy"]


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A dict of another training program, for log-mel statistics; it does not name its encoder."""
    torch.manual_seed(0)
    state = {f"module.fc.{name}": tensor for name, tensor in plain(768, 8, 3).build(0.0).state_dict().items()}
    file = tmp_path / "theirs.pt"
    torch.save({"epoch": 3, "model_state_dict": state, "label_to_id": {name: i for i, name in enumerate(LABELS)}}, file)
    return file


def test_what_was_understood_is_printed(theirs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["inspect-checkpoint", str(theirs)])
    printed = capsys.readouterr().out
    for line in (
        "chain: 768 -> 8 -> ReLU -> 8 -> ReLU -> 3",
        "weights at: model_state_dict",
        "  module.fc.0.weight: 8 x 768",
        "  1: 😭",
        "encoder: not named; classify needs --encoder",
        "  activation: assumed, the file does not say",
        f"size: {theirs.stat().st_size:,} bytes",
    ):
        assert f"{line}\n" in printed


def test_where_standardisation_and_temperature_stand_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = plain(8, 5, 3).build(0.0).state_dict() | {"mean": torch.zeros(8), "std": torch.full((8,), 2.0)}
    calibration = {"calibration": {"temperature": 1.5}}
    torch.save({"model": state, "labels": LABELS, **calibration}, tmp_path / "theirs.pt")
    main(["inspect-checkpoint", str(tmp_path / "theirs.pt")])
    printed = capsys.readouterr().out
    where_from = printed[printed.index("where from:\n") :]
    assert "  standardisation: model.mean, model.std\n" in where_from
    assert "  temperature: calibration.temperature\n" in where_from


def test_it_is_printed_as_json_on_demand(theirs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import hashlib

    main(["inspect-checkpoint", str(theirs), "--json"])
    facts = json.loads(capsys.readouterr().out)
    assert list(facts["labels"].values()) == LABELS
    assert facts["sha256"] == hashlib.sha256(theirs.read_bytes()).hexdigest()
    assert facts["parameters"] == f"{768 * 8 + 8 + 8 * 8 + 8 + 8 * 3 + 3:,}"


def test_what_cannot_be_read_is_an_error(theirs: Path, fails: Callable[..., str]) -> None:
    theirs.write_bytes(theirs.read_bytes()[:1000])
    assert "theirs.pt: " in fails("inspect-checkpoint", theirs)


def test_a_head_of_another_program_labels_audio_once_its_encoder_is_named(
    theirs: Path, tmp_path: Path, fails: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    audio = tmp_path / "speech.wav"
    soundfile.write(audio, np.random.default_rng(0).normal(size=16_000) * 0.1, 16_000)
    error = fails("classify", audio, "--checkpoint", theirs)
    assert "theirs.pt: does not say which encoder made its 768-d embeddings; give --encoder" in error
    main(["classify", str(audio), "--checkpoint", str(theirs), "--encoder", "logmel", "--json"])
    assert json.loads(capsys.readouterr().out)["label"] in LABELS


def test_a_runs_own_checkpoint_labels_audio_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from emoji_lightning.checkpoint.stored_head import read_head
    from emoji_lightning.embedding.logmel import LogMelEncoder
    from emoji_lightning.predictor import Predictor

    torch.manual_seed(0)
    state = {f"head.net.{name}": tensor for name, tensor in plain(768, 8, 3).build(0.0).state_dict().items()}
    state |= {"head.standardizer.mean": torch.ones(768), "head.standardizer.scale": torch.full((768,), 2.0)}
    hparams = {"labels": LABELS, "encoder": "logmel", "dropout": 0.2}
    torch.save({"state_dict": state, "hyper_parameters": hparams, "epoch": 1}, tmp_path / "best.ckpt")
    head = read_head(tmp_path / "best.ckpt")
    embeddings = np.random.default_rng(1).normal(size=(5, 768)).astype(np.float32)
    found = Predictor(head, LogMelEncoder()).label_probabilities(embeddings)
    layers = plain(768, 8, 3).build(0.0).double().eval()
    layers.load_state_dict(
        {name.removeprefix("head.net."): tensor for name, tensor in state.items() if ".net." in name}
    )
    with torch.no_grad():
        exact = layers((torch.from_numpy(embeddings).double() - 1) / 2).softmax(dim=1)
    np.testing.assert_allclose(found, exact.numpy(), atol=1e-6)
