"""What operations that only move elements do to channels: they are carried out on the ids themselves.

Whether units can be removed around such an operation is tried: with a few of them gone from its input, and
with the sizes that follow from that, it must give what it gave before without them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, fx

from emoprune.networks.graph.channel_ids import Channels, Ids, Pool, Table
from emoprune.networks.graph.recording import Constant

if TYPE_CHECKING:
    from emoprune.networks.graph.tracing import Tracing

Numbers = Callable[[fx.Node], int]
Bound = dict[str, Ids]
"""The numbers that modules keep and that count channels: the ids of these."""
INDICES = (torch.int64, torch.int32)


def moving(trace: Tracing, node: fx.Node, given: list[Channels]) -> Any:
    """Reshape, permute, split, select and the like."""
    source = node.args[0] if node.args else node.all_input_nodes[0]
    if isinstance(source, fx.Node) and (parts := trace.parts(source)) is not None:
        return _picked(trace, node, parts, given)
    if table := trace.table(source):
        return _moved_table(trace, node, table)
    value = trace.value(source)
    found = (
        None if value is None else _run(trace, node, np.broadcast_to(value.ids, value.shape), trace.actual)
    )
    if value is None or found is None or len(given) > 1:
        return trace.freeze(node, given)
    moved = _moved(trace, node, value, found)
    if moved is None:
        return trace.freeze(node, given)
    return moved if trace.gives_several(node) else moved[0]


def _moved(trace: Tracing, node: fx.Node, value: Channels, found: list[Ids]) -> list[Channels] | None:
    """The channels of each tensor that an operation makes; None where units cannot be removed around it."""
    ids = [_compressed(part) for part in found]
    dims = [dim for dim, side in enumerate(ids[0].shape) if side > 1]
    if trace.pool.frozen(value.ids):
        return [
            _result(value, each, (dims or [0])[0], part.shape) for each, part in zip(ids, found, strict=True)
        ]
    if len(found) == 1 and np.array_equal(found[0], np.broadcast_to(value.ids, value.shape)):
        # as before: so it is with fewer channels, if its arguments follow from them
        fits = _holds(trace, node, value, found, value.dim, trace.pool.copy(), {})
        trace.bind({}, node, value.line if fits else value.line[:0])
        return [value] if fits else None
    alone: tuple[int, Pool, Bound] | None = None
    # a single channel does not vary, wherever it lies
    for dim in dims or range(ids[0].ndim):
        for trial, bound in _attempts(trace, node, ids, dim):
            if _holds(trace, node, value, found, dim, trial, bound):
                return _taken(trace, node, value, found, (dim, trial, bound))
            if len(np.unique(trial.roots(value.ids))) == 1:
                # one unit is never removed from a layer that has no other
                alone = alone or (dim, trial, {})
    return _taken(trace, node, value, found, alone) if alone else None


def _taken(
    trace: Tracing, node: fx.Node, value: Channels, found: list[Ids], attempt: tuple[int, Pool, Bound]
) -> list[Channels]:
    """The channels of each tensor after an attempt that holds."""
    dim, trial, bound = attempt
    trace.pool.adopt(trial)
    trace.bind(bound, node, value.line)
    return [_result(value, _compressed(part), dim, part.shape) for part in found]


def _picked(trace: Tracing, node: fx.Node, parts: Sequence[Channels | None], given: list[Channels]) -> Any:
    index = node.args[1] if len(node.args) > 1 else None
    if isinstance(index, int):
        return parts[index]
    if isinstance(index, slice) and all(isinstance(each, int | None) for each in (index.start, index.stop)):
        return list(parts[index])
    return trace.freeze(node, given)


def _result(value: Channels, ids: Ids, dim: int, shape: tuple[int, ...]) -> Channels:
    if ids.shape[dim] < shape[dim]:
        # one channel at every index
        ids = ids.repeat(shape[dim], dim)
    found = Channels(ids, dim, shape, activation=value.activation)
    line = found.line
    # positions of a map that was flattened: the same channel again and again
    edges = np.flatnonzero(np.diff(line)) + 1
    if len(edges) and len(line) > len(np.unique(line)):
        run = int(edges[0])
        repeats = len(line) // run
        regular = len(line) % run == 0 and np.array_equal(np.repeat(line[::run], run), line)
        if regular and repeats == len(np.unique(line)):
            return replace(found, spread=run)
    elif not len(edges) and len(line) > 1:
        return replace(found, spread=len(line))
    return found


def _compressed(places: Ids) -> Ids:
    """Ids of length 1 along all dimensions in which they do not change."""
    for dim in range(places.ndim):
        first = places.take([0], dim)
        if bool((places == first).all()):
            places = first
    return places


def _run(trace: Tracing, node: fx.Node, places: Ids, number: Numbers) -> list[Ids] | None:
    """What an operation makes of ids, with numbers among its arguments as given; None where it fails."""

    def argument(operand: fx.Node) -> Any:
        if operand is source:
            return moved
        if trace.is_number(operand):
            return number(operand)
        if isinstance(operand.target, Constant) and operand.target.tensor.dtype in INDICES:
            index = operand.target.tensor
            # whichever elements are taken, channels are alike
            return torch.zeros_like(index, device="cpu") if index.is_meta else index.cpu()
        raise _UnknownTensor

    source = node.all_input_nodes[0] if not node.args else node.args[0]
    moved = torch.from_numpy(np.ascontiguousarray(places))
    try:
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), argument)
        if node.op == "call_module":
            found = trace.modules[str(node.target)](*args, **kwargs)
        elif node.op == "call_method":
            found = getattr(args[0], str(node.target))(*args[1:], **kwargs)
        else:
            found = node.target(*args, **kwargs)  # type: ignore[operator]
    except (RuntimeError, IndexError, ValueError, TypeError, ZeroDivisionError, _UnknownTensor):
        return None
    parts = [found] if isinstance(found, Tensor) else list(found)
    return [part.numpy() for part in parts] if all(part.numel() for part in parts) else None


class _UnknownTensor(Exception):
    """An argument is a tensor that only a run of the network would tell."""


def _attempts(trace: Tracing, node: fx.Node, ids: list[Ids], dim: int) -> Iterator[tuple[Pool, Bound]]:
    """Ties under which units might be removable along `dim`, and the numbers that would change with them."""
    lines = [np.moveaxis(each, dim, 0).reshape(each.shape[dim], -1) for each in ids]
    for pool in _pools(trace, node, lines):
        for bound in _bounds(trace.numbers_kept(node), [line[:, 0] for line in lines]):
            trial = pool.copy()
            for name, counted in bound.items():
                if name in trace.bound:
                    trial.tie(trace.bound[name], counted)
            yield trial, bound


def _pools(trace: Tracing, node: fx.Node, lines: list[Ids]) -> Iterator[Pool]:
    """Ties of what lies at one index of each of `lines`; then, with these, of lines with one another."""
    tied = trace.pool.copy()
    for line in lines:
        for entry in line:
            tied.tie_all(entry)
    yield tied
    if len(lines) > 1 and len({len(line) for line in lines}) == 1:
        # parts of equal size, so as many units must go from each
        together = tied.copy()
        for line in lines[1:]:
            together.tie(lines[0][:, 0], line[:, 0])
        yield together
    for counted in (each.line for operand in node.all_input_nodes for each in trace.counted(operand)):
        if len(counted) == len(lines[0]):
            # as many as those of another tensor, such as the one that they will scale
            like = tied.copy()
            like.tie(counted, lines[0][:, 0])
            yield like


def _bounds(numbers: dict[str, int], lines: list[Ids]) -> Iterator[Bound]:
    """None of the numbers that modules keep, or one that counts channels, or one for each part."""
    yield {}
    for name, count in numbers.items():
        step, rest = divmod(len(lines[0]), count) if count else (0, 1)
        if not rest:
            yield from ({name: lines[0][::step]}, {name: lines[0][:count]})
    if len(numbers) == len(lines) > 1:
        yield dict(zip(numbers, lines, strict=True))


def _holds(
    trace: Tracing,
    node: fx.Node,
    value: Channels,
    found: list[Ids],
    dim: int,
    trial: Pool,
    bound: Bound,
) -> bool:
    """Whether an operation gives the same without some units as it gave, less those units.

    Where all is one unit, it must give all twice for all twice.
    """
    before, *after = (trial.roots(each) for each in (value.line, *(_line(part, dim) for part in found)))
    units = list(dict.fromkeys(np.concatenate(after).tolist()))
    few = [{units[0], units[len(units) // 2]}, *({line[place]} for line in after for place in (0, -1))]
    for some in few:
        if 1 < len(units) == len(some):
            continue

        left = partial(_left, some, doubled=len(units) == 1)
        number = trace.numbers_if(partial(_count, left, trial), bound)
        now = _run(trace, node, np.broadcast_to(value.ids, value.shape).take(left(before), value.dim), number)
        wanted = [part.take(left(line), dim) for part, line in zip(found, after, strict=True)]
        if now is None or len(now) != len(wanted) or not all(map(np.array_equal, now, wanted)):
            return False
    return True


def _left(some: set[int], roots: Ids, *, doubled: bool) -> Ids:
    """The places whose root is not among `some` or, doubled, all and those that are once more."""
    within = np.isin(roots, list(some))
    every = np.arange(len(roots))
    return np.concatenate([every, every[within]]) if doubled else every[~within]


def _count(left: Callable[[Ids], Ids], pool: Pool, ids: Ids) -> int:
    return len(left(pool.roots(ids)))


def _line(places: Ids, dim: int) -> Ids:
    return np.moveaxis(places, dim, 0).reshape(places.shape[dim], -1)[:, 0]


def _moved_table(trace: Tracing, node: fx.Node, table: Table) -> Table | None:
    """A parameter, rearranged: it can lose what it can lose before and after alike."""
    found = _run(trace, node, table.places, trace.actual)
    if found is None or len(found) > 1 or trace.gives_several(node):
        return trace.lose(table)
    free = set()
    for dim in table.free:
        shorter, wanted = (_without(places, table.stored, dim) for places in (table.places, found[0]))
        now = None if shorter is None else _run(trace, node, shorter, trace.actual)
        if wanted is not None and now is not None and np.array_equal(now[0], wanted):
            free.add(dim)
    return replace(table, places=found[0], free=frozenset(free))


def _without(places: Ids, stored: tuple[int, ...], dim: int) -> Ids | None:
    """Places without those at the first index of a dimension of what is stored."""
    for along in range(places.ndim):
        line = coordinates(places, stored, dim, along)
        if line is not None and len(np.unique(line)) > 1:
            return places.take(np.flatnonzero(line != 0), along)
    return None


def coordinates(places: Ids, stored: tuple[int, ...], dim: int, along: int) -> Ids | None:
    """The index in dimension `dim` of what is stored, for each index `along`; None if there are several."""
    each = np.unravel_index(places, stored)[dim]
    line = np.moveaxis(each, along, 0).reshape(each.shape[along], -1)
    return line[:, 0] if bool((line == line[:, :1]).all()) else None
