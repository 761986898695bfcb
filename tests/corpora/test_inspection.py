"""What an inspection finds in a manifest whose every fault is known."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from emoji_lightning.corpora.duplicates import DuplicateGroup
from emoji_lightning.corpora.inspection import AudioSummary, Inspection, inspect_manifest
from emoji_lightning.labels import LabelSet
from emoji_lightning.manifest import read_manifest

EMODB = Path(__file__).resolve().parents[3] / "shared" / "data" / "emodb"
RATE = 16_000

Table = Callable[[Sequence[Mapping[str, object]]], Path]


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Write rows as `labels.jsonl`; the row at position N stands in line N + 1."""

    def write_rows(rows: Sequence[Mapping[str, object]]) -> Path:
        path = tmp_path / "labels.jsonl"
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        return path

    return write_rows


def make(path: Path, *, seconds: float = 1.0, seed: int = 0, rate: int = RATE, **options: Any) -> str:
    """Write noise that 16 bit hold exactly; return the file's name."""
    steps = np.random.default_rng(seed).integers(-20_000, 20_000, round(seconds * rate))
    soundfile.write(path, steps / 32_768, rate, **options)
    return path.name


def put(path: Path, samples: "np.ndarray[Any, Any]", **options: Any) -> str:
    soundfile.write(path, samples, RATE, **options)
    return path.name


def look(path: Path, **options: Any) -> Inspection:
    return inspect_manifest(read_manifest(path), **options)


def listen(path: Path) -> AudioSummary:
    audio = look(path).audio
    assert audio is not None
    return audio


def places(groups: Sequence[DuplicateGroup]) -> list[list[int]]:
    return [[int(row.place.removeprefix("labels.jsonl:")) for row in group.rows] for group in groups]


# --- counts -----------------------------------------------------------------------------------------------------------


def test_utterances_and_hours_are_counted_by_label_and_column(tmp_path: Path, table: Table) -> None:
    rows = [
        {
            "audio": make(tmp_path / f"{number}.wav", seconds=1 + number, seed=number),
            "label": "joy" if number < 3 else "sad",
            "split": "train" if number != 1 else "dev",
            "speaker": "anna" if number != 1 else "",
            "fold": number % 2,
            "system": "tts",
        }
        for number in range(5)
    ]
    found = look(table(rows))
    assert (found.manifest, found.num_utterances) == ("labels.jsonl", 5)
    assert {label: count.num_utterances for label, count in found.labels.items()} == {"joy": 3, "sad": 2}
    hours = {label: count.hours for label, count in found.labels.items()}
    assert hours == pytest.approx({"joy": 6 / 3600, "sad": 9 / 3600})
    assert list(found.columns) == ["split", "fold", "system", "speaker"]
    speaker, fold = found.columns["speaker"], found.columns["fold"]
    assert (speaker.num_values, speaker.num_empty) == (1, 1)
    assert speaker.values["anna"].hours == found.columns["split"].values["train"].hours == pytest.approx(13 / 3600)
    assert {value: count.num_utterances for value, count in fold.values.items()} == {"0": 3, "1": 2}
    assert found.audio is not None
    assert found.audio.hours == pytest.approx(15 / 3600)
    assert found.audio.num_files == 5


def test_a_column_of_many_values_is_described_by_their_spread(table: Table) -> None:
    counts = {f"s{number}": 1 + number % 7 for number in range(40)}
    speakers = [speaker for speaker, n in counts.items() for _ in range(n)]
    rows = [{"id": str(number), "speaker": speaker} for number, speaker in enumerate(speakers)]
    column = look(table([*rows, {"id": "x", "speaker": " "}])).columns["speaker"]
    assert (column.num_values, column.num_empty, column.values) == (40, 1, {})
    spread = (column.min_per_value, column.median_per_value, column.max_per_value)
    assert spread == (1, np.median(list(counts.values())), 7)


def test_rows_without_text_are_counted_and_texts_are_not_listed(table: Table) -> None:
    texts = ["hello", "hello", "", None, "bye"]
    column = look(table([{"id": str(n), "text": text} for n, text in enumerate(texts)])).columns["text"]
    assert (column.num_values, column.num_empty, column.max_per_value, column.values) == (2, 2, 2, {})


