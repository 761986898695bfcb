"""A corpus grows: what an earlier split says is kept, and what contradicts it is told."""

import json
from pathlib import Path

import pytest
from split_tables import make_manifest

from emoji_lightning.errors import ManifestError, SplitError
from emoji_lightning.label_map import LabelMap
from emoji_lightning.manifest import read_manifest
from emoji_lightning.splits.earlier import check_earlier, read_earlier, read_options
from emoji_lightning.splits.options import Reading, SplitOptions
from emoji_lightning.splits.report import render_record
from emoji_lightning.splits.split_manifest import split_manifest

TENTHS = SplitOptions(dev=10, test=10)


@pytest.mark.parametrize("options", [SplitOptions(dev=10, test=10), SplitOptions(folds=4)])
def test_a_corpus_that_grew_keeps_its_split(tmp_path: Path, options: SplitOptions) -> None:
    output, column = tmp_path / "s.csv", "fold" if options.folds else "split"
    split_manifest(make_manifest(tmp_path), None, options, output=output)
    before = dict(zip(read_manifest(output).ids, read_manifest(output).column(column), strict=True))
    grown = make_manifest(tmp_path, num_rows=90).select([*range(80, 90), *range(1, 80)])
    record = split_manifest(grown, None, options, output=output, update=True)
    after = dict(zip(read_manifest(output).ids, read_manifest(output).column(column), strict=True))
    assert {name: after[name] for name in before if name in after} == {k: v for k, v in before.items() if k in after}
    assert record["earlier"] == {"manifest": "s.csv", "kept": 59, "new": 30, "gone": 1, "relabelled": 0}
    assert "" not in after.values()


def test_folds_do_not_grow_out_of_a_split(tmp_path: Path) -> None:
    output, manifest = tmp_path / "s.csv", make_manifest(tmp_path)
    split_manifest(manifest, None, TENTHS, output=output)
    with pytest.raises(SplitError, match=r"s.csv has a column 'split', and a 'fold' is asked for"):
        split_manifest(manifest, None, SplitOptions(folds=3), output=output, update=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1]", r"s.csv.json: options are \[1\]; expected a mapping; delete it or split anew"),
        ('{"options": 3}', r"s.csv.json: options are 3; expected a mapping"),
        ('{"options": {"dev": "x"}}', r"s.csv.json: option 'dev' is 'x'; delete it there and give --dev"),
        ('{"options": {"group": true}}', r"s.csv.json: option 'group' is True"),
        ('{"options": {"group": [["a"]]}}', r"s.csv.json: option 'group' is \[\['a'\]\]"),
        ('{"options": {"group": [1]}}', r"s.csv.json: option 'group' is \[1\]"),
        ("{", r"s.csv.json: not JSON"),
    ],
)
def test_a_record_that_was_damaged_is_one_error(tmp_path: Path, content: str, message: str) -> None:
    output, manifest = tmp_path / "s.csv", make_manifest(tmp_path)
    split_manifest(manifest, None, TENTHS, output=output)
    (tmp_path / "s.csv.json").write_text(content)
    with pytest.raises(ManifestError, match=message):
        read_earlier(output, manifest)


@pytest.mark.parametrize("place", ["s.csv", "out/deep/s.csv", "../beside/s.csv", "../s.csv"])
def test_the_split_is_known_without_its_record_wherever_it_lies(tmp_path: Path, place: str) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    manifest, output = make_manifest(folder), folder / place
    split_manifest(manifest, None, TENTHS, output=output)
    whole = read_earlier(output, manifest)
    (output.parent / "s.csv.json").unlink()
    assert read_earlier(output, manifest).places == whole.places
    assert set(whole.places) == set(manifest.ids)


def test_labels_that_changed_are_counted_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output, manifest = tmp_path / "s.csv", make_manifest(tmp_path)
    split_manifest(manifest, None, TENTHS, output=output)
    changed = manifest.with_column("label", ["sad", *manifest.column("label")[1:]])
    record = split_manifest(changed, None, TENTHS, output=output, update=True)
    assert record["earlier"]["relabelled"] == 1
    render_record(record)
    assert "warning: 1 of those kept have another label than before" in capsys.readouterr().out


