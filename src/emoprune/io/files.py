"""Files, standard input and standard output, read and written as bytes, whole or not at all."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO

from emoprune.errors import BadData, EmopruneError, OutputFault, UsageFault

STANDARD = "-"
LARGEST = 2**34
"""Bytes of a file, unless its kind is known to be smaller."""

PIECE = 2**20
"""Bytes that are read at a time of a stream without a size."""

PASSED_ON = re.compile(r"/dev/stdin|/(?:dev|proc/self)/fd/\d+")
"""Names of files that the caller has opened for this program."""


def shown(path: str) -> str:
    """The name of a file in messages."""
    return "standard input" if path == STANDARD else path


def read_bytes(path: str, *, fault: type[EmopruneError] = BadData, most: int = LARGEST) -> bytes:
    """The bytes of a file, or of standard input for "-"; raises `fault` for none, or more than `most`."""
    with reading(path, fault=fault) as stream:
        try:
            data = _at_most(stream, most)
        except MemoryError:
            data = None
    if data is None:
        fact = f"is larger than {most // 2**20:,} MiB or than the free memory"
        raise fault(fact, "check that it is the right file", place=shown(path))
    return data


def _at_most(stream: IO[bytes], most: int) -> bytes | None:
    """All bytes of a stream, None if there are more than `most`."""
    try:
        size = os.fstat(stream.fileno()).st_size
    except OSError:  # a stream in memory
        size = 0
    if size > most:
        return None
    pieces, room = [], most + 1
    # a file is one piece; a pipe has no size, and may never end
    while room and (piece := stream.read(min(room, max(size, PIECE)))):
        pieces.append(piece)
        size, room = 0, room - len(piece)
    return b"".join(pieces) if room else None


@contextmanager
def reading(path: str, *, fault: type[EmopruneError] = BadData) -> Iterator[IO[bytes]]:
    """A file, or standard input for "-", to read piece by piece; raises `fault` where there is nothing.

    Of pipes and devices only those that the caller has open already, as /dev/stdin and `<(...)`, are read.
    """
    try:
        if path == STANDARD:
            yield sys.stdin.buffer
            return
        with open(path, "rb") if PASSED_ON.fullmatch(path) else open_regular(path, fault=fault) as stream:
            yield stream
    except FileNotFoundError:
        raise fault("no such file", "check the name", place=path) from None
    except IsADirectoryError:
        raise fault("is a folder, not a file", "name a file", place=path) from None
    except OSError as error:
        remedy = "check its permissions" if isinstance(error, PermissionError) else "check its name and disk"
        raise fault(f"cannot be read ({error.strerror})", remedy, place=shown(path)) from error


def open_regular(path: str | Path, *, fault: type[EmopruneError] = BadData) -> BinaryIO:
    """A file open for reading; never waits, and raises `fault` for a pipe or a device.

    Raises OSError as `open` does, IsADirectoryError for a folder among others.
    """
    # what was opened is checked, not what had its name a moment before
    stream = open(path, "rb", opener=_open_at_once)  # noqa: SIM115  # the caller closes it
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise fault("not a plain file", "name a file, not a pipe or a device", place=str(path))
    return stream


def _open_at_once(path: str, flags: int) -> int:
    # opening a pipe waits for its other end; Windows has neither flag
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))


def check_output(path: str | Path, *, force: bool) -> None:
    """Raise OutputFault now, before hours of work, if `write_bytes` would refuse later."""
    if str(path) == STANDARD:
        return
    target = Path(path)
    with explained(target):
        if target.is_dir():
            raise OutputFault("is a folder", "name a file in it", place=str(path))
        if target.exists() and not target.is_file():
            return  # a device or a named pipe is written to, never replaced
        check_parent(target)
        if target.is_file() and not force:
            raise OutputFault("exists already", "give `force=True` to replace it", place=str(path))


def check_apart(paths: Sequence[str]) -> None:
    """Raise UsageFault if two outputs of one command are the same file."""
    places = [Path(path).resolve() for path in paths]
    for path, place in zip(paths, places, strict=True):
        if places.count(place) > 1:
            raise UsageFault(f"{path} cannot be two files at once", "give each a name of its own")


def check_parent(target: Path) -> None:
    """Raise OutputFault if the folder of `target` is missing or cannot be written."""
    parent = target.parent
    if not parent.is_dir():
        raise OutputFault("no such folder", f"make it first: mkdir -p {parent}", place=str(parent))
    if not os.access(parent, os.W_OK):
        raise OutputFault("cannot be written", "choose a folder of your own", place=str(parent))


def write_bytes(path: str | Path, data: bytes, *, force: bool = False) -> None:
    """Write `data` to a file or, for "-", to standard output.

    The file is written beside its place, synced and moved there, so an interruption leaves the old file or
    none. Raises OutputFault for an existing file without `force`, a missing folder, a full disk.
    """
    if str(path) == STANDARD:
        with explained(Path("standard output")):
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        return
    check_output(path, force=force)
    target = Path(path)
    with explained(target):
        if target.exists() and not target.is_file():
            target.write_bytes(data)
            return
        # replaces the target of a link, not the link
        target = target.resolve()
        scratch = target.with_name(f".emoprune.{os.getpid()}.tmp")
        try:
            # unlike tempfile, open honors the umask
            with scratch.open("wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            scratch.replace(target)
        finally:
            scratch.unlink(missing_ok=True)


@contextmanager
def explained(target: Path) -> Iterator[None]:
    """Turn an OSError into an OutputFault that names the file and the reason."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        fact, remedy = f"cannot be written ({error.strerror})", "free space or choose another place"
        raise OutputFault(fact, remedy, place=str(target)) from error


def check_files(folder: str, names: Iterable[str], *, force: bool) -> None:
    """Raise OutputFault now if `write_files` would refuse later."""
    place = Path(folder)
    with explained(place):
        if not place.exists():
            return check_parent(place)
        if not place.is_dir():
            raise OutputFault("is a file, not a folder", "name a folder", place=folder)
        for name in names:
            check_output(place / name, force=force)


def write_files(folder: str, files: Mapping[str, bytes], *, force: bool) -> None:
    """Write files by name into a folder, made if missing; existing ones are replaced only with `force`.

    Each is written whole or not at all. Raises OutputFault as `write_bytes` does.
    """
    check_files(folder, files, force=force)
    with explained(Path(folder)):
        Path(folder).mkdir(exist_ok=True)
    for name, data in files.items():
        write_bytes(Path(folder) / name, data, force=force)
