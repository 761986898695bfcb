"""Bad input gets one error with place, finding, expectation and cure; exit code 2; no traceback."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emoji_lightning.cli import main

Run = Callable[..., str]
LABELS = ("anger", "joy", "sad")


def write_tone(path: Path, *, seconds: float = 0.5, frequency: float = 220.0) -> None:
    time = np.arange(int(16_000 * seconds)) / 16_000
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * frequency * time), 16_000)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A manifest of 24 tones in three labels, good in every row."""
    rows = ["audio,label,speaker"]
    for number in range(24):
        name = f"audio/{number:02d}.wav"
        write_tone(tmp_path / name, frequency=200 + 10 * number)
        rows.append(f"{name},{LABELS[number % 3]},s{number % 4}")
    manifest = tmp_path / "labels.csv"
    manifest.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return manifest


@pytest.fixture
def store(corpus: Path) -> Path:
    folder = corpus.parent / "store"
    main(["embed", str(corpus), "--store", str(folder), "--encoder", "logmel"])
    return folder


def edit(manifest: Path, line: int, text: str) -> None:
    lines = manifest.read_text(encoding="utf-8").splitlines()
    lines[line - 1] = text
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")


def embed(corpus: Path) -> tuple[object, ...]:
    return ("embed", corpus, "--store", corpus.parent / "store", "--encoder", "logmel")


def fit(corpus: Path, store: Path, *more: object) -> tuple[object, ...]:
    root = corpus.parent / "run"
    quick = ("--trainer.max_epochs", 1, "--trainer.enable_progress_bar", "false")
    return ("fit", "--data.manifest", corpus, "--data.store", store, "--trainer.default_root_dir", root, *quick, *more)


def test_missing_manifest(fails: Run, tmp_path: Path) -> None:
    for words in (
        ("embed", tmp_path / "no.csv", "--store", tmp_path / "s", "--encoder", "logmel"),
        ("split", tmp_path / "no.csv", "--output", tmp_path / "out.csv"),
    ):
        assert re.search(r"no\.csv: no such file", fails(*words))


def test_empty_manifest(fails: Run, tmp_path: Path) -> None:
    manifest = tmp_path / "empty.csv"
    for content in ("", "audio,label\n"):
        manifest.write_text(content)
        assert "empty.csv" in fails("split", manifest, "--output", tmp_path / "out.csv")


def test_no_label_column(fails: Run, corpus: Path, store: Path) -> None:
    text = corpus.read_text().replace("audio,label,speaker", "audio,emotion,speaker")
    corpus.write_text(text)
    for words in (("split", corpus, "--output", corpus.parent / "o.csv"), fit(corpus, store)):
        error = fails(*words)
        assert re.search(r"labels\.csv: no column 'label'", error)
    assert "emotion" in fails("split", corpus, "--output", corpus.parent / "o.csv")


def test_unknown_label_gets_a_suggestion(fails: Run, corpus: Path, store: Path) -> None:
    edit(corpus, 14, "audio/12.wav,agner,s0")
    edit(corpus, 15, "audio/13.wav,jo,s1")
    error = fails(*fit(corpus, store, "--data.labels", "[anger, joy, sad]"))
    assert re.search(r"labels\.csv:14: label 'agner' is not one of .*; did you mean 'anger'\?", error)
    assert re.search(r"labels\.csv:15: label 'jo' is not one of .*; did you mean 'joy'\?", error)


