"""The table of layouts says what is tested."""

import re
from pathlib import Path

from layouts import LAYOUTS

DOCS = (Path(__file__).parents[1] / "docs" / "checkpoints.md").read_text(encoding="utf-8")
TICKED = [line.split("|") for line in DOCS.splitlines() if "✓" in line]
OF_LABEL_MAPS = re.compile(r"\w+: (list|label -> id, ids as \w+|id -> label, ids as \w+)")


def test_every_ticked_case_is_a_layout_that_is_read_written_and_consumed() -> None:
    names = {layout.name for layout in LAYOUTS}
    documented = {name for row in TICKED for name in re.findall(r"`([^`]+)`", row[-2])}
    assert documented <= names
    assert names - documented == {name for name in names if OF_LABEL_MAPS.fullmatch(name)} - documented
    assert all(row.count(" ✓ ") == 3 for row in TICKED)


def test_the_names_of_label_maps_are_those_that_are_tested() -> None:
    (row,) = [row for row in TICKED if "label maps" in row[2]]
    documented = set(re.findall(r"`([^`]+)`", row[2])[0].split())
    tested = {layout.name.partition(":")[0] for layout in LAYOUTS if OF_LABEL_MAPS.fullmatch(layout.name)}
    assert documented == tested
    assert f"and {sum(bool(OF_LABEL_MAPS.fullmatch(layout.name)) for layout in LAYOUTS) - 1} more" in row[-2]
