"""Files put into folders of the user's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from emoprune.errors import OutputFault
from emoprune.io.files import check_output, check_parent, explained, write_bytes


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
