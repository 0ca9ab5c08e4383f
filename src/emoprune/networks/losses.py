"""Losses and accuracy of a network, by its task."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from emoprune.choices import Task
from emoprune.networks.registry import architecture

Loss = Callable[[nn.Module, Tensor, Tensor, Tensor], Tensor]
"""Mean loss from a network, its inputs, its outputs, and the labels."""


def _distance(net: nn.Module, inputs: Tensor, outputs: Tensor) -> Tensor:
    """Squared, from the inputs as the network scales them, so that no column dominates."""
    distance: Tensor = (outputs - net.get_submodule("scaling")(inputs)).square()
    return distance


LOSSES: dict[Task, Loss] = {
    "classify": lambda net, inputs, outputs, labels: nn.functional.cross_entropy(outputs, labels),
    "reconstruct": lambda net, inputs, outputs, labels: _distance(net, inputs, outputs).mean(),
}


def task_of(arch: str) -> Task:
    """The task of networks of this architecture."""
    return architecture(arch).task


def hits(outputs: Tensor, labels: Tensor, task: Task) -> int | None:
    """How many samples are classified correctly; None if the task is not to classify."""
    return int((outputs.argmax(1) == labels).sum()) if task == "classify" else None


def judge(net: nn.Module, inputs: Iterator[Tensor], labels: Tensor, task: Task) -> tuple[float, float | None]:
    """Mean loss and accuracy over all `inputs`, in evaluation mode without gradients."""
    net.eval()
    device = next(net.parameters()).device
    loss, right, seen = 0.0, 0, 0
    with torch.inference_mode():
        for batch in inputs:
            own = labels[seen : seen + len(batch)].to(device)
            outputs = net(batch)
            loss += float(LOSSES[task](net, batch, outputs, own).double()) * len(batch)
            right += hits(outputs, own, task) or 0
            seen += len(batch)
    return loss / seen, right / seen if task == "classify" else None


def squared_errors(net: nn.Module, inputs: Iterator[Tensor]) -> Tensor:
    """The squared error of each output of a network that reconstructs, (n, outputs), on the CPU."""
    net.eval()
    with torch.inference_mode():
        return torch.cat([_distance(net, batch, net(batch)).cpu() for batch in inputs])


def predict(net: nn.Module, inputs: Iterator[Tensor]) -> Iterator[Tensor]:
    """Logits of every batch, on the CPU; the network runs in evaluation mode without gradients."""
    net.eval()
    for batch in inputs:
        # not around the yield: the mode would leak into the caller
        with torch.inference_mode():
            logits = net(batch).cpu()
        yield logits
