import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from emoji_lightning.splits.grouping import group_rows

COLUMNS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 9)), min_size=1, max_size=25)


def connect_plainly(rows: list[tuple[int, ...]]) -> list[int]:
    """Components by merging until nothing changes."""
    component = list(range(len(rows)))
    changed = True
    while changed:
        changed = False
        for a, first in enumerate(rows):
            for b, second in enumerate(rows):
                if any(x == y for x, y in zip(first, second, strict=True)) and component[a] != component[b]:
                    component[a] = component[b] = min(component[a], component[b])
                    changed = True
    return component


def partition(codes: list[int]) -> set[frozenset[int]]:
    return {frozenset(row for row, other in enumerate(codes) if other == code) for code in set(codes)}


@settings(max_examples=60, deadline=None)
@given(COLUMNS)
def test_several_columns_make_the_connected_components(rows: list[tuple[int, int, int]]) -> None:
    columns = {name: [f"{value}" for value in values] for name, values in zip("abc", zip(*rows, strict=True))}  # noqa: B905
    groups = group_rows(columns)
    assert partition(groups.of_row.tolist()) == partition(connect_plainly(rows))
    assert len(groups) == len(set(groups.names)) == len(partition(groups.of_row.tolist()))


@settings(max_examples=40, deadline=None)
@given(COLUMNS, st.randoms())
def test_names_of_groups_do_not_depend_on_the_order_of_rows(rows: list[tuple[int, int, int]], random: object) -> None:
    order = np.random.default_rng(0).permutation(len(rows))

    def name_rows(rows: list[tuple[int, int, int]]) -> list[str]:
        groups = group_rows({"a": [f"{row[0]}" for row in rows], "b": [f"{row[1]}" for row in rows]})
        return [groups.names[code] for code in groups.of_row]

    assert [name_rows(rows)[place] for place in order] == name_rows([rows[place] for place in order])


def test_equal_values_of_different_columns_do_not_tie() -> None:
    assert group_rows({"speaker": ["x", "y"], "text": ["y", "z"]}).of_row.tolist() in ([0, 1], [1, 0])


def test_one_column_keeps_its_values_as_names() -> None:
    groups = group_rows({"speaker": ["s2", "s1", "s2"]})
    assert [groups.names[code] for code in groups.of_row] == ["s2", "s1", "s2"]


def test_a_group_of_several_columns_is_named_by_its_smallest_value() -> None:
    groups = group_rows({"text": ["b", "a", "z"], "speaker": ["s2", "s2", "s1"]})
    assert [groups.names[code] for code in groups.of_row] == ["speaker=s2", "speaker=s2", "speaker=s1"]
