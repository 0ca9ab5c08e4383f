"""Refit pruned layers on images, from the front: each to what the original layer computes.

The moments of the original network know nothing of the errors that earlier layers pass on. Here each layer
of the pruned network is regressed, all taps at once, on its own inputs toward the original layer's outputs
for the same images (He, Zhang & Sun 2017 do so for the inputs that are kept). No gradient is computed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn import functional as F

from emoprune.pruning.merging import ROUNDING

MEMORY = 3 * 2**30
"""Bytes that activations may take; images beyond that are left out."""

ROWS_PER_FEATURE = 32
FEWEST_ROWS = 20_000
UNFOLDED = 2**28
"""Bytes of patches that are laid out at once."""

WIDEST = 8192
"""Features of a layer beyond which its equations take too much memory; it is not refitted then."""


def images_that_fit(net: nn.Module, sample: Tensor) -> int:
    """How many images both networks can keep the activations of at once; `sample` (1, ...) is one."""
    traced = fx.symbolic_trace(net)
    with torch.inference_mode():
        ShapeProp(traced).propagate(sample)
    waiting = {node: len(node.users) for node in traced.graph.nodes}
    live = peak = 0
    for node in traced.graph.nodes:
        live += _size(node)
        peak = max(peak, live)
        for source in node.all_input_nodes:
            waiting[source] -= 1
            live -= _size(source) * (waiting[source] == 0)
    return max(1, MEMORY // (2 * max(peak, 1)))


def _size(node: fx.Node) -> int:
    shape = getattr(node.meta.get("tensor_meta"), "shape", None)
    return 0 if shape is None else 4 * math.prod(shape)


class Refit:
    """Refits a pruned network to the original, in place.

    `kept` are the outputs of each original layer that the pruned one still has; `norms` the batch norm that
    alone reads a layer, whose mean absorbs a constant. `run` takes batches of network input; the last fifth
    of each is held out to choose the ridge.
    """

    def __init__(
        self,
        original: nn.Module,
        pruned: nn.Module,
        *,
        kept: Mapping[str, Tensor],
        norms: Mapping[str, str | None],
        seed: int,
    ) -> None:
        self._graph = fx.symbolic_trace(original).graph
        self._original = dict(original.named_modules())
        self._pruned = dict(pruned.named_modules())
        self._kept = kept
        self._norms = norms
        self._generator = torch.Generator().manual_seed(seed)
        self._parameters = (dict(original.named_parameters()), dict(pruned.named_parameters()))
        self._buffers = (dict(original.named_buffers()), dict(pruned.named_buffers()))

    @property
    def steps(self) -> int:
        """How many operations there are to go through."""
        return len(self._graph.nodes) - 1

    def run(self, images: Sequence[Tensor]) -> Iterator[str]:
        """Go through all operations in order; yields the name of each when it is done."""
        truth: dict[fx.Node, list[Any]] = {}
        now: dict[fx.Node, list[Any]] = {}
        waiting = {node: len(node.users) for node in self._graph.nodes}
        with torch.inference_mode():
            for node in self._graph.nodes:
                if node.op == "output":
                    break
                self._step(node, truth, now, images)
                for source in node.all_input_nodes:
                    waiting[source] -= 1
                    if not waiting[source]:
                        del truth[source], now[source]
                yield node.name

    def _step(
        self,
        node: fx.Node,
        truth: dict[fx.Node, list[Any]],
        now: dict[fx.Node, list[Any]],
        images: Sequence[Tensor],
    ) -> None:
        if node.op == "placeholder":
            truth[node] = now[node] = list(images)
            return
        untouched = all(truth[source] is now[source] for source in node.all_input_nodes)
        truth[node] = self._compute(node, truth, len(images), pruned=False)
        if untouched and self._same(node):
            now[node] = truth[node]
            return
        layer = self._pruned.get(str(node.target)) if node.op == "call_module" else None
        if not untouched and _solvable(layer):
            self._refit(str(node.target), layer, now[node.all_input_nodes[0]], truth[node])
        now[node] = self._compute(node, now, len(images), pruned=True)

    def _same(self, node: fx.Node) -> bool:
        """Whether an operation is still what it was in the original."""
        if node.op == "get_attr":
            name = str(node.target)
            return all(
                name not in tensors or tensors[name].shape == others[name].shape
                for tensors, others in (self._parameters, self._buffers)
            )
        if node.op != "call_module":
            return True
        old, new = (modules[str(node.target)].state_dict() for modules in (self._original, self._pruned))
        return all(old[name].shape == new[name].shape and torch.equal(old[name], new[name]) for name in old)

    def _compute(
        self, node: fx.Node, values: Mapping[fx.Node, list[Any]], count: int, *, pruned: bool
    ) -> list[Any]:
        def at(index: int, given: Any) -> Any:
            return fx.node.map_arg(given, lambda source: values[source][index])

        return [
            self._call(node, at(index, node.args), at(index, node.kwargs), pruned=pruned)
            for index in range(count)
        ]

    def _call(self, node: fx.Node, args: Any, kwargs: Any, *, pruned: bool) -> Any:
        if node.op == "get_attr":
            name = str(node.target)
            return self._parameters[pruned].get(name, self._buffers[pruned].get(name))
        if node.op == "call_module":
            return (self._pruned if pruned else self._original)[str(node.target)](*args, **kwargs)
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        assert callable(node.target)
        return node.target(*args, **kwargs)

    def _refit(self, name: str, layer: Any, inputs: list[Tensor], wanted: list[Tensor]) -> None:
        """Add to a layer's weights what brings its outputs nearest to `wanted`."""
        kept = self._kept.get(name, slice(None))
        norm = self._norms.get(name)
        movable = layer.bias is not None or norm is not None
        moved = self._moved(norm, kept) if layer.bias is None and norm else torch.zeros(1)
        features, positions = layer.weight[0].numel(), _positions(layer, inputs[0])
        rows = sum(len(x) for x in inputs) * positions
        if features > min(rows, WIDEST):
            return
        learned, held = Sums(), Sums()
        share = min(1.0, max(FEWEST_ROWS, ROWS_PER_FEATURE * features) / rows)
        chunk = max(1, UNFOLDED // (4 * features * positions))
        for given, target in zip(inputs, wanted, strict=True):
            back = max(1, len(given) // 5)
            for sums, part in ((learned, slice(None, -back)), (held, slice(-back, None))):
                for x, z in zip(given[part].split(chunk), target[part].split(chunk), strict=True):
                    z = z[:, kept] if isinstance(layer, nn.Conv2d) else z[..., kept]
                    laid_out, missing = self._rows(layer, x, z - layer(x), share)
                    sums.add(laid_out, missing + moved)
        found = correction(learned, held, constant=movable)
        if found is None:
            return
        change, constant = found
        layer.weight.data += change.reshape(layer.weight.shape).to(layer.weight)
        if layer.bias is not None:
            layer.bias.data += constant.to(layer.bias)
        elif norm:
            mean = self._buffers[True][f"{norm}.running_mean"]
            mean -= constant.to(mean)

    def _moved(self, norm: str, kept: Tensor | slice) -> Tensor:
        """How far the merge has already moved the mean of a batch norm."""
        name = f"{norm}.running_mean"
        return self._buffers[True][name] - self._buffers[False][name][kept]

    def _rows(self, layer: Any, x: Tensor, z: Tensor, share: float) -> tuple[Tensor, Tensor]:
        """Inputs (rows, features) and outputs (rows, outputs) at a random share of the positions."""
        if not isinstance(layer, nn.Conv2d):
            return x.flatten(0, -2), z.flatten(0, -2)
        positions = z.shape[2] * z.shape[3]
        chosen = torch.randperm(positions, generator=self._generator)[: max(1, round(share * positions))]
        patches = F.unfold(x, layer.kernel_size, layer.dilation, layer.padding, layer.stride)  # type: ignore[arg-type]
        return (
            patches[:, :, chosen].transpose(1, 2).flatten(0, 1),
            z.flatten(2)[:, :, chosen].transpose(1, 2).flatten(0, 1),
        )


def _solvable(layer: nn.Module | None) -> bool:
    if isinstance(layer, nn.Conv2d):
        # patches are laid out with zeros around them
        plain = layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
        return layer.groups == 1 and plain
    return isinstance(layer, nn.Linear)


def _positions(layer: Any, x: Tensor) -> int:
    if isinstance(layer, nn.Conv2d):
        height, width = layer(x[:1]).shape[2:]
        return int(height * width)
    return x[0].numel() // x.shape[-1]


RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Strengths tried, relative to the features' mean variance."""


class Sums:
    """Second moments of features and of the outputs' residuals, in float64."""

    def __init__(self) -> None:
        self.count = 0
        self.features = self.crossed = self.feature_total = self.missing_total = torch.zeros(())
        self.missing = 0.0

    def add(self, features: Tensor, missing: Tensor) -> None:
        """Add features (rows, features) and residuals of the outputs (rows, outputs)."""
        if not len(features):
            return
        features, missing = features.double(), missing.double()
        self.count += len(features)
        self.features = self.features + features.T @ features
        self.crossed = self.crossed + missing.T @ features
        self.feature_total = self.feature_total + features.sum(0)
        self.missing_total = self.missing_total + missing.sum(0)
        self.missing += float(missing.square().sum())

    def joined(self, other: Sums) -> Sums:
        """Sums over both sets of rows."""
        both = Sums()
        both.count = self.count + other.count
        for name in ("features", "crossed", "feature_total", "missing_total", "missing"):
            setattr(both, name, getattr(self, name) + getattr(other, name))
        return both

    def error(self, change: Tensor, constant: Tensor) -> float:
        """Mean squared distance of features @ change' + constant from the residuals."""
        explained = change @ self.features
        fitted = (explained * change).sum() - 2 * (change * self.crossed).sum()
        shift = constant @ (2 * change @ self.feature_total - 2 * self.missing_total + self.count * constant)
        return (self.missing + float(fitted + shift)) / self.count


def correction(learned: Sums, held: Sums, *, constant: bool) -> tuple[Tensor, Tensor] | None:
    """Weights (outputs, features) and constant (outputs,) to add; None where none helps on held-out rows.

    The ridge pulls toward no change; its strength is the one that does best on `held`, the solution then
    that of all rows. Without `constant` there is none to add.
    """
    if not learned.count or not held.count:
        return None
    none = torch.zeros_like(learned.crossed), torch.zeros_like(learned.missing_total)
    best, chosen = held.error(*none), None
    for ridge in RIDGES:
        found = _solution(learned, ridge, constant=constant)
        error = best if found is None else held.error(*found)
        if error < best:
            best, chosen = error, ridge
    return None if chosen is None else _solution(learned.joined(held), chosen, constant=constant)


def _solution(sums: Sums, ridge: float, *, constant: bool) -> tuple[Tensor, Tensor] | None:
    """What `correction` adds at one ridge; None where rounding makes the equations singular."""
    features, missing = sums.feature_total / sums.count, sums.missing_total / sums.count
    second, crossed = sums.features / sums.count, sums.crossed / sums.count
    if constant:
        energy = second.diagonal().clone()
        second = second - torch.outer(features, features)
        crossed = crossed - torch.outer(missing, features)
        # of a feature that hardly varies only rounding is left: the constant covers it
        still = second.diagonal() <= ROUNDING * energy
        second[still], second[:, still], crossed[:, still] = 0, 0, 0
    strength = ridge * float(second.diagonal().mean())
    if strength <= 0:
        return torch.zeros_like(crossed), missing if constant else torch.zeros_like(missing)
    second.diagonal().add_(strength)
    factor, fault = torch.linalg.cholesky_ex(second)
    if int(fault):
        return None
    change = torch.cholesky_solve(crossed.T, factor).T
    offset = missing - change @ features if constant else torch.zeros_like(missing)
    return change, offset
