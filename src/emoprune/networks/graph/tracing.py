"""Trace a network with torch.fx and follow its channels by the rules of each operation."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp

from emoprune.networks.graph.assembly import Ties, assemble
from emoprune.networks.graph.channel_ids import SILENT, Channels, Ids, Pool
from emoprune.networks.graph.rules import RULES
from emoprune.networks.graph.types import ChannelGraph, Consumer, Work

BATCH = 2
LAYERS: dict[object, int] = {nn.Conv2d: 1, nn.Linear: -1}
"""The dimension along which each kind of layer reads its channels."""


def channel_graph(net: nn.Module, input_shape: tuple[int, ...]) -> ChannelGraph:
    """The channel graph of `net` for samples of `input_shape`; the network may be on the meta device.

    It is traced symbolically and run once for the shapes. An operation without a rule freezes its channels
    and is listed among the obstacles. Inputs and classes are frozen too.
    """
    modes = {module: module.training for module in net.modules()}
    net.eval()
    try:
        return Tracing(net).run(input_shape)
    finally:
        for module, mode in modes.items():
            module.training = mode


class Tracing:
    """One walk through a network, in the order in which it computes."""

    def __init__(self, net: nn.Module) -> None:
        self._traced = fx.symbolic_trace(net)
        self.modules = dict(self._traced.named_modules())
        self.tensors = self._traced.state_dict()
        self.pool = Pool()
        self._values: dict[fx.Node, Channels | None] = {}
        # a weight that is also used directly counts as another call of its layer
        self._calls = Counter(
            str(node.target).rpartition(".")[0] if node.op == "get_attr" else str(node.target)
            for node in self._traced.graph.nodes
            if node.op in ("call_module", "get_attr")
        )
        self._ties = Ties()
        self._opaque: dict[fx.Node, str] = {}

    def run(self, input_shape: tuple[int, ...]) -> ChannelGraph:
        """Apply the rules to every operation."""
        like = next((each for each in self.tensors.values() if each.is_floating_point()), torch.empty(0))
        with torch.inference_mode():
            ShapeProp(self._traced).propagate(like.new_zeros(BATCH, *input_shape))
        for node in self._traced.graph.nodes:
            self._values[node] = self._apply(node)
            if self._values[node] is None and not self.is_number(node):
                self._opaque[node] = self.name(node)
        return assemble(self.pool, self._ties, self.modules)

    def _apply(self, node: fx.Node) -> Channels | None:
        if node.op == "placeholder":
            return self._frozen(self.shape(node), 1)
        given = [value for source in node.all_input_nodes if (value := self.value(source)) is not None]
        if node.op == "output":
            for value in given:
                self.pool.freeze(value.ids, SILENT)
            return None
        if self.is_number(node):
            return None
        if not given and self.kind(node) in LAYERS:
            # no rule knows what the layer reads; its own channels can be removed
            shape = self.shape(node.all_input_nodes[0])
            given = [self._frozen(shape, LAYERS[self.kind(node)] % len(shape))]
        if not given:
            return None
        rule = RULES.get(self.kind(node)) if hasattr(node.meta["tensor_meta"], "shape") else None
        return self.freeze(node, given) if rule is None else rule(self, node, given)

    def freeze(self, node: fx.Node, given: list[Channels]) -> Channels | None:
        """Keep all channels that an operation takes which may do anything to them."""
        for value in given:
            self.pool.freeze(value.ids, self.name(node))
        return None

    def _frozen(self, shape: tuple[int, ...], dim: int) -> Channels:
        """New channels that cannot be removed."""
        ids = self.pool.fresh(shape[dim])
        self.pool.freeze(ids, SILENT)
        return Channels(ids, dim, shape)

    def kind(self, node: fx.Node) -> object:
        """The key of an operation in RULES: the module's type, the function, the method's name.

        Functions of torchvision are keyed by name, because importing it takes as long as torch itself.
        """
        if node.op == "call_module":
            return type(self.modules[str(node.target)])
        foreign = getattr(node.target, "__module__", "") or ""
        return getattr(node.target, "__name__", "") if foreign.startswith("torchvision.") else node.target

    def name(self, node: fx.Node) -> str:
        """The name of an operation for users: its own, or that of an opaque one whose result it reads."""
        for source in node.all_input_nodes:
            if source in self._opaque:
                return self._opaque[source]
        if node.op == "get_attr":
            return "a parameter of its own"
        kind = self.kind(node)
        again = f" called {self._calls[str(node.target)]} times" if self.called_again(node) else ""
        return str(getattr(kind, "__name__", kind)).strip("_") + again

    def value(self, operand: object) -> Channels | None:
        """The channels of an operand, None where it has none."""
        return self._values.get(operand) if isinstance(operand, fx.Node) else None

    def shape(self, node: fx.Node) -> tuple[int, ...]:
        """The shape of what `node` computes."""
        return tuple(node.meta["tensor_meta"].shape)

    def is_number(self, node: fx.Node) -> bool:
        """Whether `node` computes sizes and not tensors."""
        return "tensor_meta" not in node.meta

    def argument(self, node: fx.Node, position: int, name: str) -> Any:
        """An argument of the operation by position or name; None if it is not given."""
        return node.args[position] if len(node.args) > position else node.kwargs.get(name)

    def called_again(self, node: fx.Node) -> bool:
        """Whether a module runs more than once, so that its weights serve several inputs."""
        return node.op == "call_module" and self._calls[str(node.target)] > 1

    def write(self, node: fx.Node, count: int, positions: int, *, groups: int = 1) -> Ids:
        """New channels, which the layer that `node` calls writes at so many positions."""
        ids = self.pool.fresh(count)
        for name in ("weight", "bias"):
            self.cut(f"{node.target}.{name}", 0, ids)
        self._ties.writers.append((str(node.target), ids))
        self._ties.works[f"{node.target}.weight"] = Work(positions, groups)
        return ids

    def cut(self, tensor: str, dim: int, ids: Ids) -> None:
        """Note the channels along one dimension of a tensor, if there is such a tensor."""
        if tensor in self.tensors:
            self._ties.cuts.append((tensor, dim, ids))

    def read(self, node: fx.Node, value: Channels, inside: Tensor) -> None:
        """Note that the layer that `node` calls mixes the channels of `value`."""
        self.cut(f"{node.target}.weight", 1, np.repeat(value.ids, value.spread))
        _, consumers = self._ties.consumers.setdefault(node.all_input_nodes[0], (value, []))
        consumers.append(Consumer(str(node.target), self._norm(node), inside))

    def _norm(self, node: fx.Node) -> str | None:
        users = list(node.users)
        over_channels = len(self.shape(node)) in (2, 4)
        if over_channels and len(users) == 1 and self.kind(users[0]) in (nn.BatchNorm1d, nn.BatchNorm2d):
            return None if self.called_again(users[0]) else str(users[0].target)
        return None
