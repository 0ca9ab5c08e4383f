import numpy as np
import pytest
import torch
from facenet_pytorch.models.utils.detect_face import nms_numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.ops import nms

from emoprune.faces.mtcnn import nms as suppression
from emoprune.faces.mtcnn.nms import best_first, iou, overlap_of_smaller, suppress


def crowd(seed: int, count: int, spread: int) -> tuple[Tensor, Tensor]:
    """Boxes with whole corners, as the first network gives them, and scores of which no two are equal."""
    draw = np.random.default_rng(seed)
    corner, side = draw.integers(0, spread, (count, 2)), draw.integers(5, 60, (count, 2))
    boxes = np.concatenate([corner, corner + side], axis=1).astype(np.float32)
    return torch.from_numpy(boxes), torch.from_numpy(
        draw.permutation(count).astype(np.float32) / max(count, 1)
    )


@given(
    st.integers(0, 10**6),
    st.integers(0, 120),
    st.sampled_from((10, 60, 400)),
    st.sampled_from((0.3, 0.5, 0.7)),
)
@settings(max_examples=60)
def test_suppress_keeps_the_boxes_of_torchvision_in_its_order(
    seed: int, count: int, spread: int, largest: float
) -> None:
    boxes, scores = crowd(seed, count, spread)
    assert suppress(boxes, best_first(scores), largest, iou).tolist() == nms(boxes, scores, largest).tolist()


def test_more_boxes_than_are_compared_at_once_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes, scores = crowd(3, 500, 150)
    expected = nms(boxes, scores, 0.5).tolist()
    for block in (1, 7, 499, 500, 501):
        monkeypatch.setattr(suppression, "BLOCK", block)
        assert suppress(boxes, best_first(scores), 0.5, iou).tolist() == expected


@given(st.integers(0, 10**6), st.integers(1, 40), st.sampled_from((10, 60)))
@settings(max_examples=40)
def test_suppress_by_overlap_of_the_smaller_box_is_facenets(seed: int, count: int, spread: int) -> None:
    boxes, scores = crowd(seed, count, spread)
    kept = nms_numpy(boxes.numpy(), scores.numpy(), 0.7, "Min").tolist()
    assert suppress(boxes, best_first(scores), 0.7, overlap_of_smaller).tolist() == kept


def test_suppress_lets_a_suppressed_box_suppress_no_other() -> None:
    # the second overlaps both others, which do not overlap: it goes, and the third stays
    boxes = torch.tensor([[0.0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]])
    assert suppress(boxes, np.arange(3), 0.3, iou).tolist() == [0, 2]


def test_of_equal_scores_the_first_comes_first() -> None:
    assert best_first(torch.tensor([0.5, 0.9, 0.5, 0.9])).tolist() == [1, 3, 0, 2]
