"""What a process of the engine does: give inputs to a reader, and watch it.

An audit hook sees, and forbids, what Python opens, moves or deletes outside of the output. A snapshot sees
what a library in C does to the files beside it.
"""

from __future__ import annotations

import faulthandler
import importlib
import io
import logging
import os
import pickle
import re
import resource
import shutil
import signal
import stat
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

from emoprune.cli import output
from emoprune.errors import EmopruneError
from emoprune.events import LOGGER
from tests.fuzz import engine
from tests.fuzz.engine import Place, Reader, Result, Task, Verdict
from tests.fuzz.smaller import smaller

UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
UNFIT_LINES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""What may not be in a line, or in lines with tabs, that a terminal shows."""

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
OF_ONE = ("remove", "rmdir", "mkdir", "truncate", "chmod", "chown", "utime")
CHANGES = {f"os.{name}": 1 for name in OF_ONE} | {f"os.{name}": 2 for name in ("rename", "link", "symlink")}
"""Audit events, with how many of their first arguments are paths; of a link only the second is changed."""
NOWHERE = ("/dev/null", "/dev/zero", "/proc/self/clear_refs")


def work(pipe: Connection, folder: Path, seeds: Path | None, table: str) -> None:
    """Take tasks from the pipe until it closes, and send the result of every input, then None."""
    readers = importlib.import_module(table)
    room = Room(folder, seeds, readers.begin)
    pipe.send("ready")
    with suppress(EOFError, BrokenPipeError):
        while True:
            task, skip = pipe.recv()
            try:
                for index, data in enumerate(engine.inputs(readers.READERS[task.reader], room.seeds, task)):
                    if index >= skip:
                        pipe.send(room.result(readers.READERS[task.reader], data, task))
            except Exception:
                # of the engine, as those of readers are caught: raised where the worker is
                pipe.send(traceback.format_exc())
            else:
                pipe.send(None)


class Room:
    """The folders of one process, and what watches them."""

    def __init__(self, folder: Path, seeds: Path | None, begin: Callable[[Path], None]) -> None:
        self.folder = folder
        self.seeds: engine.Seeds = pickle.loads(seeds.read_bytes()) if seeds else {}
        self._out, self._given, self._outside = (folder / name for name in ("out", "given", "outside"))
        for path in (self._out, self._given, self._outside):
            path.mkdir()
        for name in ("secret.txt", "face.jpg", "crops.csv"):
            (self._outside / name).write_bytes(f"{name} of somebody else\n".encode())
        os.chdir(self._out)
        sys.dont_write_bytecode = True
        # nothing here has to survive a power failure, and syncing waits for all of the machine
        mock.patch.object(os, "sync", return_value=None).start()
        mock.patch.object(os, "fsync", return_value=None).start()
        begin(self._given)
        self._trace = (folder / "trace").open("w+")
        faulthandler.enable(self._trace)
        # what the system then does is end the process
        faulthandler.register(signal.SIGPROF, self._trace, all_threads=False, chain=True)
        self._printed = os.open(folder / "printed", os.O_RDWR | os.O_CREAT)
        for number in (1, 2):
            os.dup2(self._printed, number)
        space = _status("VmSize") + engine.SPACE_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (space, resource.RLIM_INFINITY))
        self._watch = Watch(self._out)
        self._said = Said()

    def result(self, reader: Reader, data: bytes, task: Task) -> Result:
        """What becomes of one input, or of the smallest that finds the goal of the task."""
        if task.goal:
            structured = reader.mutate is None
            data = smaller(data, lambda each: self._finds(reader, each, task.goal), structured=structured)
        return self._examined(reader, data)

    def _finds(self, reader: Reader, data: bytes, goal: tuple[str, ...]) -> bool:
        # one that hangs, too, ends the process, and what is left is the input before
        return self._examined(reader, data).verdict.key == goal

    def _examined(self, reader: Reader, data: bytes) -> Result:
        (self.folder / "current").write_bytes(data)
        place = Place(self._given / f"input{reader.suffix}", self._out)
        place.input.write_bytes(data)
        if reader.prepare is not None:
            reader.prepare(place)
        before = _snapshot(self._given, self._outside)
        _forget_peak()
        size, start = _status("VmRSS"), time.process_time()
        signal.setitimer(signal.ITIMER_PROF, reader.longest_s)
        try:
            with self._watch.on(), self._said.on():
                verdict = self._verdict(reader, place)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        seconds, growth = time.process_time() - start, _status("VmHWM") - size
        if growth > engine.MEMORY_BYTES + engine.MEMORY_TIMES * len(data):
            verdict = Verdict(engine.MEMORY, f"{growth / 1e6:,.0f} MB: {verdict.what}", verdict.place)
        if printed := self._print():
            verdict = Verdict(engine.ESCAPE, f"printed: {printed[:200]!r}", verdict.place)
        if self._watch.touched:
            verdict = Verdict(engine.OUTSIDE, *self._watch.touched[0])
        elif _snapshot(self._given, self._outside) != before:
            verdict = Verdict(engine.OUTSIDE, "files beside the output changed", verdict.place)
        _emptied(self._out)
        found = verdict.kind in engine.FINDINGS
        return Result(verdict, data if found else b"", seconds, growth)

    def _verdict(self, reader: Reader, place: Place) -> Verdict:
        try:
            shown = reader.read(place)
        except EmopruneError as error:
            where = _where(error)
            if UNFIT.search(_told(str(error))):
                return Verdict(engine.ESCAPE, f"{type(error).__name__}: {str(error)[:300]!r}", where)
            verdict = Verdict(engine.REFUSED, f"{type(error).__name__}: {str(error)[:300]}", where)
        except Exception as error:
            return Verdict(engine.TRACEBACK, f"{type(error).__name__}: {str(error)[:300]!r}", _where(error))
        else:
            verdict = Verdict(engine.ACCEPTED)
            if shown is not None and (unfit := UNFIT_LINES.search(shown)):
                around = shown[max(0, unfit.start() - 60) : unfit.end() + 60]
                return Verdict(engine.ESCAPE, f"shown: {around!r}", "")
        for text, where in self._said.texts:
            if UNFIT.search(_told(text)):
                return Verdict(engine.ESCAPE, f"note: {text[:300]!r}", where)
        return verdict

    def _print(self) -> str:
        """What was printed past the library, if it is a traceback or not fit for a terminal.

        Plain lines are let pass: libtiff prints some about unknown tags, and cannot be kept from it.
        """
        sys.stdout.flush()
        sys.stderr.flush()
        if not os.fstat(self._printed).st_size:
            return ""
        found = os.pread(self._printed, 10_000, 0)
        os.ftruncate(self._printed, 0)
        os.lseek(self._printed, 0, os.SEEK_SET)
        text = found.decode(errors="replace")
        return text if UNFIT_LINES.search(text) or "Traceback" in text else ""


class Said(logging.Handler):
    """The notes and warnings of the library, and where each was made."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[tuple[str, str]] = []

    @contextmanager
    def on(self) -> Iterator[None]:
        """Within, they are gathered."""
        self.texts = []
        LOGGER.addHandler(self)
        LOGGER.setLevel(logging.INFO)
        try:
            yield
        finally:
            LOGGER.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append((record.getMessage(), _caller(sys._getframe())))


