"""Names and shapes -> the order of layers and the place of norms."""

import random
from itertools import permutations
from pathlib import Path

import pytest
import torch
from broken_files import good, saved, state_dict
from hypothesis import given, settings
from hypothesis import strategies as st
from layout_parts import LABELS
from safetensors.torch import save_file
from torch import nn

from emoji_lightning.checkpoint.chain import natural_key, read_chain
from emoji_lightning.checkpoint.stored_head import read_head
from emoji_lightning.errors import CheckpointError

Shapes = dict[str, tuple[int, ...]]


def order_of(*names: str, sizes: tuple[tuple[int, int], ...] | None = None, in_order: bool = True) -> list[str]:
    """Return names of Linear layers, given as they stand in the file, in the order in which they were put."""
    state = {
        f"{name}.weight": torch.ones(size) for name, size in zip(names, sizes or [(4, 4)] * len(names), strict=True)
    }
    keys = read_chain(state, in_order=in_order).keys
    return [name.removesuffix(".weight") for name in keys.values()]


@pytest.mark.parametrize("names", list(permutations(("fc1", "fc2", "fc3", "fc10"))))
def test_square_layers_follow_their_numbers_wherever_they_stand_in_the_file(names: tuple[str, ...]) -> None:
    assert order_of(*names) == ["fc1", "fc2", "fc3", "fc10"]


def test_square_layers_that_no_number_tells_apart_follow_the_file() -> None:
    assert order_of("stem", "body", "adapter") == ["stem", "body", "adapter"]
    assert order_of("hidden", "hidden2", "hidden3") == ["hidden", "hidden2", "hidden3"]
    assert order_of("backbone.0", "backbone.3", "adapter.0") == ["backbone.0", "backbone.3", "adapter.0"]


def test_where_a_file_is_sorted_by_name_its_order_says_nothing() -> None:
    assert order_of("a.10", "a.2", in_order=False) == ["a.2", "a.10"]
    with pytest.raises(CheckpointError, match="several orders of them fit, and no number tells which"):
        order_of("adapter", "body", "stem", in_order=False)


def test_sizes_tell_the_order_where_names_do_not() -> None:
    sizes = ((4, 4), (2, 4), (4, 8))
    for in_order in (True, False):
        assert order_of("body", "out", "stem", sizes=sizes, in_order=in_order) == ["stem", "body", "out"]


def test_sizes_win_over_numbers_and_it_is_said() -> None:
    state = {"fc3.weight": torch.ones(4, 8), "fc2.weight": torch.ones(6, 4), "fc1.weight": torch.ones(2, 6)}
    chain = read_chain(dict(reversed(state.items())))
    assert list(chain.keys.values()) == ["fc3.weight", "fc2.weight", "fc1.weight"]
    assert chain.assumed == ("the layers follow each other in the one way that their sizes allow",)


def test_only_the_layers_that_can_change_places_need_numbers() -> None:
    names, sizes = ("stem", "block2", "block1", "head"), ((4, 8), (4, 4), (4, 4), (2, 4))
    assert order_of(*names, sizes=sizes) == ["stem", "block1", "block2", "head"]


@settings(deadline=None)
@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=6, unique=True), st.randoms())
def test_natural_order_is_the_order_of_numbers(numbers: list[int], rng: random.Random) -> None:
    names = [f"model.net.{number}.weight" for number in numbers]
    rng.shuffle(names)
    assert sorted(names, key=natural_key) == [f"model.net.{number}.weight" for number in sorted(numbers)]


@settings(deadline=None)
@given(st.text(), st.text())
def test_any_two_names_have_an_order(one: str, other: str) -> None:
    assert (natural_key(one) < natural_key(other)) + (natural_key(other) < natural_key(one)) <= 1


def describe(in_order: bool = True, **shapes: tuple[int, ...]) -> str:
    """Describe a chain of weights named with __ for the dot; a vector is a LayerNorm."""
    state = {}
    for name, shape in shapes.items():
        state[f"{name.replace('__', '.')}.weight"] = torch.ones(shape)
        if len(shape) == 1:
            state[f"{name.replace('__', '.')}.bias"] = torch.ones(shape)
    return read_chain(state, in_order=in_order).architecture.describe()


