"""What is counted of a network that is built without its numbers."""

from __future__ import annotations

import pytest
import torch

from emoprune.deployment.counting import counted, prunable
from emoprune.errors import BadCheckpoint
from emoprune.io.safetensors_files import RawTensor
from emoprune.networks import build
from emoprune.networks.costs import profiling
from emoprune.networks.types import Spec


def raw(spec: Spec) -> dict[str, RawTensor]:
    names = {torch.float32: "F32", torch.int64: "I64"}
    state = build.build(spec).state_dict()
    return {name: RawTensor(names[each.dtype], tuple(each.shape), b"") for name, each in state.items()}


@pytest.mark.parametrize(
    "spec",
    [
        Spec("conv2", 7, (1, 48, 48), hidden=(20,)),
        Spec("mlp", 3, (9,), hidden=(5,)),
        Spec("mobilenet_v3_small", 7, (3, 64, 64)),
        Spec("vit_b_32", 7, (3, 64, 64)),
    ],
    ids=lambda spec: spec.arch,
)
def test_counted_is_what_the_whole_network_counts(spec: Spec) -> None:
    net = build.build(spec).eval()
    found = counted(spec, raw(spec))
    assert list(found.parameters) == [name for name, _ in net.named_parameters()]
    assert sum(found.macs.values()) == profiling.macs(net, spec.input)
    assert min(found.macs.values()) > 0


def test_counted_refuses_tensors_of_another_network() -> None:
    spec = Spec("conv2", 7, (1, 48, 48), hidden=(20,))
    tensors = raw(spec)
    with pytest.raises(BadCheckpoint, match="lacks tensor"):
        counted(spec, {name: each for name, each in tensors.items() if name != "features.0.bias"})
    with pytest.raises(BadCheckpoint, match="type F8_E4M3"):
        counted(spec, {**tensors, "features.0.bias": RawTensor("F8_E4M3", (16,), b"")})


def test_counted_runs_no_function_that_only_a_file_names() -> None:
    spec = Spec("tests.support.own_networks:small", 3, (3, 16, 16))
    with pytest.raises(BadCheckpoint, match="own_networks:small"):
        counted(spec, {})


def test_prunable_tells_the_units_of_each_layer() -> None:
    spec = Spec("conv2", 7, (1, 48, 48), hidden=(20,))
    units = {name: units for name, (_, units) in prunable(spec).items()}
    assert units == {"features.0": 16, "features.3": 32, "classifier.hidden1": 20}
