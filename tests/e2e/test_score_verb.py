"""`score` as a user types it: tables, files, what a second run does, and what bad input gets."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from spoken_emoji import ABSENT, BROKEN, mix, write_checkpoint, write_sound, write_systems, write_table

import emoji_lightning
from emoji_lightning.cli import main
from emoji_lightning.cli.main import LIGHTNING_VERBS, OWN_VERBS
from emoji_lightning.embedding import extract, reading
from emoji_lightning.embedding.logmel import LogMelEncoder

Run = Callable[..., str]
QUICK = ("--resamples", "100")


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two systems of nine texts, one of them half wrong; the working folder holds them and the checkpoint."""
    write_checkpoint(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    return write_systems(tmp_path, {"plain": mix(9, wrong=[0, 2, 4, 6]), "lively": mix(9)})


def words(*more: object) -> list[str]:
    return ["score", "systems.csv", "--checkpoint", "mine", *QUICK, *map(str, more)]


def refuse(*args: object, **options: object) -> None:
    raise AssertionError("the audio was read again")


def test_scores_are_printed_and_written(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(words("--compare"))
    out = capsys.readouterr().out
    assert re.search(r"^plain +9 +9 +0 +0$", out, re.MULTILINE)
    assert re.search(r"^plain +0\.556 +0\.556 +0\.5\d\d +0\.\d{3}$", out, re.MULTILINE)
    assert re.search(r"^lively +1\.000", out, re.MULTILINE)
    assert re.search(r"^classifier's own test +0\.900 +- +0\.890 +-\s*\n\(90\) +\[0\.82, 0\.95\]", out, re.MULTILINE)
    assert re.search(r"^chance +0\.333 +0\.333 +0\.333 +0\.333$", out, re.MULTILINE)
    assert re.search(
        r"^plain - lively: .*decided.*\n  accuracy -0\.444 \[.*\], p = \S+, 9 shared utterances$", out, re.MULTILINE
    )
    assert "95 % interval, bootstrap over text_id (100 resamples, seed 0)" in out
    tables = [line for line in out.splitlines() if not line.startswith("runs/")]
    assert max(map(len, tables)) <= 80
    assert {path.name for path in Path("runs/score").iterdir()} == {
        "score.json",
        "utterances.csv",
        "report.html",
        "store",
    }


def test_the_verb_and_the_call_give_the_same(manifest: Path) -> None:
    main(words("--compare", "--group", "speaker", "--seed", 3, "--output_dir", "out"))
    called = emoji_lightning.score(manifest, "mine", compare=True, group="speaker", seed=3, num_resamples=100)
    assert json.loads(Path("out/score.json").read_text(encoding="utf-8")) == json.loads(json.dumps(called.to_dict()))


def test_json_is_what_is_written(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(words("--json"))
    assert json.loads(capsys.readouterr().out) == json.loads(Path("runs/score/score.json").read_text(encoding="utf-8"))


def test_scoring_again_embeds_and_decodes_nothing(
    manifest: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main(words())
    assert "18 embedded" in capsys.readouterr().out
    first = Path("runs/score/score.json").read_bytes()
    monkeypatch.setattr(reading, "decode", refuse)
    monkeypatch.setattr(reading, "read_bytes", refuse)
    monkeypatch.setattr(LogMelEncoder, "_embed", refuse)
    main(words())
    assert re.search(r": 0 embedded .*, 18 there before, 0 failed", capsys.readouterr().out)
    assert Path("runs/score/score.json").read_bytes() == first


def test_a_store_made_by_embed_serves(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["embed", "systems.csv", "--store", "store", "--encoder", "logmel"])
    main(words("--store", "store"))
    assert "store: 0 embedded" in capsys.readouterr().out
    assert not Path("runs/score/store").exists()


def test_an_interrupted_run_goes_on(
    manifest: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real, embedded = LogMelEncoder._embed, []

    def stop_after_seven(self: LogMelEncoder, waveform: object) -> object:
        if len(embedded) == 7:
            raise KeyboardInterrupt
        embedded.append(waveform)
        return real(self, waveform)  # type: ignore[arg-type]

    monkeypatch.setattr(extract, "PART_SIZE", 3)
    with monkeypatch.context() as patch:
        patch.setattr(LogMelEncoder, "_embed", stop_after_seven)
        with pytest.raises(SystemExit, match="130"):
            main(words())
    assert not Path("runs/score/score.json").exists()
    capsys.readouterr()
    main(words())
    assert re.search(r": 11 embedded .*, 7 there before", capsys.readouterr().out)
    interrupted = Path("runs/score/score.json").read_bytes()
    main(words("--output_dir", "whole"))
    assert Path("whole/score.json").read_bytes() == interrupted


def test_failed_audio_fails_the_verb_after_everything_is_written(
    fails: Run, manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_sound(manifest.parent / "audio" / "plain" / "003.wav", BROKEN, seed=0)
    (manifest.parent / "audio" / "plain" / "004.wav").unlink()
    error = fails(*words())
    assert re.search(
        r"systems\.csv:5: audio/plain/003\.wav: holds text .*\nsystems\.csv:6: audio/plain/004\.wav: no such file\n"
        r"2 of 18 utterances .* --max-failed N",
        error,
    )
    content = json.loads(Path("runs/score/score.json").read_text(encoding="utf-8"))
    assert content["systems"]["plain"]["num_heard"] == 7
    assert "audio/plain/003.wav" in Path("runs/score/report.html").read_text(encoding="utf-8")
    main(words("--max-failed", 2))
    out = capsys.readouterr().out
    assert re.search(r"^plain +9 +7 +1 +1 +0\.\d{3}$", out, re.MULTILINE)
    assert re.search(r"^lively +9 +9 +0 +0 +1\.000$", out, re.MULTILINE)
    assert "failed: audio/plain/003.wav: holds text" in out
    assert "missing: audio/plain/004.wav: no such file" in out


def test_a_file_that_is_gone_counts_as_missing_though_the_store_knows_it(
    fails: Run, manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(words())
    (manifest.parent / "audio" / "lively" / "000.wav").unlink()
    error = fails(*words())
    assert re.search(r"systems\.csv:11: audio/lively/000\.wav: no such file\n1 of 18 utterances", error)
    main(words("--max-failed", 1))
    assert re.search(r"^lively +9 +8 +1 +0 +0\.889$", capsys.readouterr().out, re.MULTILINE)


def test_a_text_that_a_system_has_no_row_for_fails_nothing(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = manifest.read_text(encoding="utf-8").splitlines()
    manifest.write_text("\n".join(lines[:-1]) + "\n", encoding="utf-8")
    main(words())
    assert re.search(r"^lively +9 +8 +1 +0 +0\.889$", capsys.readouterr().out, re.MULTILINE)


def test_a_score_that_comes_to_nothing_leaves_none_of_an_earlier_manifest(fails: Run, manifest: Path) -> None:
    main(words())
    for file in (manifest.parent / "audio" / "plain").iterdir():
        file.unlink()
    fails(*words())
    assert {path.name for path in Path("runs/score").iterdir()} == {"utterances.csv", "store"}


def test_few_groups_are_said_to_be_too_few(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(words("--compare", "--group", "speaker"))
    captured = capsys.readouterr()
    assert "note: plain: 2 speaker only were heard: intervals are too narrow with fewer than 10" in captured.err
    assert "With fewer than 10 units they are too narrow." in Path("runs/score/report.html").read_text(encoding="utf-8")
    assert "more texts" not in captured.out


def test_unknown_emoji_are_dropped_and_said(fails: Run, manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace("t1,😂", "t1,😡"), encoding="utf-8")
    error = fails(*words())
    assert re.search(r"systems\.csv:3: label '😡' is not one of .* \(2 utterances: lines 3, 12\)", error)
    main(words("--unknown", "drop"))
    assert "dropped: 2 utterances that ask for 😡" in capsys.readouterr().out
    assert json.loads(Path("runs/score/score.json").read_text(encoding="utf-8"))["unknown"] == {"😡": 2}


def test_another_table_is_read_by_its_own_names(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [line.split(",") for line in manifest.read_text(encoding="utf-8").splitlines()]
    rows[0] = ["wav", "voice", "sentence", "emoji", "speaker"]
    names = {"😭": "sad", "😂": "joy", "😊": "calm"}
    write_table(manifest, [rows[0], *([*row[:3], names.get(row[3], row[3]), row[4]] for row in rows[1:])])
    Path("map.yaml").write_text("sad: 😭\njoy: 😂\ncalm: null\n", encoding="utf-8")
    columns = [f"--column={pair}" for pair in ("audio=wav", "system=voice", "text_id=sentence")]
    main(words(*columns, "--labels", "map.yaml", "--compare"))
    captured = capsys.readouterr()
    assert re.search(r"^plain +6 +6 +0 +0$", captured.out, re.MULTILINE)
    assert "note: systems.csv: no column 'label'; the emoji asked for are taken from 'emoji'" in captured.err
    assert "note: systems.csv: map.yaml leaves out 6 of 18 utterances" in captured.err


@pytest.mark.parametrize(
    ("content", "more", "match"),
    [
        ("", (), r"systems\.csv: .*empty"),
        ("audio,label\n", (), r"systems\.csv: the manifest is empty"),
        ("audio,emotion\n1.wav,😂\n", (), r"systems\.csv: no column 'label'"),
        ("audio,label\n1.wav,😂\n", ("--compare",), r"no column 'system', so there is nothing to compare"),
        (None, ("--group", "voice"), r"--group voice is no column; found columns"),
        (None, ("--unknown", "ask"), r"--unknown is 'ask'; expected error or drop"),
        (None, ("--resamples", "20"), r"expected 100 or more"),
        (None, ("--reference", "no.csv"), r"no\.csv: no such file"),
        (None, ("--encoder", "logmeal"), r"encoder 'logmeal' is not one of .* did you mean 'logmel'"),
    ],
)
def test_bad_input_gets_one_error(
    fails: Run, manifest: Path, content: str | None, more: tuple[str, ...], match: str
) -> None:
    if content is not None:
        manifest.write_text(content, encoding="utf-8")
    assert re.search(match, fails(*words(*more)))
    assert not Path("runs").exists()


def test_a_manifest_without_systems_is_one_system(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [line.split(",") for line in manifest.read_text(encoding="utf-8").splitlines()]
    write_table(manifest, [[row[0], row[3]] for row in rows])
    main(words())
    out = capsys.readouterr().out
    assert re.search(r"^all +18 +18 +0 +0$", out, re.MULTILINE)
    assert "bootstrap over utterance (" in out


def test_real_speech_is_a_row_of_the_tables(manifest: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    write_systems(tmp_path / "real", {"x": [*mix(3), ("😂", ABSENT)]}, name="real.csv")
    main(words("--reference", "real/real.csv", "--max-failed", 1))
    assert re.search(r"^real speech +4 +3 +1 +0 +0\.750$", capsys.readouterr().out, re.MULTILINE)


def test_the_overview_has_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    out = capsys.readouterr().out
    assert all(re.search(rf"^  {verb} +\w", out, re.MULTILINE) for verb in (*OWN_VERBS, *LIGHTNING_VERBS))
