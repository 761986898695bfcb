"""What must stay together: the groups that one column, or several at once, make of the rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from emoji_lightning.splits.group_problem import Ints


@dataclass(frozen=True, eq=False)
class Groups:
    """The group of each of N rows.

    Args:
        names: Name of each of the G groups, for hashing and for messages; all different.
        of_row: Group of each row, shape (N,), 0..G-1.
    """

    names: Sequence[str] = field(repr=False)
    of_row: Ints = field(repr=False)

    def __len__(self) -> int:
        return len(self.names)


def group_rows(columns: Mapping[str, Sequence[str]]) -> Groups:
    """Put rows into one group that share a value of any column, directly or through other rows.

    Several columns make the connected components of the graph whose edges are the rows; a group is named by the
    smallest of its values, so that the order of the rows does not matter.

    Args:
        columns: Column name -> N values, none empty; at least one column.

    Returns:
        The groups; with one column, one per value, named by it.

    >>> group_rows({"speaker": ["s1", "s1", "s2", "s3"], "text": ["a", "b", "b", "c"]}).of_row.tolist()
    [0, 0, 0, 1]
    """
    encoded = [pa.array(values, pa.string()).dictionary_encode() for values in columns.values()]
    if len(columns) == 1:
        return Groups(encoded[0].dictionary.to_pylist(), np.asarray(encoded[0].indices, dtype=np.int64))
    named = [
        f"{name}={value}" for name, each in zip(columns, encoded, strict=True) for value in each.dictionary.to_pylist()
    ]
    starts = np.cumsum([0, *(len(column.dictionary) for column in encoded)])
    nodes = [np.asarray(column.indices) + start for column, start in zip(encoded, starts, strict=False)]
    edges = np.concatenate([np.column_stack([nodes[0], others]) for others in nodes[1:]])
    components = connect_nodes(named, edges)
    return Groups(components.names, components.of_row[nodes[0]])


def connect_nodes(names: Sequence[str], edges: Ints) -> Groups:
    """Group the nodes of a graph into its connected components, each named by the smallest name in it.

    Args:
        names: Name of each of V nodes, all different.
        edges: Pairs of nodes that belong together, shape (E, 2).

    Returns:
        The components; rows are the nodes.

    >>> connect_nodes(["b", "c", "a"], np.array([[0, 1]])).names
    ['b', 'a']
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    weights = np.ones(len(edges), dtype=np.int8)
    graph = coo_array((weights, (edges[:, 0], edges[:, 1])), shape=(len(names), len(names)))
    count, component = connected_components(graph.tocsr(), directed=False)
    by_name = sorted(range(len(names)), key=names.__getitem__, reverse=True)
    smallest = [""] * count
    for node in by_name:
        smallest[component[node]] = names[node]
    return Groups(smallest, component.astype(np.int64))
