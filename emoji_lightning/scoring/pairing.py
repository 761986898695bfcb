"""Every two systems, utterance by utterance on the texts that both were heard on."""

from collections.abc import Sequence
from itertools import combinations

from emoji_lightning.evaluation.comparison import Comparison, Paired, compare
from emoji_lightning.evaluation.resampling import Resampling
from emoji_lightning.scoring.hearing import HEARD, Hearing
from emoji_lightning.scoring.texts import Item


def compare_systems(
    hearing: Hearing, *, names: Sequence[str], resampling: Resampling
) -> tuple[list[Comparison], list[str]]:
    """Compare every two systems.

    Args:
        hearing: What was heard of what was asked, which was checked for a comparison.
        names: Labels in the order of their ids.
        resampling: How intervals and p values are drawn.

    Returns:
        The comparisons, and notes on the pairs that too little was heard of.
    """
    asked, rows = hearing.asked, _rows_by_item(hearing)
    pairs: dict[tuple[str, str], Paired] = {}
    notes = []
    for first, second in combinations(dict.fromkeys(asked.systems), 2):
        shared = [item for item in rows.get(first, {}) if item in rows.get(second, {})]
        mine = [rows[first][item] for item in shared]
        theirs = [rows[second][item] for item in shared]
        groups = [asked.groups[row] for row in mine]
        if len(set(groups)) < 2:
            notes.append(
                f"{first} and {second} are not compared: {len(shared)} shared utterances were heard of both, of "
                f"{len(set(groups))} {asked.group_name}; 2 at the very least are needed"
            )
            continue
        pairs[first, second] = Paired(
            asked.labels[mine], hearing.probabilities[mine], hearing.probabilities[theirs], groups
        )
    return (list(compare(pairs, names=names, resampling=resampling)) if pairs else []), notes


def _rows_by_item(hearing: Hearing) -> dict[str, dict[Item, int]]:
    """Return the row of each text that a system was heard on."""
    rows: dict[str, dict[Item, int]] = {}
    for row, system in enumerate(hearing.asked.systems):
        item = hearing.asked.item(row)
        if item is not None and hearing.status[row] == HEARD:
            rows.setdefault(system, {})[item] = row
    return rows
