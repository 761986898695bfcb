"""Which texts the systems were asked to speak, which of them each one lacks, and which two of them share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

from emoji_lightning.manifest import Manifest

TEXT_COLUMNS = ("text_id", "text", "source_id")
"""Columns that may tell texts apart, the surest first."""


class Item(NamedTuple):
    """A text and the label that it is to be spoken with: the same text may be asked for with several emoji."""

    text: str
    label: int


@dataclass(frozen=True)
class Lacking:
    """A text that other systems have and this one lacks."""

    system: str
    item: Item


def find_texts(manifest: Manifest) -> tuple[str, list[str]] | None:
    """Return the column that tells texts apart and its values (N); None where there is none without gaps."""
    for name in TEXT_COLUMNS:
        if manifest.has(name):
            values = ["" if value is None else str(value).strip() for value in manifest.column(name)]
            if all(values) or name == "text_id":
                return name, values
    return None


def find_lacking(systems: Sequence[str], items: Sequence[Item | None]) -> list[Lacking]:
    """Return the texts that systems lack, in the order of systems and texts as they first stand.

    A system lacks what another one has only if the two share a text: systems with texts of their own lack nothing.

    Args:
        systems: N names.
        items: N; None where the row is not scored.
    """
    by_system = _group(systems, items)
    order = list(dict.fromkeys(item for item in items if item is not None))
    lacking = []
    for system, own in by_system.items():
        others = [each for name, each in by_system.items() if name != system and own.keys() & each.keys()]
        lacking += [
            Lacking(system, item) for item in order if item not in own and any(item in other for other in others)
        ]
    return lacking


def find_pair_problems(
    manifest: Manifest,
    systems: Sequence[str],
    items: Sequence[Item | None],
    groups: Sequence[str],
    *,
    group_name: str,
    names: Sequence[str],
) -> list[str]:
    """Say why the systems of a manifest cannot be compared text by text; nothing where they can.

    Args:
        manifest: N rows.
        systems: N names.
        items: N; None where the row is not scored.
        groups: N; what the bootstrap draws.
        group_name: The column of the groups.
        names: Labels in the order of their ids.
    """
    problems = _find_twice(manifest, systems, items, names)
    by_system = _group(systems, items)
    if len(by_system) < 2:
        found = ", ".join(map(repr, by_system)) or "none"
        return [*problems, f"{manifest.source.name}: --compare needs two systems or more; found {found}"]
    for (first, mine), (second, theirs) in combinations(by_system.items(), 2):
        shared = [item for item in mine if item in theirs]
        who = f"{manifest.source.name}: systems {first!r} and {second!r}"
        moved = [
            (item.text, groups[mine[item]], groups[theirs[item]])
            for item in shared
            if groups[mine[item]] != groups[theirs[item]]
        ]
        if not shared:
            problems.append(_describe_apart(who, set(mine), set(theirs)))
        elif moved:
            problems.append(_describe_moved(who, *moved[0], group_name=group_name))
        elif len({groups[mine[item]] for item in shared}) < 2:
            only = groups[mine[shared[0]]]
            problems.append(f"{who} share one {group_name} only ({only!r}); --compare needs 2 at the very least")
    return problems


def _group(systems: Sequence[str], items: Sequence[Item | None]) -> dict[str, dict[Item, int]]:
    """Return each system's items with the first row of each."""
    by_system: dict[str, dict[Item, int]] = {}
    for row, (system, item) in enumerate(zip(systems, items, strict=True)):
        if item is not None:
            by_system.setdefault(system, {}).setdefault(item, row)
    return by_system


def _find_twice(
    manifest: Manifest, systems: Sequence[str], items: Sequence[Item | None], names: Sequence[str]
) -> list[str]:
    first: dict[tuple[str, Item], int] = {}
    problems = []
    for row, (system, item) in enumerate(zip(systems, items, strict=True)):
        if item is not None and (known := first.setdefault((system, item), row)) != row:
            problems.append(
                f"{manifest.where(row)}: system {system!r} has the text {item.text!r} with {names[item.label]} in "
                f"{manifest.name_line(known)} too; --compare needs it once: drop one, or tell them apart in text_id"
            )
    return problems


def _describe_apart(who: str, mine: set[Item], theirs: set[Item]) -> str:
    texts: Mapping[bool, str] = {
        True: "share texts, but ask for other emoji in them",
        False: "share no text",
    }
    said = texts[bool({item.text for item in mine} & {item.text for item in theirs})]
    return (
        f"{who} {said}; --compare pairs utterances of one text and one emoji: look at text_id and label, or score "
        "without --compare"
    )


def _describe_moved(who: str, text: str, mine: str, theirs: str, *, group_name: str) -> str:
    return (
        f"{who} have the text {text!r} in the groups {mine!r} and {theirs!r} of {group_name}; --compare needs a "
        "--group that a text has in every system, such as text_id"
    )
