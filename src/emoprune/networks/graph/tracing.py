"""Record a network and follow its channels by the rules of each operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from emoprune.networks.graph.assembly import Ties, assemble
from emoprune.networks.graph.channel_ids import SILENT, Channels, Ids, Pool, Table
from emoprune.networks.graph.movement import moving
from emoprune.networks.graph.recording import SHAPE, Recording, calls, operation, record
from emoprune.networks.graph.rules import ACTIVATIONS, RULES, TAKE_ANY
from emoprune.networks.graph.types import ChannelGraph, Consumer, Work
from emoprune.networks.narrowing import by_output

BATCH = 2
LAYERS: dict[object, int] = {nn.Conv2d: 1, nn.Linear: -1}
"""The dimension along which each kind of layer reads its channels."""
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
OWN = "a parameter of its own"


def channel_graph(net: nn.Module, input_shape: tuple[int, ...]) -> ChannelGraph:
    """The channel graph of `net` for samples of `input_shape`; the network may be on the meta device.

    It is run once while its operations are recorded. An operation without a rule freezes its channels and is
    listed among the obstacles. Inputs and classes are frozen too.
    """
    modes = {module: module.training for module in net.modules()}
    net.eval()
    try:
        tensors = net.state_dict()
        like = next((each for each in tensors.values() if each.is_floating_point()), torch.empty(0))
        recording = record(net, like.new_zeros(BATCH, *input_shape))
        return Tracing(net, recording).run()
    finally:
        for module, mode in modes.items():
            module.training = mode


class Tracing:
    """One walk through a network, in the order in which it computes."""

    def __init__(self, net: nn.Module, recording: Recording) -> None:
        self._graph = recording.graph
        self._recording = recording
        self.modules = dict(net.named_modules(remove_duplicate=False))
        self.tensors = net.state_dict()
        self.pool = Pool()
        self._values: dict[fx.Node, Any] = {}
        self._calls = calls(self._graph)
        self._ties = Ties()
        self._opaque: dict[fx.Node, str] = {}
        self._lost: set[str] = set()
        self.bound: dict[str, Ids] = {}
        self._fits: dict[fx.Node, Ids] = {}

    def run(self) -> ChannelGraph:
        """Apply the rules to every operation."""
        for node in self._graph.nodes:
            self._values[node] = self._apply(node)
            if self._values[node] is None and not self.is_number(node):
                self._opaque[node] = self.name(node)
        for tensor, _, ids, _ in self._ties.cuts:
            if tensor in self._lost:
                self.pool.freeze(ids, OWN)
        self._check_numbers()
        self._ties.numbers = list(self.bound.items())
        return assemble(self.pool, self._ties)

    def _check_numbers(self) -> None:
        """Keep the channels whose number matters to an operation other than those that were seen to fit."""
        for node in self._graph.nodes:
            fits = self.pool.roots(self._fits[node]) if node in self._fits else np.empty(0, dtype=np.int64)
            for source in node.all_input_nodes if not self.is_number(node) or node.op == "output" else ():
                self._keep_counted(source, fits, self.name(node))
        for node in self._recording.leaked:
            self._keep_counted(node, np.empty(0, dtype=np.int64), "a number computed from their count")

    def _keep_counted(self, number: fx.Node, fitting: Ids, operation: str) -> None:
        if not self.is_number(number):
            return
        for value in self.counted(number):
            line = value.line
            self.pool.freeze(line[~np.isin(self.pool.roots(line), fitting)], operation)
        for name in self.numbers_kept(number):
            if name in self.bound and not np.isin(self.pool.roots(self.bound[name]), fitting).all():
                self.pool.freeze(self.bound[name], f"{name.rpartition('.')[2]} of its own")

    def _apply(self, node: fx.Node) -> Any:
        if node.op == "placeholder":
            return self._frozen(self.shape(node), 1)
        given = [value for source in node.all_input_nodes for value in self._all(source)]
        if node.op == "output":
            for value in given:
                self.pool.freeze(value.ids, SILENT)
        if node.op == "output" or self.is_number(node):
            return None
        return self._stored(node) if node.op == "get_attr" else self._computed(node, given)

    def _computed(self, node: fx.Node, given: list[Channels]) -> Any:
        """What an operation does by its rule."""
        kind = self.kind(node)
        if not given and kind in LAYERS:
            # no rule knows what the layer reads; its own channels can be removed
            given = [self.frozen_input(node, LAYERS[kind])]
        if not given and not any(self.table(source) for source in node.all_input_nodes):
            return None
        rule = RULES.get(kind)
        fits = rule in TAKE_ANY or (len(given) == 1 and not self.gives_several(node))
        if rule is None or not fits or (self.gives_several(node) and rule is not moving):
            return self.freeze(node, given)
        return rule(self, node, given)

    def _stored(self, node: fx.Node) -> Table | None:
        name, shape = str(node.target), self.shape(node)
        if name not in self.tensors or not shape:
            return None
        places = np.arange(int(np.prod(shape))).reshape(shape)
        return Table(name, shape, places, frozenset(range(len(shape))))

    def freeze(self, node: fx.Node, given: list[Channels]) -> Channels | None:
        """Keep all channels that an operation takes which may do anything to them."""
        for value in given:
            self.pool.freeze(value.ids, self.name(node))
        for source in node.all_input_nodes:
            if table := self.table(source):
                self.lose(table)
        return None

    def lose(self, table: Table) -> Table | None:
        """Keep a parameter whole: it is not known what becomes of its elements."""
        self._lost.add(table.name)
        return None

    def frozen_input(self, node: fx.Node, dim: int) -> Channels:
        """What a layer reads, as channels that cannot be removed."""
        shape = self.shape(node.all_input_nodes[0])
        return self._frozen(shape, dim % len(shape))

    def _frozen(self, shape: tuple[int, ...], dim: int) -> Channels:
        """New channels that cannot be removed."""
        ids = self.pool.fresh(shape[dim])
        self.pool.freeze(ids, SILENT)
        return Channels.along(ids, dim, shape)

    def kind(self, node: fx.Node) -> object:
        """The key of an operation in RULES: a type of module, the function, the method's name."""
        if node.op == "call_module":
            found = type(self.modules[str(node.target)])
            return next((base for base in found.__mro__ if base in RULES), found)
        return operation(node)

    def name(self, node: fx.Node) -> str:
        """The name of an operation for users: its own, or that of an opaque one whose result it reads."""
        for source in node.all_input_nodes:
            if source in self._opaque:
                return self._opaque[source]
        if node.op == "get_attr" or any(self.table(source) for source in node.all_input_nodes):
            return OWN
        kind = type(self.modules[str(node.target)]) if node.op == "call_module" else self.kind(node)
        again = f" called {self._calls[str(node.target)]} times" if self.called_again(node) else ""
        return str(getattr(kind, "__name__", kind)).strip("_") + again

    def value(self, operand: object) -> Channels | None:
        """The channels of an operand, None where it has none."""
        found = self._values.get(operand) if isinstance(operand, fx.Node) else None
        return found if isinstance(found, Channels) else None

    def parts(self, operand: fx.Node) -> list[Channels | None] | None:
        """The channels of each tensor of an operand that is several."""
        found = self._values.get(operand)
        return found if isinstance(found, list) else None

    def table(self, operand: object) -> Table | None:
        """The parameter or buffer that an operand is, rearranged or not."""
        found = self._values.get(operand) if isinstance(operand, fx.Node) else None
        return found if isinstance(found, Table) else None

    def _all(self, operand: fx.Node) -> list[Channels]:
        found = self._values.get(operand)
        return [
            each for each in (found if isinstance(found, list) else [found]) if isinstance(each, Channels)
        ]

    def shape(self, node: fx.Node) -> tuple[int, ...]:
        """The shape of what `node` computes."""
        found: tuple[int, ...] = node.meta[SHAPE]
        return found

    def gives_several(self, node: fx.Node) -> bool:
        """Whether an operation computes several tensors."""
        return isinstance(node.meta[SHAPE], list)

    def is_number(self, node: fx.Node) -> bool:
        """Whether `node` computes sizes and not tensors."""
        return SHAPE not in node.meta

    def argument(self, node: fx.Node, position: int, name: str) -> Any:
        """An argument of the operation by position or name; None if it is not given."""
        return node.args[position] if len(node.args) > position else node.kwargs.get(name)

    def called_again(self, node: fx.Node) -> bool:
        """Whether a module runs more than once, so that its weights serve several inputs."""
        return node.op == "call_module" and self._calls[str(node.target)] > 1

    def activation_within(self, layer: nn.Module) -> str:
        """The element-wise function that a layer of a derived class applies last."""
        found = [ACTIVATIONS[type(each)] for each in layer.modules() if type(each) in ACTIVATIONS]
        return found[-1] if found else "identity"

    # numbers: sizes, and what modules remember

    def actual(self, node: fx.Node) -> int:
        """The number that a node computes in the network as it is."""
        return self.numbers_if(len, {})(node)

    def numbers_if(self, left: Callable[[Ids], int], bound: Mapping[str, Ids]) -> Callable[[fx.Node], int]:
        """What nodes compute if so many of some ids are `left`; `bound` numbers of modules count ids."""
        counted = {**self.bound, **bound}

        def number(node: Any) -> Any:
            if not isinstance(node, fx.Node):
                return node
            if node.op == "get_attr":
                name = str(node.target)
                return left(counted[name]) if name in counted else self._kept_number(name)
            if node.op == "call_method" and node.target == "size":
                source, dim = node.args
                assert isinstance(source, fx.Node)
                assert isinstance(dim, int)
                value = self.value(source)
                return left(value.line) if value is not None and value.dim == dim else self.shape(source)[dim]
            assert callable(node.target)
            return node.target(*map(number, node.args))

        return number

    def _kept_number(self, name: str) -> int:
        path, _, attribute = name.rpartition(".")
        return int(getattr(self.modules[path], attribute))

    def numbers_kept(self, node: fx.Node) -> dict[str, int]:
        """The numbers that modules keep and that a number, or the arguments of an operation, depend on."""
        waiting, found = [each for each in node.all_input_nodes if self.is_number(each)], dict[str, int]()
        waiting += [node] if self.is_number(node) else []
        while waiting:
            each = waiting.pop()
            if each.op == "get_attr":
                found[str(each.target)] = self._kept_number(str(each.target))
            elif each.target != "size":
                waiting += each.all_input_nodes
        return found

    def counted(self, operand: object) -> list[Channels]:
        """The channels that a number is the count of, or computed from."""
        if not isinstance(operand, fx.Node) or not self.is_number(operand):
            return []
        if operand.op == "call_method":
            source, dim = operand.args
            value = self.value(source)
            return [value] if value is not None and value.dim == dim else []
        return [value for each in operand.all_input_nodes for value in self.counted(each)]

    def bind(self, bound: Mapping[str, Ids], node: fx.Node, moved: Ids) -> None:
        """Note that numbers of modules count ids, and that `node`, which moves ids, fits their change."""
        self.bound = {**bound, **self.bound}
        self._fits[node] = moved

    # layers

    def write(self, node: fx.Node, count: int, positions: int, *, groups: int = 1) -> Ids:
        """New channels, which the layer that `node` calls writes at so many positions."""
        ids = self.pool.fresh(count)
        self.cut_outputs(node, ids)
        self._ties.writers.append((str(node.target), ids))
        self._ties.works[f"{node.target}.weight"] = Work(positions, groups)
        return ids

    def cut(self, tensor: str, dim: int, ids: Ids, *, alone: bool = False) -> None:
        """Note the channels along one dimension of a tensor, if there is such a tensor."""
        if tensor in self.tensors:
            self._ties.cuts.append((tensor, dim, ids, alone))

    def cut_outputs(self, node: fx.Node, ids: Ids) -> None:
        """Note the channels of all that a layer has for each output."""
        for name in by_output(self.modules[str(node.target)]):
            self.cut(f"{node.target}.{name}", 0, ids)

    def cut_alone(self, table: Table, dim: int, ids: Ids) -> None:
        """Note the channels along one dimension of a parameter that belongs to no layer."""
        for name, at, others in ((name, at, ids) for name, at, ids, _ in self._ties.cuts):
            if (name, at) == (table.name, dim):
                self.pool.tie(others, ids)
                return
        self.cut(table.name, dim, ids, alone=True)

    def read(self, node: fx.Node, value: Channels, inside: Tensor) -> None:
        """Note that the layer that `node` calls mixes the channels of `value`."""
        self.cut(f"{node.target}.weight", 1, value.line)
        _, consumers = self._ties.consumers.setdefault(node.all_input_nodes[0], (value, []))
        consumers.append(Consumer(str(node.target), self._norm(node), inside))

    def _norm(self, node: fx.Node) -> str | None:
        users = list(node.users)
        over_channels = len(self.shape(node)) in (2, 4)
        if over_channels and len(users) == 1 and self.kind(users[0]) in NORMS:
            return None if self.called_again(users[0]) else str(users[0].target)
        return None
