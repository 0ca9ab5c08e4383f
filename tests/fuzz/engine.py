"""Readers in processes of their own: what each does with an input, measured.

A reader may return, or refuse its input by an EmopruneError of one line. Anything else is a finding. Inputs
follow from the name of the reader and the number of their chunk, so every run has the same ones.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import random
import shutil
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from hypothesis.strategies import SearchStrategy

from tests.fuzz.mutations import mutated
from tests.fuzz.strategies import examples

ACCEPTED, REFUSED = "accepted", "refused"
TRACEBACK, SLOW, MEMORY, OUTSIDE, ESCAPE = FINDINGS = ("traceback", "slow", "memory", "outside", "escape")
"""Another error or the end of the process; over LONGEST_S; too much memory; a file touched outside of the
output; text that is not fit for a terminal."""

LONGEST_S, STILL_S, STILL_TICKS = 5.0, 15, 15
"""What the processor may work on an input; how long it may hardly work on one, as waiting threads wake up."""
MEMORY_BYTES, MEMORY_TIMES = 500_000_000, 10
"""An input may grow the process by the first, and by its size times the second."""
SPACE_BYTES = 6_000_000_000
"""Address space that an input may take, so that the machine survives it."""
CHUNK = 250
MOST_SLOW = 8
"""A reader with so many inputs that hang, each of which costs a process, is given no more."""
TABLE = "tests.fuzz.readers"

Seeds = Mapping[str, Sequence[bytes]]


class Place(NamedTuple):
    """The input as a file, and the only folder that a reader may write to, which is empty."""

    input: Path
    out: Path


@dataclass(frozen=True, kw_only=True)
class Reader:
    """What turns an input into a value.

    `read` returns what it shows to a user. `prepare` lays an input out where a file of the `suffix` is not
    enough. Inputs are the `seeds` of a name, copies of them that `mutate` damages, what the `strategy` makes
    of them, and the `hostile` ones of a name as they are. `longest_s` is what the processor may work on one.
    """

    read: Callable[[Place], str | None]
    seeds: str
    suffix: str = ""
    strategy: Callable[[Sequence[bytes]], SearchStrategy[bytes]] | None = None
    mutate: Callable[[Sequence[bytes], random.Random], bytes] | None = mutated
    prepare: Callable[[Place], None] | None = None
    hostile: str | None = None
    longest_s: float = LONGEST_S


class Task(NamedTuple):
    """Inputs of a reader: those of a chunk, or `given` ones; with a `goal` the last is made smaller."""

    reader: str
    chunk: int = 0
    size: int = 0
    given: tuple[bytes, ...] = ()
    goal: tuple[str, ...] = ()


class Verdict(NamedTuple):
    """What became of an input: its kind, and of a finding what it is and where."""

    kind: str
    what: str = ""
    place: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """Equal for inputs that find the same."""
        return (self.kind, self.what.partition(":")[0], self.place)


class Result(NamedTuple):
    """A verdict with what it took; `data` is the input if it is a finding."""

    verdict: Verdict
    data: bytes = b""
    seconds: float = 0.0
    growth: int = 0


@dataclass
class Finding:
    """A verdict that should not be, how many inputs had it, and the shortest of them."""

    reader: str
    verdict: Verdict
    data: bytes
    count: int = 0
    small: bool = False


@dataclass
class Tally:
    """What became of the inputs of a reader; `stopped` if too many of them hung."""

    counts: Counter[str] = field(default_factory=Counter)
    found: dict[tuple[str, ...], Finding] = field(default_factory=dict)
    seconds: float = 0.0
    slowest: float = 0.0
    largest: int = 0

    @property
    def stopped(self) -> bool:
        """Whether the reader is given no more."""
        return self.counts[SLOW] >= MOST_SLOW

    def add(self, reader: str, result: Result) -> None:
        """Count a result."""
        self.counts[result.verdict.kind] += 1
        self.seconds += result.seconds
        self.slowest, self.largest = max(self.slowest, result.seconds), max(self.largest, result.growth)
        if result.verdict.kind in FINDINGS:
            known = self.found.setdefault(result.verdict.key, Finding(reader, result.verdict, result.data))
            known.count += 1
            known.data = min(known.data, result.data, key=len)


def tasks_of(name: str, reader: Reader, seeds: Seeds, count: int) -> Iterator[Task]:
    """The seeds and the hostile inputs of a reader, then `count` inputs in chunks."""
    hostile = seeds[reader.hostile] if reader.hostile else ()
    yield Task(name, given=(*seeds[reader.seeds], *hostile))
    for chunk, start in enumerate(range(0, count, CHUNK)):
        yield Task(name, chunk, min(CHUNK, count - start))


def inputs(reader: Reader, seeds: Seeds, task: Task) -> Iterator[bytes]:
    """The inputs of a task, always the same: about half are damaged bytes, half made by the strategy."""
    if not task.size:
        yield from task.given
        return
    valid, name, made = seeds[reader.seeds], f"{task.reader} {task.chunk}", 0
    if reader.strategy is not None:
        wanted = task.size // 2 if reader.mutate else task.size
        for data in examples(reader.strategy(valid), wanted, name):
            yield data
            made += 1
    chance = random.Random(name)
    while reader.mutate and made < task.size:
        yield reader.mutate(valid, chance)
        made += 1


def store(seeds: Seeds, room: Path) -> Path:
    """A file from which workers read the seeds."""
    path = room / "seeds"
    path.write_bytes(pickle.dumps(dict(seeds)))
    return path


class Worker:
    """A process that is given inputs, and a new one wherever it has died."""

    def __init__(self, folder: Path, seeds: Path | None = None, *, table: str = TABLE) -> None:
        """`seeds` is a file of `store`, without which inputs must be given; `table` the module of READERS."""
        self._folder, self._seeds, self._table = folder, seeds, table
        self._process: Any = None
        self._pipe: Connection
        self._hung: set[tuple[str, ...]] = set()
        self.restart()

    def restart(self) -> None:
        """End the process, and begin another."""
        from tests.fuzz import worker

        # forked from a server that has imported every reader
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([TABLE])
        self.close()
        self._waits = False
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        self._pipe, end = context.Pipe()
        self._process = context.Process(
            target=worker.work, args=(end, self._folder, self._seeds, self._table), daemon=True
        )
        self._process.start()
        end.close()
        # a process that cannot begin raises EOFError here
        self._pipe.recv()

    def results(self, task: Task, *, again: bool = True) -> Iterator[Result]:
        """What becomes of each input of a task.

        One that hangs where none has hung before is given `again`, as the machine may be busy.
        """
        done = 0
        while True:
            try:
                self._pipe.send((task, done))
                while (found := self._received()) is not None:
                    if isinstance(found, str):
                        # xdist cannot send a surrogate
                        raise RuntimeError(found.encode("ascii", "backslashreplace").decode())
                    done += 1
                    yield found
                return
            except (EOFError, OSError):
                done += 1
                result = self._last_words()
                self.restart()
                key = (task.reader, *result.verdict.key)
                if result.verdict.kind == SLOW and again and key not in self._hung:
                    (result,) = self.results(Task(task.reader, given=(result.data,)), again=False)
                if result.verdict.kind == SLOW:
                    self._hung.add(key)
                yield result

    def _received(self) -> Any:
        """What the process sends next; one that waits for something else is ended."""
        seen: list[int] = []
        while not self._pipe.poll(1):
            seen.append(_ticks(self._process.pid))
            if len(seen) > STILL_S and seen[-1] - seen[-1 - STILL_S] <= STILL_TICKS:
                # upon which it writes down where it is
                os.kill(self._process.pid, signal.SIGABRT)
                self._waits = True
                break
        return self._pipe.recv()

    def _last_words(self) -> Result:
        """What became of the input that ended the process."""
        self._process.join()
        trace, current = self._folder / "trace", self._folder / "current"
        text = trace.read_text(errors="replace") if trace.is_file() else ""
        data = current.read_bytes() if current.is_file() else b""
        if self._waits or self._process.exitcode == -signal.SIGPROF:
            what = "waits for ever" if self._waits else f"over {LONGEST_S:g} s"
            return Result(Verdict(SLOW, what, frames_of(text)), data, LONGEST_S)
        return Result(Verdict(TRACEBACK, f"process ended by {self._process.exitcode}", frames_of(text)), data)

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._pipe.close()
            self._process.kill()
            self._process.join()


def _ticks(process: int) -> int:
    """Hundredths of a second that the processor has worked for a process, as /proc says."""
    with suppress(OSError):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])
    return time.monotonic_ns() // 10_000_000


def frames_of(trace: str) -> str:
    """The places in a traceback that faulthandler wrote: the last call, and the last of ours."""
    main = trace.partition("Current thread")[2] or trace.rpartition("most recent call first")[2]
    lines = [line.strip() for line in main.splitlines() if line.strip().startswith("File ")]
    ours = [line for line in lines if "/emoprune/" in line]
    return " < ".join(dict.fromkeys(_short(line) for line in (*lines[:1], *ours[:1])))


def _short(line: str) -> str:
    name, _, rest = line.removeprefix('File "').partition('", line ')
    # by function: a loop is interrupted on any of its lines
    return f"{short_path(name)} in {rest.partition(' in ')[2]}"


def short_path(name: str) -> str:
    """The path of a module from its package on."""
    for part in ("/emoprune/", "/site-packages/", "/tests/"):
        if part in name:
            return f"{part[1:] if part != '/site-packages/' else ''}{name.rpartition(part)[2]}"
    return Path(name).name


def run(
    readers: Mapping[str, Reader],
    seeds: Seeds,
    room: Path,
    *,
    count: int,
    jobs: int,
    tell: Callable[[str], None] = lambda text: None,
) -> dict[str, Tally]:
    """Give every reader its seeds, hostile inputs and `count` inputs made from them, in `jobs` processes."""
    tallies = {name: Tally() for name in readers}
    # so that no reader that takes long is left to one process at the end
    tasks = sorted(
        (task for name, reader in readers.items() for task in tasks_of(name, reader, seeds, count)),
        key=lambda task: task.chunk,
    )
    left, lock, stored = deque(tasks), Lock(), store(seeds, room)

    def work(index: int) -> None:
        worker = Worker(room / f"worker-{index}", stored)
        try:
            while True:
                with lock:
                    if not left:
                        break
                    task = left.popleft()
                    if not len(left) % 50:
                        tell(f"{len(tasks) - len(left):,} of {len(tasks):,} chunks")
                give(worker, task, tallies[task.reader])
            while True:
                with lock:
                    finding = next((each for each in _found(tallies) if not each.small), None)
                    if finding is None:
                        break
                    finding.small = True
                result = repeated(worker, finding)
                if result.verdict.key == finding.verdict.key:
                    finding.verdict, finding.data = result.verdict, result.data
        finally:
            worker.close()

    with ThreadPoolExecutor(jobs) as threads:
        list(threads.map(work, range(jobs)))
    return tallies


def give(worker: Worker, task: Task, tally: Tally) -> None:
    """Count what becomes of the inputs of a task."""
    for result in worker.results(task):
        tally.add(task.reader, result)
        if tally.stopped:
            worker.restart()
            return


def _found(tallies: Mapping[str, Tally]) -> Iterator[Finding]:
    return (finding for tally in tallies.values() for finding in tally.found.values())


def repeated(worker: Worker, finding: Finding) -> Result:
    """The finding again, of a shorter input; one that hangs, or takes much memory, would take too long."""
    goal = () if finding.verdict.kind in (SLOW, MEMORY) else finding.verdict.key
    (result,) = worker.results(Task(finding.reader, given=(finding.data,), goal=goal))
    return result
