"""Files, standard input and standard output, read and written as bytes, whole or not at all."""

from __future__ import annotations

import os
import re
import secrets
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from io import BufferedReader, FileIO
from pathlib import Path
from typing import IO

from emoprune.errors import BadData, EmopruneError, OutputFault, UsageFault
from emoprune.io.memory import available_bytes

STANDARD = "-"
NO_NAME = "is not a name that a file can have", "check the name"
"""Fact and remedy for half a character or a zero byte in a name."""

LARGEST = 2**34
"""Bytes of a file, unless its kind is known to be smaller."""

PIECE, SMALL = 2**20, 2**28
"""Bytes that are read at a time of a stream without a size, and those for which there is memory."""

PASSED_ON = re.compile(r"/dev/stdin|/(?:dev|proc/self)/fd/\d+")
"""Names of files that the caller has opened for this program."""

DESCRIPTORS = os.open in os.supports_dir_fd
"""Whether a file can be named relative to an open folder; not on Windows."""
LEFTOVER = re.compile(r"\.emoprune\.[0-9a-f]+\.tmp")
"""Names of files that are being written, or that a killed run has left."""


def shown(path: str) -> str:
    """The name of a file in messages."""
    return "standard input" if path == STANDARD else path


def read_bytes(path: str, *, fault: type[EmopruneError] = BadData, most: int = LARGEST) -> bytes:
    """The bytes of a file, or of standard input for "-"; raises `fault` for none, or more than `most`."""
    with reading(path, fault=fault) as stream:
        return read_stream(stream, path, fault=fault, most=most)


def read_stream(
    stream: IO[bytes], path: str, *, fault: type[EmopruneError] = BadData, most: int = LARGEST
) -> bytes:
    """What is left in a file of `reading`; raises `fault` for more than `most` bytes."""
    try:
        data = _at_most(stream, most)
    except MemoryError:
        data = None
    if data is None:
        fact = f"is larger than {most // 2**20:,} MiB or than the free memory"
        raise fault(fact, "check that it is the right file", place=shown(path))
    return data


def _at_most(stream: IO[bytes], most: int) -> bytes | None:
    """All further bytes of a stream, None if there are more than `most` or than the memory has room for."""
    try:
        size = os.fstat(stream.fileno()).st_size
    except OSError:  # a stream in memory
        size = 0
    if size:
        return stream.read() if _fits(size, most) else None
    pieces, total = [], 0
    # a pipe has no size, and may never end
    while piece := stream.read(PIECE):
        pieces.append(piece)
        total += len(piece)
        if not _fits(total, most):
            return None
    return b"".join(pieces)


def _fits(size: int, most: int) -> bool:
    return size <= most and (size <= SMALL or size <= available_bytes())


@contextmanager
def reading(path: str, *, fault: type[EmopruneError] = BadData) -> Iterator[IO[bytes]]:
    """A file, or standard input for "-", to read piece by piece; raises `fault` where there is nothing.

    Of pipes and devices only those that the caller has open already, as /dev/stdin and `<(...)`, are read.
    """
    try:
        if path == STANDARD:
            yield sys.stdin.buffer
            return
        with (
            open(path, "rb")
            if PASSED_ON.fullmatch(path)
            else BufferedReader(open_regular(path, fault=fault)) as stream
        ):
            yield stream
    except FileNotFoundError:
        raise fault("no such file", "check the name", place=path) from None
    except IsADirectoryError:
        raise fault("is a folder, not a file", "name a file", place=path) from None
    except OSError as error:
        remedy = "check its permissions" if isinstance(error, PermissionError) else "check its name and disk"
        raise fault(f"cannot be read ({error.strerror})", remedy, place=shown(path)) from error


def open_regular(
    path: str | Path,
    *,
    fault: type[EmopruneError] = BadData,
    opener: Callable[[str | Path, int], int] | None = None,
) -> FileIO:
    """A file open for reading, unbuffered; never waits, and raises `fault` for a pipe or a device.

    Raises OSError as `open` does, IsADirectoryError for a folder among others. `opener` opens it instead of
    the system, by path and flags.
    """
    # opening a pipe waits for its other end; Windows has neither flag
    more = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
    # what was opened is checked, not what had its name a moment before
    try:
        stream = FileIO(path, opener=lambda name, flags: (opener or os.open)(name, flags | more))
    except ValueError:
        raise fault(*NO_NAME, place=str(path)) from None
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise fault("not a plain file", "put one in its place", place=str(path))
    return stream


def check_output(path: str | Path, *, force: bool) -> None:
    """Raise OutputFault now, before hours of work, if `write_bytes` would refuse later."""
    if str(path) == STANDARD:
        return
    target = Path(path)
    with explained(target):
        mode = _mode(target)
        # a path drops the slash at its end, and a file of that name would be written
        if stat.S_ISDIR(mode) or str(path).endswith(os.sep):
            raise OutputFault("is a folder", "name a file in it", place=str(path))
        if _is_stream(mode):
            return
        check_parent(Path(real_path(target)) if target.is_symlink() else target)
        if mode and not force:
            raise OutputFault("exists already", "give `force=True` to replace it", place=str(path))
        if target.is_symlink() and not force:
            # in a folder of somebody else it may lead anywhere
            fact = f"is a link to {target.readlink()}, which does not exist"
            raise OutputFault(fact, "remove it, or give `force=True` to write there", place=str(path))