IN, OUT = "4 -> LayerNorm -> 4 -> ReLU -> 4", "4 -> 4 -> LayerNorm -> ReLU -> 4"
NEXT = "4 -> 4 -> ReLU -> LayerNorm -> 4"
LAST = "4 -> 4 -> ReLU -> 4 -> LayerNorm"
LINEAR, NORM = (4, 4), (4,)
NORMS: dict[str, tuple[str, Shapes]] = {
    "before the first": (IN, {"n__0": NORM, "n__1": LINEAR, "n__4": LINEAR}),
    "at once behind": (OUT, {"n__0": LINEAR, "n__1": NORM, "n__4": LINEAR}),
    "behind a gap": (NEXT, {"n__0": LINEAR, "n__2": NORM, "n__4": LINEAR}),
    "behind the last": (LAST, {"n__0": LINEAR, "n__2": LINEAR, "n__3": NORM}),
    "behind the last and a gap": (LAST, {"n__0": LINEAR, "n__2": LINEAR, "n__5": NORM}),
    "the head outside": (OUT, {"n__0": LINEAR, "n__1": NORM, "head": LINEAR}),
    "a gap, the head outside": (NEXT, {"n__0": LINEAR, "n__2": NORM, "head": LINEAR}),
    "in blocks": (OUT, {"b__0__0": LINEAR, "b__0__1": NORM, "b__1__0": LINEAR}),
    "by number": (OUT, {"fc1": LINEAR, "fc2": LINEAR, "ln1": NORM}),
    "by number, 2": (LAST, {"fc1": LINEAR, "fc2": LINEAR, "ln2": NORM}),
    "by number in lists": (OUT, {"linears__0": LINEAR, "norms__0": NORM, "linears__1": LINEAR}),
    "a number that two layers have": (LAST, {"x1": LINEAR, "y1": LINEAR, "ln1": NORM}),
    "as in the file": (OUT, {"dense": LINEAR, "norm": NORM, "out": LINEAR}),
    "first in the file": (IN, {"norm": NORM, "dense": LINEAR, "out": LINEAR}),
}


@pytest.mark.parametrize(("described", "shapes"), NORMS.values(), ids=list(NORMS))
def test_a_norm_stands_where_its_name_says(described: str, shapes: Shapes) -> None:
    assert describe(**shapes) == described


def test_a_norm_goes_where_its_size_allows_if_the_order_of_the_file_says_nothing() -> None:
    shapes: Shapes = {"dense": (5, 8), "input_norm": (8,), "norm": (5,), "out": (3, 5)}
    expected = "8 -> LayerNorm -> 5 -> LayerNorm -> ReLU -> 3"
    assert describe(in_order=False, **shapes) == expected
    assert describe(**shapes) == expected


@pytest.mark.parametrize(
    "shapes",
    [
        {"alpha": LINEAR, "beta": LINEAR, "norm": NORM},
        {"fc1": LINEAR, "fc2": LINEAR, "ln7": NORM},
    ],
)
def test_a_norm_of_which_nothing_tells_the_place_is_refused(shapes: Shapes) -> None:
    renamed = {name.replace("alpha", "a1").replace("beta", "a2"): shape for name, shape in shapes.items()}
    with pytest.raises(CheckpointError, match=r"where (norm|ln7) \(4\) belongs cannot be told"):
        describe(in_order=False, **renamed)


def test_two_norms_in_one_place_are_refused() -> None:
    with pytest.raises(CheckpointError, match=r"where ln1 \(4\) belongs cannot be told"):
        describe(fc1=LINEAR, bn1=NORM, ln1=NORM, fc2=LINEAR)


def test_what_was_assumed_stands_among_the_origins(tmp_path: Path) -> None:
    write = state_dict(("a.weight", (5, 8)), ("norm.weight", (5,)), ("norm.bias", (5,)), ("b.weight", (3, 5)))
    source = read_head(write(tmp_path)).source
    assert source is not None
    assert source.origins["order"].startswith("each norm stands behind the Linear layer before it in the file")
    assert source.origins["activation"] == "assumed, the file does not say"
    assert source.origins["dropout"].startswith("assumed, the file does not say")
    assert source.origins["encoder"] == "not named"


def test_weights_of_a_loss_and_a_metric_are_left_out_whatever_they_hold(tmp_path: Path) -> None:
    content = good()
    content["state_dict"] |= {
        "loss_fn.weight": torch.full((3,), float("nan")),
        "train_metrics.confusion": torch.zeros(3, 3, dtype=torch.int64),
        "criterion.weight": torch.ones(3),
    }
    head = read_head(saved(content)(tmp_path))
    assert head.source is not None
    assert head.source.chain.ignored == ("loss_fn.weight", "train_metrics.confusion", "criterion.weight")
    assert head.architecture.describe() == "8 -> 5 -> ReLU -> 5 -> ReLU -> 3"


def test_a_batch_norm_without_weights_of_its_own_is_read(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(8, 5), nn.BatchNorm1d(5, affine=False), nn.ReLU(), nn.Linear(5, 3))
    module(torch.randn(20, 8))
    embeddings = torch.randn(4, 8)
    head = read_head(saved({"state_dict": module.eval().state_dict(), "labels": list(LABELS)})(tmp_path))
    torch.testing.assert_close(head.build()(embeddings), module(embeddings), rtol=0, atol=1e-6)


def test_safetensors_layers_follow_their_numbers(tmp_path: Path) -> None:
    weights = {f"fc{number}.weight": number * torch.eye(4) for number in (1, 2, 10)}
    save_file(weights, tmp_path / "head.safetensors", {"labels": '["a", "b", "c", "d"]'})
    state = read_head(tmp_path / "head.safetensors").state_dict
    assert [float(tensor[0, 0]) for tensor in state.values()] == [1.0, 2.0, 10.0]