def test_duplicate_ids(fails: Run, tmp_path: Path) -> None:
    manifest = tmp_path / "labels.csv"
    manifest.write_text("id,audio,label\na,1.wav,joy\nb,2.wav,joy\na,3.wav,sad\n")
    error = fails("split", manifest, "--output", tmp_path / "o.csv")
    assert re.search(r"labels\.csv:4: .*'a'.*2", error)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.unlink(), "no such file"),
        (lambda path: path.write_text("this is not audio " * 20), "not audio|cannot|unrecognised|text"),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "truncated|cut|promises"),
        (lambda path: path.write_bytes(b""), "0 bytes|empty"),
        (lambda path: soundfile.write(path, np.zeros(5), 16_000), "5 samples"),
        (lambda path: soundfile.write(path, np.full(8_000, np.nan, np.float32), 16_000, subtype="FLOAT"), "NaN"),
    ],
    ids=["missing", "text", "truncated", "0 bytes", "5 samples", "NaN"],
)
def test_bad_audio_is_listed_and_the_rest_is_embedded(
    fails: Run, corpus: Path, spoil: Callable[[Path], None], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(corpus.parent / "audio" / "07.wav")
    error = fails(*embed(corpus))
    assert re.search(rf"labels\.csv:9: .*07\.wav.*({reason})", error)
    failed = (corpus.parent / "store" / "failed.csv").read_text(encoding="utf-8")
    assert "audio/07.wav" in failed
    write_tone(corpus.parent / "audio" / "07.wav", frequency=777)
    main([str(word) for word in embed(corpus)])
    assert "1 embedded" in capsys.readouterr().out


def test_bad_audio_may_be_allowed(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (corpus.parent / "audio" / "07.wav").write_bytes(b"")
    main([str(word) for word in (*embed(corpus), "--max-failed", 1)])
    assert "1 failed" in capsys.readouterr().out


def test_a_class_too_small_to_balance(fails: Run, corpus: Path) -> None:
    edit(corpus, 2, "audio/00.wav,disgust,s0")
    error = fails("split", corpus, "--output", corpus.parent / "o.csv", "--dev", 4, "--test", 4)
    assert re.search(r"'disgust'.*\b1\b", error)
    assert not (corpus.parent / "o.csv").exists()


def test_a_store_of_another_encoder(fails: Run, corpus: Path, store: Path) -> None:
    spec = (store / "spec.json").read_text()
    (store / "spec.json").write_text(spec.replace('"logmel"', '"emotion2vec_base"'))
    error = fails(*embed(corpus))
    assert "emotion2vec_base" in error
    assert "logmel" in error


def test_a_row_without_vector(fails: Run, corpus: Path, store: Path) -> None:
    write_tone(corpus.parent / "audio" / "new.wav", frequency=999)
    with corpus.open("a") as file:
        file.write("audio/new.wav,joy,s9\n")
    error = fails(*fit(corpus, store))
    assert re.search(r"labels\.csv:26: no embedding of 'audio/new\.wav'", error)
    assert "emoji-lightning embed" in error
    main([str(word) for word in fit(corpus, store, "--data.missing", "drop")])


def test_a_checkpoint_of_another_shape(fails: Run, corpus: Path, store: Path) -> None:
    main([str(word) for word in fit(corpus, store)])
    checkpoint = corpus.parent / "run" / "checkpoints" / "best.ckpt"
    other = ("--trainer.default_root_dir", corpus.parent / "other")
    error = fails("test", "--ckpt_path", checkpoint, *other)
    assert re.search(r"trained on the labels \['anger', 'joy', 'sad'\], the data has", error)
    data = ("--data.manifest", corpus, "--data.store", store)
    error = fails("test", "--ckpt_path", checkpoint, *other, *data, "--model.hidden_dim", 64)
    assert re.search(r"holds \(512,\) for head\.net\.0\.bias, the model has \(64,\)", error)
    error = fails("export", "--ckpt_path", checkpoint, *other, *data, "--model.hidden_dim", 64)
    assert "the model has (64,)" in error


@pytest.mark.parametrize("verb", ["test", "validate", "predict", "export"])
def test_best_where_nothing_was_trained(fails: Run, tmp_path: Path, verb: str) -> None:
    error = fails(verb, "--ckpt_path", "best", "--trainer.default_root_dir", tmp_path / "empty")
    assert re.search(r"best\.ckpt: no such checkpoint; nothing was trained in that run folder", error)


def test_a_manifest_without_store(fails: Run, corpus: Path) -> None:
    assert "--data.store is not" in fails("fit", "--data.manifest", corpus)


def test_a_gpu_that_is_not_there(fails: Run, tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert "GPU" in fails("fit", "--trainer.accelerator", "gpu", "--trainer.default_root_dir", tmp_path).upper()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--trainer.accelerator", "nonsense"], "nonsense"),
        (["--trainer.strategy", "nonsense"], "nonsense"),
        (["--model.lr", "-1"], r"--model\.lr is -1"),
        (["--model.hidden_dim", "0"], r"--model\.hidden_dim is 0"),
        (["--model.weight_decay", "-1"], r"--model\.weight_decay is -1"),
        (["--seed_everything", "-1"], "-1 is not in bounds"),
        (["--early_stopping.monitor", "nothing"], "nothing"),
        (["--trainer.max_epochs", "0"], "nothing was trained"),
        (["--data.batch_size", "x"], "batch_size"),
    ],
)
def test_a_fit_that_cannot_be_keeps_the_earlier_run(
    fails: Run, corpus: Path, store: Path, words: list[str], reason: str
) -> None:
    main([str(word) for word in fit(corpus, store)])
    before = (corpus.parent / "run" / "checkpoints" / "best.ckpt").read_bytes()
    assert re.search(reason, fails(*fit(corpus, store), *words))
    assert (corpus.parent / "run" / "checkpoints" / "best.ckpt").read_bytes() == before
    main(["test", "--trainer.default_root_dir", str(corpus.parent / "run"), "--trainer.enable_progress_bar", "false"])


def test_going_on_from_another_runs_checkpoint_keeps_the_run_that_was_here(corpus: Path, store: Path) -> None:
    main([str(word) for word in fit(corpus, store)])
    run = corpus.parent / "run"
    shutil.copytree(run, corpus.parent / "other")
    before = (run / "checkpoints" / "best.ckpt").read_bytes()
    checkpoint = corpus.parent / "other" / "checkpoints" / "last.ckpt"
    main([str(word) for word in fit(corpus, store, "--ckpt_path", checkpoint, "--trainer.max_epochs", 2)])
    assert (run / "previous" / "1" / "checkpoints" / "best.ckpt").read_bytes() == before


def test_embeddings_of_another_encoder_of_the_same_size_are_refused(fails: Run, corpus: Path, store: Path) -> None:
    main([str(word) for word in fit(corpus, store)])
    other = shutil.copytree(store, corpus.parent / "other")
    (other / "spec.json").write_text((store / "spec.json").read_text().replace('"logmel"', '"emotion2vec_base"'))
    for verb in ("test", "export"):
        error = fails(verb, "--trainer.default_root_dir", corpus.parent / "run", "--data.store", other)
        assert re.search(r"trained on embeddings of logmel .* the data has those of emotion2vec_base", error)


@pytest.mark.parametrize("content", [b"text", b"", "bundle", "list"])
@pytest.mark.parametrize("verb", ["test", "export", "fit"])
def test_a_checkpoint_that_is_none(fails: Run, tmp_path: Path, verb: str, content: bytes | str) -> None:
    import torch

    file = tmp_path / "x.ckpt"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        torch.save({"model_state_dict": {}} if content == "bundle" else [1], file)
    error = fails(verb, "--ckpt_path", file, "--trainer.default_root_dir", tmp_path / "run")
    assert re.search(r"x\.ckpt: .*expected a \.ckpt that `emoji-lightning fit` wrote", error)


def test_paths_that_cannot_be_written(fails: Run, corpus: Path, store: Path) -> None:
    blocked = corpus / "below-a-file"
    for words in (
        ("embed", corpus, "--store", blocked, "--encoder", "logmel"),
        ("split", corpus, "--output", blocked / "x.csv", "--dev", 3, "--test", 3),
        fit(corpus, store, "--trainer.default_root_dir", blocked),
    ):
        assert "labels.csv" in fails(*words)
    assert "is the manifest itself" in fails("split", corpus, "--output", corpus)


def test_a_rehearsal_replaces_no_numbers(corpus: Path, store: Path) -> None:
    main([str(word) for word in fit(corpus, store)])
    run = ["--trainer.default_root_dir", str(corpus.parent / "run"), "--trainer.enable_progress_bar", "false"]
    main(["test", *run])
    before = (corpus.parent / "run" / "predictions.test.parquet").read_bytes()
    main(["test", *run, "--trainer.fast_dev_run", "true", "--data.batch_size", "1"])
    assert (corpus.parent / "run" / "predictions.test.parquet").read_bytes() == before


def test_nothing_to_evaluate_is_an_error(fails: Run, corpus: Path, store: Path) -> None:
    main([str(word) for word in fit(corpus, store)])
    run = ("--trainer.default_root_dir", corpus.parent / "run", "--trainer.enable_progress_bar", "false")
    assert "no utterance was evaluated" in fails("test", *run, "--trainer.limit_test_batches", 0)


def test_audio_of_another_corpus_with_the_same_names_is_missing(fails: Run, corpus: Path, store: Path) -> None:
    other = corpus.parent / "elsewhere" / "labels.csv"
    other.parent.mkdir()
    shutil.copy(corpus, other)
    error = fails("embed", other, "--store", store, "--encoder", "logmel")
    assert "24 of 24 utterances have audio that cannot be used" in error


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    from emoji_lightning.errors import ManifestError

    with pytest.raises(ManifestError, match=r"no\.csv"):
        main(["split", str(tmp_path / "no.csv"), "--output", "x", "--debug"])


def test_a_wrong_value_ends_with_2_and_names_the_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["fit", "--trainer.max_epochs", "many"])
    error = capsys.readouterr().err
    assert "trainer.max_epochs" in error
    assert "Traceback" not in error
