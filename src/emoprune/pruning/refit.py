"""Refit pruned layers on images, from the front: each to what the original computes.

The moments of the original network know nothing of the errors that earlier layers pass on. Here each layer
of the pruned network is regressed, all taps at once, on its own inputs toward the original's values for the
same images (He, Zhang & Sun 2017 do so for the inputs that are kept). No gradient is computed.

A layer is refitted together with its batch norm. If an addition alone reads the result, the target is the
original's sum: layers on both sides of it are refitted together, and what else it adds is an offset.
"""

from __future__ import annotations

import math
import operator
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from emoprune import events
from emoprune.networks.graph.recording import OVERWRITES, SHAPE, calls, operation, record
from emoprune.networks.graph.types import ChannelGraph
from emoprune.pruning.context import kept_outputs
from emoprune.pruning.regression import EVERYTHING, Rows, Seen, correction

MEMORY = 3 * 2**30
"""Bytes that activations may take; images beyond that are left out."""

ROWS_PER_FEATURE = 64
FEWEST_ROWS = 64_000
ROWS_MEMORY = 2**30
"""Bytes that the rows of one regression may take."""

NO_SCALE = 1e-6
"""Scale of a batch norm, relative to its largest, under which an output counts as multiplied by 0."""

WIDEST = 8192
"""Features of a layer beyond which its equations take too much memory; it is not refitted then."""

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
ADDITIONS: tuple[Any, ...] = (operator.add, operator.iadd, torch.add, "add", "add_")
IDENTITIES: tuple[Any, ...] = (nn.Identity, nn.Dropout, nn.Dropout2d, "stochastic_depth")
"""What changes nothing in evaluation mode; functions of torchvision by name."""

SEEN: dict[Any, Seen] = {
    **dict.fromkeys((nn.ReLU, F.relu, torch.relu, "relu", "relu_"), Seen(low=0)),
    **dict.fromkeys((nn.ReLU6, F.relu6), Seen(low=0, high=6)),
}
"""What activations see of their input."""


