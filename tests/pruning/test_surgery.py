"""Every architecture: what surgery makes computes what the whole network does with its units silenced."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from emoprune.choices import Merge
from emoprune.errors import BadCheckpoint, InvalidRecord
from emoprune.networks import build
from emoprune.networks.graph import channel_graph
from emoprune.networks.graph.types import FROZEN, ChannelGraph
from emoprune.networks.heads import output_name
from emoprune.networks.registry import ARCHITECTURES, OF_TIMM, architecture
from emoprune.networks.sources.user_networks import trusting
from emoprune.networks.statistics.activation_statistics import collect
from emoprune.networks.types import Checkpoint, Moments, Spec
from emoprune.pruning import surgery
from emoprune.pruning.context import PruningContext, pruning_context
from emoprune.pruning.merging import MERGES
from emoprune.pruning.selection.schedules import WITHIN_ANGLE
from emoprune.pruning.types import Plan, PruneConfig, Removal
from tests.support.layers import checkpoint_of, context_of, statistics_of, without
from tests.support.silencing import apart, randomize, silent

CONV = Spec("conv2", 3, (1, 24, 24), (12, 9))


def mlp(*hidden: int, features: int = 6, seed: int = 0) -> tuple[Checkpoint, Tensor]:
    inputs = torch.randn(80, features, generator=torch.Generator().manual_seed(seed)) * 3
    return checkpoint_of(Spec("mlp", 3, (features,), hidden), inputs, seed=seed), inputs


def images(count: int = 6) -> Tensor:
    return torch.randn(count, *CONV.input, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def conv() -> Checkpoint:
    return checkpoint_of(CONV, images())


def restored(checkpoint: Checkpoint) -> nn.Module:
    return build.restore(checkpoint.spec, checkpoint.tensors)


def applied(plan: Plan, checkpoint: Checkpoint, merge: Merge) -> Checkpoint:
    return changed_by(plan, checkpoint, MERGES[merge](context_of(checkpoint), plan))


def changed_by(plan: Plan, checkpoint: Checkpoint, merged: Mapping[str, Tensor]) -> Checkpoint:
    context = context_of(checkpoint)
    return surgery.pruned_checkpoint(checkpoint, context, plan, surgery.apply(plan, context, merged))


def silenced(checkpoint: Checkpoint, context: PruningContext, plan: Plan, inputs: Tensor) -> Tensor:
    """What the original network computes when its layers read zeros where a unit is gone."""
    net = restored(checkpoint)
    with torch.no_grad(), silent(net, context.graph, context.alive(plan)):
        found: Tensor = net(inputs)
    return found


def computed(checkpoint: Checkpoint, inputs: Tensor) -> Tensor:
    with torch.no_grad():
        found: Tensor = restored(checkpoint)(inputs)
    return found


@settings(max_examples=25)
@given(data=st.data())
def test_apply_computes_what_silenced_units_leave(data: st.DataObject) -> None:
    checkpoint, inputs = mlp(10, 8)
    removed = data.draw(st.sets(st.integers(0, 8), max_size=8)) | data.draw(
        st.sets(st.integers(10, 16), max_size=7)
    )
    plan = without(context_of(checkpoint), removed)
    after = applied(plan, checkpoint, "sum")
    first = sum(unit < 10 for unit in removed)
    assert [after.statistics[layer.name].units for layer in after.layers] == [
        10 - first,
        8 - len(removed) + first,
    ]
    expected = silenced(checkpoint, context_of(checkpoint), plan, inputs)
    assert torch.allclose(computed(after, inputs), expected, rtol=1e-5, atol=1e-6)


@settings(max_examples=10)
@given(seed=st.integers(0, 1000))
def test_apply_computes_what_silenced_maps_leave(conv: Checkpoint, seed: int) -> None:
    context = context_of(conv)
    generator = torch.Generator().manual_seed(seed)
    gone = torch.nonzero(torch.rand(context.graph.units, generator=generator) < 0.4).flatten().tolist()
    plan = without(context, set(gone) - {start for start, _ in context.graph.spans.values()})
    after = applied(plan, conv, "sum")
    expected = silenced(conv, context, plan, images())
    assert torch.allclose(computed(after, images()), expected, rtol=1e-4, atol=1e-5)


@settings(max_examples=15)
@given(seed=st.integers(0, 1000), angle=st.floats(1, 80), merge=st.sampled_from(sorted(MERGES)))
def test_a_pruned_checkpoint_rebuilds_at_its_new_widths(seed: int, angle: float, merge: Merge) -> None:
    checkpoint, inputs = mlp(24, 16, seed=seed)
    plan = WITHIN_ANGLE["distinct"](context_of(checkpoint), PruneConfig(merge=merge), angle)
    after = applied(plan, checkpoint, merge)
    net = restored(after)
    assert torch.isfinite(net(inputs)).all()
    sizes = [sum(tensor.numel() for tensor in version.tensors.values()) for version in (checkpoint, after)]
    assert sizes[1] <= sizes[0]
    assert (sizes[1] == sizes[0]) == (not any(removal.removed for removal in plan.removals))
    for removal, layer in zip(plan.removals, after.layers, strict=True):
        assert net.get_parameter(f"{layer.name}.weight").shape[0] == len(removal.kept)


def with_twins(checkpoint: Checkpoint, inputs: Tensor, layer: str) -> Checkpoint:
    """Units 1 and 4 of a layer are the same."""
    tensors = {name: value.clone() for name, value in checkpoint.tensors.items()}
    for name in ("weight", "bias"):
        tensors[f"{layer}.{name}"][4] = tensors[f"{layer}.{name}"][1]
    context = context_of(checkpoint)
    seen = collect(build.restore(checkpoint.spec, tensors), context.graph, context.layers, [inputs])
    return dataclasses.replace(checkpoint, tensors=tensors, statistics=seen.statistics, moments=seen.moments)


@pytest.mark.parametrize("merge", sorted(MERGES))
def test_apply_merges_twins_without_a_trace_under_either_merge(merge: Merge, conv: Checkpoint) -> None:
    small, inputs = mlp(6)
    for checkpoint, batch, layer in (
        (small, inputs, "classifier.hidden1"),
        (conv, images(), "features.0"),
        (conv, images(), "features.3"),
    ):
        twins = with_twins(checkpoint, batch, layer)
        context = dataclasses.replace(
            context_of(twins), layers=tuple(each for each in twins.layers if each.name == layer)
        )
        plan = WITHIN_ANGLE["distinct"](context, PruneConfig(merge=merge), 0.01)
        (removal,) = plan.removals
        assert 4 in removal.removed
        alone = Plan((Removal(layer, removal.units, similar=(4,), merges={4: 1}),))
        after = applied(alone, twins, merge)
        assert apart(computed(twins, batch), computed(after, batch)) < 1e-4


@pytest.mark.parametrize("merge", sorted(MERGES))
def test_apply_prunes_a_pruned_network_again(merge: Merge, conv: Checkpoint) -> None:
    before = conv
    for _ in range(3):
        context = context_of(before)
        gone = [start for start, stop in context.graph.spans.values() if stop - start > 1]
        before = applied(without(context, gone), before, merge)
    assert [before.statistics[layer.name].units for layer in before.layers] == [13, 29, 9, 6]
    assert computed(before, images()).shape == (6, 3)


def test_pruned_checkpoint_keeps_the_survivors_statistics_and_moments(conv: Checkpoint) -> None:
    context = context_of(conv)
    plan = without(context, [0, 3, 20, 21, 50])
    after = applied(plan, conv, "lstsq")
    for removal in plan.removals:
        kept = list(removal.kept)
        old, new = conv.statistics[removal.layer], after.statistics[removal.layer]
        assert new.count == old.count
        assert torch.equal(new.covariance, old.covariance[kept][:, kept])
        assert torch.equal(new.low, old.low[kept])
    assert set(after.moments) == set(conv.moments)
    for layer_input in context.graph.layer_inputs:
        if layer_input.name in conv.moments:
            alive = [
                int(c) for c, unit in enumerate(layer_input.owner.tolist()) if unit not in (0, 3, 20, 21, 50)
            ]
            old_moments, new_moments = conv.moments[layer_input.name], after.moments[layer_input.name]
            assert torch.equal(new_moments.mean, old_moments.mean[alive])
            assert torch.equal(new_moments.covariance, old_moments.covariance[alive][:, alive])
    # so that the next step finds a context that fits
    assert context_of(after).graph.units == context.graph.units - 5


def test_apply_leaves_the_original_as_it_was(conv: Checkpoint) -> None:
    copies = copy.deepcopy(dict(conv.tensors))
    moments = copy.deepcopy(dict(conv.moments))
    for merge in MERGES:
        applied(without(context_of(conv), [0, 1, 2, 30]), conv, merge)
    assert all(torch.equal(copies[name], value) for name, value in conv.tensors.items())
    assert all(
        torch.equal(moments[name].covariance, value.covariance) for name, value in conv.moments.items()
    )
    assert conv.statistics["features.0"].units == 16
    assert conv.spec.widths == {}


def test_apply_cuts_masks_with_the_weights_and_zeroes_them(conv: Checkpoint) -> None:
    generator = torch.Generator().manual_seed(0)
    masks = {
        name: torch.rand(conv.tensors[name].shape, generator=generator) < 0.5
        for name in ("features.3.weight", "classifier.hidden1.weight")
    }
    once = changed_by(Plan((), masks), conv, {})
    assert set(once.masks) == set(masks)
    for name, mask in masks.items():
        assert torch.equal(once.tensors[name] != 0, mask & (conv.tensors[name] != 0))
    twice = applied(without(context_of(once), [2, 5, 16 + 7]), once, "sum")
    assert twice.masks["features.3.weight"].shape == (31, 14, 5, 5)
    for name, mask in twice.masks.items():
        assert twice.tensors[name].shape == mask.shape
        assert not bool(twice.tensors[name][~mask].any())


def test_cut_narrows_the_4096_unit_layers_of_alexnet() -> None:
    spec = Spec("alexnet", 3, (3, 63, 63))
    inputs = torch.randn(2, 3, 63, 63, generator=torch.Generator().manual_seed(0))
    net = build.blueprint(spec).to_empty(device="cpu").eval()
    randomize(net)
    graph = channel_graph(net, spec.input)
    layers = tuple(layer for layer in graph.layers if layer.name.startswith("classifier"))
    assert [layer.name for layer in layers] == ["classifier.1", "classifier.4"]
    context = PruningContext(graph, net.state_dict(), {}, {}, layers)
    first, second = graph.spans["classifier.1"][0], graph.spans["classifier.4"][0]
    gone = [*range(first, first + 4000), *range(second + 96, second + 4096)]
    alive = context.alive(without(context, gone))
    tensors = surgery.cut(net.state_dict(), graph, alive)
    after = dataclasses.replace(spec, widths=surgery.widths(graph, tensors, alive))
    assert after.widths == {"classifier.1": (9216, 96), "classifier.4": (96, 96), "classifier.6": (96, 3)}
    with torch.no_grad():
        small = build.restore(after, tensors)(inputs)
        with silent(net, graph, alive):
            assert apart(net(inputs), small) < 1e-5


@pytest.mark.parametrize("removed", [tuple(range(10)), (0, 0), (10,), (-1,)])
def test_an_illegal_removal_cannot_be_made(removed: tuple[int, ...]) -> None:
    with pytest.raises(InvalidRecord):
        Removal(layer="hidden", units=10, insignificant=removed)


def test_statistics_of_another_width_are_refused_by_the_layers_name(conv: Checkpoint) -> None:
    other = torch.rand(20, 31, dtype=torch.float64).numpy()
    statistics = {**conv.statistics, "features.3": statistics_of(other)}
    with pytest.raises(InvalidRecord, match=r"31 units of features\.3, the network has 32"):
        context_of(dataclasses.replace(conv, statistics=statistics))


def test_statistics_of_a_layer_that_the_network_lacks_are_refused_by_its_name(conv: Checkpoint) -> None:
    checkpoint, _ = mlp(12, 9)
    graph = context_of(checkpoint).graph
    with pytest.raises(InvalidRecord, match=r"units of features\.[03], the network has none"):
        pruning_context(conv, graph, graph.layers)


@pytest.mark.parametrize("name", ["features.3", "classifier.hidden1"])
def test_moments_missing_or_of_another_width_are_refused_by_their_consumers_name(
    conv: Checkpoint, name: str
) -> None:
    narrow = Moments(5, torch.zeros(3, dtype=torch.float64), torch.eye(3, dtype=torch.float64))
    for moments in ({k: v for k, v in conv.moments.items() if k != name}, {**conv.moments, name: narrow}):
        with pytest.raises(InvalidRecord, match=name):
            context_of(dataclasses.replace(conv, moments=moments))


def test_moments_of_layers_that_are_not_chosen_are_not_asked_for(conv: Checkpoint) -> None:
    graph = channel_graph(build.blueprint(CONV), CONV.input)
    (layer,) = (layer for layer in conv.layers if layer.name == "classifier.hidden1")
    context = pruning_context(dataclasses.replace(conv, moments={}), graph, (layer,))
    assert [layer_input.name for layer_input in context.layer_inputs] == ["classifier.hidden2"]
    assert torch.equal(
        context.moments_at(context.layer_inputs[0]).mean, conv.statistics["classifier.hidden1"].mean
    )


CLASSES = 7
SIDE = 32
LEFT = 0.6


@dataclass(frozen=True)
class Trial:
    """Outputs of the whole network, of the one with silenced units, and of the small one."""

    whole: Tensor
    silenced: Tensor
    small: Tensor
    graph: ChannelGraph
    alive: Tensor
    output: str
    before: dict[str, tuple[int, ...]]
    after: dict[str, tuple[int, ...]]


def spec_of(arch: str) -> Spec:
    entry = architecture(arch)
    if entry.takes == ("table",):
        return Spec(arch, CLASSES, (10,), entry.hidden)
    side = math.ceil(max(entry.smallest, SIDE) / entry.step) * entry.step
    return trusting(Spec(arch, CLASSES, (3, side, side), entry.hidden), arch)


OTHERS = ("timm/resnet10t", "tests.support.own_networks:small")


@contextmanager
def uninitialized() -> Iterator[None]:
    """Networks are filled anyway; torch's own random numbers would take most of the time."""

    def leave(tensor: Tensor, *_: object, **__: object) -> Tensor:
        return tensor

    with ExitStack() as stack:
        for name in dir(nn.init):
            if name.endswith("_") and not name.startswith("_"):
                stack.enter_context(mock.patch.object(nn.init, name, leave))
        yield


