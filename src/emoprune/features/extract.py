"""The work of emoprune features: the rows of every kind, and their principal components."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from emoprune import events
from emoprune.data import splits as splitting
from emoprune.data.datasets import Faces
from emoprune.data.image_dataset import Photos, unit_scale
from emoprune.data.loader import READING_BATCH, batches
from emoprune.data.splits import partition
from emoprune.data.types import FOLDERS, Catalog, Preprocess, Samples, SplitRule
from emoprune.errors import BadCheckpoint, UsageFault, at
from emoprune.features import DESCRIPTORS
from emoprune.features.pca import principal_components, require_samples
from emoprune.networks import build, inputs
from emoprune.networks.registry import USUAL_TORCHVISION
from emoprune.networks.types import Spec

OF_A_NETWORK: dict[str, Callable[[nn.Module, Tensor], Tensor]] = {
    "deep": build.penultimate,
    "backbone": build.backbone,
}
"""Kinds that are read off a network, and where."""

PIXELS_SIZE = 48
DESCRIPTORS_SIZE = 128


@dataclass(frozen=True)
class Look:
    """What the options say of pictures and of the network; None is what each kind takes by itself."""

    size: str | None
    gray: bool
    arch: str | None
    weights: str | None
    mean: str | None
    std: str | None
    device: torch.device


def check_options(kinds: Sequence[str], look: Look, *, pca: int | None, splits: bool) -> None:
    """Raise UsageFault for options that none of what was asked for reads."""
    if not OF_A_NETWORK.keys() & set(kinds) and (look.arch or look.weights or look.mean or look.std):
        raise UsageFault(
            f"--arch, --weights, --mean and --std are for --kind {' or '.join(OF_A_NETWORK)}",
            "leave them out",
        )
    if pca is None and splits:
        raise UsageFault("--split, --group-by, --split-by and --seed are for --pca", "leave them out")


def training_part(faces: Faces, rule: SplitRule, pca: int, *, named: bool) -> tuple[Tensor, Catalog]:
    """Indices of the part that `pca` principal components are fitted to, and the catalog of the table.

    Tells them on stderr. `named`: names in the table begin with their part. Raises UsageFault where the part
    has too few samples.
    """
    catalog = faces.catalog
    with at(catalog.place):
        parts = partition(catalog, rule)
        train = parts["train"]
        require_samples(pca, fitted=len(train))
    splitting.tell_split(faces, rule, parts)
    # the folders are in the names, and the table is split by them again
    again = "" if rule.shares == FOLDERS else "; train with the same --split, --group-by and --seed"
    if named:
        # a table has no pictures to find the parts by
        again = "; names in the table begin with their part, and train splits by that"
        part_of = {index: part for part, indices in parts.items() for index in indices}
        names = tuple(f"{part_of[index]}/{name}" for index, name in enumerate(catalog.names))
        catalog = replace(catalog, names=names)
    events.note(f"PCA is fitted to the train part, {len(train):,} of {len(catalog.names):,} faces{again}")
    return torch.tensor(train), catalog


def rows_by_kind(faces: Faces, kinds: Sequence[str], look: Look) -> dict[str, Iterator[Tensor]]:
    """The rows of every kind, a batch of faces at a time as they are asked for.

    Faults of the options come at once.
    """
    ways = {kind: _preprocess(kind, faces, look) for kind in kinds}
    # pictures are decoded once for kinds that see them alike
    pictures: dict[Preprocess, Photos] = {}
    for way in ways.values():
        if way not in pictures:
            pictures[way] = Photos(faces.picture, faces.catalog.labels, way)
    return {kind: _rows(kind, pictures[way], way, look) for kind, way in ways.items()}


def values_by_kind(rows: Mapping[str, Iterator[Tensor]], count: int) -> dict[str, Tensor]:
    """All rows of every kind, (count, features), with a progress line each."""
    return {
        kind: torch.cat(list(events.tracked(found, kind, count, steps=len))) for kind, found in rows.items()
    }


def reduced(
    values: Mapping[str, Tensor], train: Tensor, pca: int
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """The first `pca` principal components of every kind, and the share of the variance that they hold."""
    found = {kind: principal_components(block, train, pca, kind=kind) for kind, block in values.items()}
    return (
        {kind: entry.values for kind, entry in found.items()},
        {kind: entry.explained for kind, entry in found.items()},
    )


def _preprocess(kind: str, faces: Faces, look: Look) -> Preprocess:
    if kind in OF_A_NETWORK:
        return inputs.preprocess(
            faces,
            look.arch or USUAL_TORCHVISION,
            look.size,
            gray=look.gray,
            mean=look.mean,
            std=look.std,
        )
    usual = DESCRIPTORS_SIZE if kind in DESCRIPTORS else PIXELS_SIZE
    size = inputs.parse_size(look.size) if look.size else (usual, usual)
    gray = look.gray or kind in DESCRIPTORS
    channels = 1 if gray else 3
    return Preprocess("image", size, "gray" if gray else "rgb", mean=(0.0,) * channels, std=(1.0,) * channels)


def _rows(kind: str, samples: Samples, preprocess: Preprocess, look: Look) -> Iterator[Tensor]:
    indices = torch.arange(len(samples.labels))
    if kind in OF_A_NETWORK:
        return _read(kind, samples, indices, preprocess, look)
    raw = (samples.batch(chunk) for chunk in indices.split(READING_BATCH))
    if kind == "pixels":
        return (unit_scale(batch).flatten(1) for batch in raw)
    describe = DESCRIPTORS[kind].function()
    return (torch.from_numpy(np.stack([describe(image) for image in batch[:, 0].numpy()])) for batch in raw)


def _read(
    kind: str, samples: Samples, indices: Tensor, preprocess: Preprocess, look: Look
) -> Iterator[Tensor]:
    spec = Spec(look.arch or USUAL_TORCHVISION, 1000, (3, *preprocess.size))
    net, _ = inputs.pretrained(spec, look.weights or "imagenet", seed=0)
    net = net.to(look.device).eval()

    def rows() -> Iterator[Tensor]:
        for batch in batches(samples, indices, preprocess, look.device):
            # not around the yield: the mode would leak into whoever takes the rows
            with torch.inference_mode():
                read = OF_A_NETWORK[kind](net, batch).cpu()
            if not bool(read.isfinite().all()):
                # a table's NaN is a value that is missing, and would be filled
                place = look.weights or spec.arch
                raise BadCheckpoint("gives features that are not finite", "take other weights", place=place)
            yield read

    return rows()
