"""What operations do where several tensors meet: sums and products, concatenation, attention."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import fx

from emoprune.networks.graph.channel_ids import Channels, Ids, Table
from emoprune.networks.graph.movement import coordinates

if TYPE_CHECKING:
    from emoprune.networks.graph.tracing import Tracing

MATRIX = 2
"""Dimensions of each matrix in a batch of them."""


def combining(trace: Tracing, node: fx.Node, given: list[Channels]) -> Any:
    """Element by element: a number changes nothing, a tensor ties channels pair by pair."""
    operands = [*node.args, *(value for name, value in node.kwargs.items() if name != "alpha")]
    counted = [value for operand in operands for value in trace.counted(operand)]
    if counted:
        # with fewer channels the number would be another
        return trace.freeze(node, [*given, *counted])
    tensors = [each for each in operands if isinstance(each, fx.Node) and not trace.is_number(each)]
    if not given:
        return trace.table(tensors[0]) if len(tensors) == 1 else trace.freeze(node, given)
    shape = trace.shape(node)
    if len(tensors) == 1:
        return given[0].of_shape(shape, "identity") if given[0].shape == shape else trace.freeze(node, given)
    found = together(trace, node, tensors, shape)
    return found if found is None else replace(found, activation="identity")


def together(
    trace: Tracing, node: fx.Node, tensors: list[fx.Node], shape: tuple[int, ...]
) -> Channels | None:
    """Tie the channels of tensors that are broadcast to `shape`; None where they are frozen instead."""
    values = [lifted(value, shape) for each in tensors if (value := trace.value(each)) is not None]
    moving = [value for value in values if not trace.pool.frozen(value.ids)] or values[:1]
    first = max(moving, key=lambda value: (value.line.size, value.ids.size))
    for value in values:
        if value is first:
            continue
        if value.dim == first.dim and len(value.line) == len(first.line):
            if value.spread != first.spread:
                return trace.freeze(node, values)
            trace.pool.tie(first.line, value.line)
        elif trace.pool.frozen(value.ids):
            if value.shape[first.dim] != 1:
                return trace.freeze(node, values)
        elif len(value.line) == 1:
            # one channel meets all
            trace.freeze(node, [value])
        else:
            return trace.freeze(node, values)
    for each in tensors:
        if trace.value(each) is None and not _fits(trace, each, first):
            return trace.freeze(node, values)
    return first.of_shape(shape)


def lifted(value: Channels, shape: tuple[int, ...]) -> Channels:
    """Channels with as many dimensions as `shape`, for broadcasting."""
    more = len(shape) - len(value.shape)
    ids = value.ids.reshape((1,) * more + value.ids.shape)
    return replace(value, ids=ids, dim=value.dim + more, shape=(1,) * more + value.shape)


def _fits(trace: Tracing, operand: fx.Node, value: Channels) -> bool:
    """Whether an operand without channels is alike for all of them, or can be cut with them."""
    sides = trace.shape(operand)
    dim = value.dim - (len(value.shape) - len(sides))
    if dim < 0 or sides[dim] == 1:
        return True
    table = trace.table(operand)
    return table is not None and attach(trace, table, value, dim)


def attach(trace: Tracing, table: Table, value: Channels, dim: int) -> bool:
    """Cut a parameter along with the channels that its dimension `dim` meets; False where it cannot be."""
    for stored in sorted(table.free):
        line = coordinates(table.places, table.stored, stored, dim)
        if line is not None and len(np.unique(line)) == table.stored[stored] > 1:
            first = np.unique(line, return_index=True)[1]
            ids = value.line[first]
            trace.pool.tie(ids[line], value.line)
            trace.cut_alone(table, stored, ids)
            return True
    return False


def joining(trace: Tracing, node: fx.Node, given: list[Channels]) -> Channels | None:
    """Concatenation: along the channels one after the other, along another dimension pair by pair."""
    parts = trace.argument(node, 0, "tensors")
    dim = trace.argument(node, 1, "dim") or 0
    shape = trace.shape(node)
    if isinstance(parts, fx.Node) and all(trace.parts(parts) or [None]):
        known, parts = given, given
    elif isinstance(parts, list | tuple) and given:
        known = [value for part in parts if (value := trace.value(part)) is not None]
    else:
        return trace.freeze(node, given)
    if not isinstance(dim, int):
        return trace.freeze(node, given)
    dim %= len(shape)
    if parts is not given and all(value.dim != dim for value in known):
        found = together(trace, node, list(parts), shape)
        return found if found is None else replace(found, ids=_line_alone(found), activation=_common(known))
    if len(known) < len(parts) or any(v.spread != 1 or v.dim != dim for v in known):
        return trace.freeze(node, given)
    ids = np.concatenate([value.line for value in known])
    return Channels.along(ids, dim, shape, activation=_common(known))


def _line_alone(value: Channels) -> Any:
    return Channels.along(value.line, value.dim, value.shape).ids


def _common(values: list[Channels]) -> str:
    (activation, *others) = {value.activation for value in values}
    return "identity" if others else activation


def matching(trace: Tracing, node: fx.Node, given: list[Channels]) -> Channels | None:
    """Batches of matrix products: channels over the batch are tied, those of a row or a column stay."""
    left, right = (operand for operand in node.args if isinstance(operand, fx.Node))
    shape = trace.shape(node)
    sides = [len(trace.shape(each)) for each in (left, right)]
    values = [trace.value(left), trace.value(right)]
    if min(sides) < MATRIX:
        return trace.freeze(node, given)
    rows, columns = (lifted(each, shape) if each else None for each in values)
    batch = len(shape) - MATRIX
    found = [each for each in (rows, columns) if each and not trace.pool.frozen(each.ids)]
    if all(each.dim < batch for each in found) and found:
        return _over_batch(trace, node, given, (left, right), found)
    if len(found) == 1 and found[0] is rows and rows.dim == batch:
        return Channels.along(rows.line, batch, shape)
    if len(found) == 1 and found[0] is columns and columns.dim == batch + 1:
        return Channels.along(columns.line, batch + 1, shape)
    return trace.freeze(node, given)


def _over_batch(
    trace: Tracing, node: fx.Node, given: list[Channels], operands: tuple[fx.Node, ...], found: list[Channels]
) -> Channels | None:
    shape = trace.shape(node)
    first = found[0]
    for value in found[1:]:
        if value.dim != first.dim or len(value.line) != len(first.line):
            return trace.freeze(node, given)
        trace.pool.tie(first.line, value.line)
    for operand in operands:
        if trace.value(operand) is None or trace.pool.frozen(trace.value(operand).ids):  # type: ignore[union-attr]
            sides = trace.shape(operand)
            dim = first.dim - (len(shape) - len(sides))
            if dim >= 0 and sides[dim] != 1:
                return trace.freeze(node, given)
    # its columns are those of the right one: the features of values, in attention
    right = trace.value(operands[1])
    ids = _features(trace, first, shape)
    if right is not None and right.ids.shape[-1] == shape[-1]:
        ids = lifted(right, shape).ids.take([0], len(shape) - MATRIX)
    return replace(first, ids=ids, shape=shape, activation="identity")


def attending(trace: Tracing, node: fx.Node, given: list[Channels]) -> Channels | None:
    """Attention of each head by itself: queries, keys and values of a head stay together."""
    operands = [trace.argument(node, place, name) for place, name in enumerate(("query", "key", "value"))]
    values = [trace.value(each) for each in operands]
    shape = trace.shape(node)
    within = [each for each in values if each is not None and each.dim >= len(shape) - MATRIX]
    if within:
        # features of a head are weighed against one another
        trace.freeze(node, within)
    heads = [each for each in values if each is not None and not trace.pool.frozen(each.ids)]
    first = heads[-1] if heads else None
    if first is None or any((each.dim, len(each.line)) != (first.dim, len(first.line)) for each in heads):
        return trace.freeze(node, given)
    for operand, value in zip(operands, values, strict=True):
        # keys and values that all heads share have but one
        if not any(value is each for each in heads) and trace.shape(operand)[first.dim] != 1:
            return trace.freeze(node, given)
    for each in heads:
        trace.pool.tie(first.line, each.line)
    mask = trace.argument(node, 3, "attn_mask")
    if isinstance(mask, fx.Node) and not _masks(trace, mask, first, shape):
        return trace.freeze(node, given)
    ids = first.ids if first is values[2] else _features(trace, first, shape)
    return replace(first, ids=ids, shape=shape, activation="identity")


def _masks(trace: Tracing, mask: fx.Node, heads: Channels, shape: tuple[int, ...]) -> bool:
    """Whether a mask is alike for all heads, or goes with them."""
    over = (*shape[:-MATRIX], *trace.shape(mask)[-MATRIX:])
    value = trace.value(mask)
    if value is None:
        return _fits(trace, mask, Channels.along(heads.line, heads.dim, over))
    own = lifted(value, over)
    if own.dim != heads.dim or len(own.line) != len(heads.line):
        return False
    trace.pool.tie(heads.line, own.line)
    return True


def _features(trace: Tracing, heads: Channels, shape: tuple[int, ...]) -> Ids:
    """Ids of the features of each head, which lie along the last dimension."""
    sides = [1] * len(shape)
    sides[heads.dim], sides[-1] = len(heads.line), shape[-1]
    ids = trace.pool.fresh(len(heads.line) * shape[-1])
    trace.pool.tie(np.repeat(heads.line, shape[-1]), ids)
    return ids.reshape(sides)
