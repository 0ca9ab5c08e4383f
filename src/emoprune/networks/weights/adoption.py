"""Pre-trained tensors put into a network: by their names, and those of its output layer by class."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from emoprune import events
from emoprune.data.types import LARGEST_SIDE
from emoprune.errors import BadCheckpoint, UsageFault
from emoprune.networks.heads import fresh_layers, has_head, head_name, output_name
from emoprune.networks.table_networks import LATER
from emoprune.networks.weights.head_rows import OutputLayer, taken_rows
from emoprune.networks.weights.pretrained import Weights
from emoprune.networks.weights.tensor_kinds import dense, form, note_conversions, require_real
from emoprune.networks.weights.tensor_names import SAME_ARCHITECTURE, Named, named_for

AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
"""Parts of googlenet and inception_v3 that only training from scratch needs."""
POSITIONS = "encoder.pos_embedding"
"""Of a vision transformer: a row for each patch of the picture, after one that stands for all of it."""


@dataclass(frozen=True)
class Adoption:
    """What of a network some weights have filled.

    `fresh` lists the layers that they leave as they were drawn. Of the classes of the `output` layer, `kept`
    have a row in the weights and `lacking` have none. `fault` says why a head in the weights leaves something
    out: an error where nothing trains it. `scaled` is true where they bring the scaling of a feature table.
    `trained` are the content keys of the samples that they learned from, None where nobody knows.
    """

    output: str
    fresh: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()
    fault: BadCheckpoint | None = None
    scaled: bool = False
    trained: Tensor | None = None


def adopt(
    net: nn.Module, weights: Weights, *, own_head: bool, classes: Sequence[str], rows: Sequence[str] = ()
) -> Adoption:
    """Fill `net` in place; where that is refused nothing has changed.

    `classes` are those of the network; without any its output layer stays as it is. `rows` are those of the
    weights, in place of what their file says of them. Only the output layer and, with `own_head`, our dense
    hidden layers may be missing or of another shape, and only a head may be left over. Anything else raises
    BadCheckpoint, so that no network is half pre-trained; UsageFault is for `rows` that do not fit.
    """
    named, own = named_for(net, weights.tensors, place=weights.place), net.state_dict()
    if not has_head(net):
        if rows:
            fact = "`classes` names the rows of a head, and the network has none of its own"
            raise UsageFault(fact, "leave it out")
        return _adopt_whole(net, named.tensors, weights, classes=classes)
    fresh, output = fresh_layers(net, own_head=own_head), output_name(net)
    found = _interpolated(net, named.tensors, own, weights.place)
    backbone = [name for name in own if not name.startswith(fresh) and (name in found or name not in LATER)]
    chosen = {name: _fitting(found, name, own[name]) for name in backbone}
    layers = _output_layers(named, own, output)
    _check_left_over(net, found.keys() - own.keys(), layers)
    hidden = [name for name in own if name.startswith(fresh) and not name.startswith(f"{output}.")]
    if all(name in found and found[name].shape == own[name].shape for name in hidden):
        chosen |= {name: _fitting(found, name, own[name]) for name in hidden}
        every = {**named.beside, **found}
        heads = [OutputLayer.of(name, every) for name in layers if classes]
        taken = taken_rows(OutputLayer.of(output, own), heads, weights, classes=classes, given=rows)
        sources = [*chosen.values(), *(tensor for head in heads if taken.kept for tensor in head.tensors)]
        chosen |= taken.tensors
        lacking = tuple(name for name in classes if taken.kept and name not in taken.kept)
        made = Adoption(output, () if taken.kept else (output,), taken.kept, lacking, taken.fault)
    else:
        drawn = dict.fromkeys(name.rpartition(".")[0] for name in hidden)
        made, sources = Adoption(output, (*drawn, output)), [*chosen.values()]
    if rows and not made.kept:
        fact = f"`classes` names the rows of a head, and {weights.place} fills none"
        raise made.fault or UsageFault(fact, "leave it out")
    if not chosen:
        raise BadCheckpoint("holds no tensor of this architecture", SAME_ARCHITECTURE)
    unused = [name for name in named.beside if name.rpartition(".")[0] not in layers]
    if unused:
        events.note(f"{weights.place}: ignores {events.counted(len(unused), 'tensor')} of other networks")
    note_conversions(sources, place=weights.place)
    if weights.masked and classes:
        zeros = events.counted(weights.masked, "weight")
        lost = f"its masks, which hold {zeros} at zero, are left out"
        events.note(f"{weights.place}: {lost}; to keep them, train it on as it is: `past`")
    _copy(chosen, own)
    scaled = bool(made.kept) and "scaling.fill" in chosen
    return replace(made, scaled=scaled, trained=weights.trained)


def _adopt_whole(
    net: nn.Module, found: Mapping[str, Tensor], weights: Weights, *, classes: Sequence[str]
) -> Adoption:
    """Fill a network that no one layer ends: layers with an output for each class need not fit."""
    place, own = weights.place, net.state_dict()
    layers = {name: each for name, each in net.named_modules() if isinstance(each, nn.Linear | nn.Conv2d)}
    ends = tuple(f"{name}." for name, layer in layers.items() if len(layer.weight) == len(classes))
    for name in sorted(found.keys() - own.keys()):
        raise BadCheckpoint(f"has a tensor {name} that this architecture lacks", SAME_ARCHITECTURE)
    fresh = [
        name
        for name, tensor in own.items()
        if name.startswith(ends) and (name not in found or found[name].shape != tensor.shape)
    ]
    chosen = {name: _fitting(found, name, tensor) for name, tensor in own.items() if name not in fresh}
    if not fresh and weights.classes not in ((), tuple(classes)):
        fact = f"its outputs are {events.listed(weights.classes)}, and the data has {events.listed(classes)}"
        raise BadCheckpoint(fact, "give data of the same classes")
    if not fresh and not weights.classes:
        events.note(f"{place}: outputs are taken as {events.listed(classes)}")
    note_conversions(chosen.values(), place=place)
    _copy(chosen, own)
    kept = () if fresh else tuple(classes)
    drawn = tuple(dict.fromkeys(name.rpartition(".")[0] for name in fresh))
    return Adoption("", drawn, kept, trained=weights.trained)


def _copy(chosen: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, tensor in chosen.items():
            own[name].copy_(dense(tensor))


def _output_layers(named: Named, own: Mapping[str, Tensor], output: str) -> list[str]:
    """The layers of the file that may be its output layer: of the same name, or else those left over."""
    if f"{output}.weight" in named.tensors:
        return [output]
    sides = own[f"{output}.weight"].ndim
    left = {name: tensor for name, tensor in named.tensors.items() if name not in own}
    for tensors in (left, named.beside):
        found = [
            name.removesuffix(".weight")
            for name, tensor in tensors.items()
            if name.endswith(".weight") and tensor.ndim == sides and not name.startswith(AUXILIARY)
        ]
        if found:
            return found
    return []


def _check_left_over(net: nn.Module, left: Collection[str], layers: Sequence[str]) -> None:
    """Raise BadCheckpoint for tensors that are no part of a head, as those of a deeper relative are."""
    heads = (f"{head_name(net)}.", *(f"{name}." for name in layers if len(layers) == 1))
    for name in sorted(left):
        if not name.startswith((*heads, *AUXILIARY)):
            raise BadCheckpoint(f"has a tensor {name} that this architecture lacks", SAME_ARCHITECTURE)


def _fitting(tensors: Mapping[str, Tensor], name: str, own: Tensor) -> Tensor:
    """The tensor of that name, of the shape of `own`; BadCheckpoint without one."""
    found = tensors.get(name)
    if found is None or found.shape != own.shape:
        fact = "lacks it" if found is None else f"has it as {form(found)}, not {form(own)}"
        raise BadCheckpoint(f"needs tensor {name}, and the file {fact}", SAME_ARCHITECTURE)
    require_real(name, found, own)
    return found


def _interpolated(
    net: nn.Module, tensors: Mapping[str, Tensor], own: Mapping[str, Tensor], place: str
) -> Mapping[str, Tensor]:
    """`tensors` with the positions of a vision transformer as torchvision brings them to another size."""
    found, wanted = tensors.get(POSITIONS), own.get(POSITIONS)
    if found is None or wanted is None or found.ndim != 3 or found.shape[::2] != wanted.shape[::2]:
        return tensors
    from torchvision.models.vision_transformer import VisionTransformer, interpolate_embeddings

    assert isinstance(net, VisionTransformer)
    patches = math.isqrt(max(0, found.shape[1] - 1))
    side = patches * net.patch_size
    if side == net.image_size or patches**2 + 1 != found.shape[1] or not 0 < side <= LARGEST_SIDE:
        return tensors
    require_real(POSITIONS, found, wanted)
    events.note(f"{place}: positions are interpolated from {side} to {net.image_size} pixels a side")
    state = OrderedDict({POSITIONS: dense(found).to(wanted.dtype)})
    return {**tensors, **interpolate_embeddings(net.image_size, net.patch_size, state)}
