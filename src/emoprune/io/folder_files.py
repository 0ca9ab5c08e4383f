"""Files of a folder that others may have prepared: no link below it is followed."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import IO

from emoprune.errors import OutputFault
from emoprune.io import files

NO_LINK = getattr(os, "O_NOFOLLOW", 0)


class FolderFiles:
    """The files below a folder, by their paths with "/" between the names.

    The folder itself may be a link. It is opened for each call, so that no call works in another folder than
    the first did. Raises OutputFault where a folder was replaced meanwhile, or where a link or a file stands
    for a folder below it; OSError as the system does.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self._identity: tuple[int, int] | None = None

    def status(self, name: str) -> os.stat_result | None:
        """The status of a file, of a link itself; None where there is none."""
        with suppress(FileNotFoundError), self._parent(name) as (leaf, folder):
            return os.stat(leaf, dir_fd=folder, follow_symlinks=False)
        return None

    def is_file(self, name: str) -> bool:
        """Whether there is a plain file, not a link to one."""
        found = self.status(name)
        return found is not None and stat.S_ISREG(found.st_mode)

    def check_file(self, name: str) -> os.stat_result | None:
        """The status of a plain file, None where there is none; OutputFault for anything else."""
        found = self.status(name)
        if found is not None and not stat.S_ISREG(found.st_mode):
            raise self._fault(name, found.st_mode, "not a plain file")
        return found

    def open(self, name: str) -> BufferedReader:
        """A plain file, to read."""
        with self._parent(name) as (leaf, folder):
            opener = partial(_opened, leaf, folder)
            try:
                # the name in messages is the whole one
                stream = files.open_regular(self.place / name, fault=OutputFault, opener=opener)
            except PermissionError as error:
                fact, place = f"cannot be read ({error.strerror})", str(self.place / name)
                raise OutputFault(fact, "check its permissions", place=place) from None
            return BufferedReader(stream)

    def read(self, name: str, most: int) -> bytes | None:
        """The bytes of a plain file, None where there is none; OutputFault for more than `most` bytes."""
        self.check_file(name)
        try:
            with self.open(name) as stream:
                data = stream.read(most + 1)
        except FileNotFoundError:
            return None
        if len(data) > most:
            fact = f"is larger than the {most:,} bytes that such a file may have"
            raise OutputFault(fact, "remove it", place=str(self.place / name))
        return data

    def sha256(self, name: str) -> str:
        """The hash of a plain file's bytes; empty for anything else."""
        if not self.is_file(name):
            return ""
        with self.open(name) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def names(self, *, without: str) -> Iterator[str]:
        """Every file, and every link, below the folder except in its folder `without`."""
        try:
            for folder, inside, found in os.walk(self.place):
                inside[:] = [name for name in inside if Path(folder, name) != self.place / without]
                links = [name for name in inside if Path(folder, name).is_symlink()]
                below = Path(folder).relative_to(self.place)
                yield from ((below / name).as_posix() for name in [*found, *links])
        except RecursionError:
            fact = "has folders nested too deeply"
            raise OutputFault(fact, "name another folder", place=str(self.place)) from None

    def check_folders(self, name: str) -> None:
        """Raise OutputFault if a link or a file stands for a folder on the way to `name`."""
        self.status(name)

    def write(self, name: str, data: bytes) -> None:
        """Write a file whole, in place of what has its name, and make its folders; synced later."""
        with self._parent(name, make=True) as (leaf, folder):
            files.replace_file(leaf, data, dir_fd=folder, sync=False)

    def append(self, name: str) -> IO[str]:
        """A file, to write behind its end."""
        with self._parent(name) as (leaf, folder):
            opener = partial(_opened, leaf, folder)
            return open(self.place / name, "a", encoding="ascii", opener=opener)

    def move(self, name: str, target: str) -> None:
        """Move a file in place of what has the name `target`, and make its folders."""
        with self._parent(name) as (leaf, folder), self._parent(target, make=True) as (end, other):
            os.replace(leaf, end, src_dir_fd=folder, dst_dir_fd=other)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there, and the folders that this empties."""
        with suppress(FileNotFoundError), self._parent(name) as (leaf, folder):
            os.unlink(leaf, dir_fd=folder)
        while "/" in name:
            name = name.rpartition("/")[0]
            try:
                with self._parent(name) as (leaf, folder):
                    os.rmdir(leaf, dir_fd=folder)
            except OSError:
                return  # not empty, or gone

    def make_folder(self, name: str) -> None:
        """Make a folder, if it is not there."""
        with self._parent(f"{name}/", make=True):
            pass

    def remove_folder(self, name: str) -> None:
        """Remove a folder and what is in it, as far as that is possible; of links, the links.

        What else has its name is removed as well.
        """
        with suppress(FileNotFoundError, RecursionError), self._parent(name) as (leaf, folder):
            if stat.S_ISDIR(os.stat(leaf, dir_fd=folder, follow_symlinks=False).st_mode):
                shutil.rmtree(leaf, ignore_errors=True, dir_fd=folder)
            else:
                # rmtree would open it, and so wait for the other end of a pipe
                os.unlink(leaf, dir_fd=folder)

    @contextmanager
    def _parent(self, name: str, *, make: bool = False) -> Iterator[tuple[str, int | None]]:
        """How a file is called in the folder that holds it, and that folder's descriptor."""
        *parts, leaf = name.split("/")
        here = self.place
        with ExitStack() as opened:
            folder = opened.enter_context(files.folder_descriptor(self.place))
            self._check_same(folder)
            for part in parts:
                here /= part
                called = part if folder is not None else str(here)
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(called, dir_fd=folder)
                found = os.stat(called, dir_fd=folder, follow_symlinks=False)
                if not stat.S_ISDIR(found.st_mode):
                    raise self._fault(here.relative_to(self.place).as_posix(), found.st_mode, "not a folder")
                folder = opened.enter_context(files.folder_descriptor(called, flags=NO_LINK, dir_fd=folder))
            yield (leaf if folder is not None else str(here / leaf)), folder

    def _check_same(self, folder: int | None) -> None:
        found = os.stat(self.place if folder is None else folder)
        identity = found.st_dev, found.st_ino
        self._identity = self._identity or identity
        if identity != self._identity:
            fact = "was replaced by another folder during the run"
            raise OutputFault(fact, "run it again", place=str(self.place))

    def _fault(self, name: str, mode: int, otherwise: str) -> OutputFault:
        kinds = ((stat.S_ISLNK, "a link"), (stat.S_ISDIR, "a folder"), (stat.S_ISREG, "a file"))
        kind = next((f"{kind}, " for test, kind in kinds if test(mode)), "")
        return OutputFault(f"is {kind}{otherwise}", "remove it", place=str(self.place / name))


def _opened(leaf: str, folder: int | None, path: str | Path, flags: int) -> int:
    return os.open(leaf, flags | NO_LINK, dir_fd=folder)
