import json
from pathlib import Path

import numpy as np
import pytest
from split_tables import make_manifest

from emoji_lightning import __version__
from emoji_lightning.embedding.store import EmbeddingStore
from emoji_lightning.embedding.vector_import import imported_key, imported_spec
from emoji_lightning.errors import LabelError, ManifestError, SplitError
from emoji_lightning.labels import LabelSet
from emoji_lightning.manifest import read_manifest
from emoji_lightning.manifest.writers import write_table
from emoji_lightning.splits.options import AuditOptions, SplitOptions
from emoji_lightning.splits.report import render_record
from emoji_lightning.splits.split_manifest import check_splits, split_manifest

EMODB = Path(__file__).resolve().parents[3] / "shared" / "data" / "emodb"
TENTHS = SplitOptions(dev=10, test=10)


def test_the_manifest_is_written_with_splits_and_a_record(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path)
    output = tmp_path / "runs" / "split.csv"
    record = split_manifest(manifest, None, SplitOptions(dev=10, test=0.1, seed=3), output=output)
    written = read_manifest(output)
    assert written.table.column_names == ["audio", "label", "text", "speaker", "take", "split"]
    assert written.ids == manifest.ids
    assert [written.column("split").count(name) for name in ("train", "dev", "test")] == [44, 10, 6]
    assert json.loads((tmp_path / "runs" / "split.csv.json").read_text()) == {"audio_root": "..", **record}
    assert record["counts"]["dev"] == {"joy": 5, "sad": 5}
    assert record["deviation"] == {"dev": 0, "test": 0}
    assert record["version"] == __version__
    assert record["options"] == {"dev": 10, "test": 0.1, "group": [], "seed": 3}
    assert str(tmp_path) not in json.dumps(record)


def test_a_split_of_the_split_is_the_same_split(tmp_path: Path) -> None:
    first, second = tmp_path / "a" / "split.csv", tmp_path / "b" / "deep" / "split.jsonl"
    split_manifest(make_manifest(tmp_path), None, TENTHS, output=first)
    split_manifest(read_manifest(first), None, TENTHS, output=second)
    assert read_manifest(first).column("split") == read_manifest(second).column("split")


def test_audio_paths_stay_right_wherever_the_output_is_written(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path)
    (tmp_path / "7.wav").write_bytes(b"sound")
    output = tmp_path / "far" / "away" / "split.tsv"
    split_manifest(manifest, None, TENTHS, output=output)
    assert read_manifest(output).audio_paths()[7].read_bytes() == b"sound"


def test_the_record_says_what_was_checked_and_what_not(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path, per_text=2)
    record = split_manifest(manifest, None, TENTHS, output=tmp_path / "s.csv", audit=AuditOptions(allow=["text"]))
    assert record["checked"]["id"] == record["checked"]["audio"] == 0
    assert record["checked"]["text"] == record["allowed"]["text"] > 0
    assert record["checked"]["speaker"] == 6
    assert record["not_checked"] == {
        "source_id": "no column 'source_id'",
        "audio bytes": "60 files are not here; compared by their paths",
        "near_duplicate": "no --store was given",
    }
    assert record["warnings"][0].startswith(f"the same text is spoken in several splits: {record['checked']['text']}")


def test_a_leak_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(SplitError, match=r"^text: the same text is spoken in several splits: \d+\n  'text \d+' in "):
        split_manifest(make_manifest(tmp_path, per_text=2), None, TENTHS, output=tmp_path / "out" / "s.csv")
    assert not (tmp_path / "out").exists()


