"""Estimates of memory against what is really taken."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from emoprune.errors import TooLarge, Unavailable, UsageFault
from emoprune.io import safetensors_files
from emoprune.networks import build, memory
from emoprune.networks.graph import channel_graph
from emoprune.networks.graph.types import ChannelGraph
from emoprune.networks.statistics.activation_statistics import collect
from emoprune.networks.statistics.sensitivity import consumers_of, sensitivities
from emoprune.networks.types import Spec

SPEC = Spec(arch="conv2", classes=3, input=(1, 24, 24), hidden=(16,))


@pytest.fixture(scope="module")
def graph() -> ChannelGraph:
    return channel_graph(build.blueprint(SPEC), SPEC.input)


@pytest.mark.parametrize("spec", [SPEC, Spec(arch="mobilenet_v2", classes=3, input=(3, 32, 32))])
def test_statistics_bytes_are_those_of_the_matrices_and_at_most_of_their_file(spec: Spec) -> None:
    net = build.build(spec)
    graph = channel_graph(build.blueprint(spec), spec.input)
    seen = collect(net, graph, graph.layers, [torch.randn(2, *spec.input)])
    *readers, last = consumers_of(seen.layer_inputs)
    generator = torch.Generator().manual_seed(0)
    found = sensitivities(net, readers, [torch.randn(2, *spec.input)], task="classify", generator=generator)
    assert len(net.get_submodule(last).weight) == spec.classes  # type: ignore[arg-type]
    units = [entry.covariance for entry in seen.statistics.values()]
    others = [*(entry.covariance for entry in seen.moments.values()), *found.values()]
    in_file = sum(8 * len(safetensors_files.packed(matrix)) for matrix in units)
    in_file += sum(4 * len(safetensors_files.packed(matrix)) for matrix in others)
    in_memory = sum(matrix.nbytes for matrix in (*units, *others))
    assert memory.statistics_bytes(graph, graph.layers) == in_memory + 2 * in_file


def test_saved_bytes_count_each_activation_that_a_gradient_needs_once() -> None:
    # both dense layers keep their input, ReLU its output: the second dense layer's input
    net = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 30)).to("meta")
    assert memory.saved_bytes(net, (10,)) == 4 * (10 + 20)


def test_saved_bytes_of_a_residual_block_leave_out_what_an_addition_forgets() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            inside: torch.Tensor = self.second(torch.sigmoid(self.first(x)))
            return inside + x

    # the input of either layer; the sigmoid keeps its output, which is the second's input
    assert memory.saved_bytes(Residual().to("meta"), (8,)) == 4 * (8 + 8)


def test_check_training_names_a_batch_that_fits() -> None:
    net = nn.Sequential(nn.Linear(1000, 1000), nn.ReLU(), nn.Linear(1000, 1000)).to("meta")
    parameters, each = 2 * 1000 * 1001, 4 * 2000
    limit = 16 * parameters + 100 * each
    memory.check_training(net, (1000,), batch=100, limit=limit)
    with pytest.raises(Unavailable, match=r"a batch of 101 takes .* GB.*`batch_size=100`"):
        memory.check_training(net, (1000,), batch=101, limit=limit)
    with pytest.raises(Unavailable, match="a smaller `arch` or `size`"):
        memory.check_training(net, (1000,), batch=101, limit=16 * parameters)


def test_layers_that_fit_are_all_or_those_that_were_chosen(
    graph: ChannelGraph, told: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert memory.layers_that_fit(graph, "*hidden1", None) == graph.layers
    monkeypatch.setattr(memory, "GIGABYTE", 1)
    chosen = memory.layers_that_fit(graph, "*hidden1", 20_000)
    assert [layer.name for layer in chosen] == ["classifier.hidden1"]
    assert f"statistics are measured of 1 of {len(graph.layers)} layers" in told.text
    with pytest.raises(TooLarge, match=r"statistics of 1 layer take .*; free memory, or give more `memory`"):
        memory.layers_that_fit(graph, "*hidden1", 10)
    least = min(graph.layers, key=lambda layer: memory.statistics_bytes(graph, [layer])).name
    with pytest.raises(TooLarge, match=f"measure fewer layers, such as `layer={re.escape(least)}`"):
        memory.layers_that_fit(graph, "*", 10)
    with pytest.raises(UsageFault, match=r"no layer matches `layer=nothing`; choose from .*hidden1"):
        memory.layers_that_fit(graph, "nothing", 10)


def test_limit_bytes_are_those_given_or_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: 123)
    assert memory.limit_bytes(None) == 123
    assert memory.limit_bytes(1.5) == 1_500_000_000
