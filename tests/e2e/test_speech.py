"""From audio to a bundle and back to labels, as a user types it, with both encoders."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import torch

from emoji_lightning.cli import main

EMODB = Path(__file__).parents[3] / "shared" / "data" / "emodb"
LABELS = ("anger", "neutral", "sadness")


def take_emodb(folder: Path) -> tuple[Path, Path]:
    """Write a manifest of some real utterances; return it and the folder of the audio."""
    if not EMODB.is_dir():
        pytest.skip(f"real speech is not on this machine ({EMODB.name}); the generated corpus covers the same path")
    with (EMODB / "manifest.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["label"] in LABELS][::5]
    manifest = folder / "labels.csv"
    with manifest.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return manifest, EMODB


def make_corpus(folder: Path) -> tuple[Path, Path]:
    """Generate speech-like audio whose formant tells the label and whose pitch tells the speaker."""
    rng = np.random.default_rng(0)
    lines = ["audio,label,speaker"]
    for number in range(48):
        label, speaker = number % 3, number // 3 % 4
        time = np.arange(16_000) / 22_050
        formant = np.sin(2 * np.pi * (500, 1500, 3500)[label] * time)
        voice = (1 + np.sign(np.sin(2 * np.pi * (100 + 20 * speaker) * time))) * formant
        path = folder / "audio" / f"{number:02d}.{'flac' if number % 2 else 'wav'}"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, 0.2 * voice + 0.02 * rng.standard_normal(time.size), 22_050)
        lines.append(f"audio/{path.name},{LABELS[label]},s{speaker}")
    manifest = folder / "labels.csv"
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return manifest, folder


@pytest.mark.parametrize("take", [make_corpus, take_emodb], ids=["generated", "emodb"])
@pytest.mark.parametrize("encoder", ["logmel", "emotion2vec"])
def test_the_whole_way(
    take: "type(make_corpus)",  # type: ignore[valid-type]
    encoder: str,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    manifest, audio_root = take(tmp_path)
    monkeypatch.chdir(tmp_path)
    named = str(tiny_model) if encoder == "emotion2vec" else encoder
    root = ["--audio-root", str(audio_root)]
    main(["embed", str(manifest), "--store", "store", "--encoder", named, *root])
    main(
        [
            "split",
            str(manifest),
            "--output",
            "runs/x/split.csv",
            "--group",
            "speaker",
            "--dev",
            "8",
            "--test",
            "8",
            *root,
        ]
    )
    data = ["--data.manifest", "runs/x/split.csv", "--data.store", "store"]
    run = ["--trainer.default_root_dir", "runs/x", "--trainer.enable_progress_bar", "false"]
    recipe = [
        "--data.batch_size",
        "8",
        "--trainer.max_epochs",
        "10",
        "--model.lr",
        "1e-3",
        "--model.weight_decay",
        "0.1",
    ]
    main(["fit", *data, *run, *recipe])
    main(["test", *run])
    main(["predict", *run])
    main(["export", *run])
    capsys.readouterr()

    assert_speakers_are_apart(Path("runs/x/split.csv"))
    checkpoint = torch.load("checkpoints/x/best_classifier.pt", weights_only=True)
    assert checkpoint["label2id"] == {label: number for number, label in enumerate(LABELS)}
    summary = json.loads(Path("checkpoints/x/summary.json").read_text(encoding="utf-8"))
    assert (
        summary["metrics"]["test"]["macro_f1"]
        == json.loads(Path("runs/x/metrics.json").read_text())["test"]["macro_f1"]
    )
    if take is make_corpus and encoder == "logmel":
        assert summary["metrics"]["test"]["accuracy"] > 0.8  # the formant tells the label
    for secret in (str(tmp_path), str(Path.home()), str(tiny_model.parent)):
        assert secret not in json.dumps(summary)

    predicted = pq.read_table("runs/x/predictions.parquet").to_pydict()
    named_files = [str(audio_root / name) for name in predicted["id"][:4]]
    option = ["--encoder", named] if encoder == "emotion2vec" else []
    main(["classify", *named_files, "--checkpoint", "checkpoints/x", "--json", "--top", "3", *option])
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["label"] for answer in answers] == predicted["predicted"][:4]
    for answer, probabilities in zip(answers, predicted["probabilities"], strict=False):
        told = {top["label"]: top["probability"] for top in answer["top"]}
        assert [told[label] for label in LABELS] == pytest.approx(probabilities, abs=1e-4)

    main(["embed", str(manifest), "--store", "store", "--encoder", named, *root])
    assert re.search(r": 0 embedded .*, 0 failed", capsys.readouterr().out)


def assert_speakers_are_apart(split_file: Path) -> None:
    with split_file.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    speakers = {split: {row["speaker"] for row in rows if row["split"] == split} for split in ("train", "dev", "test")}
    assert all(speakers.values())
    assert sum(map(len, speakers.values())) == len(set.union(*speakers.values()))


def test_classify_takes_folders_and_refuses_what_the_head_was_not_trained_on(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest, _ = make_corpus(tmp_path)
    monkeypatch.chdir(tmp_path)
    main(["embed", str(manifest), "--store", "store", "--encoder", "logmel"])
    run = ["--trainer.default_root_dir", "runs/x", "--trainer.enable_progress_bar", "false"]
    main(["fit", "--data.manifest", str(manifest), "--data.store", "store", *run, "--trainer.max_epochs", "1"])
    main(["export", *run])
    (tmp_path / "audio" / "notes.txt").write_text("not audio")
    capsys.readouterr()
    main(["classify", "audio", "--checkpoint", "checkpoints/x/best_classifier.pt"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 48
    assert all(line.split("\t")[1].split()[0] in LABELS for line in lines)

    (tmp_path / "audio" / "00.wav").write_bytes(b"")
    with pytest.raises(SystemExit, match="2"):
        main(["classify", "audio", "--checkpoint", "checkpoints/x"])
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 47
    assert re.search(r"00\.wav: is empty \(0 bytes\)\n1 of 48 files failed", captured.err)

    with pytest.raises(SystemExit, match="2"):
        main(["classify", "audio", "--checkpoint", "checkpoints/x", "--encoder", str(tiny_model)])
    assert "give --encoder the one it was trained on" in capsys.readouterr().err


def test_the_demo_head_says_that_it_cannot_hear(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest, _ = make_corpus(tmp_path)
    run = ["--trainer.default_root_dir", str(tmp_path / "runs"), "--trainer.enable_progress_bar", "false"]
    main(["fit", *run, "--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2"])
    main(["export", *run, "--output_dir", str(tmp_path / "demo")])
    with pytest.raises(SystemExit, match="2"):
        main(["classify", str(manifest.parent / "audio"), "--checkpoint", str(tmp_path / "demo")])
    assert "synthetic demo corpus" in capsys.readouterr().err
