"""How much a network's answer depends on what each of its layers computes, without labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from emoprune.choices import Task
from emoprune.networks.graph.types import LayerInput

SAMPLES = 250
"""As many give the matrices of any layer well enough."""

AT_ONCE = 8
"""Samples whose activations are kept for the way back."""


def consumers_of(layer_inputs: Iterable[LayerInput]) -> list[str]:
    """The layers that read these inputs."""
    return [consumer.layer for each in layer_inputs for consumer in each.consumers]


def sensitivities(
    net: nn.Module,
    layers: Collection[str],
    batches: Iterable[Tensor],
    *,
    task: Task,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """The Fisher information (outputs, outputs) of what each layer computes, float64, by the layer's name.

    It is the mean over samples of the sum over positions of g g', where g is the gradient of -log p(y|x) by
    the layer's output, and y is drawn from the network's own answer: a class or, if it reconstructs, values
    with unit variance around its outputs. One backward pass; parameters keep their gradients as they are.
    """
    found: defaultdict[str, Tensor] = defaultdict(lambda: torch.zeros(()).double())
    count = 0
    with _watching(net, layers, found), torch.inference_mode(False), torch.enable_grad():
        for batch in (part for whole in batches for part in whole.split(AT_ONCE)):
            # an inference tensor cannot be differentiated
            answer = net(batch.clone())
            # what does not depend on the layers by a gradient tells nothing of them
            if answer.requires_grad:
                answer.backward(_surprise(answer.detach(), task, generator))
            count += len(batch)
    return {name: found[name] / count for name in layers if name in found}


def _surprise(answer: Tensor, task: Task, generator: torch.Generator) -> Tensor:
    """The gradient of -log p(y|x) by the network's outputs, for y drawn from what it answers."""
    if task == "classify":
        chances = answer.softmax(1)
        drawn = torch.multinomial(chances.cpu(), 1, generator=generator).to(answer.device)
        return chances.scatter_add(1, drawn, -torch.ones_like(chances[:, :1]))
    return torch.randn(answer.shape, generator=generator).to(answer)


@contextmanager
def _watching(net: nn.Module, layers: Collection[str], found: dict[str, Tensor]) -> Iterator[None]:
    """Within, add to `found` for every gradient of a layer's output; weights have none."""
    modules = dict(net.eval().named_modules())
    learning = [parameter for parameter in net.parameters() if parameter.requires_grad]

    def add(name: str, gradient: Tensor) -> None:
        # (outputs, samples and positions)
        maps = isinstance(modules[name], nn.Conv2d)
        flat = gradient.transpose(0, 1).flatten(1) if maps else gradient.flatten(0, -2).T
        found[name] = found[name] + (flat @ flat.T).double().cpu()

    def watch(name: str, module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            if not output.requires_grad:
                # the first on the way: what comes after it may overwrite a copy
                output = output.requires_grad_().clone()
            output.register_hook(partial(add, name))
        return output

    hooks = [modules[name].register_forward_hook(partial(watch, name)) for name in layers]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)
        for hook in hooks:
            hook.remove()
