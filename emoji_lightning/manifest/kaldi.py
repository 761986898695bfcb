"""A Kaldi data directory -> rows. Commands that it names are never run."""

import re
from array import array
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from emoji_lightning.manifest.checks import rows_where
from emoji_lightning.manifest.columns import ColumnNames
from emoji_lightning.manifest.problems import Problem
from emoji_lightning.manifest.rows import RawManifest
from emoji_lightning.manifest.seconds import to_seconds
from emoji_lightning.manifest.text_files import read_text_file

SCRIPT = "wav.scp"
LABEL_FILES = ("utt2label", "utt2emo", "utt2emotion")
"""Kaldi itself has no file of labels; recipes for emotions use these names, the first that exists is read."""

# "-", a command before or behind a pipe, an offset into an archive. Source: kaldi-asr.org/doc/io.html, rxfilenames
_NO_FILE = r"^-?$|^\||\|$|:\d+(\[[^\]]*\])?$"
_LINE = re.compile(r"[ \t]*([^ \t]+)[ \t]*(.*?)[ \t]*", re.DOTALL)
_WRITE_OUT = (
    "write the audio out and name the files: wav-copy scp:{0} scp:files.scp, with a line UTTERANCE FILE.wav for each "
    "in files.scp, which then takes the place of {0}"
)


@dataclass
class _Entries:
    """The lines `KEY VALUE` of one file, N of them, and what is wrong there."""

    name: str
    keys: pa.Array
    values: pa.Array
    lines: "array[int]"
    problems: list[Problem]


def read_kaldi(script: Path, names: ColumnNames) -> RawManifest:
    """Read `wav.scp` and what lies beside it: `segments`, a file of labels, `text` and `utt2spk`.

    Args:
        script: `wav.scp`; a line is a recording where there are `segments`, else an utterance.
        names: What the source calls our columns: `id audio start end label text speaker`, as far as there are files.

    Raises:
        ManifestError: A file is not UTF-8.
    """
    audio = _read_entries(script)
    audio.problems += [
        _describe_command(audio, row) for row in rows_where(pc.match_substring_regex(audio.values, _NO_FILE))
    ]
    used = [audio]
    columns = {"id": audio.keys, "audio": audio.values}
    main = audio
    if (segments := script.with_name("segments")).is_file():
        _check_keys(audio)
        main, columns = _read_segments(segments, audio)
        used.append(main)
    for column, file in _list_more(script.parent):
        entries = _read_entries(file, empty=column == "text", words=column != "speaker")
        columns[column] = _join(main, entries)
        used.append(entries)
    table = pa.table(list(columns.values()), names.rename(list(columns)))
    beside = {entries.name: entries.problems for entries in used if entries is not main}
    return RawManifest(table, main.lines, main.problems, source=script.with_name(main.name), beside=beside)


def _list_more(folder: Path) -> list[tuple[str, Path]]:
    """Return column and file of what is told about utterances."""
    labels = next((folder / name for name in LABEL_FILES if (folder / name).is_file()), folder / LABEL_FILES[0])
    known = [("label", labels), ("text", folder / "text"), ("speaker", folder / "utt2spk")]
    return [(column, file) for column, file in known if file.is_file()]


def _read_entries(file: Path, *, empty: bool = False, words: bool = True) -> _Entries:
    """Read a file of lines `KEY VALUE`, not yet looking for keys that stand twice.

    Args:
        file: The file; must be UTF-8.
        empty: Whether a value may be missing.
        words: Whether a value may hold blanks.
    """
    lines = read_text_file(file).split("\n")
    plain = _split_plain(lines)
    if plain is not None and (words or not pc.any(pc.match_substring(plain[1], " ")).as_py()):
        return _Entries(file.name, *plain, array("q", range(1, len(plain[0]) + 1)), [])
    wanted = "an utterance and its value" if words else "an utterance and a speaker"
    keys, values, numbers, problems = [], [], array("q"), []
    for line, text in enumerate(lines, start=1):
        key, value = _split(text)
        if key and (value or empty) and (words or " " not in value):
            keys.append(key)
            values.append(value)
            numbers.append(line)
        elif key:
            problems.append((line, f"{len(text.split())} fields, {text.strip()!r}; expected {wanted}"))
    return _Entries(file.name, pa.array(keys, pa.string()), pa.array(values, pa.string()), numbers, problems)


