from collections.abc import Iterator
from threading import Barrier, Event, Thread, get_ident

import pytest
import torch

from emoji_lightning.embedding.workers import Workers


@pytest.fixture
def three_threads() -> Iterator[None]:
    """A number of torch's threads that nothing else would set."""
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(threads)


def count_threads_of_a_new_thread() -> int:
    counts: list[int] = []
    thread = Thread(target=lambda: counts.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return counts[0]


def test_each_result_comes_with_the_position_of_its_item() -> None:
    words = ["anger", "joy", "", "sad", "joy"]
    results = list(Workers(3).map(len, words))
    assert sorted(results) == list(enumerate(map(len, words)))


def test_a_result_comes_as_soon_as_it_is_done_not_in_order() -> None:
    last_seen = Event()

    def wait_for_the_last(item: int) -> int:
        if item == 0:
            assert last_seen.wait(10)
        return item * item

    results = []
    for position, square in Workers(2).map(wait_for_the_last, [0, 7, 9]):
        results.append((position, square))
        if position == 2:
            last_seen.set()
    assert results[-1] == (0, 0)
    assert sorted(results) == [(0, 0), (1, 49), (2, 81)]


def test_no_items_are_no_results() -> None:
    assert list(Workers(2).map(len, [])) == []


def test_by_default_there_is_a_worker_for_each_of_torchs_threads(three_threads: None) -> None:
    assert Workers().count == 3


def test_every_worker_computes_at_once_and_with_one_thread(three_threads: None) -> None:
    all_there = Barrier(4)

    def count(_: int) -> tuple[int, int]:
        all_there.wait(10)  # it breaks where fewer than four run at once
        return get_ident(), torch.get_num_threads()

    results = [result for _, result in Workers(4).map(count, range(4))]
    assert len({worker for worker, _ in results}) == 4
    assert get_ident() not in {worker for worker, _ in results}
    assert [threads for _, threads in results] == [1, 1, 1, 1]


def test_outside_the_workers_torch_keeps_its_threads(three_threads: None) -> None:
    workers = Workers(2)
    assert sorted(workers.map(abs, [-1, 2])) == [(0, 1), (1, 2)]
    assert torch.get_num_threads() == 3
    assert count_threads_of_a_new_thread() == 3
    torch.set_num_threads(2)
    assert [threads for _, threads in workers.map(lambda _: torch.get_num_threads(), range(4))] == [1, 1, 1, 1]
    assert torch.get_num_threads() == 2


def test_a_vector_does_not_depend_on_the_number_of_workers() -> None:
    rows = list(torch.randn(16, 300, generator=torch.Generator().manual_seed(0)))
    weight = torch.randn(300, 400, generator=torch.Generator().manual_seed(1))
    alone, together = (dict(Workers(count).map(weight.T.mv, rows)) for count in (1, 4))
    assert all(torch.equal(alone[row], together[row]) for row in range(16))
    assert torch.allclose(torch.stack([alone[row] for row in range(16)]), torch.stack(rows) @ weight, atol=1e-3)


def test_an_error_is_raised_and_what_has_not_begun_is_dropped() -> None:
    begun: list[int] = []
    go_on = Event()

    def fail_at_one(item: int) -> int:
        begun.append(item)
        if item == 1:
            raise ValueError("no audio at all")
        if item > 1:
            assert go_on.wait(10)
        return item

    workers = Workers(1)
    with pytest.raises(ValueError, match="no audio at all"):
        list(workers.map(fail_at_one, range(50)))
    go_on.set()
    # The one worker may have begun the next before the error was seen here; it is done before another call is.
    assert list(workers.map(abs, [-5])) == [(0, 5)]
    assert begun in ([0, 1], [0, 1, 2])


def test_a_consumer_that_leaves_drops_what_has_not_begun() -> None:
    begun: list[int] = []
    go_on = Event()

    def wait(item: int) -> int:
        begun.append(item)
        if item:
            assert go_on.wait(10)
        return item

    workers = Workers(1)
    results = workers.map(wait, range(50))
    assert next(results) == (0, 0)
    results.close()  # type: ignore[attr-defined]
    go_on.set()
    assert list(workers.map(abs, [-5])) == [(0, 5)]
    assert begun in ([0], [0, 1])


def test_a_second_call_reuses_the_threads() -> None:
    workers = Workers(2)

    def who(_: int, all_there: Barrier) -> int:
        all_there.wait(10)
        return get_ident()

    calls = []
    for _ in range(3):
        all_there = Barrier(2)
        calls.append({worker for _, worker in workers.map(lambda item, there=all_there: who(item, there), range(2))})
    assert len(calls[0]) == 2
    assert calls[0] == calls[1] == calls[2]
