"""Folders that appear whole, made beside their place and moved in; and files put into folders."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from emoprune.errors import OutputFault
from emoprune.store.streams import check_output, check_parent, explained, write_bytes


@contextmanager
def workshop(target: Path) -> Iterator[Path]:
    """An empty folder beside `target`, on the same disk, gone again when the block ends or is interrupted."""
    place = target.absolute()
    with (
        explained(target),
        tempfile.TemporaryDirectory(prefix=f".{place.name}.", dir=place.parent) as scratch,
    ):
        # the temporary folder itself is its owner's alone; one made in it follows the umask
        made = Path(scratch) / "made"
        made.mkdir()
        yield made


def move_in(made: Path, target: Path, *, last: str, stale: set[str]) -> None:
    """Move all files of `made` into `target`, and remove the files of `target` named in `stale`.

    A target that is not there, or empty, appears in one step. Otherwise files are replaced one by one,
    the file `last`, which speaks of the others, at the end; what else is in `target` stays.
    """
    with explained(target):
        if not target.exists() or not any(target.iterdir()):
            made.replace(target)
            return
        files = (path for path in made.rglob("*") if path.is_file())
        for file in sorted(files, key=lambda path: (path.name == last, path)):
            place = target / file.relative_to(made)
            place.parent.mkdir(parents=True, exist_ok=True)
            file.replace(place)
        for name in stale:
            (target / name).unlink(missing_ok=True)


def check_files(folder: str, names: Iterable[str], *, force: bool) -> None:
    """Raise OutputFault now if `write_files` would refuse later."""
    place = Path(folder)
    with explained(place):
        if not place.exists():
            check_parent(place)
        elif not place.is_dir():
            raise OutputFault("is a file, not a folder", "name a folder", place=folder)
        else:
            for name in names:
                check_output(place / name, force=force)


def write_files(folder: str, files: Mapping[str, bytes], *, force: bool) -> None:
    """Write files by name into a folder, which is made where it is not there; none replaces without `force`.

    Each is whole or not at all. Raises OutputFault as `streams.write_bytes` does.
    """
    check_files(folder, files, force=force)
    with explained(Path(folder)):
        Path(folder).mkdir(exist_ok=True)
    for name, data in files.items():
        write_bytes(Path(folder) / name, data, force=force)
