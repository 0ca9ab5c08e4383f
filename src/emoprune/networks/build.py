"""Networks built from their spec, filled with tensors, and read at the head."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from emoprune import events
from emoprune.choices import Kind, Source
from emoprune.errors import BadCheckpoint, UsageFault, at
from emoprune.networks.convnets import CONVNETS, ConvNet
from emoprune.networks.heads import head_of, output_name, replace_head
from emoprune.networks.narrowing import NARROWABLE
from emoprune.networks.narrowing import narrowed as narrowed_layer
from emoprune.networks.registry import architecture
from emoprune.networks.sources import facenet_networks, timm_networks, torchvision_networks, user_networks
from emoprune.networks.table_networks import LATER, TABLENETS
from emoprune.networks.types import MAKE_AGAIN, Spec
from emoprune.networks.weights.tensor_kinds import form


def check_input(spec: Spec) -> None:
    """Raise UsageFault where the architecture cannot take inputs of the spec's shape."""
    entry = architecture(spec.arch)
    kind: Kind = "table" if len(spec.input) == 1 else "image"
    if kind not in entry.takes:
        others = {"image": ("images", "a feature table"), "table": ("a feature table", "images")}
        needed, given = others[entry.takes[0]]
        raise UsageFault(f"{spec.arch} needs {needed}, not {given}", "use `arch=mlp`, or other data")
    if spec.channels and len(spec.channels) != entry.channels:
        fact = f"{spec.arch} has {entry.channels} convolutions of free width, `channels` {len(spec.channels)}"
        raise UsageFault(fact, "name one width for each, or leave it out")
    if kind == "table":
        return
    channels, height, width = spec.input
    if channels != 3 and not entry.takes_gray:
        raise UsageFault(f"{spec.arch} takes 3 channels, not {channels}", "use a network of our own")
    fits = min(height, width) >= entry.smallest and height % entry.step == 0 and width % entry.step == 0
    if not fits or (entry.square and height != width):
        rule = f"at least {entry.smallest} pixels" + (f", in steps of {entry.step}" if entry.step > 1 else "")
        remedy = f"give `size` {rule}{', square' * entry.square}"
        raise UsageFault(f"{spec.arch} does not take {height}x{width} images", remedy)


def build(spec: Spec) -> nn.Module:
    """The network that `spec` describes, at its pruned widths, freshly initialized from torch's generator."""
    check_input(spec)
    source = architecture(spec.arch).source
    net = BUILDERS[source](spec)
    if spec.hidden and source != "ours":
        with at(spec.arch):
            replace_head(net, spec)
    for name, (inputs, outputs) in spec.widths.items():
        _narrow(net, name, inputs, outputs)
    return net


def narrowed(
    net: nn.Module, widths: Mapping[str, tuple[int, int]], tensors: Mapping[str, Tensor]
) -> nn.Module:
    """A copy of `net` in evaluation mode whose layers have the (inputs, outputs) of `widths`.

    `tensors` are all parameters and buffers of its state. What is in no state is shared with `net`.
    """
    shared = {id(tensor): tensor for tensor in (*net.parameters(), *net.buffers())}
    copied = copy.deepcopy(net, shared)
    for name, (inputs, outputs) in widths.items():
        _narrow(copied, name, inputs, outputs, device="meta")
    _fill(copied, tensors)
    return copied.eval()


def _ours(spec: Spec) -> nn.Module:
    return ConvNet(spec) if spec.arch in CONVNETS else TABLENETS[spec.arch](spec)


BUILDERS: dict[Source, Callable[[Spec], nn.Module]] = {
    "ours": _ours,
    "torchvision": torchvision_networks.build,
    "facenet": facenet_networks.build,
    "timm": timm_networks.build,
    "code": user_networks.build,
}


def _narrow(net: nn.Module, name: str, inputs: int, outputs: int, *, device: str | None = None) -> None:
    """Narrow a layer, a number that a module keeps to `outputs`, or a parameter along one dimension.

    That is number `inputs`, counted from 1.
    """
    parent_name, _, child = name.rpartition(".")
    try:
        parent = net.get_submodule(parent_name)
        old = getattr(parent, child) if name else net
    except AttributeError:
        raise BadCheckpoint(f"its spec narrows {name}, which the network lacks", MAKE_AGAIN) from None
    if isinstance(old, Tensor):
        # along one dimension, to so many indices
        dim, length = inputs - 1, outputs
        if not (0 <= dim < old.ndim and 0 < length <= old.shape[dim]):
            raise BadCheckpoint(f"its spec narrows {name} to what it cannot be", MAKE_AGAIN)
        shorter = old.detach().narrow(dim, 0, length).clone()
        if name in dict(net.named_parameters()):
            shorter = nn.Parameter(shorter)
        setattr(parent, child, shorter)
    elif type(old) is int:
        if not 0 < outputs <= inputs == old:
            raise BadCheckpoint(f"its spec makes {name}, which is {old}, {outputs} of {inputs}", MAKE_AGAIN)
        setattr(parent, child, outputs)
    elif isinstance(old, NARROWABLE):
        new = narrowed_layer(old, inputs, outputs, device)
        if new is None:
            raise BadCheckpoint(f"its spec gives {name} {inputs} inputs, which fill no groups", MAKE_AGAIN)
        setattr(parent, child, new.train(old.training))
    else:
        raise BadCheckpoint(f"its spec narrows {name}, which is not a layer that can be narrowed", MAKE_AGAIN)