def test_a_label_that_only_dev_has_is_refused(tmp_path: Path) -> None:
    output, manifest = tmp_path / "s.csv", make_manifest(tmp_path)
    split_manifest(manifest, None, TENTHS, output=output)
    splits = read_manifest(output).column("split")
    labels = ["new" if split == "dev" else label for split, label in zip(splits, manifest.column("label"), strict=True)]
    changed = manifest.with_column("label", labels)
    with pytest.raises(SplitError, match=r"label 'new' has no utterance in train, since its 10 keep their split; add"):
        split_manifest(changed, None, SplitOptions(dev=9, test=9), output=output, update=True)


def test_audio_under_another_id_is_not_drawn_anew(tmp_path: Path) -> None:
    output = tmp_path / "s.csv"
    manifest = make_manifest(tmp_path).with_column("id", [f"u{row}" for row in range(60)])
    split_manifest(manifest, None, TENTHS, output=output)
    renamed = manifest.with_column("id", ["u0", *(f"v{row}" for row in range(1, 60))])
    message = r"^labels.csv:3: 'v1' is new, but its audio was 'u1', in \w+, in s.csv; give it its id again.*\n(.*\n){4}"
    with pytest.raises(SplitError, match=message + r"\.\.\. and 54 more$"):
        split_manifest(renamed, None, TENTHS, output=output, update=True)


def test_a_new_utterance_may_have_the_audio_of_one_that_is_there(tmp_path: Path) -> None:
    output, manifest = tmp_path / "s.csv", make_manifest(tmp_path).with_column("id", [f"u{row}" for row in range(60)])
    split_manifest(manifest, None, TENTHS, output=output)
    more = manifest.select([*range(60), 0]).with_column("id", [*manifest.ids, "again"])
    check_earlier(read_earlier(output, more), more, "split")


def test_a_fold_that_would_stay_empty_is_refused(tmp_path: Path) -> None:
    output, manifest = tmp_path / "f.csv", make_manifest(tmp_path)
    for group in ([], ["speaker"]):
        output.unlink(missing_ok=True)
        split_manifest(manifest, None, SplitOptions(folds=4, group=group), output=output)
        more = SplitOptions(folds=6, group=group)
        with pytest.raises(SplitError, match=r"fold 4, 5 of 6 gets nothing, since what is there keeps its fold"):
            split_manifest(manifest, None, more, output=output, update=True)


def test_a_split_that_cannot_be_filled_any_more_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output, manifest = tmp_path / "s.csv", make_manifest(tmp_path)
    for group in ([], ["speaker"]):
        split_manifest(manifest, None, SplitOptions(dev=0, test=10, group=group), output=output)
        more = SplitOptions(dev=10, test=10, group=group)
        render_record(split_manifest(manifest, None, more, output=output, update=True))
        assert "warning: dev is empty, since every utterance keeps its split" in capsys.readouterr().out


def test_a_new_split_over_an_old_one_says_how_many_moved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output, manifest = tmp_path / "s.csv", make_manifest(tmp_path)
    split_manifest(manifest, None, TENTHS, output=output)
    before = read_manifest(output).column("split")
    record = split_manifest(manifest, None, SplitOptions(dev=10, test=10, seed=1), output=output)
    moved = sum(a != b for a, b in zip(before, read_manifest(output).column("split"), strict=True))
    assert record["replaced"] == {"kept": 60, "moved": moved}
    render_record(record)
    assert f"warning: {moved} of 60 utterances are in another split" in capsys.readouterr().out


@pytest.mark.parametrize("folds", [None, 3])
def test_the_column_of_another_kind_of_split_goes(tmp_path: Path, folds: int | None) -> None:
    manifest = make_manifest(tmp_path).with_column("split", ["train"] * 60).with_column("fold", ["0"] * 60)
    split_manifest(manifest, None, SplitOptions(dev=6, test=6, folds=folds), output=tmp_path / "s.csv")
    written = read_manifest(tmp_path / "s.csv")
    assert (written.has("fold"), written.has("split")) == (folds is not None, folds is None)


def test_the_options_stand_in_the_record(tmp_path: Path) -> None:
    output = tmp_path / "s.csv"
    columns, labels = {"label": "emotion"}, {"joy": "😊", "calm": None}
    reading = Reading(columns, LabelMap("map.yaml", labels))
    split_manifest(make_manifest(tmp_path), None, TENTHS, output=output, reading=reading)
    assert read_options(output) == {"dev": 10, "test": 10, "group": [], "seed": 0, "columns": columns, "labels": labels}
    assert json.loads((tmp_path / "s.csv.json").read_text(encoding="utf-8"))["options"]["labels"]["joy"] == "😊"
