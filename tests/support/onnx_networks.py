"""Small networks as ONNX files, for the tests of writing and of running them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from emoprune.io.onnx_files import export


def conv_net() -> nn.Module:
    """Every kind of layer of the papers' networks, for pictures (3, 9, 7) and two classes."""
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()),
        *(nn.Linear(16, 5), nn.Sigmoid(), nn.Dropout(0.5), nn.Linear(5, 2)),
    ).eval()


def pictures(n: int) -> Tensor:
    """A batch for `conv_net`."""
    return torch.randn(n, 3, 9, 7, generator=torch.Generator().manual_seed(n))


def exported_by(net: nn.Module, example: Tensor, *, metadata: str = "", opset: int = 18) -> bytes:
    """The network as an ONNX file."""
    return export(net, example, {"emoprune": metadata} if metadata else {}, opset=opset)
