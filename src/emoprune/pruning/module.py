"""Pruning of a module of the user's own, without a checkpoint."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from emoprune import events
from emoprune.choices import Task
from emoprune.data.types import Preprocess
from emoprune.errors import UsageFault, first_line
from emoprune.evaluation.answers import answer_loss
from emoprune.evaluation.drawn_data import drawn_faces
from emoprune.networks.folding import fold_computed_weights
from emoprune.networks.graph import channel_graph
from emoprune.networks.graph.recording import record
from emoprune.networks.graph.types import ChannelGraph
from emoprune.networks.memory import layers_that_fit
from emoprune.networks.narrowing import check_weights
from emoprune.networks.statistics.activation_statistics import collect
from emoprune.networks.statistics.sensitivity import consumers_of, sensitivities
from emoprune.pruning.context import PruningContext, default_layers
from emoprune.pruning.error_estimate import check_errors, report_warnings
from emoprune.pruning.exactness import check_removal
from emoprune.pruning.methods import METHODS
from emoprune.pruning.prune import PrunePlan, PruningRun, decide
from emoprune.pruning.refit import images_that_fit
from emoprune.pruning.types import LOSSES, TIMED, PruneConfig, PruneOutcome

BATCH = 32
ENOUGH = 32
"""Example inputs that give statistics of their own; of fewer, random inputs do."""
NOISE_INPUTS = 64
PICTURE_DIMS, COLORS = 4, 3
LOGIT_DIMS = 2
"""Dimensions of outputs that are taken for logits."""


def prune_module(
    net: nn.Module,
    example_inputs: Tensor,
    *,
    images: Iterable[Any] | None = None,
    task: Task | None = None,
    **settings: Any,
) -> tuple[nn.Module, PruneOutcome]:
    """A new, smaller module that computes nearly the same as `net`, and what was removed.

    `net` is left as it was. It takes one input, a batch first; `example_inputs` (n, ...) show its shape.
    `images` are batches of such inputs, or tuples that begin with them, as data loaders give: statistics are
    gathered and layers are refitted on up to `samples` of them. Without images, statistics are those of the
    example inputs, if there are 32 or more, and nothing is refitted. If there are fewer, drawn faces take the
    place of images, as for a checkpoint, or random inputs where the network takes no pictures.

    `task` says what the outputs are: logits of classes ("classify") or values ("reconstruct"); by default
    logits if they are (n, classes). Further settings are those of PruneConfig; the method is "reconstruct"
    unless another is given.

    Channels that an operation without a rule touches stay; the outcome lists them as `frozen`. Raises
    UsageFault for a module of which nothing can be followed or pruned, whose parameters are shared or
    computed, or that without some units computes anything but what it does with them silenced. So does a
    predicted error, or a loss of answers, that is larger than `max_error`.
    """
    config = PruneConfig(**{"method": "reconstruct", **settings})
    amount = config.required_amount
    config.check_counts(amount)
    for name in ("data", "rewind", *LOSSES, *TIMED):
        if getattr(config, name) is not None:
            raise UsageFault(f"`{name}` is for checkpoints, and this is a module", "give `macs`, or `images`")
    if not isinstance(example_inputs, Tensor):
        raise UsageFault(f"`example_inputs` is {type(example_inputs).__name__}, not a tensor", "give a batch")
    check_weights(net)
    # on the processor, for all devices alike, and in evaluation mode; the given module keeps its own
    own = copy.deepcopy(net).cpu().eval()
    # copies, which the network may overwrite
    inputs = example_inputs.detach().to("cpu", copy=True)
    graph = followed(own, inputs)
    calibration = None if images is None else _calibration(images, inputs, config.samples)
    pattern = config.layer or "*"
    measured = layers_that_fit(graph, pattern, config.memory)
    on = "images"
    if images is None and _are_pictures(inputs) and len(inputs) < ENOUGH:
        calibration, on = _faces(own, inputs, config), "drawn faces"
    batches = calibration or _stand_in(inputs, config.seed)
    seen = collect(own, graph, measured, batches)
    matching = [layer for layer in measured if fnmatchcase(layer.name, pattern)]
    layers = default_layers(matching, own.state_dict(), config)
    weights = tuple(name for name in graph.works if fnmatchcase(name.removesuffix(".weight"), pattern))
    masks = METHODS[config.method].weights
    if not (weights if masks else layers):
        names = ", ".join(layer.name for layer in graph.layers)
        raise UsageFault(f"no layer matches `layer={pattern}`", f"choose from {names}")
    context = PruningContext(graph, own.state_dict(), seen.statistics, seen.moments, layers, weights)
    task = task or _task(own, inputs)
    if calibration and task and not masks:
        found = _sensitivities(own, consumers_of(seen.layer_inputs), calibration, task, config.seed)
        context = replace(context, sensitivities=found)
    run = PruningRun(own, tuple(inputs.shape[1:]), context, config)
    if calibration and config.merge == "lstsq" and not masks:
        run = replace(run, images=partial(_that_fit, own, calibration))
        if task:
            compare = partial(answer_loss, own, batches=calibration, task=task, on=on)
            run = replace(run, compare=compare)
    plan, _ = decide(run, amount)
    planned = PrunePlan(run, amount, plan, run.merges(plan))
    check_errors(config, amount, planned.error_estimate, most=planned.max_error)
    pruned = run.apply(plan, planned.merged.get(config.merge))
    outcome = planned.outcome(pruned, planned.answers(pruned))
    report_warnings(config, outcome)
    smaller = copy.deepcopy(run.network(pruned)).to(next(net.parameters(), example_inputs).device)
    _copy_modes(net, smaller)
    return smaller, outcome


def _sensitivities(
    net: nn.Module, layers: Collection[str], images: Sequence[Tensor], task: Task, seed: int
) -> dict[str, Tensor]:
    """How much the answer depends on each layer; nothing, and a note, where there are no gradients."""
    generator = torch.Generator().manual_seed(seed)
    try:
        return sensitivities(net, layers, images, task=task, generator=generator)
    except RuntimeError as error:
        fact = f"the network cannot be differentiated ({first_line(error)})"
        events.note(f"{fact}: units are weighed without how much the answer depends on them")
        return {}


def _task(net: nn.Module, inputs: Tensor) -> Task | None:
    """What the outputs of a network look like; None where they are not one tensor of numbers."""
    with torch.inference_mode():
        outputs = net(inputs[:1].clone())
    if not (isinstance(outputs, Tensor) and outputs.is_floating_point()):
        return None
    return "classify" if outputs.ndim == LOGIT_DIMS and outputs.shape[1] > 1 else "reconstruct"


def _copy_modes(net: nn.Module, smaller: nn.Module) -> None:
    """Let each part train, and each parameter learn, where that of `net` does."""
    modes = {name: module.training for name, module in net.named_modules()}
    for name, module in smaller.named_modules():
        module.training = modes[name]
    learned = dict(smaller.named_parameters())
    for name, parameter in net.named_parameters():
        # one that a weight was computed from is gone
        if name in learned:
            learned[name].requires_grad_(parameter.requires_grad)


def followed(net: nn.Module, inputs: Tensor) -> ChannelGraph:
    """The channel graph of a module of the user's own, in evaluation mode; UsageFault for one that has none.

    Weights that its convolutions compute are folded into them, in place. A trial removal is compared with
    the same units silenced.
    """
    name = type(net).__name__
    taken = [
        each.name
        for each in inspect.signature(net.forward).parameters.values()
        if each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]
    if len(taken) != 1:
        fact = f"{name} takes {len(taken)} inputs ({', '.join(taken)})"
        raise UsageFault(fact, "prune a part with one input")
    try:
        with torch.inference_mode():
            net(inputs[:1].clone())
    except Exception as error:  # whatever the user's own forward raises for inputs that it cannot take
        fact = f"{name} cannot take `example_inputs` of {_form(inputs)} ({first_line(error)})"
        raise UsageFault(fact, "give a batch of what it takes") from error
    folded = fold_computed_weights(net)
    if folded:
        count = events.counted(len(folded), "convolution")
        events.note(f"the weights that {count} such as {folded[0]} compute are kept as they are now")
    whole = record(net, inputs[:1]).whole
    if "" in whole:
        fact = f"what {name} computes cannot be recorded ({whole['']})"
        raise UsageFault(fact, "prune a part of it that has no control flow on values")
    graph = channel_graph(net, tuple(inputs.shape[1:]))
    first_name: dict[int, str] = {}
    cut = {place.tensor for place in graph.cuts}
    for parameter_name, parameter in net.named_parameters(remove_duplicate=False):
        other = first_name.setdefault(id(parameter), parameter_name)
        if other != parameter_name and cut & {other, parameter_name}:
            raise UsageFault(f"{other} and {parameter_name} share one parameter", "give each its own")
    if graph.units == len(graph.layers):
        # one unit of each layer stays
        operations = sorted({obstacle.operation for obstacle in graph.obstacles})
        because = f" (kept whole by {', '.join(operations)})" if operations else ""
        raise UsageFault(f"{name} has no layer that can be pruned{because}", "prune another module")
    check_removal(net, graph, inputs)
    return graph


def _form(inputs: Tensor) -> str:
    sides = "x".join(map(str, inputs.shape[1:]))
    return f"{str(inputs.dtype).removeprefix('torch.')} {sides}"


def _calibration(images: Iterable[Any], like: Tensor, limit: int) -> list[Tensor]:
    """Up to `limit` inputs of the form of `like` from batches as data loaders give them."""
    found, count = list[Tensor](), 0
    for entry in images:
        batch = entry[0] if isinstance(entry, Sequence) else entry
        if not isinstance(batch, Tensor):
            fact = f"`images` gives {type(batch).__name__}, not batches of inputs"
            raise UsageFault(fact, "give tensors, or tuples of them")
        if _form(batch) != _form(like):
            fact = f"`images` gives inputs of {_form(batch)}, unlike `example_inputs` of {_form(like)}"
            raise UsageFault(fact, "give the same to both")
        found.append(batch.detach()[: limit - count].to("cpu", copy=True))
        count += len(found[-1])
        if count >= limit:
            break
    if not count:
        raise UsageFault("`images` gives no batch", "give batches of inputs, or leave it out")
    return found


def _are_pictures(inputs: Tensor) -> bool:
    """Whether inputs have the form of pictures in color."""
    return inputs.dtype == torch.float32 and inputs.ndim == PICTURE_DIMS and inputs.shape[1] == COLORS


def _faces(net: nn.Module, inputs: Tensor, config: PruneConfig) -> list[Tensor]:
    """Drawn faces of the form of `inputs`, with the contrast that the first batch norm knows."""
    height, width = inputs.shape[2:]
    preprocess = Preprocess("image", (height, width), mean=(0.5,) * COLORS, std=(0.25,) * COLORS)
    faces = drawn_faces(net, preprocess, config.samples, seed=config.seed)
    fact = f"no images: statistics and layers are fitted to {len(faces):,} drawn faces"
    events.warn(f"{fact}; give `images` to keep more of the accuracy")
    return list(faces.inputs())


def _stand_in(inputs: Tensor, seed: int) -> tuple[Tensor, ...]:
    """What statistics are gathered on where there are no images."""
    if len(inputs) >= ENOUGH:
        fact = f"statistics are those of the {len(inputs):,} example inputs"
        events.note(f"{fact}; give `images` to refit layers")
        return torch.split(inputs, BATCH)
    fact = f"no images: statistics are those of {NOISE_INPUTS} random inputs, and layers are not refitted"
    events.warn(f"{fact}; give `images` to keep the accuracy")
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(NOISE_INPUTS, *inputs.shape[1:], generator=generator).to(inputs.dtype)
    return torch.split(noise, BATCH)


def _that_fit(net: nn.Module, batches: Sequence[Tensor]) -> list[Tensor]:
    """As many inputs as memory can keep the activations of, layer by layer."""
    most = images_that_fit(net, batches[0][:1])
    fitting = torch.cat(list(batches))[:most]
    if len(fitting) < sum(map(len, batches)):
        events.note(f"layers are refitted on {most:,} images, as many as fit in memory")
    return list(fitting.split(BATCH))
