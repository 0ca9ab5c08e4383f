"""Heads: the end of a network, which turns features into classes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from torch import nn

from emoprune.choices import Activation
from emoprune.networks.types import Spec

HEAD_NAMES = ("classifier", "fc", "heads", "head")
"""Names of the head in torchvision's networks and ours."""

MODULES: dict[Activation, type[nn.Module]] = {"sigmoid": nn.Sigmoid, "relu": nn.ReLU, "tanh": nn.Tanh}


def head_name(net: nn.Module) -> str:
    """The attribute of `net` that turns features into classes."""
    return next(name for name in HEAD_NAMES if hasattr(net, name))


def head_of(net: nn.Module) -> nn.Module:
    """The module that turns features into classes."""
    return net.get_submodule(head_name(net))


def dense_head(features: int, spec: Spec, first: Mapping[str, nn.Module] | None = None) -> nn.Sequential:
    """From features through each hidden width of `spec` to its classes (jain2020, section 2.4).

    The modules of `first`, which have no weights of the head, come before.
    """
    layers = OrderedDict(first or {})
    inputs = features
    for index, width in enumerate(spec.hidden, start=1):
        layers[f"hidden{index}"] = nn.Linear(inputs, width)
        layers[f"activation{index}"] = MODULES[spec.activation]()
        if spec.dropout:
            layers[f"dropout{index}"] = nn.Dropout(spec.dropout)
        inputs = width
    layers["output"] = nn.Linear(inputs, spec.classes)
    return nn.Sequential(layers)


def replace_head(net: nn.Module, spec: Spec) -> None:
    """Give a torchvision network the dense head of `spec` on the features that its own classifier reads.

    Modules before the classifier's first weights (pooling, flattening, a norm, but not dropout) keep their
    names, so that pre-trained tensors still fill them.
    """
    old = head_of(net)
    kept: dict[str, nn.Module] = {}
    features = 0
    for child_name, child in [*old.named_children()] or [("", old)]:
        if isinstance(child, nn.Linear):
            features = child.in_features
            break
        if isinstance(child, nn.Conv2d):
            features = child.in_channels
            kept |= {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
            break
        if not isinstance(child, nn.Dropout):
            kept[child_name] = child
    setattr(net, head_name(net), dense_head(features, spec, kept))


def output_name(net: nn.Module) -> str:
    """The full name of the layer with one output per class: the last one with weights in the head."""
    modules = head_of(net).named_modules(prefix=head_name(net))
    names: list[str] = [name for name, module in modules if isinstance(module, nn.Linear | nn.Conv2d)]
    return names[-1]


def fresh_layers(net: nn.Module, *, own_head: bool) -> tuple[str, ...]:
    """Name prefixes of layers that pre-trained files lack: our dense head, or the output layer."""
    if own_head:
        return tuple(f"{head_name(net)}.{child}" for child in ("hidden", "output."))
    return (f"{output_name(net)}.",)


def freeze_all_but_head(net: nn.Module) -> None:
    """Let training change only the head."""
    net.requires_grad_(False)
    head_of(net).requires_grad_(True)
