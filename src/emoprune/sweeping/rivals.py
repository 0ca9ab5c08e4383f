"""What Torch-Pruning makes of the same network: L2 norms over coupled groups, uniform or in one ranking."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version

import torch
from torch import nn

from emoprune.choices import Ranking
from emoprune.errors import BadCheckpoint, Unavailable, UsageFault
from emoprune.networks import build
from emoprune.networks.checkpoint import history_entry
from emoprune.networks.costs import profiling
from emoprune.networks.heads import output_name
from emoprune.networks.narrowing import NARROWABLE
from emoprune.networks.types import Checkpoint

BISECTIONS = 14
LARGEST_DIFFERENCE = 1e-4
"""Of a logit between their network and our checkpoint of it."""


def check_installed() -> None:
    """Raise Unavailable without Torch-Pruning."""
    if importlib.util.find_spec("torch_pruning") is None:
        raise Unavailable("Torch-Pruning is not installed", "pip install 'emoprune[rivals]'")


def pruned_net(
    make: Callable[[], nn.Module], input_shape: tuple[int, ...], budget: float, *, ranking: Ranking
) -> nn.Module:
    """Torch-Pruning's network with the smallest ratio within a budget, else with the largest ratio.

    `make` gives a new copy of the whole network; `budget` is a fraction of its multiply-accumulates.
    """
    import torch_pruning

    wanted = profiling.cost(make(), input_shape).macs * budget

    def pruned(ratio: float) -> nn.Module:
        # frozen weights it would not prune
        net = make().requires_grad_(True)
        pruner = torch_pruning.pruner.BasePruner(
            net,
            torch.zeros(1, *input_shape),
            importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
            global_pruning=ranking == "global",
            pruning_ratio=ratio,
            ignored_layers=[net.get_submodule(output_name(net))],
        )
        pruner.step()
        return net

    low, high, best = 0.0, 1.0, None
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        net = pruned(middle)
        if profiling.cost(net, input_shape).macs <= wanted:
            high, best = middle, net
        else:
            low = middle
    return pruned(high) if best is None else best


def pruned_checkpoint(original: Checkpoint, budget: float, *, ranking: Ranking) -> Checkpoint:
    """Their network as a checkpoint, without statistics.

    Raises UsageFault for a budget that they do not meet, and for a network that they cannot prune or that a
    checkpoint cannot hold.
    """
    spec, whole = original.spec, build.restore(original.spec, original.tensors)

    def make() -> nn.Module:
        copied = {name: tensor.clone() for name, tensor in original.tensors.items()}
        return build.restore(spec, copied)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            net = pruned_net(make, spec.input, budget, ranking=ranking).eval().requires_grad_(False)
    except Exception as error:  # what it does not know ends in any error
        fact = f"Torch-Pruning ends with {type(error).__name__}"
        raise UsageFault(fact, "leave out `rivals`") from error
    before, after = (profiling.cost(each, spec.input).macs for each in (whole, net))
    if after > before * budget:
        raise UsageFault(f"`macs={budget:g}` cannot be met by Torch-Pruning", "give more")
    made = {"method": f"Torch-Pruning, {ranking}", "macs": budget, "version": version("torch-pruning")}
    found = replace(
        original,
        tensors=net.state_dict(),
        spec=replace(spec, widths={**spec.widths, **_widths(whole, net)}),
        masks={},
        layers=(),
        statistics={},
        moments={},
        sensitivities={},
        history=(*original.history, history_entry("prune", made, {})),
    )
    check_same(net, found)
    return found


def _widths(whole: nn.Module, net: nn.Module) -> dict[str, tuple[int, int]]:
    """Inputs and outputs of the layers that are narrower than before."""
    pairs = zip(whole.named_modules(), net.modules(), strict=True)
    found = {name: (_sides(old), _sides(new)) for (name, old), new in pairs if isinstance(old, NARROWABLE)}
    return {name: new for name, (old, new) in found.items() if new != old}


def _sides(layer: nn.Module) -> tuple[int, int]:
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    if isinstance(layer, nn.Conv2d):
        return layer.in_channels, layer.out_channels
    assert isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d | nn.GroupNorm)
    number = layer.num_channels if isinstance(layer, nn.GroupNorm) else layer.num_features
    return number, number


def check_same(net: nn.Module, found: Checkpoint) -> None:
    """Raise UsageFault where the checkpoint does not compute what their network does."""
    noise = torch.randn(2, *found.spec.input, generator=torch.Generator().manual_seed(0))
    try:
        ours, theirs = build.restore(found.spec, found.tensors)(noise), net(noise)
        same = torch.allclose(ours, theirs, rtol=LARGEST_DIFFERENCE, atol=LARGEST_DIFFERENCE)
    except (BadCheckpoint, RuntimeError):
        # torch's error for shapes that do not go together
        same = False
    if not same:
        raise UsageFault("a checkpoint cannot hold Torch-Pruning's network", "leave out `rivals`")
