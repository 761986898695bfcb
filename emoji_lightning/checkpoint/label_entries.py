"""Labels in a checkpoint: a list, label -> id or id -> label, with ids as numbers or text, under a dozen names."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from emoji_lightning.checkpoint.content import Content, Place, leaf_of, name_of, shorten, walk
from emoji_lightning.errors import CheckpointError, LabelError
from emoji_lightning.labels import LabelSet

NAMES = {
    "label2id",
    "id2label",
    "label_to_id",
    "id_to_label",
    "label_to_idx",
    "idx_to_label",
    "label2idx",
    "idx2label",
    "class_to_idx",
    "idx_to_class",
    "label_mapping",
    "label_map",
    "label_names",
    "labels",
    "label_list",
    "class_names",
    "classes",
    "emotions",
}
LABEL2ID = "label2id.json"
MAX_LABELS, MAX_LABEL_LENGTH = 10_000, 1_000
Direction = Literal["list", "label2id", "id2label"]


@dataclass(frozen=True)
class LabelEntry:
    """A place in a checkpoint that names the labels, and how it spells them.

    Attributes:
        place: The keys that lead to it.
        direction: A list in the order of ids, label -> id, or id -> label.
        ids_as_text: Whether its ids are text ("0").
        labels: The labels as they are spelt there, in the order of their ids.
    """

    place: Place
    direction: Direction
    ids_as_text: bool
    labels: tuple[str, ...]

    def spell(self, labels: Sequence[str]) -> list[str] | dict[str, Any] | dict[Any, str]:
        """Return what stands at this place for other labels."""
        ids: list[Any] = [str(number) if self.ids_as_text else number for number in range(len(labels))]
        if self.direction == "list":
            return list(labels)
        pairs = zip(labels, ids, strict=True) if self.direction == "label2id" else zip(ids, labels, strict=True)
        return dict(pairs)


def find_labels(content: Content, *, num_labels: int) -> tuple[LabelSet, list[LabelEntry], str]:
    """Find the labels of a head with `num_labels` logits.

    Returns:
        The labels, every place in the file itself that names them, and where they came from in words.

    Raises:
        CheckpointError: There are none in the file or beside it, their number is not that of the logits, or two places
            contradict each other.
        LabelError: Labels are empty or equal after normalisation.
    """
    inside = list(find_entries(content.data, str(content.file)))
    sources = [("the file", inside), *find_beside(content).items()]
    named = [(source, entries) for source, entries in sources if entries]
    if not named:
        raise CheckpointError(
            f"{content.file}: {num_labels} logits and no labels; write label2id.json (label -> id) into its folder"
        )
    found = {}
    for source, entries in named:
        for entry in entries:
            found[f"{name_of(entry.place)} in {source}" if source == "the file" else source] = entry.labels
    return _agree(content, found, num_labels), inside, next(iter(found))


def _agree(content: Content, found: Mapping[str, tuple[str, ...]], num_labels: int) -> LabelSet:
    sets = {}
    for where, labels in found.items():
        _check_labels(content, where, labels, num_labels)
        try:
            sets[where] = LabelSet(labels)
        except LabelError as error:
            raise LabelError(f"{content.file}: {where}: {error}") from None
    (first, chosen), *others = sets.items()
    for where, other in others:
        if other != chosen:
            raise CheckpointError(
                f"{content.file}: {first} names {shorten(list(chosen))}, {where} {shorten(list(other))}; expected the "
                "same labels; keep the right ones"
            )
    return chosen


def _check_labels(content: Content, where: str, labels: tuple[str, ...], num_labels: int) -> None:
    if len(labels) != num_labels:
        raise CheckpointError(
            f"{content.file}: {len(labels)} labels ({where}) for {num_labels} logits; correct the labels, or take the "
            "file that belongs to them"
        )
    if num_labels > MAX_LABELS:
        raise CheckpointError(f"{content.file}: {num_labels:,} labels; expected at most {MAX_LABELS:,}; is it a head?")
    for label in labels:
        if len(label) > MAX_LABEL_LENGTH or not _is_encodable(label):
            raise CheckpointError(
                f"{content.file}: {where}: {shorten(label)} is no label; expected text in Unicode of at most "
                f"{MAX_LABEL_LENGTH:,} characters; correct it"
            )


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a pair, as a cut off emoji leaves it
        return False
    return True


def find_beside(content: Content) -> dict[str, list[LabelEntry]]:
    """Return the places that name labels in the JSON files beside a checkpoint: file name -> places.

    All of `label2id.json` is one place, of that name.
    """
    found = {name: list(find_entries(data, name)) for name, data in content.beside.items() if name != "summary.json"}
    if LABEL2ID in content.beside:
        found[LABEL2ID] = [_parse(content.beside[LABEL2ID], (LABEL2ID,), LABEL2ID)]
    return found


def find_entries(data: Mapping[Any, Any], source: str) -> Iterator[LabelEntry]:
    """Yield the places in nested dicts that name labels."""
    for place, value in walk(data):
        if leaf_of(place) in NAMES and isinstance(value, list | tuple | dict) and value:
            yield _parse(value, place, source)


def _parse(value: Any, place: Place, source: str) -> LabelEntry:
    where = f"{source}: {name_of(place)}"
    if not isinstance(value, dict):
        if not all(isinstance(label, str) for label in value):
            raise CheckpointError(f"{where} is {shorten(value)}; expected labels as text; write them as text")
        return LabelEntry(place, "list", False, tuple(value))
    to_ids = all(isinstance(key, str) and _is_id(number) for key, number in value.items())
    to_labels = all(_is_id(key) and isinstance(label, str) for key, label in value.items())
    if to_ids and to_labels:  # {"0": "1"}: the name decides
        to_ids = not leaf_of(place).startswith("id")
    if not value or not (to_ids or to_labels):
        raise CheckpointError(
            f"{where} is {shorten(value)}; expected label -> id or id -> label, ids from 0; write them so"
        )
    numbers = list(value.values()) if to_ids else list(value)
    texts = list(value) if to_ids else list(value.values())
    ids = [int(number) for number in numbers]
    if sorted(ids) != list(range(len(ids))):
        raise CheckpointError(
            f"{where} has the ids {shorten(sorted(ids))}; expected 0 to {len(ids) - 1}, each once; correct them"
        )
    by_id = dict(zip(ids, texts, strict=True))
    labels = tuple(by_id[number] for number in range(len(ids)))
    return LabelEntry(place, "label2id" if to_ids else "id2label", isinstance(numbers[0], str), labels)


def _is_id(value: Any) -> bool:
    return type(value) is int or (isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 10)
