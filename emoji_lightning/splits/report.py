"""The record of a split, for people."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table


def render_record(record: Mapping[str, Any]) -> None:
    """Print the record of a split: utterances per label and split, balance, and what was checked."""
    console = Console(highlight=False, markup=False)
    if record["counts"]:
        console.print(_tabulate(record["counts"]))
    for name, deviation in record.get("deviation", {}).items():
        part = f"fold {name}" if name.isdecimal() else name
        console.print(f"{part}: at most {deviation} from the balanced number per label")
    if "earlier" in record:
        grown = record["earlier"]
        console.print(f"{grown['manifest']}: {grown['kept']} utterances kept, {grown['new']} new, {grown['gone']} gone")
        if grown["relabelled"]:
            console.print(f"warning: {grown['relabelled']} of those kept have another label than before")
    for name, wanted in record.get("targets", {}).items():
        if any(wanted.values()) and not any(record["counts"][name].values()):
            console.print(f"warning: {name} is empty, since every utterance keeps its split; split anew to fill it")
    if record.get("replaced", {}).get("moved"):
        moved = record["replaced"]
        console.print(
            f"warning: {moved['moved']} of {moved['kept']} utterances are in another split than in the file that was "
            "replaced; --update lets them stay"
        )
    console.print(f"checked, in no two splits but where said below: {', '.join(record['checked'])}")
    for name, reason in record["not_checked"].items():
        console.print(f"not checked: {name} ({reason})")
    for warning in record["warnings"]:
        console.print(f"warning: {warning}")


def _tabulate(counts: Mapping[str, Mapping[str, int]]) -> Table:
    table = Table("label", *counts, box=None)
    for label in next(iter(counts.values())):
        table.add_row(label, *(str(each[label]) for each in counts.values()))
    table.add_row("all", *(str(sum(each.values())) for each in counts.values()), style="bold")
    return table
