"""Labels of another corpus -> ours: `joy: 😊`."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from emoji_lightning.errors import LabelError
from emoji_lightning.labels import LabelSet, load_labels_file, normalize_label


@dataclass(frozen=True)
class LabelMap:
    """A label of the source -> the label that it becomes, or None where its utterances are left out.

    Args:
        source: File that errors name.
        labels: Source label -> our label; both in any spelling.

    Raises:
        LabelError: A label is empty, or two spellings of one source label become two labels.

    >>> LabelMap("map.yaml", {"joy": "😊", "calm": None}).find("joy")
    '😊'
    """

    source: str
    labels: Mapping[str, str | None]
    _by_form: dict[str, str | None] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Normalise and check."""
        forms: dict[str, str | None] = {}
        for text, meant in self.labels.items():
            form, label = normalize_label(text), None if meant is None else normalize_label(meant)
            if not form or label == "":
                raise LabelError(f"{self.source}: {text!r}: {meant!r} has an empty label; write null to leave it out")
            if forms.setdefault(form, label) != label:
                raise LabelError(f"{self.source}: {text!r} becomes both {forms[form]!r} and {label!r}; keep one line")
        object.__setattr__(self, "_by_form", forms)

    @classmethod
    def from_file(cls, path: str | Path) -> "LabelMap":
        """Read a map; errors as `read_labels`, and for a file that holds a label set."""
        found = read_labels(path)
        if not isinstance(found, cls):
            raise LabelError(f"{Path(path).name}: is a label set; expected a map of labels to labels, as in `joy: 😊`")
        return found

    def find(self, text: str) -> str | None:
        """Return what a label becomes: its entry, or itself where it is one of the labels that others become.

        Raises:
            LabelError: It is neither; names the nearest entry.
        """
        form = normalize_label(text)
        if form in self._by_form:
            return self._by_form[form]
        if form in self._by_form.values():
            return form
        near = difflib.get_close_matches(form, self._by_form, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; add a line `{form}: LABEL`, or `{form}: null` to drop it"
        raise LabelError(f"label {text!r} is not in {self.source}, which maps {list(self._by_form)}{hint}")


def read_labels(path: str | Path) -> LabelSet | LabelMap:
    """Read what `--labels` names.

    Args:
        path: UTF-8 JSON or YAML: a list of labels or a mapping label -> id (a label set), or a mapping of source labels
            to labels, null for those to leave out (a label map).

    Raises:
        LabelError: The file cannot be read, or is neither.
    """
    path = Path(path)
    return parse_labels(load_labels_file(path), source=path.name)


def parse_labels(content: object, *, source: str) -> LabelSet | LabelMap:
    """Take the content of such a file; errors name its source."""
    if isinstance(content, dict) and any(value is None or isinstance(value, str) for value in content.values()):
        strange = {key: value for key, value in content.items() if not isinstance(value, str | None)}
        wrong = [key for key in content if not isinstance(key, str)]
        if strange or wrong:
            found = ", ".join(f"{key}: {value!r}" for key, value in (strange or dict.fromkeys(wrong, "...")).items())
            raise LabelError(f"{source}: found {found}; expected text: text or text: null (quote yes, no, numbers)")
        return LabelMap(source, content)
    try:
        return LabelSet.from_content(content, source=source)
    except LabelError as error:
        if not isinstance(content, dict):
            raise
        form = "label: id, or as a map label: label or label: null (quote yes, no and numbers)"
        raise LabelError(f"{error}; it was read as a label set, {form}") from None
