"""Embeddings meet labels by key, whatever the order and place of files; splits are balanced."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from emoji_lightning.audio import audio_key
from emoji_lightning.data.corpus import read_corpus
from emoji_lightning.data.datamodule import EmojiDataModule
from emoji_lightning.embedding.joining import join_embeddings
from emoji_lightning.embedding.spec import EmbeddingSpec
from emoji_lightning.embedding.store import EmbeddingStore
from emoji_lightning.errors import ConfigError, LabelError, ManifestError, SplitError, StoreError
from emoji_lightning.manifest import read_manifest
from emoji_lightning.splits.options import SplitOptions

LABELS = ("😂", "🔥", "<none>")
NUM = 30


def vector(number: int) -> np.ndarray:
    """The embedding of utterance `number`: recognisable."""
    return np.array([number, number**2, -number, 1], dtype=np.float32)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    lines = ["audio,label,speaker"]
    for number in range(NUM):
        path = tmp_path / "audio" / f"{number:02d}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, np.full(800, number / 100), 16_000)
        lines.append(f"audio/{path.name},{LABELS[number % 3]},s{number % 5}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path / "labels.csv"


@pytest.fixture
def store(manifest: Path) -> Path:
    """A store whose parts hold the utterances backwards."""
    made = EmbeddingStore.open_or_create(manifest.parent / "store", EmbeddingSpec(encoder="logmel", dim=4))
    for numbers in (range(NUM - 1, 9, -1), range(9, -1, -1)):
        keys = [audio_key(manifest.parent / "audio" / f"{number:02d}.wav") for number in numbers]
        made.append(keys, np.stack([vector(number) for number in numbers]), [0.05] * len(keys))
    return made.path


def test_every_utterance_gets_its_own_vector_and_label(manifest: Path, store: Path) -> None:
    corpus = read_corpus(str(manifest), str(store), split=SplitOptions(dev=6, test=6))
    for row, name in enumerate(corpus.ids):
        number = int(Path(name).stem)
        np.testing.assert_array_equal(corpus.embeddings[row], vector(number))
        assert list(corpus.label_set)[corpus.labels[row]] == LABELS[number % 3]
    assert len(corpus.label_set) == 11


def test_shuffled_rows_relabelled_and_moved_audio_keep_their_vectors(manifest: Path, store: Path) -> None:
    (manifest.parent / "audio").rename(manifest.parent / "moved")
    header, *rows = manifest.read_text(encoding="utf-8").replace("audio/", "moved/").splitlines()
    manifest.write_text("\n".join([header, *rows[::-1]]).replace("😂", "😭") + "\n", encoding="utf-8")
    corpus = read_corpus(str(manifest), str(store), split=SplitOptions(dev=6, test=6))
    for row, name in enumerate(corpus.ids):
        np.testing.assert_array_equal(corpus.embeddings[row], vector(int(Path(name).stem)))
    assert "😭" in {list(corpus.label_set)[label] for label in corpus.labels}


def test_imported_vectors_join_by_id_without_audio(tmp_path: Path) -> None:
    made = EmbeddingStore.open_or_create(tmp_path / "store", EmbeddingSpec(encoder="theirs", dim=4))
    made.append(["k0", "k1"], np.stack([vector(0), vector(1)]), [1.0, 1.0], ids=["zero", "one"])
    (tmp_path / "labels.csv").write_text("id,label\none,joy\nzero,sad\n")
    manifest, embeddings = join_embeddings(read_manifest(tmp_path / "labels.csv"), made)
    assert manifest.ids == ["one", "zero"]
    np.testing.assert_array_equal(embeddings, np.stack([vector(1), vector(0)]))


def test_missing_vectors_are_an_error_or_dropped(manifest: Path, store: Path) -> None:
    soundfile.write(manifest.parent / "audio" / "new.wav", np.full(900, 0.5), 16_000)
    with manifest.open("a", encoding="utf-8") as file:
        file.write("audio/new.wav,🔥,s1\n")
    with pytest.raises(StoreError, match=r"labels\.csv:32: no embedding of 'audio/new\.wav'"):
        read_corpus(str(manifest), str(store), split=SplitOptions())
    corpus = read_corpus(str(manifest), str(store), missing="drop", split=SplitOptions(dev=6, test=6))
    assert len(corpus.ids) == NUM
    assert "audio/new.wav" not in corpus.ids


def test_a_store_without_any_of_the_vectors_is_an_error_even_if_missing_ones_may_be_dropped(
    manifest: Path, tmp_path: Path
) -> None:
    EmbeddingStore.open_or_create(tmp_path / "other", EmbeddingSpec(encoder="logmel", dim=4))
    with pytest.raises(StoreError, match="30 of 30 utterances have no embedding"):
        read_corpus(str(manifest), str(tmp_path / "other"), missing="drop", split=SplitOptions())


def test_splits_made_while_loading_are_balanced_and_repeatable(manifest: Path, store: Path) -> None:
    first, second = (read_corpus(str(manifest), str(store), split=SplitOptions(dev=6, test=6, seed=3)) for _ in "ab")
    np.testing.assert_array_equal(first.splits, second.splits)
    counts = first.counts()
    assert [counts[split][label] for split in ("dev", "test") for label in LABELS] == [2] * 6
    other = read_corpus(str(manifest), str(store), split=SplitOptions(dev=6, test=6, seed=4))
    assert (first.splits != other.splits).any()


def test_groups_stay_in_one_split(manifest: Path, store: Path) -> None:
    corpus = read_corpus(str(manifest), str(store), split=SplitOptions(dev=6, test=6, group="speaker"))
    speakers = [f"s{int(Path(name).stem) % 5}" for name in corpus.ids]
    assert all(len({corpus.splits[i] for i in range(NUM) if speakers[i] == speaker}) == 1 for speaker in set(speakers))


def test_a_map_is_not_taken_for_a_label_set_nor_a_set_for_a_map(manifest: Path, store: Path) -> None:
    given = {"split": SplitOptions(dev=6, test=6)}
    (manifest.parent / "map.yaml").write_text("😂: joy\n🔥: anger\n<none>: null\n", encoding="utf-8")
    (manifest.parent / "set.json").write_text('["joy", "anger"]')
    corpus = read_corpus(str(manifest), str(store), label_map=str(manifest.parent / "map.yaml"), **given)
    assert corpus.label_set.labels == ("anger", "joy")
    assert len(corpus.ids) == NUM * 2 // 3
    with pytest.raises(LabelError, match=r"map.yaml: maps labels to others; give it as --data.label_map"):
        read_corpus(str(manifest), str(store), labels=str(manifest.parent / "map.yaml"), **given)
    with pytest.raises(LabelError, match=r"set.json: is a label set; expected a map of labels to labels"):
        read_corpus(str(manifest), str(store), label_map=str(manifest.parent / "set.json"), **given)


def test_folds_of_others_are_read(manifest: Path, store: Path) -> None:
    header, *rows = manifest.read_text(encoding="utf-8").splitlines()
    folds = [("1.0", "2", "7")[row % 3] for row in range(len(rows))]
    lines = [f"{header},fold", *(f"{row},{fold}" for row, fold in zip(rows, folds, strict=True))]
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = read_corpus(str(manifest), str(store), split=SplitOptions(), fold=7)
    assert found.splits.tolist() == [{"1.0": "dev", "2": "train", "7": "test"}[fold] for fold in folds]
    with pytest.raises(SplitError, match=r"--data.fold is 0, the folds of .* are \[1, 2, 7\]; expected one of them"):
        read_corpus(str(manifest), str(store), split=SplitOptions(), fold=0)
    manifest.write_text("\n".join([*lines[:-1], f"{rows[-1]},x"]) + "\n", encoding="utf-8")
    with pytest.raises(SplitError, match=r"labels.csv:\d+: fold is 'x'; expected a whole number, 0 or more"):
        read_corpus(str(manifest), str(store), split=SplitOptions(), fold=7)


@pytest.mark.parametrize("seed", [0, 2, 3, 5])  # which draw the two apart when nothing ties them
def test_near_duplicates_can_be_the_group(manifest: Path, seed: int) -> None:
    embeddings = np.random.default_rng(0).normal(size=(NUM, 16)).astype(np.float32)
    embeddings[1] = embeddings[0] + 0.01
    store = EmbeddingStore.open_or_create(manifest.parent / "near", EmbeddingSpec(encoder="logmel", dim=16))
    keys = [audio_key(manifest.parent / "audio" / f"{number:02d}.wav") for number in range(NUM)]
    store.append(keys, embeddings, [0.05] * NUM)

    def find_splits(group: str | None) -> list[str]:
        options = SplitOptions(dev=6, test=6, group=group, seed=seed)
        corpus = read_corpus(str(manifest), str(store.path), split=options)
        return [corpus.splits[corpus.ids.index(f"audio/{number:02d}.wav")] for number in (0, 1)]

    plain, grouped = find_splits(None), find_splits("near_duplicate")
    assert plain[0] != plain[1]
    assert grouped[0] == grouped[1]


def test_the_module_serves_each_split_whole(manifest: Path, store: Path) -> None:
    data = EmojiDataModule(str(manifest), str(store), dev=6, test=6, batch_size=4)
    data.setup("fit")
    seen = [row for batch in data.val_dataloader() for row in batch.row.tolist()]
    assert seen == data.corpus.rows("dev").tolist()
    shuffled = [row for batch in data.train_dataloader() for row in batch.row.tolist()]
    assert sorted(shuffled) == data.corpus.rows("train").tolist()
    assert shuffled != sorted(shuffled)
    assert data.embedding_dim == 4
    assert data.encoder == "logmel"


def test_an_empty_split_is_an_error(manifest: Path, store: Path) -> None:
    header, *rows = manifest.read_text(encoding="utf-8").splitlines()
    lines = [header + ",split", *(row + ",train" for row in rows)]
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
    data = EmojiDataModule(str(manifest), str(store))
    with pytest.raises(SplitError, match=r"split 'dev' has no utterance \(train 30, dev 0, test 0\)"):
        data.setup("fit")


def test_unlabelled_utterances_can_only_be_predicted(manifest: Path, store: Path) -> None:
    text = manifest.read_text(encoding="utf-8")
    lines = [",".join(line.split(",")[::2]) for line in text.splitlines()]
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
    data = EmojiDataModule(str(manifest), str(store))
    data.setup("predict")
    batches = list(data.predict_dataloader())
    assert sum(len(batch.row) for batch in batches) == NUM
    assert all((batch.label == -1).all() for batch in batches)
    with pytest.raises(ManifestError, match="no column 'label'; `fit` needs one, `predict` does not"):
        data.setup("fit")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"manifest": "a.csv"}, "--data.manifest is given, --data.store is not"),
        ({"store": "s"}, "--data.store is given, --data.manifest is not"),
        ({"batch_size": 0}, "--data.batch_size is 0; expected at least 1"),
    ],
)
def test_options_that_cannot_be_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EmojiDataModule(**options)  # type: ignore[arg-type]