def test_durations_rates_channels_and_formats(tmp_path: Path, table: Table) -> None:
    lengths = np.linspace(0.1, 2.0, 20)
    names = [make(tmp_path / f"{n}.wav", seconds=each, seed=n, rate=8_000) for n, each in enumerate(lengths)]
    names += [make(tmp_path / "a.flac", seconds=1.0, rate=24_000), put(tmp_path / "b.wav", np.zeros((RATE, 2)) + 0.1)]
    names += [make(tmp_path / "c.ogg", seconds=1.0), make(tmp_path / "d.wav", seconds=1.0, subtype="FLOAT")]
    audio = listen(table([{"audio": name} for name in names]))
    seconds = [soundfile.info(tmp_path / name).duration for name in names]
    expected = dict(
        zip(("min", "5%", "median", "95%", "max"), np.quantile(seconds, [0, 0.05, 0.5, 0.95, 1]), strict=True)
    )
    assert audio.duration_s == pytest.approx(expected)
    assert audio.sample_rates == {"8000": 20, "16000": 3, "24000": 1}
    assert audio.num_channels == {"1": 23, "2": 1}
    assert audio.formats == {"WAV PCM_16": 21, "FLAC PCM_16": 1, "OGG VORBIS": 1, "WAV FLOAT": 1}


def test_segments_count_their_own_seconds(tmp_path: Path, table: Table) -> None:
    name = make(tmp_path / "a.wav", seconds=3)
    times = [(0, 1), (1, 1.5), (1.5, None)]
    audio = listen(table([{"audio": name, "start": start, "end": end} for start, end in times]))
    assert (audio.num_files, audio.duplicates.num_repeated) == (1, 0)
    assert audio.hours == pytest.approx(3 / 3600)
    assert audio.duration_s["min"] == 0.5


# --- what is wrong with audio -----------------------------------------------------------------------------------------


