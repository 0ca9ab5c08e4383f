"""Pruning a checkpoint: a plan, and the pruned network."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from functools import cache, cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn

from emoprune import events
from emoprune.choices import Merge
from emoprune.data.datasets import Data
from emoprune.errors import UsageFault, at
from emoprune.evaluation.answers import AnswerLoss
from emoprune.evaluation.training_data import (
    DRAWN,
    NO_DATA,
    CalibrationData,
    calibration_data,
    drawn_data,
    matching_layers,
    note_stale_statistics,
    require_layers,
    training_data_of,
    with_statistics,
)
from emoprune.networks import build, checkpoint
from emoprune.networks.costs import profiling
from emoprune.networks.costs.profiling import Footprint
from emoprune.networks.graph import channel_graph
from emoprune.networks.graph.types import ChannelGraph
from emoprune.networks.memory import layers_that_fit
from emoprune.networks.registry import architecture
from emoprune.networks.statistics.activation_statistics import collect, layer_inputs_of
from emoprune.networks.types import Checkpoint, Cost, HiddenLayer, Spec
from emoprune.pruning import merging, surgery
from emoprune.pruning.angles import default_center
from emoprune.pruning.budget import first_step, is_too_much, step_for
from emoprune.pruning.context import PruningContext, Schedule, default_layers, masked, pruning_context
from emoprune.pruning.error_estimate import (
    ErrorEstimates,
    check_answers,
    check_errors,
    estimate_errors,
    report_warnings,
)
from emoprune.pruning.exactness import check_removal
from emoprune.pruning.methods import MASKING, METHODS
from emoprune.pruning.refit import Refit, images_that_fit
from emoprune.pruning.selection.magnitude import silenced
from emoprune.pruning.selection.schedules import SCHEDULES, WITHIN_ANGLE, price_of
from emoprune.pruning.speed import timed_layers, timed_step
from emoprune.pruning.types import (
    LARGEST_ERROR,
    Amount,
    Change,
    Evaluated,
    LayerOutcome,
    Plan,
    PruneConfig,
    PruneOutcome,
    Removal,
    Speed,
)

NOISE_BATCH = 2

Merged = Mapping[str, Tensor]


@dataclass(frozen=True)
class PruningRun:
    """One network to prune under one config.

    `net` is in evaluation mode and has the tensors of `context`; `input_shape` is that of one sample.
    `images` reads the batches of network input that layers are refitted on, where there are any, `compare`
    tells what a refitted network loses. Of a `checkpoint`, loss is measured on `calibration`, and `measured`
    of its images gave the statistics.
    """

    net: nn.Module
    input_shape: tuple[int, ...]
    context: PruningContext
    config: PruneConfig
    images: Callable[[], Sequence[Tensor]] | None = None
    compare: Callable[[nn.Module], AnswerLoss | None] | None = None
    checkpoint: Checkpoint | None = None
    calibration: CalibrationData | None = None
    measured: int = 0

    @cached_property
    def cost(self) -> Cost:
        """What the network costs before."""
        return profiling.cost(self.net, self.input_shape)

    @cached_property
    def footprint(self) -> Footprint:
        """What its units cost before any is removed; in time, too, where that is the amount."""
        tables = None
        if price_of(self.config) == "nanoseconds":
            tables = timed_layers(self.net, self.input_shape, self.context.graph, self.config.threads)
        return Footprint(self.context.graph, self.net, tables)

    def schedule(self) -> Schedule:
        """All plans of the method."""
        return SCHEDULES[self.config.method](self.context, copy.deepcopy(self.footprint), self.config)

    def with_silenced(self, plan: Plan) -> Plan:
        """A plan of masks together with the units that they silence; any other plan as it is."""
        if not plan.masks:
            return plan
        context = self.context
        tensors = masked(context.tensors, plan.masks)
        generator = torch.Generator().manual_seed(self.config.seed)
        noise = torch.randn(NOISE_BATCH, *self.input_shape, generator=generator)
        noise = noise.to(next(self.net.parameters()))
        seen = collect(build.narrowed(self.net, {}, tensors), context.graph, context.graph.layers, [noise])
        found = {
            removal.layer: removal
            for removal in silenced(context.graph, tensors, seen).removals
            if f"{removal.layer}.weight" in context.weights
        }
        spans = context.graph.spans.items()
        removals = (found.get(name, Removal(name, stop - start)) for name, (start, stop) in spans)
        return Plan(tuple(removals), plan.masks)

    def merges(self, plan: Plan) -> dict[Merge, Merged]:
        """The tensors with which the survivors take over, under either merge; masks have no merge."""
        if plan.masks:
            return {"sum": {name: self.context.tensors[name] * mask for name, mask in plan.masks.items()}}
        return {name: self._merged(plan, name) for name in merging.MERGES}

    def _merged(self, plan: Plan, merge: Merge) -> Merged:
        """What a merge gives, with the zeros of an earlier pruning still zero."""
        found = merging.MERGES[merge](self.context, plan)
        return masked(found, {name: mask for name, mask in self.context.masks.items() if name in found})

    def apply(self, plan: Plan, merged: Merged | None = None) -> surgery.Pruned:
        """The smaller network: merged, batch norm recalibrated, and refitted on images where there are any.

        `merged` are the tensors of the config's merge, where they are known already.
        """
        if plan.masks:
            return surgery.apply(plan, self.context, {})
        merged = merged or self._merged(plan, self.config.merge)
        if self.config.merge == "lstsq":
            merged = {**merged, **merging.recalibrated_norms(self.context, plan, merged)}
        pruned = surgery.apply(plan, self.context, merged)
        if self.config.merge == "sum" or self.images is None:
            return pruned
        # its own copy: what was not cut is the original's still
        copied = {name: tensor.clone() for name, tensor in pruned.tensors.items()}
        net = self.network(replace(pruned, tensors=copied))
        refit = Refit(self.net, net, self.context.graph, self.context.alive(plan), seed=self.config.seed)
        for _ in refit.run(self.images()):
            pass
        tensors = {name: tensor.detach() for name, tensor in net.state_dict().items()}
        return replace(pruned, tensors=masked(tensors, pruned.masks))

    def network(self, pruned: surgery.Pruned) -> nn.Module:
        """The pruned network, in evaluation mode."""
        return build.narrowed(self.net, pruned.widths, pruned.tensors)

    @cached_property
    def judgment(self) -> tuple[float, float | None]:
        """Mean loss and accuracy before."""
        assert self.calibration is not None
        return self.calibration.judge(self.net)

    def judge(self, plan: Plan) -> tuple[float, float | None]:
        """Mean loss and accuracy after a plan."""
        assert self.calibration is not None
        return self.calibration.judge(self.network(self.apply(plan)))


@dataclass(frozen=True)
class PrunePlan:
    """A decision that is not applied yet: what is removed of a network, and what that is predicted to cost.

    `merged` are the tensors of the survivors by merge, `speed` what was measured where that is the amount.
    """

    run: PruningRun
    amount: Amount
    plan: Plan
    merged: Mapping[Merge, Merged]
    speed: Speed | None = None

    @property
    def removals(self) -> tuple[Removal, ...]:
        """What is removed of each layer."""
        return self.plan.removals

    @cached_property
    def error_estimate(self) -> ErrorEstimates:
        """The predicted error of every layer; a table in a notebook."""
        return ErrorEstimates(estimate_errors(self.run.context, self.plan, self.merged))

    def _repr_html_(self) -> str:
        return self.error_estimate._repr_html_()

    @property
    def refitted_on(self) -> int:
        """How many images the layers are refitted on."""
        calibration = self.run.calibration
        return calibration.count if calibration and self.run.images else 0

    @property
    def max_error(self) -> float:
        """The largest predicted error that is applied; by default any where images say what is lost."""
        given = self.run.config.max_error
        if given is not None:
            return given
        # weights that are set back are trained again
        judged = self.amount.needs_images or self.run.images or self.run.config.rewind is not None
        return math.inf if judged else LARGEST_ERROR

    @property
    def settings(self) -> dict[str, Any]:
        """What the pruning is done with, as history keeps it (schema emoprune.prune/2)."""
        config = asdict(self.run.config)
        amount = {self.amount.name: self.amount.value}
        names = ("scope", "layer", "seed", "center", "max_error", "data", "samples", "rewind")
        return {
            "method": config["method"],
            "merge": None if METHODS[self.run.config.method].weights else config["merge"],
            "amount": amount,
            **({"angle": self.amount.value} if self.amount.name == "angle" else {}),
            **{name: config[name] for name in names},
            "round_to": self.run.config.multiple,
            "data_fingerprint": self.run.calibration.fingerprint if self.run.calibration else None,
            "images": self._images,
            "refitted_on": self.refitted_on,
            "drawn": bool(self.run.calibration and self.run.calibration.drawn),
        }

    @property
    def _images(self) -> int:
        """How many images statistics, refit and evaluation use, each counted once."""
        calibration = self.run.calibration
        trained = 0 if calibration and calibration.drawn else max(self.run.measured, self.refitted_on)
        if calibration is None or not self.amount.needs_images:
            return trained
        judges = len(calibration.judges)
        return max(trained, judges) if calibration.val is None else trained + judges

    def answers(self, pruned: surgery.Pruned) -> AnswerLoss | None:
        """What a refitted network loses of the answers, where that is measured; UsageFault if too much."""
        found = self.run.compare and self.run.compare(self.run.network(pruned))
        if found:
            given = self.run.config.max_error
            check_answers(self.amount, found, most=LARGEST_ERROR if given is None else given)
        return found

    def outcome(
        self, pruned: surgery.Pruned | None = None, answers: AnswerLoss | None = None
    ) -> PruneOutcome:
        """What the plan does; with `pruned` what it did, else what is known before it is applied."""
        run, config = self.run, self.run.config
        if pruned is None:
            # an accuracy is known only of the network as it will be; the rest without refitting it
            maker = run if self.amount.needs_images else replace(run, images=None)
            pruned = maker.apply(self.plan, self.merged.get(config.merge))
        net = run.network(pruned)
        old, new = run.cost, profiling.cost(net, run.input_shape)
        both = run.context.tensors, pruned.tensors
        activation = {layer.name: layer.activation for layer in run.context.graph.layers}
        units, kept = sum(removal.units for removal in self.removals), self.plan.kept
        return PruneOutcome(
            units=Change(units, kept),
            compression_rate=(units - kept) / units if units else 0.0,
            parameters=Change(old.parameters, new.parameters),
            nonzero_parameters=Change(old.nonzero_parameters, new.nonzero_parameters),
            macs=Change(old.macs, new.macs),
            # of the weights: neither statistics nor masks
            bytes=Change(*(sum(each.nbytes for each in tensors.values()) for tensors in both)),
            layers=tuple(
                LayerOutcome(
                    **vars(estimate),
                    center=config.center or default_center(activation[removal.layer]),
                    removed=removal.removed,
                    merges=dict(removal.merges),
                    spared=removal.spared,
                )
                for estimate, removal in zip(self.error_estimate, self.removals, strict=True)
            ),
            frozen=run.context.graph.obstacles,
            speed=self.speed,
            answers=answers,
            **self._evaluated(net),
        )

    def _evaluated(self, net: nn.Module) -> dict[str, Any]:
        """Loss and accuracy before and after, where the amount is measured by them."""
        calibration = self.run.calibration
        if calibration is None or not self.amount.needs_images:
            return {}
        (loss, accuracy), (now_loss, now) = self.run.judgment, calibration.judge(net)
        finite = (value if math.isfinite(value) else None for value in (loss, now_loss))
        part = "train" if calibration.val is None else "val"
        return {
            "accuracy": Change(accuracy, now),
            "loss": Change(*finite),
            "evaluated_on": Evaluated(part, len(calibration.judges)),
        }


@dataclass(frozen=True)
class PruneResult:
    """The pruned checkpoint, its history one entry longer, and what the pruning did."""

    checkpoint: Checkpoint
    outcome: PruneOutcome


def plan(original: Checkpoint, config: PruneConfig, *, data: Data | None = None) -> PrunePlan:
    """Decide what to remove of a checkpoint; nothing is changed yet.

    `data` takes the place of the path in the config. Raises UsageFault for an amount that cannot be met,
    with the nearest that can, BadCheckpoint or InvalidRecord for a checkpoint that cannot be pruned.
    """
    amount = config.required_amount
    config.check_counts(amount)
    if data is not None:
        config = replace(config, data=data.catalog.place)
    if config.rewind is not None:
        earlier = checkpoint.read(config.rewind)
        with at(config.rewind):
            surgery.check_rewind(earlier, original)
    # weights that are set back afterwards would be refitted for nothing
    refits = amount.needs_images or config.rewind is None
    return plan_of(prepare(original, config, data, evaluates=amount.needs_images, refits=refits), amount)


def plan_of(run: PruningRun, amount: Amount) -> PrunePlan:
    """The plan of a run for an amount; UsageFault for one that cannot be met."""
    decided, speed = decide(run, amount)
    return PrunePlan(run, amount, decided, run.merges(decided), speed)


def decide(run: PruningRun, amount: Amount) -> tuple[Plan, Speed | None]:
    """What is removed for an amount, and the speed that was measured where that is the amount."""
    if amount.name == "angle":
        return WITHIN_ANGLE[run.config.method](run.context, run.config, amount.value), None
    schedule = run.schedule()
    step, speed = last_step(run, schedule, amount)
    return run.with_silenced(schedule.plan(step)), speed


def last_step(run: PruningRun, schedule: Schedule, amount: Amount) -> tuple[int, Speed | None]:
    """The step of a schedule that meets an amount: the first, or the last that loses no more than allowed."""
    if amount.is_timed:
        return timed_step(run, schedule, amount)
    if not amount.needs_images:
        return step_for(run, schedule, amount), None
    before = run.judgment
    if before[1] is None and amount.name == "max_drop":
        raise UsageFault("the network has no accuracy that could drop", "give `max_loss_increase`")
    # the plan that removes most, then a bisection of the rest
    most, answers = 1 + schedule.length.bit_length(), list[bool]()
    with events.progress("search", most) as advance:

        def loses_too_much(decided: Plan) -> bool:
            answers.append(is_too_much(amount, before, run.judge(run.with_silenced(decided))))
            advance()
            return answers[-1]

        step = first_step(schedule, loses_too_much)
        advance(most - len(answers))
    return (schedule.length if step is None else max(0, step - 1)), None


def prune(original: Checkpoint, planned: PrunePlan) -> PruneResult:
    """Apply a plan to the checkpoint that it was made for: a new, physically smaller one.

    Warns of layers of which little is left, and of single weights that a dense engine multiplies all the
    same. Raises UsageFault where a layer's predicted error is larger than `max_error`, where a refitted
    network loses more of its answers, and for the plan of another checkpoint.
    """
    run, before = planned.run, planned.run.checkpoint
    names = original.tensors.keys()
    if (
        before is None
        or before.tensors.keys() != names
        or not all(torch.equal(before.tensors[name], original.tensors[name]) for name in names)
    ):
        raise UsageFault("the plan was made for another checkpoint", "plan again")
    check_errors(run.config, planned.amount, planned.error_estimate, most=planned.max_error)
    pruned = run.apply(planned.plan, planned.merged.get(run.config.merge))
    answers = planned.answers(pruned)
    # those of weights that are set back were of other weights
    keeps = run.config.statistics and run.config.rewind is None
    after = surgery.pruned_checkpoint(original, run.context, planned.plan, pruned, statistics=keeps)
    if run.config.rewind is not None:
        earlier = checkpoint.read(run.config.rewind)
        after = surgery.rewound(after, earlier, run.context, planned.plan)
        pruned = replace(pruned, tensors=after.tensors)
    outcome = planned.outcome(pruned, answers)
    entry = checkpoint.history_entry("prune", planned.settings, outcome.to_record())
    report_warnings(run.config, outcome)
    return PruneResult(replace(after, history=(*original.history, entry)), outcome)


def prepare(
    original: Checkpoint, config: PruneConfig, data: Data | None, *, evaluates: bool, refits: bool
) -> PruningRun:
    """A run on a checkpoint with its channel graph, its statistics, and images where any are needed.

    They are where the network is evaluated, and where it is refitted: on given data, or where a batch norm
    has to be recalibrated.
    """
    build.require_finite(original.tensors)
    net = build.restore(original.spec, original.tensors)
    graph = _followed(original.spec, net)
    masking = METHODS[config.method].weights
    calibration, measured = None, 0
    if data is not None or config.data not in (None, NO_DATA, DRAWN):
        calibration = calibration_data(original, data or config.data or "", limit=config.samples)
        if evaluates and not calibration.labeled:
            raise UsageFault("accuracy and loss are measured on labels, and `data` has none", "give others")
        measurable = layers_that_fit(graph, config.layer or "*", config.memory)
        original = with_statistics(original, graph, calibration, measurable)
        measured = calibration.count
    elif not masking:
        note_stale_statistics(original, masking=MASKING)
    layers, weights = chosen_layers(original, graph, config)
    refits = refits and config.merge == "lstsq" and not masking
    if calibration is None and config.data is None:
        inputs = layer_inputs_of(graph, {layer.name for layer in layers})
        refits = refits and any(consumer.norm for each in inputs for consumer in each.consumers)
        if evaluates or refits:
            calibration = _training_data(original, net, config, evaluates=evaluates)
    elif calibration is None and evaluates:
        fact = f"accuracy and loss are measured on images, and `data={config.data}` gives none"
        raise UsageFault(fact, "leave it out")
    elif calibration is None and refits and config.data == DRAWN:
        calibration = drawn_data(original, net, limit=config.samples, seed=config.seed)
    images = compare = None
    if calibration is not None and refits:
        most = images_that_fit(net, torch.zeros(1, *original.spec.input))
        if most < calibration.count:
            fact = f"layers are refitted on {most:,} of {calibration.count:,} images"
            events.note(f"{fact}, as many as fit in memory")
        calibration = fitting = replace(calibration, limit=min(calibration.limit, most))
        images = cache(lambda: list(fitting.train_batches("images")))
        # where the network is evaluated, images say already what is lost
        compare = None if evaluates else partial(fitting.answer_loss, net)
    context = pruning_context(original, graph, layers, weights)
    known = (net, original.spec.input, context, config)
    return PruningRun(*known, images, compare, original, calibration, measured)


def _followed(spec: Spec, net: nn.Module) -> ChannelGraph:
    """The channel graph of a network; UsageFault for one of others from which units cannot be removed."""
    graph = channel_graph(build.blueprint(spec), spec.input)
    require_layers(graph)
    if architecture(spec.arch).source in ("timm", "code"):
        # our tests have not seen it
        check_removal(net, graph, torch.zeros(1, *spec.input))
    return graph


def chosen_layers(
    original: Checkpoint, graph: ChannelGraph, config: PruneConfig
) -> tuple[tuple[HiddenLayer, ...], tuple[str, ...]]:
    """The layers that may lose units, and the weights that may become zero."""
    pattern = config.layer or "*"
    weights = tuple(name for name in graph.works if fnmatchcase(name.removesuffix(".weight"), pattern))
    if METHODS[config.method].weights and weights:
        # single weights need no statistics; where there are any, errors are predicted from them
        return tuple(layer for layer in original.layers if fnmatchcase(layer.name, pattern)), weights
    return default_layers(matching_layers(original, pattern), original.tensors, config), weights


def _training_data(
    original: Checkpoint, net: nn.Module, config: PruneConfig, *, evaluates: bool
) -> CalibrationData | None:
    """The data that the model was trained on, if it is still where it was; else drawn faces, or nothing."""
    found = training_data_of(original, limit=config.samples)
    if isinstance(found, CalibrationData):
        return found
    if evaluates:
        raise UsageFault(f"accuracy and loss are measured on images, and {found}", "give `data`")
    if original.preprocess.kind == "table":
        events.note(f"batch norm is recalibrated from the statistics alone: {found}; give `data`")
        return None
    drawn = drawn_data(original, net, limit=config.samples, seed=config.seed)
    events.note(f"layers are refitted on {drawn.count:,} drawn faces: {found}; give `data`")
    return drawn
