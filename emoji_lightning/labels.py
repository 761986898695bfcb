"""Labels: their one normal form, and the ordered set that a head is trained on."""

import difflib
import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emoji_lightning.code_pages import LOST_BYTES, bytes_behind, repair_encoding
from emoji_lightning.errors import LabelError, join_problems
from emoji_lightning.files import refuse_duplicate_keys

NONE = "<none>"
"""The label of an utterance that calls for no emoji."""

CARD_LABELS: tuple[str, ...] = (NONE, "😭", "😂", "😊", "😍", "🙏", "🤔", "🔥", "💔", "👍", "🙄")
"""Labels of the public speech2emoji classifier, in the order of its model card."""

_VARIATION_AND_SKIN = re.compile("[\ufe0f\U0001f3fb-\U0001f3ff]")
# Not str.strip(): that takes U+00A0 too, which is the last byte of a broken 😠.
_BLANKS = " \t\r\n\v\f"
_SAME_FEELING = (
    ("joy", "happy", "happiness"),
    ("sad", "sadness", "unhappy"),
    ("anger", "angry"),
    ("fear", "fearful", "afraid", "scared"),
    ("disgust", "disgusted"),
    ("surprise", "surprised"),
    ("neutral", "calm", "none"),
)


@lru_cache(maxsize=65536)
def normalize_label(text: str) -> str:
    """Bring a label into its one normal form.

    Emoji lose variation selectors and skin tones, `:shortcode:` becomes the emoji, `<NONE>` becomes `<none>`, and
    UTF-8 that was read by a Western or Greek code page is repaired. Class names stay as they are (NFC, stripped).

    Args:
        text: A label as it stands in a file.

    Returns:
        The normal form; text that is no known emoji comes back unchanged but for blanks and composition.

    >>> [normalize_label(text) for text in (":joy:", "👍🏽", "πŸ”¥", "ðŸ˜‚", " <NONE> ", "Ärger")]
    ['😂', '👍', '🔥', '😂', '<none>', 'Ärger']
    """
    import emoji

    label = unicodedata.normalize("NFC", repair_encoding(text.strip(_BLANKS)).strip())
    if label.lower() == NONE:
        return NONE
    if re.fullmatch(r"(:[^:\s]+:)+", label):
        label = emoji.emojize(label, language="alias")
        if label.startswith(":"):
            label = emoji.emojize(label.lower(), language="alias") if label != label.lower() else label
    bare = _VARIATION_AND_SKIN.sub("", label)
    return bare if bare and emoji.purely_emoji(bare) else label


def ascii_alias(label: str) -> str:
    """Name a label in lower-case ASCII letters, digits and `_`, for logger keys and file names.

    Args:
        label: A label in normal form.

    >>> ascii_alias("😭"), ascii_alias("<none>"), ascii_alias("Ärger"), ascii_alias("喜")
    ('loudly_crying_face', 'none', 'arger', 'u559c')
    """
    import emoji

    named = emoji.demojize(label)
    letters = unicodedata.normalize("NFKD", named).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "_", letters.lower()).strip("_")
    return slug or "_".join(f"u{ord(char):x}" for char in label) or "empty"