def settle(net: nn.Module, batch: Tensor) -> None:
    """Batch norms that nearly fit what they see: without them signals fade on their way through a network."""
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1
        norm.train()
    with torch.no_grad():
        net(batch)
    net.eval()
    for norm in norms:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.add_(torch.randn(norm.num_features), alpha=0.1)
        # two samples give a variance of near nothing here and there, which would blow signals up
        norm.running_var.copy_(norm.running_var.mean() * (torch.rand(norm.num_features) + 0.5))


def some_alive(graph: ChannelGraph) -> Tensor:
    alive = torch.rand(graph.units) < LEFT
    for start, stop in graph.spans.values():
        alive[torch.randint(start, stop, ())] = True
    return alive


@pytest.fixture(scope="module", params=[*sorted(set(ARCHITECTURES) - {"svm"}), *OTHERS])  # svm has no units
def trial(request: pytest.FixtureRequest) -> Trial:
    if request.param.startswith(OF_TIMM):
        pytest.importorskip("timm")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    spec = spec_of(request.param)
    batch = torch.randn(2, *spec.input)
    with uninitialized():
        net = build.build(spec).eval()
        randomize(net)
        settle(net, batch)
        tensors = net.state_dict()
        graph = channel_graph(build.blueprint(spec), spec.input)
        alive = some_alive(graph)
        left = surgery.cut(tensors, graph, alive)
        widths = surgery.widths(graph, left, alive)
        small = build.restore(dataclasses.replace(spec, widths=widths), left)
    with torch.inference_mode():
        whole = net(batch)
        with silent(net, graph, alive):
            silenced = net(batch)
        return Trial(
            whole=whole,
            silenced=silenced,
            small=small(batch),
            graph=graph,
            alive=alive,
            output=output_name(net),
            before={name: tuple(tensor.shape) for name, tensor in tensors.items()},
            after={name: tuple(tensor.shape) for name, tensor in left.items()},
        )


