"""Which Linear layer a norm belongs to, and on which side of it."""

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

from emoji_lightning.checkpoint.module_groups import Module, list_modules
from emoji_lightning.errors import CheckpointError

Place = tuple[int, str]
"""Number of a Linear layer and a role: "norm_in", "linear", "norm_out"; see `Architecture.places`."""
MAX_DIGITS = 9


def place_norms(
    linears: Sequence[Module], modules: Sequence[Module], *, in_order: bool
) -> tuple[dict[Place, Module], list[str]]:
    """Put every norm beside its Linear layer.

    Args:
        linears: Linear layers in the order in which they are passed.
        modules: All modules, in the order of the file.
        in_order: Whether the order of the file says something.

    Returns:
        Place -> norm, and what was assumed.

    Raises:
        CheckpointError: A norm fits nowhere, or in several places.
    """
    placed: dict[Place, Module] = {}
    assumed: dict[str, None] = {}
    for norm in (module for module in modules if not module.is_linear):
        found = _by_index(norm, linears) or _by_number(norm, linears)
        found = found or (_by_file(norm, linears, modules) if in_order else None) or _by_size(norm, linears)
        if found is None or found[0] in placed or not _fits(norm, found[0], linears):
            raise CheckpointError(
                f"where {norm.prefix} ({norm.sizes[1]}) belongs cannot be told; chain: {list_modules(linears)}; "
                "expected each norm directly behind a Linear layer, or numbered like it"
            )
        placed[found[0]] = norm
        assumed[found[1]] = None
    return placed, list(assumed)


def _fits(norm: Module, place: Place, linears: Sequence[Module]) -> bool:
    number, role = place
    return norm.sizes[1] == linears[number].sizes[0 if role == "norm_in" else 1]


def _by_index(norm: Module, linears: Sequence[Module]) -> tuple[Place, str] | None:
    """In one Sequential with Linear layers: behind one at once, or behind a gap, in which an activation must be."""
    parent, own = _index(norm)
    indices = {number: _index(linear)[1] for number, linear in enumerate(linears) if _index(linear)[0] == parent}
    known = {number: index for number, index in indices.items() if index is not None}
    if own is None or not known:
        return None
    before = [number for number, index in known.items() if index < own]
    how = "the place of norms follows from their index"
    if not before:
        return (min(known), "norm_in"), how
    last = max(before)
    if own == known[last] + 1 or last == len(linears) - 1:
        return (last, "norm_out"), how
    return (last + 1, "norm_in"), how


def _index(module: Module) -> tuple[str, int | None]:
    parent, _, leaf = module.prefix.rpartition(".")
    return parent, int(leaf) if leaf.isdecimal() and len(leaf) <= MAX_DIGITS else None


def _by_number(norm: Module, linears: Sequence[Module]) -> tuple[Place, str] | None:
    """ln1 behind fc1."""
    numbers = [_own_number(linear) for linear in linears]
    own = _own_number(norm)
    if own is None or numbers.count(own) != 1 or None in numbers[:-1]:
        return None
    return (
        numbers.index(own),
        "norm_out",
    ), "each norm stands behind the Linear layer of its number, before the activation"


def _own_number(module: Module) -> int | None:
    found = re.search(rf"(?<!\d)(\d{{1,{MAX_DIGITS}}})$", module.prefix)
    return int(found[1]) if found else None


def _by_file(norm: Module, linears: Sequence[Module], modules: Sequence[Module]) -> tuple[Place, str] | None:
    before = modules[: modules.index(norm)]
    passed = [number for number, linear in enumerate(linears) if linear in before]
    place = (max(passed), "norm_out") if passed else (0, "norm_in")
    if not _fits(norm, place, linears):
        return None
    return place, "each norm stands behind the Linear layer before it in the file, before the activation"


def _by_size(norm: Module, linears: Sequence[Module]) -> tuple[Place, str] | None:
    places: list[Place] = [(0, "norm_in"), *((number, "norm_out") for number in range(len(linears)))]
    fitting = [place for place in places if _fits(norm, place, linears)]
    how = "each norm stands in the one place that its size allows, before the activation"
    return (fitting[0], how) if len(fitting) == 1 else None


def chain_fits(order: Sequence[Module]) -> bool:
    """Tell whether each Linear layer takes what the one before it gives."""
    return all(before.sizes[1] == after.sizes[0] for before, after in pairwise(order))


def by_place(linears: Sequence[Module], norms: Mapping[Place, Module]) -> dict[Place, Module]:
    """Put Linear layers and norms into one mapping."""
    return {(number, "linear"): linear for number, linear in enumerate(linears)} | dict(norms)
