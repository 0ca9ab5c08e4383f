"""Worker processes of one thread each, by the standard library: results in the order of what is asked."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 3
"""Items on their way per worker: enough that none waits, few enough that results take no memory."""


def cores() -> int:
    """How many processes this one may run at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def ordered(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    jobs: int,
    lost: Callable[[Item], Result],
    preload: Sequence[str] = (),
) -> Iterator[Result]:
    """`function` of every item in the order of the items, computed in `jobs` processes; with 1 in this one.

    An item that takes its process down with it gives `lost(item)`, and the others go on. What `function`
    raises is raised here. `preload` are modules that the processes need: imported once for all of them.
    """
    if jobs == 1:
        yield from map(function, items)
        return
    rest = iter(items)
    while True:
        suspects: deque[Item] = deque()
        try:
            yield from _in_pool(function, rest, suspects, jobs, preload)
        except BrokenProcessPool:
            for item in suspects:
                yield _alone(function, item, lost, preload)
        else:
            return


def _in_pool(
    function: Callable[[Item], Result],
    rest: Iterator[Item],
    asked: deque[Item],
    jobs: int,
    preload: Sequence[str],
) -> Iterator[Result]:
    """Results; `asked` holds the items whose result is still to come."""
    futures: deque[Future[Result]] = deque()
    with _pool(jobs, preload) as pool:
        for item in rest:
            asked.append(item)
            futures.append(pool.submit(function, item))
            if len(futures) >= AHEAD * jobs:
                result = futures.popleft().result()
                asked.popleft()
                yield result
        while futures:
            result = futures.popleft().result()
            asked.popleft()
            yield result


def _alone(
    function: Callable[[Item], Result], item: Item, lost: Callable[[Item], Result], preload: Sequence[str]
) -> Result:
    with _pool(1, preload) as pool:
        # where not even this can be had, it is not the item's fault
        pool.submit(os.getpid).result()
        try:
            return pool.submit(function, item).result()
        except BrokenProcessPool:
            return lost(item)


@contextmanager
def _pool(jobs: int, preload: Sequence[str]) -> Iterator[ProcessPoolExecutor]:
    """Processes that are gone when the block ends, however it ends: with what they are at, no more."""
    # forked from a server that has imported everything: they begin at once, and share what they do not change
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload(["torch", *preload])
    ends, held = context.Pipe(duplex=False)
    with held, ends:
        pool = ProcessPoolExecutor(jobs, context, initializer=_begin, initargs=(ends,))
        try:
            yield pool
        finally:
            with _deaf_to_interrupts():
                pool.shutdown(cancel_futures=True)


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """An impatient second Ctrl-C would cut the end short and leave processes that wait for each other."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _begin(ends: Connection) -> None:
    import torch

    torch.set_num_threads(1)
    # Ctrl-C is the parent's to answer
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(ends,), daemon=True).start()


def _end_with(ends: Connection) -> None:
    """Ends this process when nobody holds the other end any more, also where the parent was killed."""
    ends.poll(None)
    os._exit(1)
