"""The pictures of a folder, and what lies between them."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from emoprune import events
from emoprune.errors import BadData
from emoprune.io import file_kinds
from emoprune.io.files import open_regular
from emoprune.io.pictures import images, picture_formats
from emoprune.io.pictures.picture_formats import UNNAMED, Format

REMEDIES = {
    errno.ENAMETOOLONG: "shorten the names of its folders",
    errno.ELOOP: "remove that link",
    errno.ENOENT: "remove or replace it",
    errno.EISDIR: "name a picture",
}
SYSTEM_FOLDERS = frozenset(("__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information"))
"""From archives of macOS, with thumbnails of Synology's, and of Windows."""


@contextmanager
def readable() -> Iterator[None]:
    """Turn errors of reading into a BadData that names the file or folder and the reason."""
    try:
        yield
    except OSError as error:
        place = str(error.filename or "")
        remedy = REMEDIES.get(error.errno or 0, "check its permissions")
        raise BadData(f"cannot be read ({error.strerror})", remedy, place=place) from error


@dataclass(frozen=True)
class Listing:
    """The files below a folder by their path from there, with forward slashes, in order.

    `unread` are pictures of a kind that is not read, `others` not pictures at all; `hidden` counts files and
    folders that systems hide; `again` are links to folders that were listed already.
    """

    pictures: tuple[str, ...]
    unread: dict[str, Format]
    others: tuple[str, ...]
    hidden: int
    again: tuple[str, ...]


def is_hidden(name: str) -> bool:
    """Whether this is the name of a file or folder that systems hide, with or without a dot."""
    return name.startswith(".") or name in SYSTEM_FOLDERS


def list_files(
    root: str | Path, *, deep: bool = True, left_out: Callable[[str], bool] = lambda path: False
) -> Listing:
    """Every file below `root`, or directly in it, without those `left_out` by their path.

    Follows links to folders, each folder once: under its own name, if that is below `root`.
    """
    suffixes = images.readable_suffixes()
    top = os.fspath(root)
    walk = _Walk(top, deep=deep)
    pictures, others, unread = [], [], dict[str, Format]()
    for path in walk:
        suffix = os.path.splitext(path)[1].lower()
        if left_out(f"{top}/{path}"):
            continue
        if suffix in suffixes:
            pictures.append(path)
        elif found := picture_formats.unread_suffix(suffix) or _unnamed(top, path):
            unread[path] = found
        else:
            others.append(path)
    unread = dict(sorted(unread.items()))
    return Listing(
        tuple(sorted(pictures)), unread, tuple(sorted(others)), walk.hidden, tuple(sorted(walk.again))
    )


class _Walk:
    """Iterates over the files below a folder; not recursive, as folders may be a thousand deep."""

    def __init__(self, root: str, *, deep: bool) -> None:
        self._root, self._deep = root, deep
        self._seen: set[tuple[int, int]] = set()
        self.hidden = 0
        self.again: list[str] = []

    def __iter__(self) -> Iterator[str]:
        links = [""]
        while links:
            # all folders first, then what links lead to: so a folder has its own name, not that of a link
            found: list[str] = []
            for link in links:
                yield from self._below(link, found)
            links = sorted(found)

    def _below(self, start: str, links: list[str]) -> Iterator[str]:
        folders = [start]
        while folders:
            folder = folders.pop()
            place = os.path.join(self._root, folder)
            status = os.stat(place)
            identity = (status.st_dev, status.st_ino)
            if identity in self._seen:
                self.again.append(folder)
                continue
            self._seen.add(identity)
            with os.scandir(place) as entries:
                for entry in entries:
                    path = f"{folder}/{entry.name}" if folder else entry.name
                    if is_hidden(entry.name):
                        self.hidden += 1
                    elif not _is_folder(entry):
                        yield path
                    elif self._deep:
                        (links if entry.is_symlink() else folders).append(path)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    # a link to itself, or to where nobody may look, is a file that cannot be read
    with suppress(OSError):
        return entry.is_dir()
    return False


def _unnamed(top: str, path: str) -> Format | None:
    """The format of a picture without a suffix of pictures, as a, a.txt or a.jpg.1."""
    with suppress(OSError, BadData), open_regular(os.path.join(top, path)) as stream:
        start = stream.read(file_kinds.START)
        pictured = file_kinds.kind_of(start) == "a picture" or picture_formats.unread_format(start)
        return UNNAMED if pictured else None
    return None


def counted_kinds(unread: Iterable[tuple[str, Format]]) -> str:
    """Pictures that are not read, by suffix, with the remedy: "2 .heic (pip install 'emoprune[heic]')"."""
    counts = Counter((os.path.splitext(path)[1].lower(), form.remedy) for path, form in unread)
    return ", ".join(
        f"{count:,} {suffix or 'unnamed'} ({remedy})" for (suffix, remedy), count in sorted(counts.items())
    )


def tell_passed_over(place: str, listings: Sequence[Listing]) -> None:
    """Warn of pictures that are not read, and note what else is passed over."""
    if unread := [entry for listing in listings for entry in listing.unread.items()]:
        events.warn(f"{place}: {events.counted(len(unread), 'picture')} passed over: {counted_kinds(unread)}")
    note_others(place, listings)


def note_others(place: str, listings: Sequence[Listing]) -> None:
    """Note files that are not pictures, hidden ones, and folders that links lead to again."""
    others, hidden = sum(len(each.others) for each in listings), sum(each.hidden for each in listings)
    again = [folder for each in listings for folder in each.again]
    told = []
    if others:
        what = "that is not a picture" if others == 1 else "that are not pictures"
        told.append(f"{events.counted(others, 'file')} {what}")
    if hidden:
        told.append(f"{events.counted(hidden, 'hidden file')}")
    if again:
        told.append(f"{events.counted(len(again), 'link')} to folders that are read already, as {again[0]}")
    if told:
        events.note(f"{place}: passes over {', '.join(told)}")