def _mode(path: Path) -> int:
    """The mode of a file, 0 where there is none; OSError for a link to itself, OutputFault for no name."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except ValueError:
        raise OutputFault(*NO_NAME, place=str(path)) from None


def _is_stream(mode: int) -> bool:
    """Whether it is a device or a named pipe, which is written to, never replaced."""
    return bool(mode) and not stat.S_ISREG(mode)


def check_apart(paths: Sequence[str]) -> None:
    """Raise UsageFault if two outputs of one command are the same file."""
    places = [real_path(path) for path in paths]
    for path, place in zip(paths, places, strict=True):
        if places.count(place) > 1:
            raise UsageFault(f"{path} cannot be two files at once", "give each a name of its own")


def real_path(path: str | Path) -> str:
    """Where a path leads once links are followed; OutputFault for a name that no file can have.

    Unlike Path.resolve, this takes a link to itself.
    """
    try:
        return os.path.realpath(path)
    except ValueError:
        raise OutputFault(*NO_NAME, place=str(path)) from None


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
        if _is_stream(_mode(target)):
            target.write_bytes(data)
            return
        # replaces the target of a link, not the link
        target = Path(real_path(target))
        with folder_descriptor(target.parent) as descriptor:
            _remove_leftovers(target.parent, descriptor)
            name = str(target) if descriptor is None else target.name
            replace_file(name, data, dir_fd=descriptor, sync=True)


@contextmanager
def folder_descriptor(path: str | Path, *, flags: int = 0, dir_fd: int | None = None) -> Iterator[int | None]:
    """A descriptor of a folder, to name files relative to it; None on Windows, which has none."""
    if not DESCRIPTORS:
        yield None
        return
    # Linux takes also a folder that this user may write to but not list
    kind = os.O_DIRECTORY | getattr(os, "O_PATH", os.O_RDONLY)
    descriptor = os.open(path, kind | flags, dir_fd=dir_fd)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def replace_file(name: str, data: bytes, *, dir_fd: int | None = None, sync: bool) -> None:
    """Write a file beside its place and move it there, so that nobody sees a part of it.

    `name` is relative to the open folder `dir_fd`. A link of that name is replaced. With `sync` the bytes are
    on the disk before the file is in its place. Raises OSError.
    """
    while not _is_replaced(name, data, dir_fd, sync):
        pass  # another run took it for a leftover


def _is_replaced(name: str, data: bytes, dir_fd: int | None, sync: bool) -> bool:
    # a name that nobody can prepare for
    scratch = os.path.join(os.path.dirname(name), f".emoprune.{secrets.token_hex(8)}.tmp")
    # unlike tempfile, this honors the umask
    opener = partial(os.open, mode=0o666, dir_fd=dir_fd)
    stream = open(scratch, "xb", opener=opener)  # noqa: SIM115  # what was there before is not ours to remove
    try:
        with stream:
            if not held(stream.fileno(), scratch, dir_fd):
                return False
            stream.write(data)
            stream.flush()
            if sync:
                os.fsync(stream.fileno())
            if sys.platform == "win32":
                stream.close()  # where open files cannot be moved
            os.replace(scratch, name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
            return True
    finally:
        with suppress(FileNotFoundError):
            os.unlink(scratch, dir_fd=dir_fd)


def held(descriptor: int, name: str, dir_fd: int | None = None) -> bool:
    """Whether a new file is now locked and still has its name: another run may take it for a leftover."""
    try:
        _lock(descriptor)
    except BlockingIOError:
        return False
    except OSError:
        pass  # a file system without locks, from which nothing is removed either
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), os.stat(name, dir_fd=dir_fd, follow_symlinks=False))
    return False


def _lock(descriptor: int) -> None:
    """Lock an open file, or raise OSError at once."""
    if sys.platform != "win32":
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _remove_leftovers(folder: Path, dir_fd: int | None) -> None:
    """Remove what killed runs have left in a folder: files of our name and user that nobody has locked."""
    if dir_fd is None:
        return
    with suppress(PermissionError), os.scandir(folder) as entries:
        for name in [entry.name for entry in entries if LEFTOVER.fullmatch(entry.name)]:
            # what cannot be removed harms nobody
            with suppress(OSError):
                _remove_leftover(name, dir_fd)


def _remove_leftover(name: str, dir_fd: int) -> None:
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(name, flags, dir_fd=dir_fd)
    try:
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_uid == os.geteuid():
            _lock(descriptor)
            os.unlink(name, dir_fd=dir_fd)
    finally:
        os.close(descriptor)


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


def user_folder(variable: str, usual: str) -> Path | None:
    """Our folder of this user, below the one that an environment `variable` names, or `usual` in the home.

    None for a user without a home.
    """
    given = os.environ.get(variable, "")
    try:
        # as the standard says, a relative path is ignored
        base = Path(given) if os.path.isabs(given) else Path.home() / usual
    except RuntimeError:
        return None
    return base / "emoprune"


def append_line(path: Path, line: bytes) -> None:
    """Add a line to a file, made if missing, in one write, so that lines of several processes do not mix.

    Raises OutputFault where that cannot be.
    """
    # opening a pipe waits for its other end; Windows lacks some flags
    more = sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_NOCTTY", "O_BINARY"))
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | more, 0o666)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OutputFault("not a plain file", "remove it", place=str(path))
            if os.write(descriptor, line) < len(line):
                raise OutputFault("cannot be written whole", "free space", place=str(path))
        finally:
            os.close(descriptor)


def made_folder(path: str | Path) -> Path:
    """A folder, made if it is missing; OutputFault where there can be none."""
    folder = Path(path)
    with explained(folder):
        folder.mkdir(exist_ok=True)
    return folder


def check_files(folder: str, names: Iterable[str], *, force: bool) -> None:
    """Raise OutputFault now if `write_files` would refuse later."""
    place = Path(folder)
    with explained(place):
        mode = _mode(place)
        if not mode:
            return check_parent(place)
        if not stat.S_ISDIR(mode):
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
