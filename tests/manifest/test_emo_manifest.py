"""A manifest in emotion2vec's `.emo`: `id label` a line, no header."""

from pathlib import Path

import pytest

from emoji_lightning.errors import ManifestError
from emoji_lightning.manifest import Manifest, read_manifest


def read_emo(folder: Path, content: str | bytes) -> Manifest:
    path = folder / "train.emo"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_manifest(path)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_ids_and_labels_stand_beside_each_other(tmp_path: Path, mark: bytes, end: bytes) -> None:
    lines = [b"Ses01F_impro01_F000\tneu", b"  Ses01F_impro01_F001   ang ", b"Ses02/x.y hap", b"", b" "]
    manifest = read_emo(tmp_path, mark + end.join(lines))
    assert manifest.table.to_pydict() == {
        "id": ["Ses01F_impro01_F000", "Ses01F_impro01_F001", "Ses02/x.y"],
        "label": ["neu", "ang", "hap"],
    }
    assert manifest.ids == manifest.column("id")
    assert [manifest.where(row) for row in range(3)] == ["train.emo:1", "train.emo:2", "train.emo:3"]
    assert manifest.infer_labels().labels == ("ang", "hap", "neu")


def test_a_byte_of_a_broken_emoji_is_no_blank(tmp_path: Path) -> None:
    manifest = read_emo(tmp_path, "a\tπŸ˜\xa0\nb\tπŸ˜\xa0\n")
    assert manifest.column("label") == ["πŸ˜\xa0", "πŸ˜\xa0"]


def test_lines_of_another_form_are_all_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"an id and a label") as caught:
        read_emo(tmp_path, "a neu\nb\n\nc very happy\nd sad\n")
    assert [line.partition(";")[0] for line in str(caught.value).splitlines()] == [
        "train.emo:2: 1 fields",
        "train.emo:3: 0 fields",
        "train.emo:4: 3 fields",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"^train\.emo: the manifest is empty"),
        ("a neu\nb sad\na neu\n", r"^train\.emo:3: id 'a' stands in line 1 too"),
        (b"a neu\nb \xc4rger\n", r"^train\.emo:2: byte 0xC4 is not UTF-8; save it as UTF-8"),
    ],
)
def test_what_is_wrong_in_any_manifest_is_wrong_here(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        read_emo(tmp_path, content)


def test_unknown_formats_are_answered_with_what_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "m.xlsx").touch()
    with pytest.raises(ManifestError, match=r"expected one of \.csv, \.tsv, \.jsonl, \.parquet, \.emo, \.json, \.scp$"):
        read_manifest(tmp_path / "m.xlsx")


def test_it_is_written_in_another_format_only(tmp_path: Path) -> None:
    manifest = read_emo(tmp_path, "u0 joy\nu1 sad\nu2 joy\n").with_column("split", ["train", "dev", "test"])
    message = r"^split\.emo: cannot write format '\.emo'; expected one of \.csv, \.tsv, \.jsonl, \.parquet$"
    with pytest.raises(ManifestError, match=message):
        manifest.write(tmp_path / "split.emo")
    assert [path.name for path in tmp_path.iterdir()] == ["train.emo"]
    manifest.write(tmp_path / "split.csv")
    again = read_manifest(tmp_path / "split.csv")
    assert again.table.equals(manifest.table)
