"""Pictures without labels, labeled with what a network answers."""

from __future__ import annotations

from dataclasses import replace

import torch

from emoprune import events
from emoprune.choices import DeviceName
from emoprune.data.datasets import Data, open_data
from emoprune.data.formats.image_folders import open_unlabeled
from emoprune.evaluation.model import Subset, samples
from emoprune.evaluation.training_data import has_no_class
from emoprune.io import devices
from emoprune.io.content_hash import fingerprint
from emoprune.networks.losses import predict
from emoprune.networks.types import Checkpoint


def open_taught(
    place: str, teacher: Checkpoint | None, *, name: str = "the teacher", device: DeviceName = "auto"
) -> Data:
    """The data set at `place`; a folder in which no folder is a class of the teacher gets labels from it.

    They are its most likely classes, which a note says with their numbers.
    """
    if teacher is None or teacher.preprocess.kind == "table" or not has_no_class(teacher, place):
        return open_data(place)
    chosen = devices.device(device)
    pictures = open_unlabeled(place)
    read = samples(pictures, teacher.preprocess, teacher.spec.input)
    subset = Subset(read, torch.arange(len(pictures.paths)), teacher.preprocess, chosen)
    inputs = events.tracked(subset.inputs(), "answers", len(subset), steps=len)
    labels = torch.cat([logits.argmax(1) for logits in predict(teacher.module().to(chosen), inputs)])
    counts = labels.bincount(minlength=len(teacher.classes)).tolist()
    found = ", ".join(
        f"{count:,} {label}" for label, count in zip(teacher.classes, counts, strict=True) if count
    )
    count = events.counted(len(pictures.paths), "picture")
    events.note(f"{place}: {count} without labels, labeled by the answers of {name}: {found}")
    catalog, answers = pictures.catalog, [teacher.classes[label] for label in labels.tolist()]
    # other answers are other data
    print_ = fingerprint(zip(catalog.names, answers, catalog.contents, strict=True))
    labeled = replace(catalog, labels=tuple(labels.tolist()), classes=teacher.classes, fingerprint=print_)
    return replace(pictures, catalog=labeled)
