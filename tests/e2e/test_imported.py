"""Vectors of other programs, from their files to predictions, without any audio."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from emoji_lightning.cli import main

LABELS = ("ang", "hap", "neu", "sad")
DIM = 16


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """emotion2vec's recipe: frames of 60 utterances, whose means tell the label."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 9, size=60)
    labels = [number % len(LABELS) for number in range(60)]
    means = 3 * rng.standard_normal((len(LABELS), DIM))
    frames = [means[label] + rng.standard_normal((length, DIM)) for label, length in zip(labels, lengths, strict=True)]
    np.save("train.npy", np.concatenate(frames).astype(np.float32))
    Path("train.lengths").write_text("".join(f"{length}\n" for length in lengths))
    Path("train.emo").write_text("".join(f"utt{row:02d}\t{LABELS[label]}\n" for row, label in enumerate(labels)))
    return tmp_path


def test_a_head_is_trained_on_imported_frames(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["embed", "train.emo", "--from-npy", "train.npy", "--store", "store", "--encoder", "emotion2vec_base"])
    assert "60 imported, 0 there before, 0 failed" in capsys.readouterr().out
    main(["embed", "train.emo", "--from-npy", "train.npy", "--store", "store", "--encoder", "emotion2vec_base"])
    assert "0 imported, 60 there before" in capsys.readouterr().out
    run = ["--trainer.default_root_dir", "run"]
    fit = ["--data.manifest", "train.emo", "--data.store", "store", "--data.batch_size", "8", "--model.lr", "0.01"]
    main(["fit", *fit, "--model.weight_decay", "0", "--trainer.max_epochs", "12", *run])
    main(["test", *run])
    rows = pq.read_table("run/predictions.test.parquet").to_pylist()
    assert np.mean([row["label"] == row["predicted"] for row in rows]) > 0.8


def test_vectors_by_id_serve_a_manifest_with_audio_that_is_not_here(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (recipe / "vectors").mkdir()
    rng = np.random.default_rng(1)
    for row in range(12):
        np.save(recipe / "vectors" / f"u{row}.npy", rng.standard_normal(DIM).astype(np.float32))
    rows = "".join(f"u{row},gone/{row}.wav,{LABELS[row % 4]}\n" for row in range(12))
    (recipe / "labels.csv").write_text("id,audio,label\n" + rows)
    main(["embed", "labels.csv", "--from-npy", "vectors", "--store", "byid", "--encoder", "wav2vec2"])
    main(["split", "labels.csv", "--output", "split.csv", "--dev", "4", "--test", "4"])
    main(["fit", "--data.manifest", "split.csv", "--data.store", "byid", "--trainer.max_epochs", "1"])
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["embed", "labels.csv", "--from-npy", "vectors", "--store", "byid"])
    assert capsys.readouterr().err == "error: --from-npy needs --encoder: the name of what made these vectors\n"
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["embed", "labels.csv", "--store", "byid", "--encoder", "logmel"])
    assert "holds embeddings of wav2vec2 (16-d, unknown, unknown), these would be" in capsys.readouterr().err