@dataclass(frozen=True)
class LabelSet:
    """An ordered set of labels; the position is the id.

    Args:
        labels: At least two labels in any spelling; kept in normal form.

    Raises:
        LabelError: Fewer than two labels, an empty one, or two spellings of the same label.

    >>> LabelSet(("anger", "joy", "sad")).index("joy")
    1
    """

    labels: tuple[str, ...]
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Normalise and check."""
        spellings: dict[str, str] = {}
        for text in self.labels:
            label = normalize_label(text)
            if not label:
                raise LabelError(f"label {text!r} is empty; expected an emoji, {NONE!r} or a class name")
            if label in spellings:
                raise LabelError(f"labels {spellings[label]!r} and {text!r} are both {label!r}; name each label once")
            spellings[label] = text
        if len(spellings) < 2:
            raise LabelError(f"labels {list(spellings)} are {len(spellings)}; a classifier needs at least 2")
        object.__setattr__(self, "labels", tuple(spellings))
        object.__setattr__(self, "_ids", {label: index for index, label in enumerate(spellings)})

    @classmethod
    def card(cls) -> "LabelSet":
        """Return the 11 labels of the public classifier."""
        return cls(CARD_LABELS)

    @classmethod
    def from_file(cls, path: str | Path) -> "LabelSet":
        """Read `label2id.json` (label -> id), or a JSON or YAML list of labels.

        Args:
            path: UTF-8 file, with or without byte order mark.

        Raises:
            LabelError: The file cannot be read, is neither a mapping nor a list of text, or its ids are not
                0..K-1, each once; the message names the file and the ids.
        """
        path = Path(path)
        return cls.from_content(load_labels_file(path), source=path.name)

    @classmethod
    def from_content(cls, content: object, *, source: str) -> "LabelSet":
        """Take a mapping label -> id, or a list of labels.

        Args:
            content: What a `label2id.json` or a checkpoint's `label2id` holds.
            source: The file that errors name.

        Raises:
            LabelError: As `from_file`.
        """
        try:
            return cls(_labels_in_order(content))
        except LabelError as error:
            raise LabelError(f"{source}: {error}") from None

    def index(self, text: str) -> int:
        """Return the id of a label in any spelling.

        Raises:
            LabelError: The label is unknown (the message offers the nearest one), or its broken encoding lost the
                byte that told two labels of this set apart.
        """
        label = normalize_label(text)
        if label in self._ids:
            return self._ids[label]
        candidates = self._candidates_for_lost_bytes(label)
        if len(candidates) == 1:
            return self._ids[candidates[0]]
        if candidates:
            raise LabelError(
                f"label {text!r} has a broken encoding and can be {' or '.join(map(repr, candidates))}; "
                "write the emoji or its :shortcode:"
            )
        near = self._nearest(label)
        hint = f"; did you mean {near!r}?" if near else ""
        raise LabelError(f"label {text!r} is not one of {list(self.labels)}{hint}")

    def encode(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Turn labels in any spelling into ids.

        Args:
            texts: N labels.

        Returns:
            Ids, shape (N,).

        Raises:
            LabelError: Some labels are unknown; every distinct one has its line in the message.
        """
        ids: dict[str, int] = {}
        problems: list[str] = []
        for text in dict.fromkeys(texts):  # each distinct spelling is looked up once
            try:
                ids[text] = self.index(text)
            except LabelError as error:
                problems.append(str(error))
        if problems:
            raise LabelError(join_problems(problems))
        return np.fromiter((ids[text] for text in texts), dtype=np.int64, count=len(texts))

    @property
    def label2id(self) -> dict[str, int]:
        """Label -> id."""
        return dict(self._ids)

    @property
    def id2label(self) -> dict[int, str]:
        """Id -> label."""
        return dict(enumerate(self.labels))

    @property
    def aliases(self) -> tuple[str, ...]:
        """A unique ASCII name per label; later ones of the same name get `_2`, `_3`, ..."""
        taken: dict[str, None] = {}
        for alias in map(ascii_alias, self.labels):
            name, number = alias, 2
            while name in taken:
                name, number = f"{alias}_{number}", number + 1
            taken[name] = None
        return tuple(taken)

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[str]:
        return iter(self.labels)

    def _candidates_for_lost_bytes(self, label: str) -> list[str]:
        """Return the emoji of this set that look like `label` once the bytes no code page can show are gone."""
        found = bytes_behind(label.replace("\ufffd", ""))
        if not found or label.isascii():
            return []
        return [
            each
            for each in self.labels
            if found in {(each + ending).encode().translate(None, LOST_BYTES) for ending in ("", "\ufe0f")}
        ]

    def _nearest(self, text: str) -> str | None:
        words = {word: label for label in reversed(self.labels) for word in _names_of(label)}
        near = difflib.get_close_matches(text.strip(":").lower(), words, n=1)
        return words[near[0]] if near else None


def _names_of(label: str) -> list[str]:
    """Return the words by which a user may call a label."""
    import emoji

    names = [label.lower(), ascii_alias(label)]
    names += [name.strip(":") for name in emoji.EMOJI_DATA.get(label, {}).get("alias", [])]
    for words in _SAME_FEELING:
        if label.lower() in words:
            names += words
    return names


def load_labels_file(path: Path) -> object:
    """Return the content of a JSON or YAML file of labels.

    Raises:
        LabelError: It is not there, not UTF-8, or neither.
    """
    from omegaconf import OmegaConf

    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix == ".json":
            return json.loads(text, object_pairs_hook=refuse_duplicate_keys)
        return OmegaConf.to_container(OmegaConf.create(text))
    except FileNotFoundError:
        raise LabelError(
            f"{path}: no such file; expected label2id.json, a YAML list of labels or a label map"
        ) from None
    except IsADirectoryError:
        raise LabelError(f"{path}: is a folder; expected a JSON or YAML file of labels") from None
    except UnicodeDecodeError as error:
        raise LabelError(f"{path.name}: not UTF-8 ({error.reason}); save it as UTF-8") from None
    except Exception as error:  # yaml's and omegaconf's own errors share no base
        raise LabelError(f"{path.name}: cannot be read as JSON or YAML: {error}") from None


def _labels_in_order(content: object) -> tuple[str, ...]:
    if isinstance(content, list) and all(isinstance(text, str) for text in content):
        return tuple(content)
    if not isinstance(content, dict):
        raise LabelError("expected a mapping label -> id or a list of labels as text (quote `yes`, `no` and numbers)")
    ids = list(content.values())
    wrong = [value for value in ids if type(value) is not int]
    if wrong or sorted(ids) != list(range(len(ids))):
        raise LabelError(f"ids are {ids}; expected 0 to {len(ids) - 1}, each once")
    return tuple(str(text) for text in sorted(content, key=content.__getitem__))
