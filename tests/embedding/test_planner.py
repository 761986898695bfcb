from collections.abc import Iterator
from itertools import chain, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from emoji_lightning.embedding.planner import BatchLimits, plan_batches

LIMITS = st.builds(
    BatchLimits,
    window_frames=st.just(6_000),
    window_utterances=st.just(32),
    padded_frames=st.integers(1, 900),
)
MANY, FEW = (st.lists(st.integers(1, 400), max_size=size) for size in (60, 7))


def at_most(padded_frames: int | None) -> BatchLimits:
    return BatchLimits(window_frames=1, window_utterances=1, padded_frames=padded_frames)


def cost(lengths: list[int]) -> int:
    """Count padded frames."""
    return len(lengths) * max(lengths)


def fits(lengths: list[int], limits: BatchLimits) -> bool:
    assert limits.padded_frames is not None
    return len(lengths) == 1 or cost(lengths) <= limits.padded_frames


def all_groupings(lengths: list[int]) -> Iterator[list[list[int]]]:
    """Every way to put some utterances into batches."""
    if not lengths:
        yield []
        return
    for groups in all_groupings(lengths[1:]):
        yield [[lengths[0]], *groups]
        for at, group in enumerate(groups):
            yield [*groups[:at], [lengths[0], *group], *groups[at + 1 :]]


@given(frames=MANY, limits=LIMITS)
def test_each_utterance_is_in_exactly_one_batch(frames: list[int], limits: BatchLimits) -> None:
    batches = plan_batches(frames, limits)
    assert sorted(chain(*batches)) == list(range(len(frames)))
    assert all(batches)


@given(frames=MANY, limits=LIMITS)
def test_no_batch_takes_more_room_than_allowed_unless_it_is_a_single_utterance(
    frames: list[int], limits: BatchLimits
) -> None:
    for batch in plan_batches(frames, limits):
        assert fits([frames[position] for position in batch], limits)


@given(frames=MANY, limits=LIMITS)
def test_the_longest_come_first_in_and_across_batches(frames: list[int], limits: BatchLimits) -> None:
    lengths = [frames[position] for position in chain(*plan_batches(frames, limits))]
    assert all(longer >= shorter for longer, shorter in pairwise(lengths))


@given(frames=MANY, limits=LIMITS)
def test_no_batch_could_take_the_first_of_the_next(frames: list[int], limits: BatchLimits) -> None:
    for batch, following in pairwise(plan_batches(frames, limits)):
        assert not fits([frames[position] for position in (*batch, following[0])], limits)


@given(frames=FEW, limits=LIMITS)
@settings(max_examples=60)
def test_no_other_grouping_has_fewer_batches(frames: list[int], limits: BatchLimits) -> None:
    allowed = (groups for groups in all_groupings(frames) if all(fits(group, limits) for group in groups))
    assert len(plan_batches(frames, limits)) == min(map(len, allowed))


@given(frames=MANY, limits=LIMITS)
def test_planning_needs_no_more_batches_than_taking_them_as_they_come(frames: list[int], limits: BatchLimits) -> None:
    naive: list[list[int]] = []
    for length in frames:
        if naive and fits([*naive[-1], length], limits):
            naive[-1].append(length)
        else:
            naive.append([length])
    assert len(plan_batches(frames, limits)) <= len(naive)


def test_shorter_utterances_pay_for_the_longest_beside_them() -> None:
    assert plan_batches([100, 400], at_most(800)) == [[1, 0]]
    assert plan_batches([100, 400], at_most(799)) == [[1], [0]]


def test_what_fits_no_batch_gets_one_of_its_own() -> None:
    assert plan_batches([50, 1_000, 60, 2_000], at_most(120)) == [[3], [1], [2, 0]]


@given(frames=st.lists(st.integers(1, 400), min_size=1, max_size=60))
def test_without_a_limit_all_are_one_batch_the_longest_first(frames: list[int]) -> None:
    (batch,) = plan_batches(frames, at_most(None))
    assert sorted(batch) == list(range(len(frames)))
    assert [frames[position] for position in batch] == sorted(frames, reverse=True)


def test_equal_lengths_keep_their_order() -> None:
    assert plan_batches([7, 9, 7, 9], at_most(None)) == [[1, 3, 0, 2]]
    assert plan_batches([7, 9, 7, 9], at_most(18)) == [[1, 3], [0, 2]]


def test_no_utterances_are_no_batches() -> None:
    assert plan_batches([], at_most(100)) == []
    assert plan_batches([], at_most(None)) == []