def _split_plain(lines: list[str]) -> tuple[pa.Array, pa.Array] | None:
    """Return keys and values if each line is `KEY VALUE` with a blank between: four times faster than one by one."""
    filled = pa.array(lines[:-1] if lines[-1] == "" else lines, pa.string())
    parts = pc.split_pattern(filled, " ", max_splits=1)
    if len(filled) == 0 or not pc.all(pc.equal(pc.list_value_length(parts), 2)).as_py():
        return None
    if pc.any(pc.match_substring(filled, "\t")).as_py():
        return None
    keys, values = pc.list_element(parts, 0), pc.utf8_trim(pc.list_element(parts, 1), " ")
    some_empty = pc.or_(pc.equal(keys, ""), pc.equal(values, ""))
    return None if pc.any(some_empty).as_py() else (keys, values)


def _split(text: str) -> tuple[str, str]:
    """Return what stands before and behind the first blanks or tabs of a line."""
    match = _LINE.fullmatch(text)
    return (match[1], match[2]) if match else ("", "")


def _check_keys(entries: _Entries) -> None:
    """Report keys that stand twice; not for the rows' own file, since ids are checked in every manifest."""
    if pc.count_distinct(entries.keys).as_py() == len(entries.keys):
        return
    first: dict[str, int] = {}
    for key, line in zip(entries.keys.to_pylist(), entries.lines, strict=True):
        if first.setdefault(key, line) != line:
            entries.problems.append((line, f"{key!r} stands in line {first[key]} too; drop one line"))


def _describe_command(audio: _Entries, row: int) -> Problem:
    path = audio.values[row].as_py()
    what = "a place in an archive" if re.search(r":\d+(\[[^\]]*\])?$", path) else "a command, which is never run"
    return (
        audio.lines[row],
        f"audio of {audio.keys[row].as_py()!r} is {path!r}, {what}; {_WRITE_OUT.format(audio.name)}",
    )


def _read_segments(file: Path, audio: _Entries) -> tuple[_Entries, dict[str, pa.Array]]:
    """Return the lines of `segments`, and the columns `id audio start end`."""
    entries = _read_entries(file)
    fields = [value.split() for value in entries.values.to_pylist()]
    kept = [row for row, cells in enumerate(fields) if len(cells) == 3]
    for row, cells in enumerate(fields):
        if len(cells) != 3:
            entries.problems.append((entries.lines[row], _describe_fields(len(cells) + 1)))
    entries.keys = entries.keys.take(pa.array(kept, pa.int64()))
    entries.lines = array("q", [entries.lines[row] for row in kept])
    recordings, starts, ends = ([fields[row][place] for row in kept] for place in range(3))
    # -1 is the end of the recording. Source: src/featbin/extract-segments.cc of github.com/kaldi-asr/kaldi
    open_ends = ["" if re.fullmatch(r"-1(\.0*)?", end) else end for end in ends]
    columns = {
        "id": entries.keys,
        "audio": _find_recordings(pa.array(recordings, pa.string()), entries, audio),
        "start": to_seconds("start", starts, entries.lines, entries.problems),
        "end": to_seconds("end", open_ends, entries.lines, entries.problems),
    }
    return entries, columns


def _describe_fields(count: int) -> str:
    channel = "; a channel cannot be chosen: write it out with extract-segments" if count == 5 else ""
    return f"{count} fields; expected utterance, recording, start and end (s){channel}"


def _find_recordings(recordings: pa.Array, entries: _Entries, audio: _Entries) -> pa.Array:
    places = pc.index_in(recordings, value_set=audio.keys)
    for row in rows_where(pc.is_null(places)):
        text = f"recording {recordings[row].as_py()!r} of {entries.keys[row].as_py()!r} has no line in {audio.name}"
        entries.problems.append((entries.lines[row], text))
    return pc.fill_null(audio.values.take(places), "?")


def _join(main: _Entries, entries: _Entries) -> pa.Array:
    """Return the values of `entries` for the utterances of `main`; what stands in one of them only is reported."""
    if entries.keys.equals(main.keys):
        return entries.values
    _check_keys(entries)
    places = pc.index_in(main.keys, value_set=entries.keys)
    for row in rows_where(pc.is_null(places)):
        text = f"utterance {main.keys[row].as_py()!r} has no line in {entries.name}; add it there or drop this line"
        main.problems.append((main.lines[row], text))
    for row in rows_where(pc.is_null(pc.index_in(entries.keys, value_set=main.keys))):
        text = f"utterance {entries.keys[row].as_py()!r} has no line in {main.name}; add it there or drop this line"
        entries.problems.append((entries.lines[row], text))
    return pc.fill_null(entries.values.take(places), "?")