def images_that_fit(net: nn.Module, sample: Tensor) -> int:
    """How many images both networks can keep the activations of at once; `sample` (1, ...) is one."""
    graph = record(net, sample).graph
    waiting = {node: len(node.users) for node in graph.nodes}
    live = peak = 0
    for node in graph.nodes:
        live += _bytes(node)
        peak = max(peak, live)
        for source in node.all_input_nodes:
            waiting[source] -= 1
            live -= _bytes(source) * (waiting[source] == 0)
    return max(1, MEMORY // (2 * max(peak, 1)))


def _bytes(node: fx.Node) -> int:
    """How much the tensors take that an operation computes."""
    shapes = node.meta.get(SHAPE, [])
    return 4 * sum(map(math.prod, shapes if isinstance(shapes, list) else [shapes]))


@dataclass(frozen=True)
class Part:
    """A layer that is refitted, the batch norm that follows it, and the operation that ends with it."""

    layer: fx.Node
    norm: fx.Node | None
    nodes: tuple[fx.Node, ...]


@dataclass(frozen=True)
class Step:
    """Operations that are done together: the last one computes what the layers of `parts` are refitted to.

    `offset` is what an addition adds to them.
    """

    nodes: tuple[fx.Node, ...]
    parts: tuple[Part, ...] = ()
    offset: fx.Node | None = None
    seen: Seen = EVERYTHING

    @property
    def inputs(self) -> list[fx.Node]:
        """What each operation reads that the step does not compute itself."""
        return [source for node in self.nodes for source in node.all_input_nodes if source not in self.nodes]


def steps_of(graph: fx.Graph, modules: Mapping[str, nn.Module]) -> list[Step]:
    """All operations of a recorded network, in an order in which they can be done."""
    called = calls(graph)
    parts = [
        _part(node, modules)
        for node in graph.nodes
        if _solvable(_kind(node, modules), modules.get(str(node.target))) and called[str(node.target)] == 1
    ]
    sums: defaultdict[fx.Node, list[Part]] = defaultdict(list)
    starts: dict[fx.Node, Part] = {}
    for part in parts:
        (*_, end), reader = part.nodes, _sole_reader(part.nodes[-1])
        if reader is not None and _adds(reader, end):
            sums[reader].append(part)
        else:
            starts[part.layer] = part
    inside = {node for part in parts for node in part.nodes}
    steps = []
    for node in graph.nodes:
        if node in sums:
            summed = sums[node]
            ends = {part.nodes[-1] for part in summed}
            offset = next((operand for operand in node.args if operand not in ends), None)
            nodes = (*(each for part in summed for each in part.nodes), node)
            steps.append(Step(nodes, tuple(summed), offset, _seen(node, modules)))
        elif node in starts:
            part = starts[node]
            steps.append(Step(part.nodes, (part,), seen=_seen(part.nodes[-1], modules)))
        elif node not in inside:
            steps.append(Step((node,)))
    return steps


def _kind(node: fx.Node, modules: Mapping[str, nn.Module]) -> Any:
    """The type of a module, a function, the name of a method or of a function of torchvision.

    A derived type is another one: it may compute something else.
    """
    return type(modules[str(node.target)]) if node.op == "call_module" else operation(node)


def _solvable(kind: Any, layer: Any) -> bool:
    if kind is nn.Conv2d:
        # patches are laid out with zeros around them
        return layer.groups == 1 and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    return kind is nn.Linear


def _part(layer: fx.Node, modules: Mapping[str, nn.Module]) -> Part:
    """A layer with what follows it as its sole reader: a batch norm with running moments, then nothing."""
    nodes, norm = [layer], None
    while (reader := _sole_reader(nodes[-1])) is not None:
        kind = _kind(reader, modules)
        channels_first = isinstance(modules[str(layer.target)], nn.Conv2d) or len(layer.meta[SHAPE]) == 2
        known = kind in NORMS and getattr(modules[str(reader.target)], "running_mean", None) is not None
        if known and nodes == [layer] and channels_first:
            norm = reader
        elif kind not in IDENTITIES:
            break
        nodes.append(reader)
    return Part(layer, norm, tuple(nodes))


def _sole_reader(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _adds(node: fx.Node, operand: fx.Node) -> bool:
    """Whether an operation adds two different tensors of one shape, one of which is `operand`."""
    shape = operand.meta[SHAPE]
    alike = [each for each in node.args if isinstance(each, fx.Node) and each.meta.get(SHAPE) == shape]
    return node.target in ADDITIONS and not node.kwargs and len(node.args) == len(set(alike)) == 2


def _seen(node: fx.Node, modules: Mapping[str, nn.Module]) -> Seen:
    """What the readers of a value see of it."""
    found = {SEEN.get(_kind(reader, modules), EVERYTHING) for reader in node.users}
    return found.pop() if len(found) == 1 else EVERYTHING


class Refit:
    """Refits a pruned network to the original, in place.

    `alive` (units,) are the units of `graph` that the pruned network still has. `run` takes batches of
    network input; the last fifth of each is held out to choose the ridge.
    """

    def __init__(
        self, original: nn.Module, pruned: nn.Module, graph: ChannelGraph, alive: Tensor, *, seed: int
    ) -> None:
        self._nets = original, pruned
        # outputs of each original layer that the pruned one still has
        self._kept = kept_outputs(graph, alive)
        self._generator = torch.Generator().manual_seed(seed)
        self._truth: dict[fx.Node, list[Any]] = {}
        self._now: dict[fx.Node, list[Any]] = {}

    def run(self, images: Sequence[Tensor]) -> Iterator[str]:
        """Go through all operations in order; yields the name of each when it is done."""
        truth, now = self._truth, self._now
        with torch.inference_mode():
            graph = record(self._nets[0], images[0][:1]).graph
            self._original, self._pruned = (fx.Interpreter(net, False, graph) for net in self._nets)
            steps = steps_of(graph, dict(self._original.submodules))
            waiting = {node: len(node.users) for node in graph.nodes}
            for step in events.tracked(steps, "refit", len(steps)):
                if step.nodes[0].op == "output":
                    continue
                self._do(step, images)
                for source in step.inputs:
                    waiting[source] -= 1
                    if not waiting[source]:
                        del truth[source], now[source]
                yield step.nodes[-1].name

    def _do(self, step: Step, images: Sequence[Tensor]) -> None:
        truth, now = self._truth, self._now
        if step.nodes[0].op == "placeholder":
            truth[step.nodes[0]] = now[step.nodes[0]] = list(images)
            return
        touched = any(truth[source] is not now[source] for source in step.inputs)
        same = not touched and all(map(self._same, step.nodes))
        last = step.nodes[-1]
        truth[last] = _computed(self._original, step, truth, len(images))
        if touched and step.parts:
            self._refit(step)
        now[last] = truth[last] if same else _computed(self._pruned, step, now, len(images))

    def _same(self, node: fx.Node) -> bool:
        """Whether an operation is still what it was in the original."""
        if node.op == "get_attr":
            before, now = map(operator.attrgetter(str(node.target)), self._nets)
            if isinstance(before, Tensor):
                return before.shape == now.shape and torch.equal(before, now)
            return bool(before == now)
        if node.op != "call_module":
            return True
        old, new = (net.submodules[str(node.target)].state_dict() for net in (self._original, self._pruned))
        return all(old[name].shape == new[name].shape and torch.equal(old[name], new[name]) for name in old)

    def _refit(self, step: Step) -> None:
        """Add to the weights of a step's layers what brings their results nearest to the original's."""
        pieces = [Piece(self._pruned.submodules, part) for part in step.parts]
        wanted = self._truth[step.nodes[-1]]
        count, positions = sum(map(len, wanted)), pieces[0].positions(wanted[0])
        widths = [piece.weight.shape[1] for piece in pieces]
        features, outputs = sum(widths), len(pieces[0].weight)
        if features > min(count * positions, WIDEST):
            return
        most = ROWS_MEMORY // (4 * (features + 5 * outputs))
        each = round(min(max(FEWEST_ROWS, ROWS_PER_FEATURE * features), most) / count)
        each = min(max(1, each), positions)
        held = [max(1, len(batch) // 5) for batch in wanted]
        split = (count - sum(held)) * each
        rows, learned, place = Rows.empty(count * each, features, outputs, seen=step.seen), 0, split
        for index, back in enumerate(held):
            found = self._rows(step, pieces, index, each)
            first = len(found[0]) - back * each
            rows.put(learned, *(values[:first] for values in found))
            rows.put(place, *(values[first:] for values in found))
            learned, place = learned + first, place + back * each
        movable = [piece for piece in pieces if piece.movable]
        change = correction(rows, split, constant=bool(movable))
        if change is not None:
            weights, constant = change
            for piece, part in zip(pieces, weights.split(widths, 1), strict=True):
                piece.add(part, constant if piece in movable[:1] else None)

    def _rows(
        self, step: Step, pieces: Sequence[Piece], index: int, count: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Features, outputs and ends of the intervals of one batch, at `count` positions of each image."""
        wanted = self._truth[step.nodes[-1]][index]
        positions = pieces[0].positions(wanted)
        chosen = torch.randperm(positions, generator=self._generator)[:count]
        laid_out = [
            piece.rows(self._now[part.layer.all_input_nodes[0]][index], wanted, chosen)
            for piece, part in zip(pieces, step.parts, strict=True)
        ]
        outputs = sum(x @ piece.weight.T + piece.constant for x, piece in zip(laid_out, pieces, strict=True))
        if step.offset is not None:
            outputs += pieces[0].at(self._now[step.offset][index], chosen)
        targets = pieces[0].at(wanted, chosen)
        kept = self._kept.get(str(step.parts[0].layer.target))
        if kept is not None:
            targets = targets[:, kept]
        return torch.cat(laid_out, 1), outputs, *step.seen.intervals(targets)


class Piece:
    """A layer of the pruned network, with its batch norm folded into it.

    `weight` (outputs, features) and `constant` (outputs,) are what both compute; `movable` says whether a
    constant can be added.
    """

    def __init__(self, modules: Mapping[str, Any], part: Part) -> None:
        self._layer = modules[str(part.layer.target)]
        self._norm = modules[str(part.norm.target)] if part.norm else None
        weight, bias = self._layer.weight.flatten(1), self._layer.bias
        self._scale, constant = torch.ones(len(weight)), torch.zeros(len(weight)) if bias is None else bias
        if self._norm is not None:
            self._scale, shift = scale_and_shift(self._norm)
            constant = constant * self._scale + shift
        self.weight, self.constant = weight * self._scale[:, None], constant
        self.movable = bias is not None or self._norm is not None

    def positions(self, values: Tensor) -> int:
        """How many positions a batch of this layer's results has in each sample."""
        return math.prod(values.shape[2:] if self._maps else values.shape[1:-1])

    @property
    def _maps(self) -> bool:
        return isinstance(self._layer, nn.Conv2d)

    def at(self, values: Tensor, chosen: Tensor) -> Tensor:
        """Results (samples x chosen, outputs) at the chosen positions."""
        flat = values.flatten(2).mT if self._maps else values.reshape(len(values), -1, values.shape[-1])
        return flat[:, chosen].flatten(0, 1)

    def rows(self, inputs: Tensor, results: Tensor, chosen: Tensor) -> Tensor:
        """What the layer reads (samples x chosen, features) for the chosen positions of its `results`."""
        if not self._maps:
            return self.at(inputs, chosen)
        layer = self._layer
        height, width = layer.padding
        padded = F.pad(inputs, (width, width, height, height))
        places = torch.stack([chosen // results.shape[3], chosen % results.shape[3]])
        taps = torch.cartesian_prod(*map(torch.arange, layer.kernel_size)).reshape(-1, 2)
        # (positions, taps) along either side
        rows, columns = (
            places[axis][:, None] * layer.stride[axis] + taps[:, axis] * layer.dilation[axis]
            for axis in (0, 1)
        )
        return padded[:, :, rows, columns].transpose(1, 2).flatten(0, 1).flatten(1)

    def add(self, weights: Tensor, constant: Tensor | None) -> None:
        """Add to what layer and norm compute together; an output that the norm multiplies by 0 stays."""
        large = self._scale.abs() > NO_SCALE * self._scale.abs().max()
        inverse = torch.where(large, 1 / self._scale, 0.0)
        self._layer.weight.data += (weights * inverse[:, None]).reshape(self._layer.weight.shape)
        if constant is not None and self._layer.bias is not None:
            self._layer.bias.data += constant * inverse
        elif constant is not None and self._norm is not None:
            self._norm.running_mean -= constant * inverse


def scale_and_shift(norm: Any) -> tuple[Tensor, Tensor]:
    """What a batch norm in evaluation mode multiplies each channel by, and what it adds."""
    scale = (norm.running_var + norm.eps).rsqrt()
    if norm.affine:
        scale = scale * norm.weight
        return scale, norm.bias - norm.running_mean * scale
    return scale, -norm.running_mean * scale


def _computed(net: fx.Interpreter, step: Step, values: Mapping[fx.Node, list[Any]], count: int) -> list[Any]:
    """What the last operation of a step makes of each of the `count` batches."""
    found = []
    for index in range(count):
        net.env = {source: values[source][index] for source in step.inputs}
        for node in step.nodes:
            overwritten = node.meta.get(OVERWRITES)
            if overwritten is not None:
                # the other network reads the same values
                net.env[overwritten] = net.env[overwritten].clone()
            net.env[node] = net.run_node(node)
        found.append(net.env[step.nodes[-1]])
    return found
