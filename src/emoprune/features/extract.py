"""Turn faces into a feature table: the features of every kind, and their principal components."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from emoprune import events
from emoprune.choices import DeviceName
from emoprune.data import splits
from emoprune.data.config import SplitConfig
from emoprune.data.datasets import Data, Faces
from emoprune.data.formats.image_folders import LAYOUT
from emoprune.data.image_dataset import Photos, unit_scale
from emoprune.data.loader import READING_BATCH, batches
from emoprune.data.types import FILE, FOLDERS, Catalog, Preprocess, Table
from emoprune.errors import BadCheckpoint, BadData, UsageFault, at
from emoprune.features.config import FeaturesConfig
from emoprune.features.lpq import lpq
from emoprune.features.pca import principal_components, require_samples
from emoprune.features.phog import phog
from emoprune.io import devices
from emoprune.networks import build, inputs
from emoprune.networks.registry import USUAL_TORCHVISION
from emoprune.networks.types import Spec

DESCRIBE: dict[str, Callable[[NDArray[np.generic]], NDArray[np.float64]]] = {"lpq": lpq, "phog": phog}
"""From a gray picture (height, width), as `unit_gray` takes it, to its features (n,)."""

Reader = Callable[[nn.Module, Tensor], Tensor]
READ: dict[str, Reader] = {"deep": build.penultimate, "backbone": build.backbone}
"""From a network and a batch of its inputs to features (batch, n)."""

PIXELS_SIZE = 48
DESCRIPTORS_SIZE = 128


@dataclass(frozen=True)
class Components:
    """How many principal components, the part and `samples` that they fit, the variance explained by kind."""

    components: int
    part: str
    samples: int
    explained: dict[str, float]


@dataclass(frozen=True)
class Features:
    """A table of features, and the principal components that they are, if any."""

    table: Table
    pca: Components | None = None


def extract(faces: Data, config: FeaturesConfig, *, device: DeviceName = "auto") -> Features:
    """The features of all `faces`; columns are `kind_1`, `kind_2`, ... of each kind in turn.

    With `pca` they are components, fitted to the training part of the split that `faces` ask for. Raises
    BadData for a table, UsageFault for settings that none of the kinds reads, BadCheckpoint for weights that
    give NaN.
    """
    if isinstance(faces, Table):
        fact, remedy = "is a feature table, not pictures", f"{LAYOUT}, or a CSV of pixels"
        raise BadData(fact, remedy, place=faces.catalog.place)
    _check_used(config, faces.split)
    catalog, train = faces.catalog, None
    if config.pca is not None:
        catalog, train = _training_part(faces, config.pca, config.seed)
    rows = _rows_by_kind(faces, config, devices.device(device))
    values, pca, count = {}, None, len(catalog.names)
    with at(catalog.place):
        for kind, found in rows.items():
            values[kind] = torch.cat(list(events.tracked(found, kind, count, steps=len)))
        if config.pca is not None and train is not None:
            explained = {}
            for kind, block in values.items():
                values[kind], explained[kind] = principal_components(block, train, config.pca, kind=kind)
            pca = Components(config.pca, "train", len(train), explained)
    columns = tuple(f"{kind}_{index + 1}" for kind in values for index in range(values[kind].shape[1]))
    whole = torch.cat([block.float() for block in values.values()], dim=1)
    return Features(Table(catalog, columns, whole), pca)


def _check_used(config: FeaturesConfig, split: SplitConfig) -> None:
    """Raise UsageFault for settings that are ignored with these kinds."""
    network = config.arch or config.weights or config.mean or config.std
    if network and not READ.keys() & set(config.kinds):
        kinds = " or ".join(f"`kinds={kind}`" for kind in READ)
        raise UsageFault(f"`arch`, `weights`, `mean` and `std` are for {kinds}", "leave them out")
    if config.pca is None and (split != SplitConfig() or config.seed):
        names = "`split`, `split_file`, `group_by`, `split_by` and `seed`"
        raise UsageFault(f"{names} are for `pca`", "leave them out")


def _training_part(faces: Faces, pca: int, seed: int) -> tuple[Catalog, Tensor]:
    """The catalog of the table, and the indices that `pca` components are fitted to.

    If near-duplicates are kept together, names in the table begin with their part. Raises UsageFault where
    the part has too few samples.
    """
    catalog, split = faces.catalog, faces.split
    rule = splits.split_rule(faces, split, seed)
    with at(catalog.place):
        parts = splits.partition(catalog, rule)
        train = parts["train"]
        require_samples(pca, fitted=len(train))
    splits.note_split(faces, rule, parts)
    # names with their folders say the parts, and so does the table
    same = "`split_file`" if rule.shares == FILE else "`split`, `group_by` and `seed`"
    again = "" if rule.shares == FOLDERS else f"; train with the same {same}"
    if split.split_by is not None:
        # a table has no pictures to find near-duplicates by
        again = "; names in the table begin with their part, and train splits by that"
        part_of = {index: part for part, indices in parts.items() for index in indices}
        names = tuple(f"{part_of[index]}/{name}" for index, name in enumerate(catalog.names))
        catalog = replace(catalog, names=names)
    events.note(f"PCA is fitted to the train part, {len(train):,} of {len(catalog.names):,} faces{again}")
    return catalog, torch.tensor(train)


def _rows_by_kind(faces: Faces, config: FeaturesConfig, device: torch.device) -> dict[str, Iterator[Tensor]]:
    """The rows of every kind, a batch of faces at a time; errors of the settings are raised at once."""
    preprocesses = {kind: _preprocess(kind, faces, config) for kind in config.kinds}
    # kinds with the same input share the decoded pictures
    pictures = {
        each: Photos(faces.picture, faces.catalog.labels, each) for each in set(preprocesses.values())
    }
    return {kind: _rows(kind, pictures[each], each, config, device) for kind, each in preprocesses.items()}


def _preprocess(kind: str, faces: Faces, config: FeaturesConfig) -> Preprocess:
    if kind in READ:
        arch, mean, std = config.arch or USUAL_TORCHVISION, config.mean, config.std
        weights = config.weights or "imagenet"
        return inputs.preprocess(
            faces, arch, config.size, gray=config.gray, mean=mean, std=std, weights=weights
        )
    usual = DESCRIPTORS_SIZE if kind in DESCRIBE else PIXELS_SIZE
    size = inputs.parse_size(config.size) if config.size else (usual, usual)
    gray = config.gray or kind in DESCRIBE
    channels = 1 if gray else 3
    return Preprocess("image", size, "gray" if gray else "rgb", mean=(0.0,) * channels, std=(1.0,) * channels)


def _rows(
    kind: str, photos: Photos, preprocess: Preprocess, config: FeaturesConfig, device: torch.device
) -> Iterator[Tensor]:
    indices = torch.arange(len(photos.labels))
    if kind in READ:
        return map(_reader(kind, preprocess, config, device), batches(photos, indices, preprocess, device))
    raw = (photos.batch(chunk) for chunk in indices.split(READING_BATCH))
    if kind == "pixels":
        return (unit_scale(batch).flatten(1) for batch in raw)
    describe = DESCRIBE[kind]
    return (torch.from_numpy(np.stack([describe(image) for image in batch[:, 0].numpy()])) for batch in raw)


def _reader(
    kind: str, preprocess: Preprocess, config: FeaturesConfig, device: torch.device
) -> Callable[[Tensor], Tensor]:
    spec = Spec(config.arch or USUAL_TORCHVISION, 1000, (3, *preprocess.size))
    weights = config.weights or "imagenet"
    inputs.note_usual_input(spec.arch, weights, config.size, mean=config.mean, std=config.std)
    net, _ = inputs.pretrained(spec, weights, seed=0, preprocess=preprocess)
    net = net.to(device).eval()

    def read(batch: Tensor) -> Tensor:
        with torch.inference_mode():
            found = READ[kind](net, batch).cpu()
        if not bool(found.isfinite().all()):
            # in a table NaN is a missing value, and would be filled
            place = config.weights or spec.arch
            raise BadCheckpoint("gives features that are not finite", "take other weights", place=place)
        return found

    return read
