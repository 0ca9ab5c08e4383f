"""Heads: the end of a network, which turns features into classes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from torch import Tensor, nn

from emoprune.choices import Activation
from emoprune.errors import UsageFault
from emoprune.networks.types import Spec

HEAD_NAMES = ("classifier", "fc", "heads", "head", "logits")
"""Names of the head in torchvision's networks, facenet-pytorch's and ours."""
NAMED = "_emoprune_head"
"""Attribute of networks of others with the name of their head, empty where they have none."""

MODULES: dict[Activation, type[nn.Module]] = {"sigmoid": nn.Sigmoid, "relu": nn.ReLU, "tanh": nn.Tanh}


def name_head(net: nn.Module, name: str | None) -> None:
    """Keep in `net` what its head is called; None where no module of its own ends it."""
    setattr(net, NAMED, name or "")


def has_head(net: nn.Module) -> bool:
    """Whether one module of `net` turns features into classes, and nothing follows it."""
    return bool(getattr(net, NAMED, HEAD_NAMES))


def head_name(net: nn.Module) -> str:
    """The name of the module that turns features into classes; UsageFault where it cannot be told apart."""
    if not has_head(net):
        fact = "its head cannot be found: no one layer with an output for each class ends it"
        raise UsageFault(fact, "train all of it as it is, or another network")
    named: str | None = getattr(net, NAMED, None)
    return named or next(name for name in HEAD_NAMES if hasattr(net, name))


def head_of(net: nn.Module) -> nn.Module:
    """The module that turns features into classes."""
    return net.get_submodule(head_name(net))


def head_alone(net: nn.Module) -> nn.Module:
    """The head of `net`, which from now on flattens its answers to (n, classes), as the network would."""
    head = head_of(net)
    head.register_forward_hook(_flat)
    return head


def _flat(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return output.flatten(1)


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
    """Give a network of others the dense head of `spec` on the features that its own classifier reads.

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
    parent, _, child_name = head_name(net).rpartition(".")
    setattr(net.get_submodule(parent), child_name, dense_head(features, spec, kept))


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
