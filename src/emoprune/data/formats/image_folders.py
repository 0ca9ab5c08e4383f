"""Folders of pictures by class, in one piece or in parts."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image

from emoprune import events
from emoprune.data.class_names import class_key
from emoprune.data.config import SplitConfig
from emoprune.data.formats.copies import warn_of_copies
from emoprune.data.formats.parts import HOW, note_spelling, part_of, spelled_parts
from emoprune.data.types import Catalog, PartOf
from emoprune.errors import BadData, at
from emoprune.faces import output_folder
from emoprune.faces.output_folder import is_own_file
from emoprune.faces.types import CropSettings
from emoprune.io.content_hash import file_hash, fingerprint
from emoprune.io.pictures.image_files import (
    Listing,
    counted_kinds,
    is_hidden,
    list_files,
    readable,
    tell_passed_over,
)
from emoprune.io.pictures.images import read_gray, read_photo

LAYOUT = "give a folder with one folder of pictures per class"


@dataclass(frozen=True)
class Folder:
    """Pictures in files, by class; `paths` are in the order of the catalog's names, not yet decoded.

    `crop` is how the pictures were cut out of photos, if crop has written that beside them. `part` says what
    they are a part of, if they were opened as one.
    """

    catalog: Catalog
    paths: tuple[Path, ...]
    split: SplitConfig = field(default_factory=SplitConfig)
    crop: CropSettings | None = None
    part: PartOf | None = None

    def picture(self, index: int) -> Image.Image:
        """The picture at an index, decoded, as RGB; BadImage for a file that is not one."""
        return read_photo(self.paths[index])

    def gray(self, index: int) -> Image.Image:
        """The same in gray."""
        return read_gray(self.paths[index])


def open_folder(place: str) -> Folder:
    """A folder of class folders, or of folders such as train/, val/ and test/ that hold them.

    Classes and pictures are in order of their names. Deeper folders belong to their class, hidden ones are
    ignored; warnings and notes say what is passed over. Raises BadData for a layout that leaves the class of
    a picture unclear.
    """
    root = Path(place)
    with at(place), readable():
        parts, classes = _class_folders(place)
        note_spelling(place, parts)
        listings = {folder: list_files(root / folder, left_out=is_own_file) for folder in classes}
        _check_classes(place, listings)
        if output_folder.is_unfinished(root):
            raise BadData("its photos are not all cropped", "run the same emoprune crop again")
        beside = [list_files(root / folder, deep=False, left_out=is_own_file) for folder in ("", *parts)]
        for listing in beside:
            for loose in listing.pictures[:1]:
                raise BadData(f"{loose} is in no class folder", LAYOUT)
        found = sorted(
            (f"{folder}/{path}", os.path.basename(folder))
            for folder, listing in listings.items()
            for path in listing.pictures
        )
        if not found:
            raise BadData("no pictures in class folders", LAYOUT)
        tell_passed_over(place, [*listings.values(), *beside])
        names, labels = [name for name, _ in found], [label for _, label in found]
        made = image_set(place, names, labels, [root / name for name in names])
    return replace(made, crop=output_folder.settings_in(root))


def open_unlabeled(place: str) -> Folder:
    """A folder of pictures without labels, at any depth: all are of one class without a name.

    Raises BadData for a folder without pictures.
    """
    root = Path(place)
    with at(place), readable():
        listing = list_files(root, left_out=is_own_file)
        if not listing.pictures:
            raise BadData("no pictures", "give a folder with some")
        tell_passed_over(place, [listing])
        names = sorted(listing.pictures)
        paths = tuple(root / name for name in names)
        contents = tuple(map(file_hash, paths))
        print_ = fingerprint((name, "", content) for name, content in zip(names, contents, strict=True))
    return Folder(Catalog(place, tuple(names), (0,) * len(names), ("",), print_, contents), paths)


def classes_in(place: str, part: str | None = None) -> list[str]:
    """The class folders of a folder, or of one part of it, one spelling of each; no picture is looked for.

    BadData as above.
    """
    with at(place), readable():
        parts, folders = _class_folders(place)
    chosen = [folder for folder in folders if part is None or parts.get(folder.partition("/")[0]) == part]
    names = map(os.path.basename, chosen)
    return list({class_key(name): name for name in names}.values())


def _class_folders(place: str) -> tuple[dict[str, str], list[str]]:
    """The parts at the top of a folder, if it has any, and the class folders by their paths from there."""
    root = Path(place)
    tops = _folders(root)
    parts = spelled_parts(tops)
    if not parts:
        return parts, tops
    if len(parts) < len(tops):
        other = next(top for top in tops if top not in parts)
        remedy = "keep either classes or parts (train, val, test) at its top"
        raise BadData(f"has {next(iter(parts))}/ beside {other}/", remedy)
    return parts, [f"{part}/{name}" for part in parts for name in _folders(root / part)]


def image_set(place: str, names: Sequence[str], labels: Sequence[str], paths: Sequence[Path]) -> Folder:
    """Pictures in files with their names and classes; OSError or BadData for one that cannot be read."""
    contents = list(events.tracked(map(file_hash, paths), "read", len(paths)))
    warn_of_copies(place, contents, labels, kind="picture")
    print_ = fingerprint(zip(names, labels, contents, strict=True))
    return Folder(Catalog.of(place, names, labels, print_, contents), tuple(paths))


def _folders(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.is_dir() and not is_hidden(path.name))


def _check_classes(place: str, listings: Mapping[str, Listing]) -> None:
    """Raise BadData for a class folder without pictures or with parts in it; warn of possible parts."""
    inside: dict[str, set[str]] = {}
    for folder, listing in listings.items():
        if not listing.pictures:
            unread = f" that are read, but {counted_kinds(listing.unread.items())}" if listing.unread else ""
            name = os.path.basename(folder)
            raise BadData(f"class folder {name}/ has no pictures{unread}", "add some or remove the folder")
        top, below = _fork(folder, listing.pictures)
        if len(below) > 1 and all(map(part_of, below)):
            first, second = sorted(below)[:2]
            remedy = f"put parts at the top, as {first}/{folder}/"
            if len(listings) == 1:
                remedy = f"give {place.rstrip('/')}/{top}/ as the data"
            raise BadData(f"{top}/ holds {first}/ and {second}/", remedy)
        inside[folder] = {class_key(name) for name in below}
    if len(set(map(os.path.basename, listings))) == 1:
        _warn_of_wrapper(place, listings)
        return
    shared = set[str].intersection(*inside.values()) if len(inside) > 1 else set()
    if len(shared) > 1 and "" not in shared and 2 * len(shared) >= len(set[str].union(*inside.values())):
        first, second = list(inside)[:2]
        same = ", ".join(sorted(shared)[:3])
        fact = f"{first}/, {second}/ and the other classes hold the same folders ({same})"
        events.warn(f"{place}: {fact}; if they are parts, {HOW}")


def _fork(folder: str, pictures: Sequence[str]) -> tuple[str, set[str]]:
    """The deepest folder that holds all pictures, and which folders in it do; "" for pictures beside them."""
    common = os.path.commonpath([os.path.dirname(path) for path in pictures])
    rest = [path.removeprefix(f"{common}/") for path in pictures]
    top = f"{folder}/{common}" if common else folder
    return top, {path.partition("/")[0] if "/" in path else "" for path in rest}


def _warn_of_wrapper(place: str, listings: Mapping[str, Listing]) -> None:
    """Warn of a single class that holds folders: it may be one around the classes."""
    folder, listing = next(iter(listings.items()))
    top, below = _fork(folder, listing.pictures)
    if len(below) > 1 and "" not in below:
        part, _, name = folder.rpartition("/")
        remedy = f"move them to {part}/" if part else f"give {place.rstrip('/')}/{top}/ as the data"
        fact = f"{name}/ is the only class, and {top}/ holds folders ({', '.join(sorted(below)[:3])})"
        events.warn(f"{place}: {fact}; if they are the classes, {remedy}")
