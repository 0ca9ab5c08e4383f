"""What emoprune prune needs of a checkpoint before it can decide anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from emoprune import events
from emoprune.errors import UsageFault, at
from emoprune.evaluation.training_data import (
    NO_DATA,
    CalibrationData,
    calibration_data,
    matching_layers,
    note_stale_statistics,
    require_layers,
    training_data_of,
    with_statistics,
)
from emoprune.networks import build
from emoprune.networks.activation_statistics import layer_inputs_of
from emoprune.networks.graph import channel_graph
from emoprune.networks.graph.types import ChannelGraph
from emoprune.networks.types import Checkpoint, HiddenLayer, Spec
from emoprune.pruning.amounts import Amount
from emoprune.pruning.context import RemovalStep, Request, pruning_context
from emoprune.pruning.methods import MASKING, METHODS
from emoprune.pruning.prune_job import Job
from emoprune.pruning.refit import Refit, images_that_fit


def prepare(
    before: Checkpoint,
    method: str,
    amount: Amount | None,
    *,
    judged: bool,
    solved: bool,
    layers: str,
    data: str | None,
    limit: int,
    place: str,
    request: Mapping[str, Any],
) -> Job:
    """A checkpoint with its channel graph, its statistics, and images where any are wanted.

    They are where the network is `judged`, or `solved`: with `data`, or where a batch norm is to be mended.
    `layers` is a glob; `data` a path, "none", or None for what the checkpoint was trained on.
    """
    with at(place):
        build.require_finite(before.tensors)
        net = build.restore(before.spec, before.tensors)
        graph = channel_graph(build.blueprint(before.spec), before.spec.input)
    images = None
    counted = 0
    if data is not None and data != NO_DATA:
        images = calibration_data(before, data, limit=limit)
        with at(place):
            before = with_statistics(before, graph, images)
        counted = images.count
    elif not METHODS[method].weights:
        note_stale_statistics(before, masking=MASKING)
    found, weights = _chosen(before, graph, method, layers, place)
    with at(place):
        context = pruning_context(before, graph, found)
    solves = solved and request["merge"] == "lstsq" and not METHODS[method].weights
    if data is None:
        solves = solves and _before_norms(graph, found)
        images = _own_images(before, limit, judged=judged) if judged or solves else None
    elif images is None and judged:
        fact = "accuracy and loss are measured on images, and --data none forbids them"
        raise UsageFault(fact, "leave it out")

    def watch(steps: Iterator[RemovalStep], count: int) -> Iterator[RemovalStep]:
        return events.tracked(steps, "select", count)

    price = amount.price if amount else "units"
    wanted = Request(**request, price=price, weights=weights, watch=watch)
    if images is not None and solves:
        images = _that_fit(images, net, before.spec)
    resolve = _resolving(images) if images is not None and solves else None
    return Job(before, net, context, method, wanted, resolve, images, counted)


def _resolving(images: CalibrationData) -> Callable[[Refit], None]:
    """What re-solves layers on the images, which are read once."""

    @cache
    def read() -> list[Tensor]:
        return list(images.train_batches("images"))

    def resolve(refit: Refit) -> None:
        for _ in events.tracked(refit.run(read()), "re-solve", refit.steps):
            pass

    return resolve


def _that_fit(images: CalibrationData, net: nn.Module, spec: Spec) -> CalibrationData:
    """As many images as memory can keep the activations of, layer by layer."""
    most = images_that_fit(net, torch.zeros(1, *spec.input))
    if most < images.count:
        events.note(f"layers are re-solved on {most:,} of {images.count:,} images, as many as fit in memory")
    return replace(images, limit=min(images.limit, most))


def _chosen(
    before: Checkpoint, graph: ChannelGraph, method: str, glob: str, place: str
) -> tuple[tuple[HiddenLayer, ...], tuple[str, ...]]:
    """The layers that may lose units, and the weights that may become zero."""
    with at(place):
        require_layers(graph)
    weights = tuple(name for name in graph.works if fnmatchcase(name.removesuffix(".weight"), glob))
    if METHODS[method].weights and weights:
        # single weights need no statistics; where there are any, they are certified
        return tuple(layer for layer in before.layers if fnmatchcase(layer.name, glob)), weights
    return tuple(matching_layers(before, glob, place=place)), weights


def _before_norms(graph: ChannelGraph, layers: Sequence[HiddenLayer]) -> bool:
    layer_inputs = layer_inputs_of(graph, {layer.name for layer in layers})
    return any(consumer.norm for layer_input in layer_inputs for consumer in layer_input.consumers)


def _own_images(before: Checkpoint, limit: int, *, judged: bool) -> CalibrationData | None:
    """The data that the model was trained on, if it still is where it was."""
    found = training_data_of(before, limit=limit)
    if isinstance(found, CalibrationData):
        return found
    if judged:
        raise UsageFault(f"accuracy and loss are measured on images, and {found}", "give --data")
    events.note(f"batch norm is mended from the statistics alone: {found}; give --data")
    return None