def test_odd_utterances_are_named_the_worst_first(tmp_path: Path, table: Table) -> None:
    sound = np.random.default_rng(0).integers(-20_000, 20_000, RATE) / 32_768
    silence = np.zeros(RATE)
    clipped, more_clipped = sound.copy(), sound.copy()
    clipped[:3], more_clipped[:30] = 1, -1
    odd = {
        "plain": sound,
        "clipped": clipped,
        "more clipped": more_clipped,
        "silent": silence,
        "late": np.concatenate([silence, sound]),
        "early": np.concatenate([sound, silence[: RATE // 2], 0 * sound[:320]]),
        "not so early": np.concatenate([sound, silence[: RATE // 2]]),
        "399": sound[:399],
        "200": sound[:200],
        "400": sound[:400],
        "120 s": np.tile(sound, 120),
        "more than 120 s": np.concatenate([np.tile(sound, 120), sound[:1]]),
    }
    rows = [{"audio": put(tmp_path / f"{name}.wav", samples)} for name, samples in odd.items()]
    rows.append({"audio": put(tmp_path / "loud.wav", 2 * sound, subtype="FLOAT")})
    found = listen(table(rows)).findings
    names = {kind: [each.audio.removesuffix(".wav") for each in found[kind].utterances] for kind in found}
    assert names == {
        "clipped": ["more clipped", "clipped"],
        "over_full_scale": ["loud"],
        "silent": ["silent"],
        "long_leading_silence": ["late"],
        "long_trailing_silence": ["early"],
        "too_short": ["200", "399"],
        "too_long": ["more than 120 s"],
    }
    worst = found["clipped"].utterances[0]
    assert (worst.place, worst.value, found["clipped"].value_is) == ("labels.jsonl:3", 30 / RATE, "share of samples")


def test_audio_that_cannot_be_used_is_listed_with_its_reason(tmp_path: Path, table: Table) -> None:
    (tmp_path / "text.wav").write_text("hello", encoding="utf-8")
    whole = (tmp_path / make(tmp_path / "whole.wav")).read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[:-1])
    names = ["whole.wav", "gone.wav", "text.wav", "cut.wav"]
    found = look(table([{"id": name[:-4], "audio": name, "label": name} for name in names]))
    assert found.audio is not None
    failed = [(each.place, each.id, each.audio, each.reason) for each in found.audio.failed]
    assert failed == [
        ("labels.jsonl:2", "gone", "gone.wav", "no such file"),
        ("labels.jsonl:3", "text", "text.wav", "holds text ('hello'...), not audio"),
        (
            "labels.jsonl:4",
            "cut",
            "cut.wav",
            "is cut off: its header promises 32000 bytes of audio, 31999 are there; copy it again",
        ),
    ]
    assert found.num_failed == 3
    assert found.labels["gone.wav"].hours == 0
    assert found.audio.formats == {"WAV PCM_16": 1}


def test_a_corpus_of_broken_files_has_a_report_too(tmp_path: Path, table: Table) -> None:
    (tmp_path / "a.wav").write_bytes(b"")
    found = look(table([{"audio": "a.wav", "label": "joy"}]))
    assert found.audio is not None
    assert (found.audio.hours, found.audio.duration_s, found.num_failed) == (0, {}, 1)


# --- duplicates -------------------------------------------------------------------------------------------------------


def test_duplicates_are_grouped_by_bytes_and_by_samples(tmp_path: Path, table: Table) -> None:
    first = make(tmp_path / "a.wav")
    shutil.copy(tmp_path / first, tmp_path / "copy.wav")
    near = np.random.default_rng(0).integers(-20_000, 20_000, RATE) / 32_768
    near[5_000] += 1 / 32_768
    names = [
        first,  # line 1
        make(tmp_path / "other.wav", seed=1),
        "copy.wav",
        make(tmp_path / "a.flac"),
        make(tmp_path / "24.wav", subtype="PCM_24"),
        put(tmp_path / "near.wav", near),  # line 6
        make(tmp_path / "other.flac", seed=1),
        make(tmp_path / "rate.wav", rate=RATE + 1),
        make(tmp_path / "lossy.ogg"),
    ]
    found = listen(table([{"audio": name} for name in names])).duplicates
    assert places(found.identical_files) == [[1, 3]]
    assert places(found.same_audio) == [[1, 3, 4, 5], [2, 7]]
    assert [row.format for row in found.same_audio[1].rows] == ["WAV PCM_16", "FLAC PCM_16"]
    assert (found.num_repeated, found.num_label_conflicts, found.num_split_leaks) == (4, 0, 0)


def test_conflicts_of_labels_and_splits_are_told_and_come_first(tmp_path: Path, table: Table) -> None:
    rows = []
    for seed, (labels, splits) in enumerate(
        [
            (("joy", "joy"), ("train", "train")),
            (("😂", ":joy:"), ("dev", "dev")),  # the same label
            (("joy", "sad"), ("dev", "dev")),
            (("joy", "joy"), ("train", "test")),
        ]
    ):
        for suffix, label, split in zip(("wav", "flac"), labels, splits, strict=True):
            name = make(tmp_path / f"{seed}.{suffix}", seed=seed)
            rows.append({"audio": name, "label": label, "split": split})
    found = listen(table(rows)).duplicates
    assert places(found.same_audio) == [[5, 6], [7, 8], [1, 2], [3, 4]]
    disagreeing = [(group.labels_disagree, group.splits_disagree) for group in found.same_audio]
    assert disagreeing == [(True, False), (False, True), (False, False), (False, False)]
    assert (found.num_label_conflicts, found.num_split_leaks) == (1, 1)
    assert not found.identical_files


def test_a_file_that_is_listed_twice_is_a_duplicate_and_its_segments_are_not(tmp_path: Path, table: Table) -> None:
    name = make(tmp_path / "a.wav", seconds=2)
    copy = shutil.copy(tmp_path / name, tmp_path / "copy.wav")
    times: list[tuple[str, float | None, float | None]] = [
        (name, None, None),
        (name, 0.0, None),
        (name, 0.0, 1.0),
        (name, 1.0, 2.0),
        (Path(copy).name, 1.0, 2.0),
    ]
    rows = [{"id": str(n), "audio": audio, "start": start, "end": end} for n, (audio, start, end) in enumerate(times)]
    found = listen(table(rows)).duplicates
    assert places(found.identical_files) == [[1, 2], [4, 5]]
    assert not found.same_audio


def test_rows_that_cannot_be_used_are_no_duplicates(tmp_path: Path, table: Table) -> None:
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).write_text("the same text", encoding="utf-8")
    assert listen(table([{"audio": "a.wav"}, {"audio": "b.wav"}])).duplicates.num_repeated == 0


# --- labels -----------------------------------------------------------------------------------------------------------


def test_spellings_that_were_normalised_are_listed_by_kind(table: Table) -> None:
    labels = ["😂", ":joy:", ":joy:", "ðŸ˜‚", "πŸ”¥", "👍🏽", "❤️", "<NONE>", "Ärger", "joy"]
    found = look(table([{"id": str(n), "label": label} for n, label in enumerate(labels)]))
    assert [(each.spelling, each.label, each.kind, each.num_utterances) for each in found.spellings] == [
        (":joy:", "😂", "shortcode", 2),
        ("<NONE>", "<none>", "letter case", 1),
        ("ðŸ˜‚", "😂", "broken encoding", 1),
        ("πŸ”¥", "🔥", "broken encoding", 1),
        ("❤️", "❤", "variation selector", 1),
        ("👍🏽", "👍", "skin tone", 1),
    ]
    assert found.labels["😂"].num_utterances == 4
    assert found.labels["joy"].num_utterances == 1


def test_a_byte_that_was_lost_is_restored_where_only_one_label_fits(table: Table) -> None:
    broken = "😍".encode().decode("cp1252", errors="ignore")
    found = look(table([{"id": "a", "label": broken}, {"id": "b", "label": "😂"}]))
    assert [(each.label, each.kind) for each in found.spellings] == [("😍", "broken encoding")]


def test_one_label_only_is_counted_too(table: Table) -> None:
    found = look(table([{"id": "a", "label": ":fire:"}]))
    assert [(each.spelling, each.label) for each in found.spellings] == [(":fire:", "🔥")]


def test_labels_that_a_given_set_lacks_are_told(table: Table) -> None:
    path = table([{"id": str(n), "label": label} for n, label in enumerate(["joy", "anger", "joy", "fear"])])
    assert look(path, label_set=LabelSet(("joy", "sad"))).unknown_labels == ["anger", "fear"]
    assert look(path).unknown_labels == []


# --- without audio ----------------------------------------------------------------------------------------------------


def test_a_table_without_audio_is_counted_and_the_report_says_why(tmp_path: Path, table: Table) -> None:
    without = look(table([{"id": "a", "label": "joy"}]))
    assert (without.audio, without.audio_skipped, without.num_failed) == (
        None,
        "the manifest has no column 'audio'",
        0,
    )
    gone = look(table([{"audio": "x.wav", "label": "joy"}, {"audio": "y.wav", "label": "joy"}]))
    assert (gone.audio, gone.num_failed) == (None, 2)
    assert gone.audio_skipped == "none of its files is there, the first is 'x.wav'"
    assert (gone.labels["joy"].num_utterances, gone.labels["joy"].hours) == (2, None)
    name = make(tmp_path / "a.wav")
    unasked = look(table([{"audio": name}]), look_at_audio=False)
    assert (unasked.audio, unasked.audio_skipped, unasked.num_failed) == (None, "it was not asked for", 0)


def test_a_table_without_labels_has_no_conflicts(tmp_path: Path, table: Table) -> None:
    found = look(table([{"audio": make(tmp_path / name)} for name in ("a.wav", "a.flac")]))
    assert (found.labels, found.spellings) == ({}, [])
    assert found.audio is not None
    assert (found.audio.duplicates.num_repeated, found.audio.duplicates.num_label_conflicts) == (1, 0)


# --- JSON, real speech ------------------------------------------------------------------------------------------------


def test_the_report_is_json_without_infinities_or_paths_of_this_machine(tmp_path: Path, table: Table) -> None:
    rows = [
        {"audio": put(tmp_path / "silent.wav", np.zeros(RATE)), "label": "😂", "split": "train"},
        {"audio": put(tmp_path / "silent.flac", np.zeros(RATE)), "label": "😭", "split": "dev"},
        {"audio": "gone.wav", "label": "😂", "split": "dev"},
    ]
    found = look(table(rows))
    text = json.dumps(found.to_json(), ensure_ascii=False, allow_nan=False)
    assert str(tmp_path) not in text
    content = json.loads(text)
    assert content["labels"]["😂"]["num_utterances"] == 2
    (group,) = content["audio"]["duplicates"]["same_audio"]
    assert (group["labels_disagree"], group["splits_disagree"]) == (True, True)
    assert content["audio"]["failed"][0]["reason"] == "no such file"


def test_real_speech_is_what_its_readme_says() -> None:
    if not EMODB.is_dir():
        pytest.skip(f"real speech is not on this machine ({EMODB.name}); generated audio covers the same code")
    found = look(EMODB / "manifest.csv")
    assert found.num_utterances == 535
    counts = {label: count.num_utterances for label, count in found.labels.items()}
    assert counts == {
        "anger": 127,
        "boredom": 81,
        "neutral": 79,
        "happiness": 71,
        "fear": 69,
        "sadness": 62,
        "disgust": 46,
    }
    assert found.columns["speaker"].num_values == 10
    audio = found.audio
    assert audio is not None
    assert (round(audio.hours, 2), audio.sample_rates, audio.formats) == (0.3, {"22050": 535}, {"FLAC PCM_16": 535})
    assert (audio.duplicates.num_repeated, len(audio.failed)) == (0, 0)
