"""Data sets: named samples, how they become network input, how they are split."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, Self

from emoprune.choices import Kind
from emoprune.data.class_names import one_spelling
from emoprune.data.config import SplitConfig
from emoprune.errors import InvalidRecord
from emoprune.faces.types import CropSettings

if TYPE_CHECKING:
    from torch import Tensor


FOLDERS, FILE, WHOLE = "folders", "file", "all"
"""In place of shares: parts came with the data, from a file, or there is one."""
SHARES = r"[1-9]\d{0,8}/[1-9]\d{0,8}(/(0|[1-9]\d{0,8}))?"
ASSIGNED = r"(?:[tve](?:[1-9]\d{0,8})?)+"
HOW_TO_SPLIT = "write 80/20, 75/10/15 or counts as 346/329"
LARGEST_SIDE = 4096
"""Pixels of an input picture's side, so that a hostile file cannot ask for all memory."""


@dataclass(frozen=True)
class Catalog:
    """The names, labels and classes of a data set, known before any pixel is decoded.

    `names` are relative paths with forward slashes; `labels` index `classes`; `fingerprint` is a SHA-256
    over names, classes and contents, so that two catalogs with one fingerprint hold the same data. `contents`
    are the SHA-256 of each sample alone: of the bytes of its file, of its pixels, or of its row with the name
    of its file; none where they are not known.
    """

    place: str
    names: tuple[str, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    fingerprint: str
    contents: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if len(self.names) != len(self.labels) or len(self.contents) not in (0, len(self.names)):
            fact = f"{len(self.names)} names for {len(self.labels)} labels"
            raise InvalidRecord(fact, "make the data set again")
        if self.labels and not 0 <= min(self.labels) <= max(self.labels) < len(self.classes):
            raise InvalidRecord("a label outside the classes", "make the data set again")

    @classmethod
    def of(
        cls,
        place: str,
        names: Sequence[str],
        labels: Sequence[str],
        fingerprint: str,
        contents: Sequence[str] = (),
    ) -> Self:
        """The catalog of samples with these class names as `labels`; classes are in alphabetical order.

        Several spellings of a class are one. Raises BadData for a class name that is not UTF-8.
        """
        spelled = one_spelling(place, labels)
        classes = sorted(set(spelled.values()))
        places = {name: index for index, name in enumerate(classes)}
        position = {label: places[name] for label, name in spelled.items()}
        indices = tuple(position[label] for label in labels)
        return cls(place, tuple(names), indices, tuple(classes), fingerprint, tuple(contents))


@dataclass(frozen=True)
class PartOf:
    """What some data are a part of: the catalog of a `whole` that came in parts, and `indices` of it.

    `name` is train, val or test.
    """

    name: str
    whole: Catalog
    indices: tuple[int, ...]


@dataclass(frozen=True)
class Table:
    """A feature table: `values` is (samples, features) float32, in the order of the catalog's names.

    NaN is a missing value. `part` says what it is a part of, if it was opened as one.
    """

    catalog: Catalog
    columns: tuple[str, ...]
    values: Tensor
    split: SplitConfig = field(default_factory=SplitConfig)
    part: PartOf | None = None

    def __post_init__(self) -> None:
        shape = (len(self.catalog.names), len(self.columns))
        if tuple(self.values.shape) != shape:
            fact = f"values of shape {tuple(self.values.shape)}, not {shape}"
            raise InvalidRecord(fact, "write the table again")


class Samples(Protocol):
    """Anything that yields batches of raw samples by index: pictures on disk, rows of a table."""

    @property
    def labels(self) -> Tensor:
        """Class indices, (samples,) int64."""
        ...

    def batch(self, indices: Tensor) -> Tensor:
        """The samples at `indices`: (n, channels, height, width) uint8, or (n, features) float32."""
        ...


@dataclass(frozen=True)
class Preprocess:
    """How a photo or a table row becomes network input; travels with every model.

    Photos are resized to `size` (height, width), made `color`, scaled to 0..1, then (x - mean) / std per
    channel. Table rows (`kind` "table") are not changed: the network scales them and, if it `fills`, replaces
    missing values by the training mean of their column. With `label`, the index of a row's class is appended
    as its last column. `crop` is how the faces were cut out of their photos, None where that is unknown.
    """

    kind: Kind
    size: tuple[int, ...] = ()
    color: Literal["rgb", "gray"] = "rgb"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    fills: bool = False
    label: bool = False
    crop: CropSettings | None = None

    def __post_init__(self) -> None:
        if self.kind == "table":
            return
        if self.fills:
            raise InvalidRecord("fills missing values of photos, which have none", "make the data set again")
        if len(self.size) != 2 or not all(1 <= side <= LARGEST_SIDE for side in self.size):
            size = "x".join(map(str, self.size))
            remedy = f"give two sides of 1 to {LARGEST_SIDE} pixels"
            raise InvalidRecord(f"image size {size} is impossible", remedy)
        if len(self.mean) != len(self.std) or len(self.mean) not in (1, 3):
            raise InvalidRecord("mean and std are not one or three numbers each", "give both per channel")
        if self.color == "rgb" and len(self.mean) != 3:
            raise InvalidRecord("has one mean for the three channels of a color picture", "give three")
        if not all(map(math.isfinite, self.mean)) or not all(0 < std < math.inf for std in self.std):
            fact = "a mean or standard deviation is not finite or not above 0"
            raise InvalidRecord(fact, "give `std` above 0")

    @property
    def channels(self) -> int:
        """Channels of the network's input image."""
        return len(self.mean)


@dataclass(frozen=True)
class SplitRule:
    """How a data set falls into parts, so that anyone with the data can redo it.

    `shares` is "80/20", "75/10/15", "80/20/0" (no test part), "346/329" or "folders" (the data came as
    train/, val/, test/); `group_by` is a regular expression: samples whose match is the same stay on one
    side. So do the groups of indices in `together`, in ascending order: near-duplicates, kept because a
    later run may lack their hashes. With "file" `assigned` has the part of each sample, as
    `split_files.packed` writes it. `fold` (3, 5) is the third of five folds of what is not test: it is the
    val part, and the others are train; "all" has no test part.
    """

    shares: str
    seed: int
    group_by: str | None
    fingerprint: str
    together: tuple[tuple[int, ...], ...] = ()
    assigned: str | None = None
    fold: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.shares not in (FOLDERS, FILE, WHOLE) and not re.fullmatch(SHARES, self.shares):
            raise InvalidRecord(f"{self.shares!r} is not a split", HOW_TO_SPLIT)
        if self.shares == WHOLE and self.fold is None:
            raise InvalidRecord("its split has one part only", HOW_TO_SPLIT)
        if (self.shares == FILE) != (re.fullmatch(ASSIGNED, self.assigned or "") is not None):
            raise InvalidRecord("its split does not say the part of each sample", "train again")
        if self.fold is not None and not 1 <= self.fold[0] <= self.fold[1] > 1:
            raise InvalidRecord(f"its split is fold {self.fold[0]} of {self.fold[1]}", "train again")
        if not 0 <= self.seed < 2**32:
            raise InvalidRecord(f"{self.seed} is not a seed", "give one from 0 to 4294967295")
        tied = [index for group in self.together for index in group]
        groups = all(len(group) > 1 and group == tuple(sorted(group)) for group in self.together)
        if not groups or min(tied, default=0) < 0 or len(set(tied)) < len(tied):
            raise InvalidRecord("its split has invalid groups of samples", "train again")
