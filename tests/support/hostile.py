"""Folders as an attacker would hand them over: what is planted in them, and whether anything else changed."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import stat
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from unittest import mock

from emoprune.errors import EmopruneError

SECRET = b"of somebody else\n"
STILL_S, LONGEST_CPU_S = 10, 30
"""A run that waits takes no processor time for so long; one that works for ever takes more than this."""

TOKEN = "0" * 16
TEMPORARY = f".emoprune.{TOKEN}.tmp"
"""The name under which a file is written, for one who could guess it: see `guessed`."""

Plant = Callable[[Path, Path], None]
"""Plants something at a path; the second is a folder of somebody else."""


def outside(room: Path) -> Path:
    """A folder of somebody else, with files that must stay as they are."""
    folder = room / "outside"
    (folder / "treasure").mkdir(parents=True)
    for name in ("secret.txt", "face.jpg", "treasure/a.jpg", "treasure/secret.txt"):
        (folder / name).write_bytes(SECRET)
        (folder / name).chmod(0o640)
    return folder


@contextmanager
def guessed() -> Iterator[None]:
    """Within, temporary files have the name TEMPORARY, which no attacker can guess in truth."""
    with mock.patch.object(secrets, "token_hex", return_value=TOKEN):
        yield


def _removed(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)


def link_to_file(path: Path, theirs: Path) -> None:
    """A link to a file of somebody else."""
    _removed(path)
    path.symlink_to(theirs / "secret.txt")


def link_to_folder(path: Path, theirs: Path) -> None:
    """A link to a folder of somebody else."""
    _removed(path)
    path.symlink_to(theirs / "treasure")


def link_to_nothing(path: Path, theirs: Path) -> None:
    """A link to a file that does not exist, and must not."""
    _removed(path)
    path.symlink_to(theirs / "new")


def moved(path: Path, theirs: Path) -> None:
    """What belongs there, but in a folder of somebody else, with a link to it."""
    kept = theirs / f"moved-{path.name}"
    if path.exists():
        shutil.move(path, kept)
    else:
        kept.write_bytes(SECRET)
    _removed(path)
    path.symlink_to(kept)


def hard_link(path: Path, theirs: Path) -> None:
    """A second name of a file of somebody else."""
    _removed(path)
    path.hardlink_to(theirs / "secret.txt")


def shared(path: Path, theirs: Path) -> None:
    """What belongs there, which somebody else has under another name as well."""
    if not path.is_file():
        _removed(path)
        path.write_bytes(SECRET)
    (theirs / f"shared-{path.name}").hardlink_to(path)


def pipe(path: Path, theirs: Path) -> None:
    """A named pipe that nobody writes to."""
    _removed(path)
    os.mkfifo(path)


def folder(path: Path, theirs: Path) -> None:
    """A folder with a file of the user."""
    _removed(path)
    path.mkdir()
    (path / "mine.txt").write_bytes(b"mine")


FOR_FILES: tuple[Plant, ...] = (link_to_file, link_to_nothing, moved, hard_link, shared, pipe, folder)
FOR_FOLDERS: tuple[Plant, ...] = (link_to_folder, link_to_nothing, moved, pipe)


State = dict[str, tuple[object, ...]]


def state(*places: Path) -> State:
    """All that is at and below some paths: kind, mode, time of change, and contents or target."""
    found: State = {}
    for place in places:
        for path in (place, *sorted(place.rglob("*"))) if place.is_dir() else (place,):
            about = path.lstat()
            data: object = None
            if path.is_symlink():
                data = os.readlink(path)
            elif stat.S_ISREG(about.st_mode):
                data = path.read_bytes()
            found[str(path)] = (about.st_mode, about.st_mtime_ns, data)
    return found


def changes(before: State, after: State) -> list[str]:
    """What is missing, new or other."""
    words = []
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) != after.get(path):
            was, now = before.get(path), after.get(path)
            word = "made" if was is None else "deleted" if now is None else _other(was, now)
            words.append(f"{path} {word}")
    return words


def _other(was: tuple[object, ...], now: tuple[object, ...]) -> str:
    names = [
        name for name, old, new in zip(("mode", "time", "contents"), was, now, strict=True) if old != new
    ]
    return f"has other {', '.join(names)}"


class Hung(BaseException):
    """Raised where a run does not end; nobody catches it."""


@contextmanager
def in_time() -> Iterator[None]:
    """Within, Hung is raised in a run that waits or works for ever, however busy the machine is."""
    start = time.process_time()
    seen = [-1.0] * STILL_S

    def check(number: int, frame: FrameType | None) -> None:
        now = time.process_time()
        if now - seen.pop(0) < 0.01 or now - start > LONGEST_CPU_S:
            raise Hung
        seen.append(now)

    before = signal.signal(signal.SIGALRM, check)
    signal.setitimer(signal.ITIMER_REAL, 1, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def problem_of(run: Callable[[], object]) -> str | None:
    """What is wrong with how a run ends: not if it is done, refuses its input or is interrupted."""
    try:
        with in_time(), guessed():
            run()
    except (EmopruneError, KeyboardInterrupt):
        return None
    except Hung as error:
        return f"hangs at {_place(error)}"
    except Exception as error:
        return f"{type(error).__name__}: {error} at {_place(error)}"
    return None


def _place(error: BaseException) -> str:
    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "/emoprune/" in frame.filename]
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "?"
