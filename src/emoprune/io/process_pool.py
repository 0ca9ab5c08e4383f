"""Worker processes of one thread each, by the standard library: results in the order of the items."""

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
from itertools import islice
from multiprocessing.connection import Connection
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 3
"""Items in the queue per worker: enough that no worker waits, few enough that results take little memory."""


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def ordered(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    jobs: int,
    lost: Callable[[Item], Result],
    preload: Sequence[str] = (),
    abandon: bool = False,
) -> Iterator[Result]:
    """`function` of every item in the order of the items, in `jobs` processes; with 1 in this one.

    An item that kills its process gives `lost(item)`, and the others continue. Errors of `function` are
    raised here. `preload` names modules that all processes need; they are imported once. Where the caller
    stops early, items in work are finished or, with `abandon`, their processes end at once.
    """
    if jobs == 1:
        yield from map(function, items)
        return
    rest = iter(items)
    while True:
        suspects: deque[Item] = deque()
        try:
            yield from _in_pool(function, rest, suspects, jobs, preload, abandon)
        except BrokenProcessPool:
            for item in suspects:
                with _pool(1, preload, abandon) as pool:
                    # if even this fails, the item is not the cause
                    pool.submit(os.getpid).result()
                    try:
                        result = pool.submit(function, item).result()
                    except BrokenProcessPool:
                        result = lost(item)
                yield result
        else:
            return


def _in_pool(
    function: Callable[[Item], Result],
    rest: Iterator[Item],
    pending: deque[Item],
    jobs: int,
    preload: Sequence[str],
    abandon: bool,
) -> Iterator[Result]:
    """Results; `pending` holds the items that have none yet."""
    futures: deque[Future[Result]] = deque()
    with _pool(jobs, preload, abandon) as pool:
        while True:
            for item in islice(rest, AHEAD * jobs - len(futures)):
                pending.append(item)
                futures.append(pool.submit(function, item))
            if not futures:
                return
            result = futures.popleft().result()
            pending.popleft()
            yield result


@contextmanager
def _pool(jobs: int, preload: Sequence[str], abandon: bool) -> Iterator[ProcessPoolExecutor]:
    """A pool that ends with the block, however it ends; items in work are finished, no others.

    With `abandon` they are not, where the block ends with an error.
    """
    # forked from a server that has imported everything: they start at once and share its memory
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload(["torch", *preload])
    ends, held = context.Pipe(duplex=False)
    with held, ends:
        pool = ProcessPoolExecutor(jobs, context, initializer=_begin, initargs=(ends,))
        try:
            yield pool
        except BaseException:
            if abandon:
                # its processes end when nobody holds this
                held.close()
            raise
        finally:
            with _without_interrupts():
                pool.shutdown(cancel_futures=True)


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Ignore Ctrl-C: a second one would stop the shutdown and leave processes that wait for each other."""
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
    # the parent handles Ctrl-C
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, args=(ends,), daemon=True).start()


def _exit_with_parent(ends: Connection) -> None:
    """End this process when no process holds the other end: also when the parent is killed."""
    ends.poll(None)
    os._exit(1)