class Watch:
    """Sees what this process changes outside of `out`, and forbids it."""

    def __init__(self, out: Path) -> None:
        self._out = os.path.realpath(out)
        self._on = False
        self.touched: list[tuple[str, str]] = []
        sys.addaudithook(self._hook)

    @contextmanager
    def on(self) -> Iterator[None]:
        """Within, it watches."""
        self.touched, self._on = [], True
        try:
            yield
        finally:
            self._on = False

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._on or not (event == "open" or event in CHANGES):
            return
        if event == "open":
            path, mode, flags = arguments
            if not (isinstance(mode, str) and set(mode) & set("wax+")) and not (flags or 0) & WRITING:
                return
            paths = [path]
        else:
            paths = list(arguments[: CHANGES[event]])[1 if event in ("os.link", "os.symlink") else 0 :]
        for path in paths:
            if not isinstance(path, int) and not self._within(event, os.fsdecode(path), arguments):
                self.touched.append((f"{event}: {os.fsdecode(path)!r}", _caller(sys._getframe())))
                raise PermissionError(1, "outside of the output", path)

    def _within(self, event: str, path: str, arguments: tuple[Any, ...]) -> bool:
        if path in NOWHERE:
            return True
        folder, name = os.path.split(path.rstrip("/"))
        number = next((each for each in arguments[1:] if isinstance(each, int) and each > 2), None)
        if event != "open" and number is not None and not os.path.isabs(path):
            # removed relative to an open folder, as shutil.rmtree does
            with suppress(OSError):
                folder = os.path.join(os.readlink(f"/proc/self/fd/{number}"), folder)
        # what opens a file follows links, what renames or removes one does not
        follows = event in ("open", "os.truncate", "os.chmod", "os.utime")
        real = os.path.realpath(path) if follows else os.path.join(os.path.realpath(folder or "."), name)
        return real == self._out or real.startswith(f"{self._out}/") or real in NOWHERE


def _told(text: str) -> str:
    """The line that the command line makes of a message."""
    with redirect_stderr(io.StringIO()) as stream:
        output.tell(text)
    return stream.getvalue().removesuffix("\n")


def _where(error: BaseException) -> str:
    """Where an error was raised, and the last place of the library before that."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/emoprune/" in frame.filename]
    last = [*frames[-1:], *ours[-1:]]
    return " < ".join(dict.fromkeys(f"{engine.short_path(frame.filename)}:{frame.lineno}" for frame in last))


def _caller(frame: FrameType | None) -> str:
    """The innermost place of the library, but for `events`, that called this."""
    while frame is not None:
        name = frame.f_code.co_filename
        if "/emoprune/" in name and not name.endswith("events.py"):
            return f"{engine.short_path(name)}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def _snapshot(*folders: Path) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    for folder in folders:
        for top, names, files in os.walk(folder):
            for name in (".", *names, *files):
                state = os.lstat(os.path.join(top, name))
                changed = state.st_size, state.st_mtime_ns, state.st_mode
                found.append((top, name, *(changed if not stat.S_ISDIR(state.st_mode) else changed[2:])))
    return found


def _emptied(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _forget_peak() -> None:
    with suppress(OSError), open("/proc/self/clear_refs", "w") as stream:
        stream.write("5")


def _status(key: str) -> int:
    """Bytes that /proc says of this process: VmRSS now, VmHWM at most since `_forget_peak`; 0 elsewhere."""
    with suppress(OSError), open("/proc/self/status") as stream:
        for line in stream:
            if line.startswith(key):
                return 1024 * int(line.split()[1])
    return 0
