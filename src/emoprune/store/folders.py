"""Folders that appear whole: made beside their place, then moved in."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emoprune.store.streams import explained


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