def test_texts_as_groups_are_compared_in_normal_form(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(
        "audio,label,text\n"
        + "".join(f"{r}.wav,{'ab'[r % 2]},{('Hi %d!', ' hi  %d')[r % 2] % (r // 2)}\n" for r in range(80))
    )
    manifest = read_manifest(tmp_path / "labels.csv")
    record = split_manifest(manifest, None, SplitOptions(dev=8, test=8, group=["text"]), output=tmp_path / "s.csv")
    assert record["checked"]["text"] == 0
    assert record["num_groups"] == 40
    assert record["warnings"] == []
    assert record["deviation"] == {"dev": 0, "test": 0}


def test_any_column_can_be_the_group(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path).with_column("batch", [f"b{row % 6}" for row in range(60)])
    split_manifest(manifest, None, SplitOptions(dev=10, test=10, group=["batch"]), output=tmp_path / "s.parquet")
    written = read_manifest(tmp_path / "s.parquet")
    assert len(set(zip(written.column("batch"), written.column("split"), strict=True))) == 6


def test_several_columns_hold_together_what_shares_any(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path, per_text=3).with_column("speaker", [f"s{row // 5}" for row in range(60)])
    options = SplitOptions(dev=10, test=10, group=["speaker", "text"])
    record = split_manifest(manifest, None, options, output=tmp_path / "s.csv")
    assert record["num_groups"] == 4  # five texts of three rows meet three speakers of five rows
    assert record["checked"]["speaker"] == record["checked"]["text"] == 0


def test_columns_that_tie_everything_are_named(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path, per_text=7)
    with pytest.raises(SplitError, match=r"speaker and text together tie all 60 utterances into one group.*by one"):
        split_manifest(manifest, None, SplitOptions(group=["speaker", "text"]), output=tmp_path / "s.csv")


def test_identical_audio_is_a_leak_that_its_bytes_keep_together(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path)
    for row in range(60):
        (tmp_path / f"{row}.wav").write_bytes(f"sound {row // 3}".encode())
    with pytest.raises(SplitError, match=r"^audio: the same audio is in several splits: \d+\n  audio in \w+ \(labels"):
        split_manifest(manifest, None, TENTHS, output=tmp_path / "s.csv")
    record = split_manifest(manifest, None, SplitOptions(dev=10, test=10, group=["audio"]), output=tmp_path / "s.csv")
    assert record["num_groups"] == 20
    assert record["checked"]["audio"] == 0
    assert "audio bytes" not in record["not_checked"]


def make_store(folder: Path, names: list[str], embeddings: np.ndarray) -> str:
    """A store of vectors that are found by id."""
    store = EmbeddingStore.open_or_create(folder, imported_spec("made", embeddings.shape[1]))
    store.append([imported_key(name) for name in names], embeddings.astype(np.float32), [1.0] * len(names), ids=names)
    return str(folder)


def test_near_duplicates_are_a_leak_that_their_embeddings_keep_together(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path)
    rng = np.random.default_rng(0)
    vectors = np.repeat(rng.normal(size=(20, 32)), 3, axis=0) + 0.01 * rng.normal(size=(60, 32))
    audit = AuditOptions(store=make_store(tmp_path / "store", manifest.ids, vectors))
    output = tmp_path / "s.csv"
    with pytest.raises(SplitError, match=r"^near_duplicate: nearly the same embedding is in several splits: \d+\n"):
        split_manifest(manifest, None, TENTHS, output=output, audit=audit)
    grouped = SplitOptions(dev=10, test=10, group=["near_duplicate"])
    record = split_manifest(manifest, None, grouped, output=output, audit=audit)
    assert record["num_groups"] == 20
    assert record["checked"]["near_duplicate"] == 0
    apart = AuditOptions(store=audit.store, similarity=1.0)
    assert split_manifest(manifest, None, TENTHS, output=output, audit=apart)["checked"]["near_duplicate"] == 0


def test_near_duplicates_are_found_between_dev_and_test_and_where_others_have_no_embedding(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path).with_column("split", ["train"] * 40 + ["dev"] * 10 + ["test"] * 10)
    vectors = np.random.default_rng(0).normal(size=(60, 32))
    vectors[55] = vectors[43]
    audit = AuditOptions(store=make_store(tmp_path / "store", manifest.ids[5:], vectors[5:]))
    with pytest.raises(SplitError, match=r": 1\n  embeddings in dev \(labels.csv:45\) and test \(labels.csv:57\)\n"):
        check_splits(manifest, None, audit=audit)


def test_utterances_without_an_embedding_are_counted_as_not_checked(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path)
    store = make_store(tmp_path / "store", manifest.ids[:50], np.random.default_rng(0).normal(size=(50, 32)))
    record = split_manifest(manifest, None, TENTHS, output=tmp_path / "s.csv", audit=AuditOptions(store=store))
    assert record["not_checked"]["embeddings"] == "10 utterances have no embedding in the store"
    assert record["checked"]["near_duplicate"] == 0


def test_what_cannot_be_split_leaves_nothing_behind(tmp_path: Path) -> None:
    manifest, output = make_manifest(tmp_path), tmp_path / "out" / "s.csv"
    with pytest.raises(ManifestError, match=r"no column 'speakr'; found columns \['audio', .*; rename 'speaker'"):
        split_manifest(manifest, None, SplitOptions(dev=1, test=1, group=["speakr"]), output=output)
    with pytest.raises(SplitError, match="label 'joy' has 30 utterances, but dev takes 20, test 20"):
        split_manifest(manifest, None, SplitOptions(dev=40, test=40), output=output)
    with pytest.raises(LabelError, match=r"labels.csv:2: label 'joy' is not one of .* \(also lines 4, 6"):
        split_manifest(manifest, LabelSet(("sad", "anger")), SplitOptions(dev=4, test=4), output=output)
    with pytest.raises(ManifestError, match=r"s.txt: cannot write format '.txt'"):
        split_manifest(manifest, None, SplitOptions(dev=4, test=4), output=tmp_path / "out" / "s.txt")
    with pytest.raises(SplitError, match=r"--group near_duplicate needs embeddings; give --store DIR"):
        split_manifest(manifest, None, SplitOptions(group=["near_duplicate"]), output=output)
    assert not (tmp_path / "out").exists()


def test_rows_without_a_group_are_named(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("audio,label,speaker\na.wav,x,s1\nb.wav,y,\nc.wav,y, \n")
    message = r"labels.csv:3: speaker is empty; every utterance needs a group.*\nlabels.csv:4: speaker is empty"
    with pytest.raises(SplitError, match=message):
        split_manifest(
            read_manifest(tmp_path / "labels.csv"), None, SplitOptions(group=["speaker"]), output=tmp_path / "s.csv"
        )


def test_the_table_of_emotion2vecs_recipe_is_split_into_a_format_that_has_room_for_it(tmp_path: Path) -> None:
    (tmp_path / "train.emo").write_text("".join(f"utt{row}\t{('hap', 'sad')[row % 2]}\n" for row in range(40)))
    manifest = read_manifest(tmp_path / "train.emo")
    record = split_manifest(manifest, None, SplitOptions(dev=4, test=4), output=tmp_path / "s.csv")
    assert record["counts"]["test"] == {"hap": 2, "sad": 2}
    assert record["not_checked"]["audio"] == "no column 'audio'"
    with pytest.raises(ManifestError, match=r"s.emo: cannot write format '.emo'; expected one of .csv"):
        split_manifest(manifest, None, SplitOptions(dev=4, test=4), output=tmp_path / "s.emo")


def test_folds_are_a_column_of_their_own(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path)
    record = split_manifest(manifest, None, SplitOptions(folds=3, group=["speaker"]), output=tmp_path / "f.jsonl")
    written = read_manifest(tmp_path / "f.jsonl")
    assert sorted(set(written.column("fold"))) == [0, 1, 2]
    assert not written.has("split")
    assert record["options"] == {"folds": 3, "group": ["speaker"], "seed": 0}
    assert record["counts"] == {fold: {"joy": 10, "sad": 10} for fold in "012"}
    assert record["deviation"] == dict.fromkeys("012", 0.0)
    assert record["checked"]["speaker"] == 0


def test_columns_of_groups_must_be_there_to_be_checked(tmp_path: Path) -> None:
    output = tmp_path / "s.csv"
    split_manifest(make_manifest(tmp_path), None, SplitOptions(dev=10, test=10, group=["speaker"]), output=output)
    with pytest.raises(ManifestError, match=r"s.csv: no column 'spekaer'; found columns .*; rename 'speaker'"):
        check_splits(read_manifest(output), None, group=["spekaer"])
    record = check_splits(read_manifest(output).without_column("speaker"), None)
    assert record["not_checked"]["speaker"] == "no column 'speaker'"


def test_segments_of_one_recording_are_a_leak_where_audio_is_the_group(tmp_path: Path) -> None:
    rows = [f"a.wav,{'xy'[row % 2]},{row},{row + 1},{'train' if row < 4 else 'test'}" for row in range(8)]
    (tmp_path / "m.csv").write_text("\n".join(["audio,label,start,end,split", *rows]))
    manifest = read_manifest(tmp_path / "m.csv")
    assert check_splits(manifest, None)["warnings"][0].startswith(
        "segments of the same recording are in several splits"
    )
    with pytest.raises(SplitError, match=r"^recording: the same recording is in several splits: 1"):
        check_splits(manifest, None, group=["audio"])


def test_audio_that_is_a_folder_is_no_leak_but_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "m.csv").write_text("id,audio,label\n" + "".join(f"u{row},a,{row % 2}\n" for row in range(20)))
    with pytest.raises(ManifestError, match=r"m.csv:2: audio 'a' is a folder; expected an audio file"):
        split_manifest(read_manifest(tmp_path / "m.csv"), None, SplitOptions(dev=2, test=2), output=tmp_path / "s.csv")


def test_one_label_is_enough_to_look_for_leaks(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path).with_column("label", ["joy"] * 60)
    record = check_splits(manifest.with_column("split", ["train", "dev", "test"] * 20), None)
    assert record["counts"] == {split: {"joy": 20} for split in ("train", "dev", "test")}


def test_splits_made_elsewhere_are_checked(tmp_path: Path) -> None:
    manifest = make_manifest(tmp_path).with_column("split", ["train", "dev", "test"] * 20)
    table = manifest.with_column("split", ["train", "validation", "eval"] * 20).table
    write_table(table, tmp_path / "theirs.csv")
    record = check_splits(read_manifest(tmp_path / "theirs.csv"), None)
    assert record["counts"]["dev"] == {"joy": 10, "sad": 10}
    assert record["checked"]["id"] == 0
    shared = manifest.with_column("text", [f"t{row % 20}" for row in range(60)])
    with pytest.raises(SplitError, match=r"^text: the same text is spoken in several splits: 20\n  't0' in train \("):
        check_splits(shared, None)
    assert check_splits(shared, None, audit=AuditOptions(allow=["text"]))["allowed"] == {"text": 20}


def test_the_groups_of_the_record_are_checked_again(tmp_path: Path) -> None:
    output = tmp_path / "s.csv"
    split_manifest(make_manifest(tmp_path), None, SplitOptions(dev=10, test=10, group=["speaker"]), output=output)
    assert check_splits(read_manifest(output), None)["checked"]["speaker"] == 0
    lines = output.read_text().splitlines()
    place = next(number for number, line in enumerate(lines) if line.endswith(",train"))
    lines[place] = lines[place].removesuffix("train") + "test"
    output.write_text("\n".join(lines) + "\n")
    with pytest.raises(SplitError, match=r"^speaker: the same speaker is in several splits: 1\n.*s.csv:"):
        check_splits(read_manifest(output), None)


def test_a_manifest_without_splits_cannot_be_checked(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"labels.csv: neither a column 'split' nor 'fold'; found columns"):
        check_splits(make_manifest(tmp_path), None)


@pytest.mark.parametrize("similarity", [0.0, 1.5, -1.0])
def test_a_similarity_that_is_no_cosine_is_refused(similarity: float) -> None:
    with pytest.raises(SplitError, match=r"--similarity is .*; expected a cosine above 0, at most 1"):
        AuditOptions(similarity=similarity)


def test_the_record_is_printed_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = split_manifest(make_manifest(tmp_path), None, SplitOptions(dev=10, test=6), output=tmp_path / "s.csv")
    render_record(record)
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["joy", "22", "5", "3"] in shown
    assert ["all", "44", "10", "6"] in shown
    assert "dev: at most 0 from the balanced number per label" in [" ".join(words) for words in shown]


@pytest.mark.skipif(not EMODB.is_dir(), reason="the EmoDB recordings are not beside this repository")
@pytest.mark.parametrize(
    ("group", "deviation"), [("speaker", {"dev": 6, "test": 5}), ("sentence", {"dev": 4, "test": 6})]
)
def test_emodb_is_split_by_speaker_and_by_sentence(tmp_path: Path, group: str, deviation: dict[str, int]) -> None:
    manifest = read_manifest(EMODB / "manifest.csv")
    options = SplitOptions(dev=70, test=70, group=[group])
    record = split_manifest(manifest, None, options, output=tmp_path / "split.csv")
    written = read_manifest(tmp_path / "split.csv", check_audio=True)
    assert written.ids == manifest.ids
    assert len(set(zip(written.column(group), written.column("split"), strict=True))) == 10
    assert record["targets"]["dev"] == dict.fromkeys(manifest.infer_labels(), 10)
    assert record["deviation"] == deviation
    assert record["checked"]["audio"] == 0
    assert "audio bytes" not in record["not_checked"]
