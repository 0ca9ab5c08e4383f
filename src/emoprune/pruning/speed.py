"""How far a pruning goes for a speed: predicted from single layers, then measured and corrected."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from emoprune import events
from emoprune.errors import UsageFault
from emoprune.networks.costs.latency import LatencyTable
from emoprune.networks.costs.profiling import turns_ms
from emoprune.networks.graph.types import ChannelGraph
from emoprune.pruning import surgery
from emoprune.pruning.budget import first_step, footprint_after, or_all_layers
from emoprune.pruning.context import Schedule
from emoprune.pruning.types import Amount, Change, Plan, Speed

if TYPE_CHECKING:
    from emoprune.pruning.prune import PruningRun

TOLERANCE = 0.05
"""How far the measured speed may be from what was asked; half of it ends the search."""

ROUNDS = 6
"""Pruned networks that are measured at most."""


def timed_layers(
    net: nn.Module, input_shape: tuple[int, ...], graph: ChannelGraph, threads: int
) -> dict[str, LatencyTable]:
    """How long onnxruntime takes for each layer, by its widths."""
    # takes long to import, and only these amounts need it
    from emoprune.networks.costs.layer_timing import latency_tables

    return latency_tables(net, input_shape, graph, threads=threads)


@dataclass(frozen=True)
class Times:
    """Milliseconds of a whole network and of a pruned one, in turns.

    The medians of both, the median ratio of the turns, and the shortest of the whole network.
    """

    before: float
    after: float
    speedup: float
    shortest: float


class Stopwatch:
    """Times pruned networks against the whole one: one sample, in onnxruntime, in turns."""

    def __init__(self, whole: nn.Module, input_shape: tuple[int, ...], threads: int) -> None:
        self._sample = torch.full((1, *input_shape), 0.5)
        self._threads = threads
        self._whole = self._task(whole)

    def times(self, net: nn.Module | None) -> Times:
        """The times of a pruned network; None: of the whole one against itself."""
        from emoprune.io.onnx_timing import clock

        other = self._whole if net is None else self._task(net)
        turns = turns_ms(self._whole, other, clock(self._threads))
        before, after = zip(*turns, strict=True)
        ratio = statistics.median(first / second for first, second in turns)
        return Times(statistics.median(before), statistics.median(after), ratio, min(before))

    def _task(self, net: nn.Module) -> Callable[[], object]:
        # take long to import, and only these amounts need them
        from emoprune.io import onnx_files
        from emoprune.io.onnx_engine import Engine

        # the exporter takes a batch of one for a fixed size
        example = self._sample.expand(2, *self._sample.shape[1:])
        exported = onnx_files.export(net, example, {}, opset=onnx_files.EXPORTED_OPSET)
        return Engine(exported, threads=self._threads).task(self._sample)


@dataclass(frozen=True)
class Attempt:
    """A step that was measured.

    `fraction` is the predicted part of the whole network's time, `excess` the measured time as a multiple of
    what was asked.
    """

    step: int
    fraction: float
    times: Times
    excess: float


def timed_step(run: PruningRun, schedule: Schedule, amount: Amount) -> tuple[int, Speed]:
    """The step of a schedule at which the network is as fast as asked, and what was measured there.

    Raises UsageFault with the nearest that can be reached where this cannot.
    """
    from emoprune.io.onnx_timing import engine_name

    watch = Stopwatch(run.net, run.input_shape, run.config.threads)
    attempts = [_attempt(0, 1.0, watch.times(None), amount)]
    layers = run.footprint.nanoseconds
    # what layers do not take stays; of layers that were timed on a busy machine, all is theirs
    whole = max(1e6 * attempts[0].times.shortest, layers)

    def fraction(plan: Plan) -> float:
        left = footprint_after(plan, run.context, run.footprint).nanoseconds
        return 1 - (layers - left) / whole

    def measure(step: int) -> None:
        plan = schedule.plan(step)
        # for its time only the widths matter
        net = run.network(surgery.apply(plan, run.context, {}))
        attempts.append(_attempt(step, fraction(plan), watch.times(net), amount))

    with events.progress("measure", ROUNDS) as advance:
        while not _is_settled(attempts) and len(attempts) <= ROUNDS:
            wanted = _next_fraction(attempts)
            step = first_step(schedule, lambda plan: fraction(plan) <= wanted)  # noqa: B023  # called at once
            step = schedule.length if step is None else step
            if step in {attempt.step for attempt in attempts}:
                break
            measure(step)
            advance(text=f"{attempts[-1].times.speedup:.2f} times as fast")
        if all(attempt.excess > 1 + TOLERANCE and attempt.step < schedule.length for attempt in attempts):
            measure(schedule.length)
        advance(ROUNDS + 1 - len(attempts))
    reached = [attempt for attempt in attempts if attempt.excess <= 1 + TOLERANCE]
    if not reached:
        raise _out_of_reach(run, amount, attempts)
    best = min(reached, key=lambda attempt: abs(attempt.excess - 1))
    if best.step and best.excess < 1 - TOLERANCE:
        events.note(f"{best.times.speedup:.2f} times as fast is the nearest to {amount}")
    times = best.times
    change = Change(times.before, times.after)
    return best.step, Speed(change, times.speedup, 1 / best.fraction, run.config.threads, engine_name())


def _attempt(step: int, fraction: float, times: Times, amount: Amount) -> Attempt:
    excess = amount.value / times.speedup if amount.name == "speedup" else times.after / amount.value
    return Attempt(step, fraction, times, excess)


def _is_settled(attempts: Sequence[Attempt]) -> bool:
    whole, *_ = attempts
    return whole.excess <= 1 or any(abs(attempt.excess - 1) <= TOLERANCE / 2 for attempt in attempts)


def _next_fraction(attempts: Sequence[Attempt]) -> float:
    """The fraction at which the line through what was measured so far meets what was asked."""
    whole, *pruned = attempts
    if not pruned:
        return 1 / whole.excess
    slow = min((each for each in attempts if each.excess > 1), key=lambda each: each.fraction)
    fast = [each for each in pruned if each.excess <= 1]
    other = max(fast, key=lambda each: each.fraction) if fast else whole
    rise, run = other.excess - slow.excess, other.fraction - slow.fraction
    if rise * run <= 0:
        # noise: what should be faster is not
        return other.fraction if fast else 0.0
    return slow.fraction + (1 - slow.excess) * run / rise


def _out_of_reach(run: PruningRun, amount: Amount, attempts: Sequence[Attempt]) -> UsageFault:
    times = min(attempts, key=lambda attempt: attempt.excess).times
    if amount.name == "speedup":
        nearest = max(1.0, math.floor(100 * times.speedup) / 100)
        fact, remedy = f"at most {nearest:g} times as fast", f"give `speedup={nearest:g}` or less"
    else:
        nearest = math.ceil(100 * times.after) / 100
        fact, remedy = f"it takes at least {nearest:g} ms", f"give `latency_ms={nearest:g}` or more"
    finer = ", or a smaller `round_to`" if run.config.multiple > 1 else ""
    return UsageFault(f"{amount} is out of reach: {fact}", f"{remedy}{or_all_layers(run)}{finer}")
