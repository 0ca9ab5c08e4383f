"""MTCNN's three networks one after the other (Zhang et al. 2016, section 2), as in facenet-pytorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from emoprune.faces.mtcnn import boxes as crops
from emoprune.faces.mtcnn import pyramid
from emoprune.faces.mtcnn.boxes import have_pixels, regressed, squares, windows
from emoprune.faces.mtcnn.integral_image import STRIP_PIXELS, AreaSums
from emoprune.faces.mtcnn.networks import DESIGNS, Network, Weights
from emoprune.faces.mtcnn.nms import best_first, iou, overlap_of_smaller, suppress
from emoprune.faces.mtcnn.proposals import CACHED_PIXELS, LARGEST_IOU, proposals
from emoprune.faces.types import Box, Face

THRESHOLDS = (0.6, 0.7, 0.7)
"""Least probability after each network: facenet-pytorch's."""
REFINED_SIDE = 24
FINAL_SIDE = 48
LARGEST_OVERLAP = 0.7
AT_ONCE_PIXELS = 500_000
"""Pixels of the windows that are cut in one pass over the photo; bounds memory."""
STEP = 16
"""Batches are padded to multiples of this: oneDNN compiles and keeps code for every size."""


@dataclass(frozen=True)
class Networks:
    """MTCNN's networks: one proposes squares, one refines them, one decides."""

    propose: Network
    refine: Network
    decide: Network

    @classmethod
    def from_weights(cls, weights: Mapping[str, Weights], device: torch.device) -> Networks:
        """The networks with weights by network ("pnet", "rnet", "onet") and facenet-pytorch's names."""
        return cls(*(Network(design, weights[name]).to(device) for name, design in DESIGNS.items()))


@torch.inference_mode()
def find_faces(
    image: Image.Image,
    networks: Networks,
    *,
    thresholds: tuple[float, float, float] = THRESHOLDS,
    strip_pixels: int = STRIP_PIXELS,
    after_strip: Callable[[], object] = lambda: None,
) -> list[Face]:
    """Every face of an RGB photo, the largest first.

    The same faces as facenet-pytorch's MTCNN with its default settings. A photo with a side under 20 pixels
    has none. Photos of more than `strip_pixels` are read in strips, with the same result; `after_strip` is
    called after each and may free memory.
    """
    width, height = image.size
    if min(width, height) < pyramid.SMALLEST_FACE:
        return []
    cells = (pyramid.largest_cell(width, height), crops.largest_cell(width, height, REFINED_SIDE))
    sums = AreaSums(image, max(cells), strip_pixels)
    boxes = proposals(sums, networks.propose, threshold=thresholds[0], after_strip=after_strip)
    boxes, scores, offsets = _confirmed(sums, boxes, networks.refine, REFINED_SIDE, thresholds[1])
    kept = suppress(boxes, best_first(scores), LARGEST_IOU, iou)
    boxes = squares(regressed(boxes[kept], offsets[kept], inclusive=True))
    boxes, scores, answers = _confirmed(sums, boxes, networks.decide, FINAL_SIDE, thresholds[2])
    sides = (boxes[:, 2:] - boxes[:, :2] + 1)[:, None]
    landmarks = sides * answers[:, 4:].reshape(-1, 2, 5).mT + boxes[:, None, :2] - 1
    boxes = regressed(boxes, answers[:, :4], inclusive=True)
    # the order of equal scores is that of facenet-pytorch
    order = np.argsort(scores.numpy())[::-1].copy()
    kept = suppress(boxes, order, LARGEST_OVERLAP, overlap_of_smaller)
    return _by_area(boxes[kept], scores[kept], landmarks[kept])


def _confirmed(
    sums: AreaSums, boxes: Tensor, network: Network, side: int, threshold: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The boxes whose pictures of `side` score above `threshold`, their scores and the other answers.

    A box outside the photo has no picture and is dropped. facenet-pytorch drops the picture but keeps the
    box, and then fails as their numbers differ.
    """
    inside = windows(boxes, *sums.image.size)
    holding = have_pixels(inside)
    boxes, inside = boxes[torch.from_numpy(holding)], inside[holding]
    # boxes that lie close together are cut together, from few strips
    order = np.argsort(inside[:, 3], kind="stable")
    count = AT_ONCE_PIXELS // side**2
    # at least one batch, perhaps empty, so that the answers have their shapes
    answers = [
        _answers(network, crops.cut(sums, inside[order[first : first + count]], side))
        for first in range(0, max(len(inside), 1), count)
    ]
    scores, others = (torch.cat(part) for part in zip(*answers, strict=True))
    back = torch.from_numpy(np.argsort(order, kind="stable"))
    scores, others = scores[back], others[back]
    likely = scores > threshold
    return boxes[likely], scores[likely], others[likely]


def _answers(network: Network, pictures: crops.Pictures) -> tuple[Tensor, Tensor]:
    count, side = pictures.shape[:2]
    missing = -count % STEP if count else STEP
    filled = np.concatenate([pictures, np.zeros((missing, side, side, 3), dtype=np.float32)])
    batches = torch.from_numpy(filled).split(CACHED_PIXELS // side**2)
    scores, others = (torch.cat(part)[:count].cpu() for part in zip(*map(network, batches), strict=True))
    return scores, others


def _by_area(boxes: Tensor, scores: Tensor, landmarks: Tensor) -> list[Face]:
    """Faces from boxes (n, 4), scores (n,) and landmarks (n, 5, 2), the largest first."""
    order = np.argsort((boxes[:, 2:] - boxes[:, :2]).prod(dim=1).numpy())[::-1].copy()
    found = zip(*(part[order].tolist() for part in (boxes, scores, landmarks)), strict=True)
    return [
        Face(Box(*box), score, tuple((x, y) for x, y in points))
        for box, score, points in found
        # in theory the networks can turn a box inside out
        if box[2] > box[0] and box[3] > box[1]
    ]
