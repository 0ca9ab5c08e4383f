import torch
from facenet_pytorch.models.utils.detect_face import bbreg, pad, rerec
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from emoprune.faces.mtcnn.boxes import have_pixels, regressed, squares, windows

SEEDS = st.integers(0, 10**6)


def boxes_of(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(30, 2, generator=generator) * 160 - 50
    return torch.cat([corner, corner + torch.rand(30, 2, generator=generator) * 70], dim=1)


def shares_of(seed: int) -> Tensor:
    return torch.randn(30, 4, generator=torch.Generator().manual_seed(seed + 1)) * 0.2


@given(SEEDS)
@settings(max_examples=20)
def test_boxes_are_moved_and_squared_as_facenet_does_it(seed: int) -> None:
    boxes, shares = boxes_of(seed), shares_of(seed)
    moved = regressed(boxes, shares, inclusive=True)
    assert torch.equal(moved, bbreg(boxes.clone(), shares))
    assert torch.equal(squares(moved), rerec(moved.clone()))


def test_the_first_stage_counts_no_edge() -> None:
    box, share = torch.tensor([[10.0, 20, 30, 60]]), torch.tensor([[0.5, -0.25, 0, 1]])
    assert regressed(box, share, inclusive=False).tolist() == [[20, 10, 30, 100]]
    assert regressed(box, share, inclusive=True).tolist() == [[20.5, 9.75, 30, 101]]


@given(SEEDS)
@settings(max_examples=20)
def test_windows_are_the_pixels_that_facenet_cuts_out(seed: int) -> None:
    boxes = boxes_of(seed)
    y, ey, x, ex = pad(boxes, 70, 50)
    found = windows(boxes, 70, 50)
    assert found.tolist() == [[int(v) for v in row] for row in zip(x - 1, y - 1, ex, ey, strict=True)]
    assert have_pixels(found).tolist() == [
        bool(ey[k] > y[k] - 1 and ex[k] > x[k] - 1) for k in range(len(boxes))
    ]


def test_boxes_outside_the_photo_hold_no_pixel() -> None:
    outside = torch.tensor([[80.0, 10, 90, 20], [-20, 10, -5, 20], [10, 60, 20, 70], [10, -9, 20, 0]])
    assert not have_pixels(windows(outside, 70, 50)).any()
    assert have_pixels(windows(torch.tensor([[-5.0, -5, 1, 1], [69, 49, 90, 90]]), 70, 50)).all()
