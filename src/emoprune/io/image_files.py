"""The pictures of a folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from emoprune.errors import BadData
from emoprune.io.images import is_image_name


@contextmanager
def readable() -> Iterator[None]:
    """Turn errors of reading into a BadData that names the file or folder and the reason."""
    try:
        yield
    except OSError as error:
        place = str(error.filename or "")
        raise BadData(f"cannot be read ({error.strerror})", "check its permissions", place=place) from error


def pictures(root: Path, *, left_out: Callable[[Path], bool] = lambda path: False) -> list[Path]:
    """Every picture below `root` in order of its path, without hidden files and those `left_out`.

    Follows links to folders, except to a folder that contains the link.
    """
    return sorted(
        (path for path in files(root) if is_image_name(path) and not left_out(path)),
        key=lambda path: path.relative_to(root).as_posix(),
    )


def files(root: Path, above: tuple[str, ...] = ()) -> Iterator[Path]:
    """Every file below `root` that is not hidden."""
    real = os.path.realpath(root)
    if real in above:
        return
    for path in root.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from files(path, (*above, real))
        else:
            yield path
