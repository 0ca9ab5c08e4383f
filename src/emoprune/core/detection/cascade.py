"""The three networks of MTCNN one after the other (Zhang et al. 2016, section 2), as facenet-pytorch runs them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.ops import nms

from emoprune.core.detection import crops, pyramid
from emoprune.core.detection.area import STRIP_PIXELS, AreaSums
from emoprune.core.detection.boxes import apart, hold_pixels, shifted, squared, windows
from emoprune.core.detection.candidates import ALIKE, Proposer, candidates
from emoprune.core.detection.layers import CACHED_PIXELS
from emoprune.records import Box, Face

THRESHOLDS = (0.6, 0.7, 0.7)
"""Least probability after each network: facenet-pytorch's."""
REFINED_SIDE = 24
FINAL_SIDE = 48
CONTAINED = 0.7
AT_ONCE = 2048
"""Windows cut in one pass over the photo: their pictures fill memory."""
STEP = 16
"""Batches are filled up to multiples of this: oneDNN compiles, and keeps, code for every size that it meets."""


@dataclass(frozen=True)
class Networks:
    """MTCNN's networks on `device`, in evaluation mode.

    `propose`: see `Proposer`. `refine`: pictures (n, 3, 24, 24) to shares (n, 4) and probabilities (n, 2).
    `decide`: pictures (n, 3, 48, 48) to shares (n, 4), landmarks (n, 10), all x before all y, and
    probabilities (n, 2).
    """

    propose: Proposer
    refine: Callable[[Tensor], tuple[Tensor, ...]]
    decide: Callable[[Tensor], tuple[Tensor, ...]]
    device: torch.device


@torch.inference_mode()
def find_faces(
    image: Image.Image,
    networks: Networks,
    *,
    thresholds: tuple[float, float, float] = THRESHOLDS,
    strip_pixels: int = STRIP_PIXELS,
) -> list[Face]:
    """Every face of an RGB photo, the largest first.

    The faces of facenet-pytorch's MTCNN with its default settings. A photo with a side under 20 pixels has
    none. Photos of more than `strip_pixels` are read in strips; what is found stays the same.
    """
    width, height = image.size
    if min(width, height) < pyramid.SMALLEST_FACE:
        return []
    largest = max(
        pyramid.largest_cell(width, height), crops.largest_cell(width, height, REFINED_SIDE)
    )
    sums = AreaSums(image, largest, strip_pixels)
    boxes = candidates(sums, networks.propose, threshold=thresholds[0], device=networks.device)
    boxes = _refined(sums, boxes, networks, thresholds[1])
    return _by_area(*_decided(sums, boxes, networks, thresholds[2]))


def _refined(sums: AreaSums, boxes: Tensor, networks: Networks, threshold: float) -> Tensor:
    """The boxes that the second network confirms, moved to where it sees the faces, square."""
    boxes, (shares, probabilities) = _seen(sums, boxes, networks.refine, REFINED_SIDE, networks.device)
    likely = probabilities[:, 1] > threshold
    boxes, scores, shares = boxes[likely], probabilities[likely, 1], shares[likely]
    kept = nms(boxes, scores, ALIKE)
    return squared(shifted(boxes[kept], shares[kept], inclusive=True))


def _decided(
    sums: AreaSums, boxes: Tensor, networks: Networks, threshold: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes (n, 4), scores (n,) and landmarks (n, 5, 2) that the third network confirms."""
    boxes, (shares, points, probabilities) = _seen(
        sums, boxes, networks.decide, FINAL_SIDE, networks.device
    )
    likely = probabilities[:, 1] > threshold
    boxes, scores = boxes[likely], probabilities[likely, 1]
    sides = (boxes[:, 2:] - boxes[:, :2] + 1)[:, None]
    landmarks = sides * points[likely].reshape(-1, 2, 5).mT + boxes[:, None, :2] - 1
    boxes = shifted(boxes, shares[likely], inclusive=True)
    kept = apart(boxes, scores, CONTAINED)
    return boxes[kept], scores[kept], landmarks[kept]


def _seen(
    sums: AreaSums,
    boxes: Tensor,
    network: Callable[[Tensor], tuple[Tensor, ...]],
    side: int,
    device: torch.device,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The boxes that hold any pixel of the photo, and what `network` says of each of these.

    facenet-pytorch leaves out the picture of a box outside the photo but keeps the box, and then fails on
    their numbers: it cannot have meant another thing than this.
    """
    inside = windows(boxes, *sums.image.size)
    holding = hold_pixels(inside)
    inside = inside[holding]
    # one batch at least, if an empty one, so that the answers have their shapes
    answers = [
        _answers(network, crops.cut(sums, inside[first : first + AT_ONCE], side), device)
        for first in range(0, max(len(inside), 1), AT_ONCE)
    ]
    return boxes[torch.from_numpy(holding)], tuple(torch.cat(part) for part in zip(*answers, strict=True))


def _answers(
    network: Callable[[Tensor], tuple[Tensor, ...]], pictures: np.ndarray, device: torch.device
) -> tuple[Tensor, ...]:
    count, side = pictures.shape[:2]
    missing = -count % STEP if count else STEP
    filled = np.concatenate([pictures, np.zeros((missing, side, side, 3), dtype=np.float32)])
    batches = torch.from_numpy(filled).permute(0, 3, 1, 2).split(CACHED_PIXELS // side**2)
    answers = [network(batch.to(device)) for batch in batches]
    return tuple(torch.cat(part)[:count].cpu() for part in zip(*answers, strict=True))


def _by_area(boxes: Tensor, scores: Tensor, landmarks: Tensor) -> list[Face]:
    """Faces from arrays, the largest first."""
    corners = boxes.numpy()
    areas = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    return [
        Face(
            Box(*boxes[index].tolist()),
            float(scores[index]),
            tuple((x, y) for x, y in landmarks[index].tolist()),
        )
        for index in np.argsort(areas)[::-1].tolist()
        # the networks can, in theory, turn a box inside out
        if (boxes[index, 2:] > boxes[index, :2]).all()
    ]
