"""Data sets from disk: folders of pictures by class, CSVs of pixels, and feature tables."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image

from emoprune.choices import PARTS, SplitBy
from emoprune.data import feature_tables, fer2013
from emoprune.data.config import SplitConfig
from emoprune.data.fer2013 import Pixels
from emoprune.data.types import Catalog, Table
from emoprune.errors import BadData, at
from emoprune.faces import output_folder
from emoprune.faces.manifest import is_contact_sheet
from emoprune.faces.types import CropSettings
from emoprune.io.content_hash import fingerprint
from emoprune.io.files import STANDARD, reading, shown
from emoprune.io.image_files import pictures, readable
from emoprune.io.images import is_image_name, read_photo

LAYOUT = "give a folder with one folder of pictures per class"


@dataclass(frozen=True)
class Folder:
    """A folder of pictures by class; `paths` are in the order of the catalog's names, not yet decoded.

    `crop` is how the pictures were cut out of photos, if crop has written that beside them.
    """

    catalog: Catalog
    paths: tuple[Path, ...]
    split: SplitConfig = field(default_factory=SplitConfig)
    crop: CropSettings | None = None

    def picture(self, index: int) -> Image.Image:
        """The picture at an index, decoded, as RGB; BadImage for a file that is not one."""
        return read_photo(self.paths[index])


Faces = Folder | Pixels
Data = Faces | Table


def open_data(
    path: str | Path,
    *,
    split: str | None = None,
    group_by: str | None = None,
    split_by: SplitBy | None = None,
) -> Data:
    """The data set at `path`; "-" reads CSV from standard input.

    A folder of pictures by class, pictures as FER-2013's CSV has them, or a feature table (.csv, .st, .xlsx).
    The result remembers `split` ("75/10/15", or counts), `group_by` and `split_by` for training.
    """
    return replace(_open(str(path)), split=SplitConfig(split=split, group_by=group_by, split_by=split_by))


def _open(place: str) -> Data:
    path = Path(place)
    if path.is_dir():
        return open_folder(place)
    if place != STANDARD and path.suffix != ".csv":
        if path.suffix in feature_tables.READABLE:
            return feature_tables.read(place)
        if path.exists():
            fact, remedy = "neither a folder nor a feature table", f"{LAYOUT}, or a .csv, .st or .xlsx"
            raise BadData(fact, remedy, place=place)
        raise BadData("no such folder or file", "check the name", place=place)
    # pixels are read line by line to save memory, and standard input is read once
    with reading(place) as stream:
        start = stream.readline(fer2013.LONGEST)
        if fer2013.is_header(start):
            with at(shown(place)):
                return fer2013.read(shown(place), start, stream)
        return feature_tables.from_bytes(place, start + stream.read())


def open_folder(place: str) -> Folder:
    """A folder of class folders, or of train/, val/ and test/ folders that hold them.

    Classes and pictures are in order of their names. Deeper folders belong to their class, hidden ones are
    ignored. Raises BadData for a layout that leaves the class of a picture unclear.
    """
    root = Path(place)
    with at(place), readable():
        tops = _folders(root)
        parts = [top for top in tops if top.name in PARTS]
        if parts and len(parts) < len(tops):
            other = next(top.name for top in tops if top not in parts)
            raise BadData(f"has {parts[0].name}/ beside {other}/", "keep either parts or classes at its top")
        class_folders = [folder for part in parts for folder in _folders(part)] if parts else tops
        found = []
        for folder in class_folders:
            inside = pictures(folder, left_out=is_contact_sheet)
            if not inside:
                raise BadData(f"class folder {folder.name}/ has no pictures", "add some or remove the folder")
            found += [(path, folder.name) for path in inside]
        beside = [path for top in [root, *parts] for path in sorted(top.iterdir()) if path.is_file()]
        loose = [path.name for path in beside if is_image_name(path) and not is_contact_sheet(path)]
        if output_folder.is_unfinished(root):
            raise BadData("its photos are not all cropped", "run the same emoprune crop again")
        if loose:
            raise BadData(f"{loose[0]} is in no class folder", LAYOUT)
        if not found:
            raise BadData("no pictures in class folders", LAYOUT)
        found.sort(key=lambda entry: entry[0].relative_to(root).as_posix())
        names, labels = [path.relative_to(root).as_posix() for path, _ in found], [name for _, name in found]
        contents = (hashlib.sha256(path.read_bytes()).hexdigest() for path, _ in found)
        catalog = Catalog.of(place, names, labels, fingerprint(zip(names, labels, contents, strict=True)))
    return Folder(catalog, tuple(path for path, _ in found), crop=output_folder.settings_in(root))


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