class _Shapes(TorchFunctionMode):
    """Within, parameters and buffers are made on the meta device.

    Unlike `torch.device("meta")` it leaves alone what torchvision's regnets compute while they are built.
    """

    def __torch_function__(self, function: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        more = {"device": "meta"} if function in (torch.empty, torch.zeros, torch.ones) else {}
        return function(*given, **{**(named or {}), **more})


def blueprint(spec: Spec) -> nn.Module:
    """The network of `spec` on the meta device: shapes without numbers.

    That of a user has random numbers, as it may decide by them.
    """
    if architecture(spec.arch).source == "code":
        return _drawn(spec)
    with _Shapes():
        net = build(spec)
    return net.to("meta")


def _drawn(spec: Spec) -> nn.Module:
    """The network of `spec`, random, which takes nothing from torch's generator."""
    with torch.random.fork_rng(devices=[]):
        return build(spec)


def check_runs(spec: Spec) -> None:
    """Raise UsageFault for an input that a network refuses which is known only once it is built."""
    source = architecture(spec.arch).source
    if source not in ("timm", "code"):
        return
    # that of a user answers while it is built
    net = blueprint(spec).eval()
    if source == "timm":
        try:
            with torch.inference_mode():
                net(torch.zeros(1, *spec.input, device="meta"))
        except Exception as error:  # each network of timm refuses a size in its own way
            raise timm_networks.refused_size(spec) from error


def restore(spec: Spec, tensors: Mapping[str, Tensor]) -> nn.Module:
    """The network of `spec` filled with `tensors`, in evaluation mode.

    Names and shapes are compared on the meta device first, so that a spec that contradicts the tensors costs
    no memory. Raises BadCheckpoint with the first difference. Older versions lack the fill of missing values:
    it is 0 then, and `Preprocess.fills` is false.
    """
    _check_counts(spec, tensors)
    try:
        net = blueprint(spec)
    except UsageFault as fault:
        raise BadCheckpoint(f"its spec is impossible: {fault.fact}", MAKE_AGAIN) from fault
    expected = net.state_dict()
    later = {name: torch.zeros(expected[name].shape) for name in LATER if name in expected}
    tensors = {**later, **tensors}
    for name in sorted(expected.keys() | tensors.keys()):
        if name not in tensors:
            raise BadCheckpoint(f"lacks tensor {name} of {spec.arch}", MAKE_AGAIN)
        if name not in expected:
            raise BadCheckpoint(f"has a tensor {name} that {spec.arch} has no place for", MAKE_AGAIN)
        if expected[name].shape != tensors[name].shape or expected[name].dtype != tensors[name].dtype:
            fact = f"tensor {name} is {form(tensors[name])}, its spec says {form(expected[name])}"
            raise BadCheckpoint(fact, MAKE_AGAIN)
    if any(buffer.is_meta for name, buffer in net.named_buffers() if name not in expected):
        # tables that no file holds have to be computed
        net = _drawn(spec)
    _fill(net, tensors)
    return net.eval()


def _check_counts(spec: Spec, tensors: Mapping[str, Tensor]) -> None:
    """Refuse more layers or classes than the tensors have, for which shapes alone would take hours."""
    layers = len(spec.hidden) + len(spec.channels)
    if layers > len(tensors):
        fact = f"its spec asks for {layers:,} layers, and it has {events.counted(len(tensors), 'tensor')}"
        raise BadCheckpoint(fact, MAKE_AGAIN)
    user = architecture(spec.arch).source == "code"
    if not user and not any(spec.classes in tensor.shape for tensor in tensors.values()):
        raise BadCheckpoint(f"has no tensor for the {spec.classes:,} outputs of its spec", MAKE_AGAIN)


LARGEST_WEIGHT = 1e15
"""Sums of squares of larger numbers may be infinite in float32."""


def require_finite(tensors: Mapping[str, Tensor]) -> None:
    """Raise BadCheckpoint for tensors with numbers that are not finite, or whose squares would not be."""
    for name, tensor in tensors.items():
        # written so that NaN fails too
        if tensor.is_floating_point() and not bool((tensor.abs() <= LARGEST_WEIGHT).all()):
            raise BadCheckpoint(f"tensor {name} has numbers that are not finite, or huge", MAKE_AGAIN)


def _fill(net: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    # the state dict of the network has the versions that some modules check
    state = net.state_dict()
    state.update(tensors)
    net.load_state_dict(state, assign=True)


class _CapturedError(Exception):
    """Carries the input of a module out of a forward pass, which stops there."""


def input_of(net: nn.Module, module: nn.Module, batch: Tensor) -> Tensor:
    """The input of `module`, a part of `net`, for `batch`; later modules are not run."""

    def stop(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        raise _CapturedError(inputs[0])

    hook = module.register_forward_pre_hook(stop)
    try:
        net(batch)
    except _CapturedError as captured:
        (value,) = captured.args
        return cast(Tensor, value)
    finally:
        hook.remove()
    raise AssertionError("the module is not part of the network")


def features(net: nn.Module, batch: Tensor) -> Tensor:
    """The input of the head for `batch`."""
    return input_of(net, head_of(net), batch)


def penultimate(net: nn.Module, batch: Tensor) -> Tensor:
    """The input of the output layer, (n, features), with maps averaged over their positions."""
    return over_positions(input_of(net, net.get_submodule(output_name(net)), batch))


def backbone(net: nn.Module, batch: Tensor) -> Tensor:
    """The input of the head, (n, features), with maps averaged over their positions."""
    return over_positions(features(net, batch))


def over_positions(read: Tensor) -> Tensor:
    """Maps averaged over their positions, (n, features); features as they are."""
    return read.mean((2, 3)) if read.ndim == 4 else read
