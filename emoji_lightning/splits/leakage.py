"""What dev and test share with train: found from the table alone."""

import unicodedata
from collections.abc import Mapping, Sequence

from emoji_lightning.errors import SplitError, join_problems

# Columns whose values may tie utterances together, and why that matters for a reader of the record.
_LINKS = {
    "text": "the same text is spoken in several splits",
    "source_id": "utterances of the same source are in several splits",
    "speaker": "the same speaker is heard in several splits",
    "audio": "the same audio file is in several splits",
    "digest": "byte-identical audio is in several splits",
}
_WHY_NOT = {"digest": "the bytes of the audio files were not compared"}


def normalize_text(text: str) -> str:
    """Return what makes two texts the same: compatibility forms, case, punctuation and blanks do not count.

    >>> normalize_text("  So…  HAPPY! ") == normalize_text("so happy")
    True
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = "".join(char if char.isalnum() or unicodedata.category(char)[0] == "M" else " " for char in folded).split()
    return " ".join(words) or folded.strip()


def audit(names: Sequence[str], columns: Mapping[str, Sequence[str]], *, group: str | None = None) -> dict[str, object]:
    """Look for what several splits share.

    Args:
        names: Split of each row, N.
        columns: Of `id text source_id speaker audio digest` those that exist, and the group column; N values each.
            `audio` is a path, `digest` stands for the bytes of the audio file. Empty values are not compared.
        group: Name of the column whose values had to stay together.

    Returns:
        `checked`: column -> number of values in several splits; `not_checked`: column -> reason; `warnings`.

    Raises:
        SplitError: An id or a group is in several splits; the message names them.
    """
    shared = {name: _find_shared(names, _comparable(name, values)) for name, values in columns.items()}
    problems = [
        f"{name} {value!r} is in {' and '.join(splits)}; expected one split"
        for name in dict.fromkeys(("id", *([group] if group else [])))
        for value, splits in shared.get(name, {}).items()
    ]
    if problems:
        raise SplitError(join_problems(problems))
    return {
        "checked": {name: len(found) for name, found in shared.items()},
        "not_checked": {
            name: _WHY_NOT.get(name, f"no column {name!r}") for name in ("id", *_LINKS) if name not in shared
        },
        "warnings": [
            f"{_LINKS[name]}: {len(found)} shared, e.g. {next(iter(found))!r}"
            for name, found in shared.items()
            if found and name in _LINKS
        ],
    }


def _comparable(name: str, values: Sequence[str]) -> Sequence[str]:
    return [normalize_text(text) for text in values] if name == "text" else values


def _find_shared(names: Sequence[str], values: Sequence[str]) -> dict[str, list[str]]:
    """Return the values that stand in several splits, with these splits."""
    first: dict[str, str] = {}
    shared: dict[str, set[str]] = {}
    for name, value in zip(names, values, strict=True):
        if value and first.setdefault(value, name) != name:
            shared.setdefault(value, {first[value]}).add(name)
    return {value: sorted(splits, key=("train", "dev", "test").index) for value, splits in shared.items()}
