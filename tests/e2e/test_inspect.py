"""`inspect` as a user types it: tables or JSON on stdout, what cannot be used as an error behind it."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emoji_lightning.cli import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `inspect` in a terminal of 80 columns; return exit code, stdout and stderr."""
    monkeypatch.setenv("COLUMNS", "80")

    def call(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = 0
        try:
            main(["inspect", *map(str, words)])
        except SystemExit as stop:
            code = int(str(stop.code))
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Six rows: a FLAC twin under another label and split, a clipped and a silent file, a spelling."""
    rng = np.random.default_rng(0)
    first, second, third = rng.integers(-20_000, 20_000, (3, 16_000)) / 32_768
    third[:4] = 1.0
    for name, samples in {
        "a.wav": first,
        "a.flac": first,
        "b.wav": second,
        "clipped.wav": third,
        "silent.wav": 0 * first,
    }.items():
        soundfile.write(tmp_path / name, samples, 16_000)
    rows = [
        "audio,label,split,speaker,text",
        "a.wav,😂,train,anna,hello",
        "a.flac,😭,test,anna,hello",
        "b.wav,:joy:,train,bert,",
        "clipped.wav,😂,train,bert,bye",
        "silent.wav,😂,dev,bert,bye",
    ]
    manifest = tmp_path / "labels.csv"
    manifest.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return manifest


@pytest.fixture
def broken(corpus: Path) -> Path:
    """The same with two rows whose audio cannot be used."""
    (corpus.parent / "text.wav").write_text("hello", encoding="utf-8")
    with corpus.open("a", encoding="utf-8") as file:
        file.write("gone.wav,😂,train,bert,x\ntext.wav,😂,train,bert,x\n")
    return corpus


def test_the_terminal_shows_counts_faults_duplicates_and_spellings(corpus: Path, run: Run) -> None:
    code, shown, error = run(corpus)
    assert (code, error) == (0, "")
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert lines[0] == "labels.csv: 5 utterances, 5 audio files, 5.0 s"
    for line in (
        "😂 face_with_tears_of_joy 4 80.0% 4.0 s",
        "anna 2 40.0% 2.0 s",
        "rows without text: 1",
        ":joy: :joy: 😂 shortcode 1",
        "sampling rate 16000 Hz: 5",
        "format WAV PCM_16: 4, FLAC PCM_16: 1",
        "clipped 1 0.025 % labels.csv:5 clipped.wav",
        "silent 1 1 s labels.csv:6 silent.wav",
        "same audio, LABELS DISAGREE, IN SEVERAL SPLITS utterance format label, split",
        "labels.csv:2 a.wav WAV PCM_16 😂 face_with_tears_of_joy train",
        "labels.csv:3 a.flac FLAC PCM_16 😭 loudly_crying_face test",
    ):
        assert line in " ".join(lines), line
    assert max(map(len, shown.splitlines())) <= 80


def test_json_is_one_document_with_readable_emoji_and_nothing_else(corpus: Path, run: Run) -> None:
    code, shown, error = run(corpus, "--json")
    assert (code, error) == (0, "")
    content = json.loads(shown)
    assert '"😂"' in shown
    assert content["num_utterances"] == 5
    assert {label: count["num_utterances"] for label, count in content["labels"].items()} == {"😂": 4, "😭": 1}
    (group,) = content["audio"]["duplicates"]["same_audio"]
    assert [row["place"] for row in group["rows"]] == ["labels.csv:2", "labels.csv:3"]
    assert (group["labels_disagree"], group["splits_disagree"]) == (True, True)
    assert content["audio"]["findings"]["clipped"]["utterances"][0]["value"] == 4 / 16_000
    assert [each["label"] for each in content["spellings"]] == ["😂"]


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_audio_that_cannot_be_used_is_listed_and_fails_the_verb_behind_the_report(
    broken: Path, run: Run, form: list[str]
) -> None:
    code, shown, error = run(broken, *form)
    assert code == 2
    assert error == "error: the audio of 2 of 7 utterances cannot be used; --max-failed N allows some\n"
    assert "labels.csv:7" in shown
    assert "no such file" in shown
    assert "holds text ('hello'...), not" in shown
    if form:
        assert json.loads(shown)["num_failed"] == 2
    assert run(broken, *form, "--max-failed", 1)[0] == 2
    assert run(broken, *form, "--max-failed", 2) == (0, shown, "")


def test_no_audio_counts_the_table_only(broken: Path, run: Run) -> None:
    code, shown, error = run(broken, "--no-audio")
    assert (code, error) == (0, "")
    assert "the audio was not looked at: it was not asked for" in shown
    assert "labels.csv: 7 utterances\n" in shown
    assert json.loads(run(broken, "--no-audio", "--json")[1])["audio"] is None


def test_where_no_file_is_there_the_table_is_counted_and_the_error_names_the_cure(corpus: Path, run: Run) -> None:
    moved = corpus.parent / "tables" / "labels.csv"
    moved.parent.mkdir()
    corpus.rename(moved)
    code, shown, error = run(moved)
    assert code == 2
    assert "😂 face_with_tears_of_joy" in shown
    assert "the audio was not looked at: none of its files is there, the first is 'a.wav'" in shown
    assert "--audio-root, or look at the table only with --no-audio" in error
    assert run(moved, "--audio-root", corpus.parent)[0] == 0


def test_a_manifest_of_vectors_needs_no_audio(tmp_path: Path, run: Run) -> None:
    (tmp_path / "ids.csv").write_text("id,label\na,joy\nb,sad\n", encoding="utf-8")
    code, shown, error = run(tmp_path / "ids.csv")
    assert (code, error) == (0, "")
    assert "the audio was not looked at: the manifest has no column 'audio'" in shown


def test_a_long_list_is_cut_in_the_terminal_and_whole_in_json(tmp_path: Path, run: Run) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(16_000), 16_000)
    names = ["a.wav", *(f"{'long name ' * 12}{number}.wav" for number in range(50))]
    (tmp_path / "labels.csv").write_text("audio\n" + "\n".join(names) + "\n", encoding="utf-8")
    code, shown, _ = run(tmp_path / "labels.csv")
    assert code == 2
    assert "... and 30 more; --json holds all" in shown
    assert all(f"{number}.wav" in shown for number in range(20))
    assert max(map(len, shown.splitlines())) <= 80
    assert len(json.loads(run(tmp_path / "labels.csv", "--json")[1])["audio"]["failed"]) == 50


def test_text_that_looks_like_markup_is_shown_as_it_is(tmp_path: Path, run: Run) -> None:
    (tmp_path / "labels.csv").write_text("id,label,speaker\na,[bold]x[/bold],[/red]\nb,y,:smile:\n", encoding="utf-8")
    code, shown, _ = run(tmp_path / "labels.csv")
    assert code == 0
    assert all(text in shown for text in ("[bold]x[/bold]", "[/red]", ":smile:"))


def test_nothing_heavy_is_imported_and_the_stdlib_keeps_its_inspect(corpus: Path) -> None:
    program = (
        "import sys; from emoji_lightning.cli import main; "
        f"main(['inspect', {str(corpus)!r}, '--json']); import inspect; "
        "print(inspect.__file__, {'torch', 'lightning', 'sklearn', 'scipy'} & set(sys.modules), "
        "file=sys.stderr)"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert finished.stderr.strip().endswith("/inspect.py set()")
    assert "emoji_lightning" not in finished.stderr
    assert json.loads(finished.stdout)["num_utterances"] == 5
