from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from emoprune.core import nets, surgery
from emoprune.core.compensation import MERGES
from emoprune.core.graph import dense_hidden_layers
from emoprune.core.methods import METHODS
from emoprune.core.selection import Selection
from emoprune.core.statistics import collect
from emoprune.errors import InvalidRecord
from emoprune.records import Checkpoint, Plan, Preprocess, Removal, Spec, SplitRule
from emoprune.records.choices import Merge


def checkpoint_of(spec: Spec, inputs: Tensor, *, seed: int = 0) -> Checkpoint:
    """An untrained network with the statistics of `inputs`."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = nets.build(spec)
    layers = dense_hidden_layers(net)
    return Checkpoint(
        spec=spec,
        classes=tuple("abc"[: spec.classes]),
        preprocess=Preprocess("table")
        if len(spec.input) == 1
        else Preprocess("image", spec.input[1:], mean=(0.5,) * 3, std=(0.5,) * 3),
        split=SplitRule("80/20", 0, None, "0" * 64),
        tensors=net.state_dict(),
        layers=layers,
        statistics=collect(net, layers, [inputs]),
    )


def mlp(*hidden: int, features: int = 6, seed: int = 0) -> tuple[Checkpoint, Tensor]:
    inputs = torch.randn(80, features, generator=torch.Generator().manual_seed(seed)) * 3
    return checkpoint_of(Spec("mlp", 3, (features,), hidden), inputs, seed=seed), inputs


def silenced(checkpoint: Checkpoint, plan: Plan) -> nn.Module:
    """The original network with the outgoing weights of the removed units set to zero."""
    tensors = {name: value.clone() for name, value in checkpoint.tensors.items()}
    for removal, layer in zip(plan.removals, checkpoint.layers, strict=True):
        for consumer in layer.consumers:
            tensors[f"{consumer}.weight"][:, list(removal.removed)] = 0
    return nets.restore(checkpoint.spec, tensors)


def applied(plan: Plan, checkpoint: Checkpoint, merge: Merge) -> Checkpoint:
    layers = {layer.name: layer for layer in checkpoint.layers}
    merged = {
        removal.layer: MERGES[merge](surgery.view(checkpoint, layers[removal.layer]), removal)
        for removal in plan.removals
    }
    return surgery.apply(plan, checkpoint, merged)


def plan_for(checkpoint: Checkpoint, *removed: tuple[int, ...]) -> Plan:
    return Plan(
        tuple(
            Removal(layer=layer.name, units=checkpoint.statistics[layer.name].units, insignificant=units)
            for layer, units in zip(checkpoint.layers, removed, strict=True)
        ),
    )


@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_dropping_is_silencing_but_smaller(data: st.DataObject) -> None:
    checkpoint, inputs = mlp(10, 8)
    removed = [tuple(data.draw(st.sets(st.integers(0, units - 1), max_size=units - 1))) for units in (10, 8)]
    plan = plan_for(checkpoint, *removed)
    after = applied(plan, checkpoint, "sum")
    small = nets.restore(after.spec, after.tensors)
    assert [after.statistics[layer.name].units for layer in after.layers] == [
        units - len(gone) for units, gone in zip((10, 8), removed, strict=True)
    ]
    with torch.no_grad():
        assert torch.allclose(small(inputs), silenced(checkpoint, plan)(inputs), rtol=1e-5, atol=1e-6)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), angle=st.floats(1, 80), merge=st.sampled_from(sorted(MERGES)))
def test_a_pruned_network_rebuilds_at_its_new_widths(seed: int, angle: float, merge: Merge) -> None:
    checkpoint, inputs = mlp(24, 16, seed=seed)
    selection = Selection(angle_deg=angle, merge=merge)
    plan = Plan(
        tuple(METHODS["distinct"](surgery.view(checkpoint, layer), selection) for layer in checkpoint.layers),
    )
    after = applied(plan, checkpoint, merge)
    net = nets.restore(after.spec, after.tensors)
    assert torch.isfinite(net(inputs)).all()
    sizes = [sum(tensor.numel() for tensor in version.tensors.values()) for version in (checkpoint, after)]
    assert sizes[1] <= sizes[0]
    assert (sizes[1] == sizes[0]) == (not any(removal.removed for removal in plan.removals))
    for removal, layer in zip(plan.removals, after.layers, strict=True):
        weight = net.get_submodule(layer.name).weight
        assert isinstance(weight, Tensor)
        assert weight.shape[0] == len(removal.kept)


def test_twins_merge_without_a_trace_in_either_way() -> None:
    checkpoint, inputs = mlp(6)
    tensors = {name: value.clone() for name, value in checkpoint.tensors.items()}
    for name in ("classifier.hidden1.weight", "classifier.hidden1.bias"):
        tensors[name][4] = tensors[name][1]
    net = nets.restore(checkpoint.spec, tensors)
    twins = dataclasses.replace(
        checkpoint, tensors=tensors, statistics=collect(net, checkpoint.layers, [inputs])
    )
    for merge in MERGES:
        selection = Selection(angle_deg=0.5, merge=merge)
        removal = METHODS["distinct"](surgery.view(twins, twins.layers[0]), selection)
        assert removal.removed == (4,)
        after = applied(Plan((removal,)), twins, merge)
        with torch.no_grad():
            assert torch.allclose(nets.restore(after.spec, after.tensors)(inputs), net(inputs), atol=1e-4)


def test_pruning_goes_on_in_steps() -> None:
    checkpoint, _ = mlp(10)
    once = applied(plan_for(checkpoint, (1, 4)), checkpoint, "lstsq")
    twice = applied(plan_for(once, (0, 7)), once, "lstsq")
    assert twice.statistics["classifier.hidden1"].units == 6
    assert nets.restore(twice.spec, twice.tensors)(torch.zeros(2, 6)).shape == (2, 3)


def test_the_original_is_left_as_it_was() -> None:
    checkpoint, _ = mlp(10)
    copies = {name: value.clone() for name, value in checkpoint.tensors.items()}
    applied(plan_for(checkpoint, (0, 1, 2)), checkpoint, "lstsq")
    assert all(torch.equal(copies[name], value) for name, value in checkpoint.tensors.items())
    assert checkpoint.statistics["classifier.hidden1"].units == 10


def test_the_4096_unit_layers_of_alexnet_are_pruned_too() -> None:
    spec = Spec("alexnet", 3, (3, 63, 63))
    inputs = torch.randn(4, 3, 63, 63, generator=torch.Generator().manual_seed(0))
    checkpoint = checkpoint_of(spec, inputs)
    assert [layer.name for layer in checkpoint.layers] == ["classifier.1", "classifier.4"]
    plan = plan_for(checkpoint, tuple(range(4000)), tuple(range(96, 4096)))
    after = applied(plan, checkpoint, "sum")
    assert after.spec.widths == {
        "classifier.1": (9216, 96),
        "classifier.4": (96, 96),
        "classifier.6": (96, 3),
    }
    with torch.no_grad():
        small = nets.restore(after.spec, after.tensors)(inputs)
        assert torch.allclose(small, silenced(checkpoint, plan)(inputs), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("removed", [tuple(range(10)), (0, 0), (10,), (-1,)])
def test_an_illegal_removal_cannot_be_made(removed: tuple[int, ...]) -> None:
    with pytest.raises(InvalidRecord):
        Removal(layer="hidden", units=10, insignificant=removed)
