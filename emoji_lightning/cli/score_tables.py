"""What `score` shows in the terminal; it fits into 80 columns."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from emoji_lightning.evaluation.comparison import Comparison
from emoji_lightning.report.words import name_units
from emoji_lightning.scoring.result import Score, SystemScore

NUMBERS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "macro recall",
    "macro_f1": "macro-F1",
    "mean_probability": "probability",
}
"""Numbers as reports name them; the probability is the mean of that of the emoji asked for."""
MAX_LISTED = 5
"""Utterances that were not heard and are listed; `utterances.csv` holds all."""


def print_score(score: Score, folder: Path) -> None:
    """Print what was heard of each system, its numbers beside those of the references, and the comparisons."""
    console = Console(highlight=False, markup=False, emoji=False)
    for report in score.embedded:
        console.print(report.summary(), soft_wrap=True)
    absent = any(system.num_heard < system.num_asked for system in score.scored)
    columns = ["system", "asked", "heard", "missing", "failed", *(["accuracy, absent wrong"] if absent else [])]
    _print_table(console, columns, (_count(system, absent=absent) for system in score.scored))
    _print_absent(console, score)
    console.print()
    _print_table(console, ["system", *NUMBERS.values()], _list_rows(score))
    _print_caption(console, score)
    for comparison in score.comparisons:
        console.print(describe_comparison(comparison, score.settings["group"]), soft_wrap=True)
    console.print(f"\nreport: {folder / 'report.html'}", soft_wrap=True)


def describe_comparison(comparison: Comparison, group: str) -> str:
    """Return a pair of systems in two lines: difference, interval, p value, and whether it is decided."""
    accuracy = comparison.differences["accuracy"]
    interval = "" if accuracy.low is None else f" [{accuracy.low:+.3f}, {accuracy.high:+.3f}]"
    verdict = "decided" if comparison.decided else "not decided"
    if comparison.more_needed is not None:
        verdict += f", about {comparison.more_needed} more {name_units(group)} needed"
    return (
        f"{comparison.first} - {comparison.second}: {verdict}\n  accuracy {accuracy.value:+.3f}{interval}, "
        f"p = {comparison.permutation_p_holm['accuracy']:.2g}, {comparison.num_shared} shared utterances"
    )


def _count(system: SystemScore, *, absent: bool) -> list[str]:
    numbers = [len(system.absent(status)) for status in ("missing", "failed")]
    counting = [f"{system.accuracy_counting_absent:.3f}"] if absent else []
    return [system.name, *map(str, (system.num_asked, system.num_heard, *numbers)), *counting]


def _print_absent(console: Console, score: Score) -> None:
    """List what was not heard, and the labels whose utterances were dropped."""
    absent = [each for system in score.scored for each in system.utterances if each.status != "heard"]
    for each in absent[:MAX_LISTED]:
        # The reason of a row begins with its file.
        console.print(f"{each.status}: {each.reason if each.where else f'{each.id}: {each.reason}'}", soft_wrap=True)
    if len(absent) > MAX_LISTED:
        console.print(f"... and {len(absent) - MAX_LISTED} more in utterances.csv")
    for label, number in score.unknown.items():
        console.print(f"dropped: {number} utterances that ask for {label}, which the checkpoint does not know")


def _list_rows(score: Score) -> Iterable[Sequence[str]]:
    """Yield the rows of the systems and of the references below them."""
    for system in score.scored:
        yield [system.name, *(_spell(system.evaluation.to_dict(), name) for name in NUMBERS)]
    test = score.checkpoint.get("test")
    if test:
        yield [f"classifier's own test ({test['num_utterances']})", *(_spell(test, name) for name in NUMBERS)]
    chances = [system.evaluation.baselines["chance"] for system in score.systems.values()]
    yield ["chance", *(_spell({name: max(chance[name] for chance in chances)}, name) for name in NUMBERS)]


def _spell(numbers: Mapping[str, Any], name: str) -> str:
    """Return a number with its interval below it."""
    value = numbers.get(name)
    if value is None:
        return "-"
    interval = (numbers.get("intervals") or {}).get(name)
    return f"{value:.3f}" + (f"\n[{interval[0]:.2f}, {interval[1]:.2f}]" if interval else "")


def _print_caption(console: Console, score: Score) -> None:
    settings = score.settings
    console.print(
        f"[ ]: {100 * settings['level']:g} % interval, bootstrap over {settings['group']} "
        f"({settings['num_resamples']} resamples, seed {settings['seed']})",
        soft_wrap=True,
    )
    if score.checkpoint.get("test"):
        console.print("    (the classifier's own test: over its utterances)")
    if score.comparisons:
        console.print("p: permutation test of accuracy, Holm-corrected for all pairs; [ ] are not")


def _print_table(console: Console, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left", overflow="fold", no_wrap=place > 0)
    for row in rows:
        table.add_row(*row)
    console.print(table)