def test_the_small_network_computes_what_the_whole_one_does_with_its_removed_units_silenced(
    trial: Trial,
) -> None:
    assert bool(trial.silenced.isfinite().all())
    assert apart(trial.silenced, trial.small) < 1e-5


def test_the_removed_units_mattered(trial: Trial) -> None:
    assert apart(trial.whole, trial.silenced) > 0.1


def test_cut_lowers_the_parameters(trial: Trial) -> None:
    assert trial.graph.units > 0
    assert not bool(trial.alive.all())
    before, after = (
        sum(math.prod(shape) for shape in shapes.values()) for shapes in (trial.before, trial.after)
    )
    assert after < before


def test_no_tensor_is_emptied_while_every_layer_keeps_a_unit(trial: Trial) -> None:
    spans = [set(range(*span)) for span in trial.graph.spans.values()]
    for place in trial.graph.cuts:
        found = set(place.owner.tolist())
        assert FROZEN in found or any(span <= found for span in spans), place.tensor


def test_a_layers_source_sees_all_of_its_units(trial: Trial) -> None:
    seen = {layer_input.name: set(layer_input.owner.tolist()) for layer_input in trial.graph.layer_inputs}
    for layer, span in trial.graph.spans.items():
        assert set(range(*span)) <= seen[trial.graph.sources[layer]], layer


def test_what_the_network_returns_stays_whole(trial: Trial) -> None:
    assert trial.small.shape == trial.whole.shape == (2, CLASSES)
    assert trial.after[f"{trial.output}.weight"][0] == CLASSES
    places = {(place.tensor, place.dim) for place in trial.graph.cuts}
    assert places.isdisjoint({(f"{trial.output}.{name}", 0) for name in ("weight", "bias")})


def test_check_rewind_refuses_outputs_of_other_classes(conv: Checkpoint) -> None:
    surgery.check_rewind(conv, conv)
    turned = dataclasses.replace(conv, classes=conv.classes[::-1])
    with pytest.raises(BadCheckpoint, match="its outputs are"):
        surgery.check_rewind(turned, conv)
