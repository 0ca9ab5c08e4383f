"""Every architecture: what surgery makes computes what the whole network does with its units silenced."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from unittest import mock

import pytest
import torch
from torch import Tensor, nn

from emoprune.networks import build
from emoprune.networks.graph import channel_graph
from emoprune.networks.graph.types import FROZEN, ChannelGraph
from emoprune.networks.heads import output_name
from emoprune.networks.registry import ARCHITECTURES
from emoprune.networks.types import Spec
from emoprune.pruning import surgery
from tests.support.silencing import apart, randomise, silent

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
    entry = ARCHITECTURES[arch]
    if entry.takes == ("table",):
        return Spec(arch, CLASSES, (10,), entry.hidden)
    side = math.ceil(max(entry.smallest, SIDE) / entry.step) * entry.step
    return Spec(arch, CLASSES, (3, side, side), entry.hidden)


@contextmanager
def uninitialised() -> Iterator[None]:
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


@pytest.fixture(scope="module", params=sorted(set(ARCHITECTURES) - {"svm"}))  # which has no units
def trial(request: pytest.FixtureRequest) -> Trial:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    spec = spec_of(request.param)
    batch = torch.randn(2, *spec.input)
    with uninitialised():
        net = build.build(spec).eval()
        randomise(net)
        settle(net, batch)
        tensors = net.state_dict()
        graph = channel_graph(build.blueprint(spec), spec.input)
        alive = some_alive(graph)
        left = surgery.cut(tensors, graph, alive)
        widths = surgery._widths(graph, left, alive)
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


def test_what_was_removed_did_matter(trial: Trial) -> None:
    assert apart(trial.whole, trial.silenced) > 0.1


def test_units_went_from_every_layer_with_more_than_one_and_parameters_with_them(trial: Trial) -> None:
    assert trial.graph.units > 0
    assert not bool(trial.alive.all())
    before, after = (
        sum(math.prod(shape) for shape in shapes.values()) for shapes in (trial.before, trial.after)
    )
    assert after < before


def test_no_tensor_is_emptied_as_long_as_every_layer_keeps_a_unit(trial: Trial) -> None:
    spans = [set(range(*span)) for span in trial.graph.spans.values()]
    for place in trial.graph.cuts:
        found = set(place.owner.tolist())
        assert FROZEN in found or any(span <= found for span in spans), place.tensor


def test_a_layers_source_sees_all_of_its_units(trial: Trial) -> None:
    seen = {reading.name: set(reading.owner.tolist()) for reading in trial.graph.readings}
    for layer, span in trial.graph.spans.items():
        assert set(range(*span)) <= seen[trial.graph.sources[layer]], layer


def test_what_the_network_returns_stays_whole(trial: Trial) -> None:
    assert trial.small.shape == trial.whole.shape == (2, CLASSES)
    assert trial.after[f"{trial.output}.weight"][0] == CLASSES
    places = {(place.tensor, place.dim) for place in trial.graph.cuts}
    assert places.isdisjoint({(f"{trial.output}.{name}", 0) for name in ("weight", "bias")})
