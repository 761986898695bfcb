"""JSON Lines read in blocks are what Python's json module says, line by line."""

import json
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from manifest_files import as_rows, write

from emoji_lightning.errors import ManifestError
from emoji_lightning.manifest import json_lines, read_manifest
from emoji_lightning.manifest.columns import ColumnNames
from emoji_lightning.manifest.json_blocks import BlockParser

KEYS = ["audio", "label", "text", "start", "end", "take", "date", "wav", "key", "offset", "duration", "audio_filepath"]
TEXTS = st.one_of(
    st.sampled_from(["2020-01-01", "2020-01-01T10:00:00Z", "2020-01-01 10:00:00.123", "10:00", "1", "1.5", "", "NaT"]),
    st.text(st.characters(exclude_characters="\x00"), max_size=4),
)
NUMBERS = st.one_of(
    st.integers(-3, 3),
    st.integers(),
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([2**53, 2**53 + 1, 2**63, 2**64, 10**30, 1e308, 5e-324, -0.0, 1.0]),
)
VALUES = st.one_of(TEXTS, NUMBERS, st.booleans(), st.none(), st.lists(st.integers(0, 3), max_size=2))
PLAIN_ROWS = st.dictionaries(st.sampled_from(KEYS), st.one_of(TEXTS, NUMBERS, st.none()), max_size=5)
ROWS = st.one_of(PLAIN_ROWS, st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=5))
SPOILT = st.sampled_from(
    [
        "",
        " ",
        "{}",
        "[]",
        "1",
        '{"audio": "a"',
        '{"audio": "a"} ',
        '\t{"audio": "a"}',
        '{"audio": "a\tb"}',
        '{"audio": "a"} {"audio": "b"}',
        '{"audio": "a"}, {"audio": "b"}',
        '{"audio": "a", "audio": "b"}',
        '{"take": {"x": 1}}',
        '{"take": [{}',
        "{}]}",
        '{"audio": "\\ud83d"}',
        '{"audio": "\\ud83d\\ude02"}',
        '{"audio": "\\u0000"}',
        '{"take": NaN}',
        '{"take": Infinity}',
        '{"take": 01}',
        '{"take": 1e999}',
        '{"take": -0}',
        '{"take": 1.}',
        '{"\\u0061udio": "a"}',
        '{"audio": "a"}\r{"audio": "b"}',
        '{"audio": "a\x85b\u2028c"}',
        "{\"audio\": 'a'}",
        '{"audio": "a",}',
        '{"audio": "a"} // comment',
        "/* comment */ {}",
        "\ufeff{}",
    ]
)


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    written = [json.dumps(row, ensure_ascii=draw(st.booleans())) for row in draw(st.lists(ROWS, max_size=8))]
    lines = draw(st.permutations(written + draw(st.lists(SPOILT, max_size=2))))
    mark = draw(st.sampled_from(["", "\ufeff"]))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    text = mark + end.join(lines) + draw(st.sampled_from(["", end]))
    return text.encode(errors="surrogatepass")


def read(path: Path, *, blocks: bool) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_lines, "CHUNK_ROWS", 3)
        if not blocks:
            patch.setattr(BlockParser, "parse", lambda *_: None)
        try:
            raw = json_lines.read_jsonl(path, ColumnNames())
        except (ManifestError, UnicodeDecodeError) as error:
            return str(error)
    # Types, names, order and the last bit of numbers: NaN equals itself so, and -0.0 does not equal 0.0.
    return str(raw.table.schema), repr(raw.table.to_pylist()), list(raw.lines), raw.problems


@settings(max_examples=400, deadline=None)
@given(content=contents())
@example(content=b'{"take": 9007199254740993}\n{"take": 0.5}\n')
@example(content=b'{"date": "2020-01-01"}\n{"date": null}\n{"take": 1}\n{"date": 5}\n')
@example(content=b'{"take": 0.5}\n{"take": -0}\n')
@example(content=b'{"audio": "a"} {"audio": "b"}\n\n{"audio": "c"}')
@example(content=b'{"audio": "a\tb"}\n')
@example(content=b'{}\n{}\n{}\n{"start": 1}\n')
@example(content=b'{"audio": "2020-01-01"}\n\n\n{}\n')
@example(content=b'{"take": 1}\n{"take": 1}\n{"take": 1}\n{"take": 0.5}\n{"take": "x"}\n')
def test_blocks_and_lines_give_the_same(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = write(tmp_path_factory.getbasetemp(), content, "same.jsonl")
    assert read(path, blocks=True) == read(path, blocks=False)


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each block was read at once."""
    seen: list[bool] = []
    parse = BlockParser.parse

    def watch(self: BlockParser, text: str, count: int) -> object:
        table = parse(self, text, count)
        seen.append(table is not None)
        return table

    monkeypatch.setattr(BlockParser, "parse", watch)
    monkeypatch.setattr(json_lines, "CHUNK_ROWS", 3)
    return seen


def test_plain_lines_are_read_at_once(tmp_path: Path, parsed: list[bool]) -> None:
    rows = [{"audio": f"{row}.wav", "speaker": row, "start": row / 2, "seen": "2020-01-01"} for row in range(7)]
    manifest = read_manifest(write(tmp_path, "".join(json.dumps(row) + "\n" for row in rows), "m.jsonl"))
    assert parsed == [True, True, True]
    assert as_rows(manifest) == [row | {"speaker": str(row["speaker"])} for row in rows]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_in_any_way(tmp_path: Path, end: str) -> None:
    content = end.join(['\ufeff{"audio": "a.wav"}', "", '{"audio": "b.wav"}', '{"audio": "c.wav"}'])
    manifest = read_manifest(write(tmp_path, content, "m.jsonl"))
    assert [manifest.where(row) for row in range(3)] == ["m.jsonl:1", "m.jsonl:3", "m.jsonl:4"]
    assert manifest.column("audio") == ["a.wav", "b.wav", "c.wav"]


def test_only_the_block_with_something_else_is_read_line_by_line(tmp_path: Path, parsed: list[bool]) -> None:
    content = (
        "".join(f'{{"audio": "{row}.wav"}}\n' for row in range(4)) + '{"audio": 5,}\n' + '{"audio": "6.wav"}\n' * 2
    )
    with pytest.raises(ManifestError, match=r"^m\.jsonl:5: not JSON \(.*\); expected one object per line"):
        read_manifest(write(tmp_path, content, "m.jsonl"))
    assert parsed == [True, False, True]
