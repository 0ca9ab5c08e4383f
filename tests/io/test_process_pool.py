from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest
import torch

from emoprune.errors import BadImage
from emoprune.io import process_pool


def squared(number: int) -> int:
    # the later ones are ready first
    time.sleep(max(0, 5 - number) * 0.02)
    return number**2


def place(number: int) -> tuple[int, int]:
    return os.getpid(), torch.get_num_threads()


def deadly(number: int) -> int:
    if number in (3, 4, 9):
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def faulty(number: int) -> int:
    if number == 2:
        raise BadImage("no picture", "give one", place="here")
    return number


def never(number: int) -> int:
    raise AssertionError(number)


def as_lost(number: int) -> int:
    return -number


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_come_in_the_order_of_the_items(jobs: int) -> None:
    found = process_pool.ordered(squared, range(12), jobs=jobs, lost=never)
    assert list(found) == [number**2 for number in range(12)]


def test_one_job_runs_in_this_process_and_several_in_processes_of_one_thread() -> None:
    assert {pid for pid, _ in process_pool.ordered(place, range(3), jobs=1, lost=lost_place)} == {os.getpid()}
    found = list(process_pool.ordered(place, range(20), jobs=2, lost=lost_place))
    assert os.getpid() not in {pid for pid, _ in found}
    assert {threads for _, threads in found} == {1}


def lost_place(number: int) -> tuple[int, int]:
    raise AssertionError(number)


def test_what_ends_its_process_is_lost_and_all_else_is_done() -> None:
    found = list(process_pool.ordered(deadly, range(12), jobs=2, lost=as_lost))
    assert found == [-number if number in (3, 4, 9) else number for number in range(12)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_is_raised_here_as_it_was_there(jobs: int) -> None:
    found = process_pool.ordered(faulty, range(6), jobs=jobs, lost=never)
    assert [next(found), next(found)] == [0, 1]
    with pytest.raises(BadImage) as caught:
        next(found)
    assert str(caught.value) == "here: no picture; give one"


def large(number: int) -> bytes:
    return bytes(1_000_000)


def lost_bytes(number: int) -> bytes:
    raise AssertionError(number)


def test_to_stop_early_is_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    # results that do not fit into a pipe are on their way when nobody wants them any more
    for _ in range(5):
        found = process_pool.ordered(large, range(100), jobs=2, lost=lost_bytes)
        assert len(next(found)) == 1_000_000
        found.close()  # type: ignore[attr-defined]


def test_items_are_taken_as_they_are_needed() -> None:
    asked = []

    def items() -> Iterator[int]:
        for number in range(1000):
            asked.append(number)
            yield number

    found = process_pool.ordered(squared, items(), jobs=2, lost=never)
    assert [next(found) for _ in range(3)] == [0, 1, 4]
    assert len(asked) <= 3 + process_pool.AHEAD * 2
    found.close()  # type: ignore[attr-defined]


def endless(number: int) -> int:
    if number:
        threading.Event().wait()
    return number


def test_what_is_abandoned_ends_in_the_middle() -> None:
    found = process_pool.ordered(endless, range(4), jobs=2, lost=never, abandon=True)
    assert next(found) == 0
    # this would wait forever
    found.close()  # type: ignore[attr-defined]
