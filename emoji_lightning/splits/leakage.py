"""What must not be in two splits, and what is."""

import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from emoji_lightning.errors import SplitError

Codes = NDArray[np.int64]

# Column or finding -> what it means for a reader, and what helps.
LEAKS = {
    "id": ("the same id is in several splits", "give each utterance its own"),
    "text": ("the same text is spoken in several splits", "keep them together with --group text"),
    "audio": ("the same audio is in several splits", "keep it together with --group audio"),
    "near_duplicate": (
        "nearly the same embedding is in several splits",
        "keep them together with --group near_duplicate",
    ),
}
"""Errors unless they are allowed by name; a column given as `--group` is one, too."""

TIES = {
    "source_id": "utterances of the same source are in several splits",
    "speaker": "the same speaker is heard in several splits",
    "recording": "segments of the same recording are in several splits",
}
"""Warnings: whether they matter depends on what the test is to show."""

_EXAMPLES = 3
# Segments may touch: times are rounded to milliseconds.
_TOUCH_S = 1e-3


@dataclass(frozen=True)
class Finding:
    """Values that are in several splits.

    Args:
        name: Column or kind.
        count: How many values (for near duplicates: pairs) are.
        examples: A few of them, with splits and places.
    """

    name: str
    count: int
    examples: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class Placement:
    """In which part (split or fold) each of N rows is.

    Args:
        names: Names of the parts.
        codes: Part of each row, shape (N,); -1 for a row in none.
        where: Row -> its place for messages, `labels.csv:14`.
    """

    names: Sequence[str]
    codes: Codes
    where: Callable[[int], str] = field(default=str)

    def describe(self, what: str, rows: Sequence[int]) -> str:
        """Return what is in which splits, with the first row of each: `'hi' in train (a.csv:2) and dev (a.csv:9)`."""
        first: dict[int, int] = {}
        for row in rows:
            first.setdefault(int(self.codes[row]), row)
        return f"{what} in " + " and ".join(f"{self.names[code]} ({self.where(first[code])})" for code in sorted(first))


