"""Rows of an output layer, taken from a pre-trained one by the class that they stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from torch import Tensor

from emoprune import events
from emoprune.data import class_names
from emoprune.errors import BadCheckpoint, UsageFault
from emoprune.networks.weights.pretrained import Weights
from emoprune.networks.weights.tensor_kinds import dense, form, require_real

LEFT_BEHIND = frozenset((1000, 11_821, 21_841, 21_843, 8631, 10_575))
"""Rows of a head that every transfer to other classes leaves behind: objects of ImageNet, or people."""
TRAIN_IT = "give `epochs` to train it"
NAME_THEM = f"say with `classes` what its rows are called here, or {TRAIN_IT}"


@dataclass(frozen=True)
class OutputLayer:
    """A layer with one row of `weight`, and one number of `bias` if it has any, for each class."""

    name: str
    weight: Tensor
    bias: Tensor | None

    @classmethod
    def of(cls, name: str, tensors: Mapping[str, Tensor]) -> Self:
        """The layer of that name among the tensors of a network."""
        return cls(name, tensors[f"{name}.weight"], tensors.get(f"{name}.bias"))

    @property
    def tensors(self) -> list[Tensor]:
        """Its weight and, if it has one, its bias."""
        return [self.weight] if self.bias is None else [self.weight, self.bias]

    def takes(self, other: OutputLayer) -> bool:
        """Whether rows of `other` can stand in place of its own."""
        whole = other.bias is None or (self.bias is not None and other.bias.shape == other.weight.shape[:1])
        return whole and other.weight.shape[1:] == self.weight.shape[1:]


@dataclass(frozen=True)
class TakenRows:
    """The tensors of an output layer after the rows of the classes in `kept` were replaced.

    `fault` says why some class has no row, if that is no ordinary transfer to other classes.
    """

    kept: tuple[str, ...] = ()
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    fault: BadCheckpoint | None = None


def taken_rows(
    own: OutputLayer,
    found: Sequence[OutputLayer],
    weights: Weights,
    *,
    classes: Sequence[str],
    given: Sequence[str] = (),
) -> TakenRows:
    """The rows of `classes` that a layer `found` in a file has for the layer `own` of a network.

    Names decide: those `given`, or else those that the file states. Without any, as many rows as classes are
    taken to be in their order, with a note. Raises UsageFault for names that are given and fit neither the
    rows nor the classes.
    """
    if not found:
        return TakenRows()
    if len(found) > 1:
        names = events.listed([layer.name for layer in found])
        fact = f"its head has several layers ({names}), and {own.name} is one"
        return TakenRows(fault=BadCheckpoint(fact, TRAIN_IT))
    (layer,), place = found, weights.place
    if not own.takes(layer):
        shapes = f"{form(layer.weight)}, which does not fit {own.name}, {form(own.weight)}"
        return TakenRows(fault=BadCheckpoint(f"its {layer.name} is {shapes}", TRAIN_IT))
    rows, fault = _rows(layer, weights, classes=classes, given=given)
    pairs = [(index, row) for index, row in enumerate(rows) if row is not None]
    if not pairs:
        return TakenRows(fault=fault)
    if layer.name != own.name:
        events.note(f"{place}: {own.name} is taken from {layer.name}")
    if layer.bias is None and own.bias is not None:
        events.note(f"{place}: {layer.name} has no bias, so the bias of {own.name} is 0")
    tensors = {f"{own.name}.weight": _replaced(own.weight, layer.weight, pairs, f"{layer.name}.weight")}
    if own.bias is not None:
        tensors[f"{own.name}.bias"] = _replaced(own.bias, layer.bias, pairs, f"{layer.name}.bias")
    return TakenRows(tuple(classes[index] for index, _ in pairs), tensors, fault)


def _replaced(own: Tensor, found: Tensor | None, pairs: Sequence[tuple[int, int]], name: str) -> Tensor:
    """A copy of `own` with rows from `found`, or zeros; `pairs` are places in both."""
    made = own.clone()
    ours, theirs = (list(places) for places in zip(*pairs, strict=True))
    if found is None:
        made[ours] = 0
    else:
        require_real(name, found, own)
        made[ours] = dense(found)[theirs].to(own.dtype)
    return made


def _rows(
    layer: OutputLayer, weights: Weights, *, classes: Sequence[str], given: Sequence[str]
) -> tuple[tuple[int | None, ...], BadCheckpoint | None]:
    """The row of each class in a layer of `weights`, None without one, and why that is at fault."""
    place, count, stated = weights.place, len(layer.weight), weights.classes
    if given and len(given) != count:
        named = events.counted(len(given), "row")
        raise UsageFault(f"`classes` names {named}, and {layer.name} of {place} has {count}", "name each")
    if stated and len(stated) != count and not given:
        events.note(
            f"{place}: {layer.name} has {count} rows, and the {len(stated)} names in the file are ignored"
        )
        stated = ()
    if given or stated:
        return _rows_by_name(layer.name, place, given or stated, classes=classes, given=bool(given))
    if count == len(classes):
        order = f"rows of {layer.name} are taken as {events.listed(classes)}; `classes` gives another order"
        events.note(f"{place}: {order}")
        return tuple(range(count)), None
    fact = f"{layer.name} has {count} rows without names, and there are {len(classes)} classes"
    return (None,) * len(classes), None if count in LEFT_BEHIND else BadCheckpoint(fact, NAME_THEM)


def _rows_by_name(
    layer: str, place: str, names: Sequence[str], *, classes: Sequence[str], given: bool
) -> tuple[tuple[int | None, ...], BadCheckpoint | None]:
    rows = class_names.places(classes, names)
    lacking = [name for name, row in zip(classes, rows, strict=True) if row is None]
    spare = [name for row, name in enumerate(names) if row not in rows]
    if given and lacking and spare:
        fact = f"`classes` names {events.listed(spare)}, and the data has {events.listed(lacking)}"
        raise UsageFault(fact, "name the rows as the data names its classes")
    if lacking:
        return rows, BadCheckpoint(
            f"has no rows for {events.listed(lacking)}: its classes are {events.listed(names)}", NAME_THEM
        )
    respelled = class_names.respelled(classes, names)
    if respelled:
        events.note(f"{place}: classes are matched by name, {respelled}")
    if spare:
        events.note(f"{place}: rows of {layer} for {events.listed(spare)} are left out")
    return rows, None
