"""The networks of facenet-pytorch's MTCNN (Zhang et al. 2016), and which of the faces found is wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from facenet_pytorch.models.mtcnn import ONet, PNet, RNet
from torch import nn

from emoprune.records import Face
from emoprune.records.choices import Select


def networks(device: torch.device) -> tuple[nn.Module, nn.Module, nn.Module]:
    """MTCNN's first, second and third network on `device`, frozen; the weights come with the package.

    Their layout in memory is that of pictures as Pillow keeps them, channels last: the convolutions are
    about twice as fast in it.
    """
    made = (PNet().eval(), RNet().eval(), ONet().eval())
    for network in made:
        network.requires_grad_(False).to(device, memory_format=torch.channels_last)
    return made


def largest(faces: Sequence[Face], size: tuple[int, int]) -> list[Face]:
    """The face with the largest box; of equals the first."""
    return [max(faces, key=lambda face: face.box.area)]


def confident(faces: Sequence[Face], size: tuple[int, int]) -> list[Face]:
    """The face that the detector is surest of."""
    return [max(faces, key=lambda face: face.probability)]


def central(faces: Sequence[Face], size: tuple[int, int]) -> list[Face]:
    """The face whose middle is nearest to the middle of a photo of `size` (width, height)."""

    def distance(face: Face) -> float:
        x, y = face.box.centre
        return (x - size[0] / 2) ** 2 + (y - size[1] / 2) ** 2

    return [min(faces, key=distance)]


def every(faces: Sequence[Face], size: tuple[int, int]) -> list[Face]:
    """All faces, as detected."""
    return list(faces)


CHOICES: dict[Select, Callable[[Sequence[Face], tuple[int, int]], list[Face]]] = {
    "largest": largest,
    "confident": confident,
    "center": central,
    "all": every,
}
