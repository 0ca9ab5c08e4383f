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
    """MTCNN's networks on `device`: one proposes squares, one refines them, one decides."""

    propose: Network
    refine: Network
    decide: Network
    device: torch.device

    @classmethod
    def from_weights(cls, weights: Mapping[str, Weights], device: torch.device) -> Networks:
        """The networks with weights by network ("pnet", "rnet", "onet") and facenet-pytorch's names."""
        made = [Network(design, weights[name]).to(device) for name, design in DESIGNS.items()]
        return cls(made[0], made[1], made[2], device)


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
    boxes = proposals(
        sums, networks.propose, threshold=thresholds[0], device=networks.device, after_strip=after_strip
    )
    boxes = _refined(sums, boxes, networks, thresholds[1])
    return _by_area(*_decided(sums, boxes, networks, thresholds[2]))


def _refined(sums: AreaSums, boxes: Tensor, networks: Networks, threshold: float) -> Tensor:
    """Square boxes of the faces that the second network confirms, where it sees them."""
    boxes, scores, offsets = _confirmed(
        sums, boxes, networks.refine, REFINED_SIDE, threshold, networks.device
    )
    kept = suppress(boxes, best_first(scores), LARGEST_IOU, iou)
    return squares(regressed(boxes[kept], offsets[kept], inclusive=True))


def _decided(
    sums: AreaSums, boxes: Tensor, networks: Networks, threshold: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes (n, 4), scores (n,) and landmarks (n, 5, 2) that the third network confirms."""
    boxes, scores, answers = _confirmed(sums, boxes, networks.decide, FINAL_SIDE, threshold, networks.device)
    sides = (boxes[:, 2:] - boxes[:, :2] + 1)[:, None]
    landmarks = sides * answers[:, 4:].reshape(-1, 2, 5).mT + boxes[:, None, :2] - 1
    boxes = regressed(boxes, answers[:, :4], inclusive=True)
    # the order of equal scores is that of facenet-pytorch
    order = np.argsort(scores.numpy())[::-1].copy()
    kept = suppress(boxes, order, LARGEST_OVERLAP, overlap_of_smaller)
    return boxes[kept], scores[kept], landmarks[kept]


def _confirmed(
    sums: AreaSums, boxes: Tensor, network: Network, side: int, threshold: float, device: torch.device
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
        _answers(network, crops.cut(sums, inside[order[first : first + count]], side), device)
        for first in range(0, max(len(inside), 1), count)
    ]
    scores, others = (torch.cat(part) for part in zip(*answers, strict=True))
    back = torch.from_numpy(np.argsort(order, kind="stable"))
    scores, others = scores[back], others[back]
    likely = scores > threshold
    return boxes[likely], scores[likely], others[likely]


def _answers(network: Network, pictures: crops.Pictures, device: torch.device) -> tuple[Tensor, Tensor]:
    count, side = pictures.shape[:2]
    missing = -count % STEP if count else STEP
    filled = np.concatenate([pictures, np.zeros((missing, side, side, 3), dtype=np.float32)])
    batches = torch.from_numpy(filled).split(CACHED_PIXELS // side**2)
    answers = [network(batch.to(device)) for batch in batches]
    scores, others = (torch.cat(part)[:count].cpu() for part in zip(*answers, strict=True))
    return scores, others


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
        # in theory the networks can turn a box inside out
        if (boxes[index, 2:] > boxes[index, :2]).all()
    ]