def normalize_text(text: str) -> str:
    """Return what makes two texts the same: compatibility forms, case, punctuation and blanks do not count.

    >>> normalize_text("  So…  HAPPY! ") == normalize_text("so happy")
    True
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = "".join(char if char.isalnum() or unicodedata.category(char)[0] == "M" else " " for char in folded).split()
    return " ".join(words) or folded.strip()


def normalize_texts(texts: Sequence[str]) -> list[str]:
    """Return the normal form of N texts; ASCII ones all at once, which is ten times faster."""
    column = pa.array(texts, pa.string())
    words = pc.replace_substring_regex(pc.ascii_lower(column), r"[^a-z0-9]+", " ")
    plain: list[str] = pc.ascii_trim_whitespace(words).to_pylist()
    simple = np.asarray(pc.string_is_ascii(column))
    return [
        found if found and ascii_only else normalize_text(text)
        for found, ascii_only, text in zip(plain, simple.tolist(), texts, strict=True)
    ]


def find_shared(name: str, values: Sequence[str], placement: Placement, *, what: str | None = None) -> Finding:
    """Look for values of a column that are in several parts.

    Args:
        name: Column.
        values: N values; empty ones are not compared.
        placement: Part of each of the N rows.
        what: What the examples are called; by default the value itself.
    """
    torn = list(_group_torn(values, placement))
    examples = [placement.describe(what or repr(values[rows[0]]), rows) for rows in torn[:_EXAMPLES]]
    return Finding(name, len(torn), examples)


def _group_torn(values: Sequence[str], placement: Placement) -> Iterator[list[int]]:
    """Yield the rows of each value that is not empty and lies in several parts, in order of first appearance."""
    encoded = pa.array(values, pa.string()).dictionary_encode()
    filled = np.asarray(pc.binary_length(encoded.dictionary)) > 0
    codes = np.asarray(encoded.indices)
    inside = np.zeros((len(filled), len(placement.names)), dtype=np.bool_)
    placed = placement.codes >= 0
    inside[codes[placed], placement.codes[placed]] = True
    torn = (inside.sum(axis=1) > 1) & filled
    rows = np.flatnonzero(torn[codes] & placed)
    rows = rows[np.argsort(codes[rows], kind="stable")]
    for each in np.split(rows, np.flatnonzero(np.diff(codes[rows])) + 1):
        if len(each):
            yield each.tolist()


def find_shared_audio(
    identities: Sequence[str],
    starts: Sequence[float | None],
    ends: Sequence[float | None],
    placement: Placement,
) -> tuple[Finding, Finding]:
    """Look for audio that is in several parts: whole files, or segments that overlap.

    Args:
        identities: What makes two files the same, N: digest of the bytes, or the path.
        starts: Start of each segment in s, None for the beginning.
        ends: End of each segment in s, None for the end of the file.
        placement: Part of each of the N rows.

    Returns:
        `audio`: files of which the same second is in several parts; `recording`: files whose segments are, without
        sharing a second.
    """
    torn = list(_group_torn(identities, placement))
    found = [(_find_overlap(rows, starts, ends, placement.codes), rows) for rows in torn]
    leaks = [pair for pair, _ in found if pair]
    apart = [rows for pair, rows in found if not pair]
    return (
        Finding("audio", len(leaks), [placement.describe("audio", pair) for pair in leaks[:_EXAMPLES]]),
        Finding("recording", len(apart), [placement.describe("segments", rows) for rows in apart[:_EXAMPLES]]),
    )


def _find_overlap(
    rows: Sequence[int], starts: Sequence[float | None], ends: Sequence[float | None], codes: Codes
) -> tuple[int, int] | None:
    """Return two rows of one file that overlap and lie in different parts."""
    latest: dict[int, tuple[float, int]] = {}  # part -> the end that lies furthest behind, and its row
    for row in sorted(rows, key=lambda row: starts[row] or 0.0):
        start, end = starts[row] or 0.0, ends[row]
        part, until = int(codes[row]), np.inf if end is None else end
        for other, (other_end, other_row) in latest.items():
            if other != part and other_end > start + _TOUCH_S:
                return other_row, row
        if until > latest.get(part, (-1.0, 0))[0]:
            latest[part] = (until, row)
    return None


def judge(
    findings: Sequence[Finding], *, groups: Sequence[str], allow: Sequence[str], not_checked: Mapping[str, str]
) -> dict[str, object]:
    """Turn findings into the part of the record that says what was checked.

    Args:
        findings: One per column or kind that was looked at.
        groups: Columns whose values had to stay together.
        allow: Names of leaks that are accepted.
        not_checked: Name -> why it was not looked at.

    Returns:
        `checked`: name -> number of values in several splits; `not_checked`; `allowed`: leaks that were accepted;
        `warnings`.

    Raises:
        SplitError: There is a leak that is not allowed, or `allow` names something that is none.
    """
    tied = [*groups, *(["recording"] if "audio" in groups else [])]
    leaks = {name: LEAKS.get(name, (f"the same {name} is in several splits", "")) for name in (*LEAKS, *tied)}
    for name in allow:
        if name not in leaks:
            raise SplitError(f"--allow {name}: expected a leak's name: {', '.join(leaks)}")
    found = [each for each in findings if each.count]
    bad = [each for each in found if each.name in leaks and each.name not in allow]
    if bad:
        raise SplitError("\n".join(_describe_leak(each, *leaks[each.name], given=each.name in tied) for each in bad))
    return {
        "checked": {each.name: each.count for each in findings},
        "not_checked": dict(not_checked),
        "allowed": {each.name: each.count for each in found if each.name in leaks},
        "warnings": [
            f"{leaks[each.name][0] if each.name in leaks else TIES[each.name]}: {each.count}, e.g. {each.examples[0]}"
            for each in found
        ],
    }


def _describe_leak(finding: Finding, meaning: str, cure: str, *, given: bool) -> str:
    lines = [f"{finding.name}: {meaning}: {finding.count}", *(f"  {example}" for example in finding.examples)]
    if finding.count > len(finding.examples):
        lines.append(f"  ... and {finding.count - len(finding.examples)} more")
    help_ = "split anew" if given or not cure else cure
    return "\n".join([*lines, f"  {help_}, or accept it with --allow {finding.name}"])
