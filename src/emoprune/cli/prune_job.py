"""One network to prune by one method: its plan, its certificate, what is left of it."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn

from emoprune.cli import console
from emoprune.cli.amounts import Amount
from emoprune.cli.sight import Sight
from emoprune.core import batchnorm, costs, nets, surgery
from emoprune.core.budget import after, first_step
from emoprune.core.certificate import certify
from emoprune.core.compensation import MERGES
from emoprune.core.courses import Course, Request
from emoprune.core.footprint import Footprint
from emoprune.core.methods import METHODS
from emoprune.core.refit import Refit
from emoprune.core.sparsity import silenced
from emoprune.core.statistics import collect
from emoprune.core.subject import Subject, stays
from emoprune.errors import UsageFault
from emoprune.records import Checkpoint, Cost, HiddenLayer, Plan, Removal
from emoprune.records.choices import Merge

NOISE_BATCH = 2

Merged = Mapping[str, Tensor]


@dataclass(frozen=True)
class Job:
    """One network to prune by one method; on `images` it is judged, and re-solved layer by layer.

    `net` is that of `before`, whose statistics are of `measured` images if prune took them itself.
    """

    before: Checkpoint
    net: nn.Module
    subject: Subject
    method: str
    request: Request
    images: Sight | None
    measured: int = 0

    @cached_property
    def cost(self) -> Cost:
        """What it costs before."""
        return costs.cost(self.net, self.before.spec)

    @property
    def resolves(self) -> bool:
        """Whether layers are re-solved on the images."""
        return self.images is not None and self.request.merge == "lstsq" and not METHODS[self.method].weights

    def looked_at(self, amount: Amount) -> int:
        """How many images statistics, the re-solving of layers and the judge look at, each counted once."""
        if self.images is None:
            return 0
        trained = max(self.measured, self.images.count if self.resolves else 0)
        if not amount.needs_images:
            return trained
        judges = len(self.images.judges)
        return max(trained, judges) if self.images.val is None else trained + judges

    @cached_property
    def _before(self) -> tuple[float, float | None]:
        """Mean loss and accuracy before."""
        assert self.images is not None
        return self.images.judge(self.net)

    def judged(self, after: Checkpoint, amount: Amount) -> dict[str, Any]:
        """Accuracy and loss before and after, and the part that they are of; nothing if nobody asked."""
        if self.images is None or not amount.needs_images:
            return {}
        found = (self._before, self.images.judge(nets.restore(after.spec, after.tensors)))
        (loss, accuracy), (now_loss, now) = found
        return {
            "accuracy": {"before": accuracy, "after": now},
            "loss": {
                "before": loss if math.isfinite(loss) else None,
                "after": now_loss if math.isfinite(now_loss) else None,
            },
            "judged_on": {
                "part": "train" if self.images.val is None else "val",
                "images": len(self.images.judges),
            },
        }

    @cached_property
    def _batches(self) -> list[Tensor]:
        assert self.images is not None
        return list(self.images.train_batches("images"))

    @cached_property
    def _footprint(self) -> Footprint:
        return Footprint(self.subject.graph, self.net)

    @property
    def footprint(self) -> Footprint:
        """A footprint to take units from."""
        return copy.deepcopy(self._footprint)

    def plan(self, amount: Amount) -> Plan:
        """What goes; UsageFault names the nearest amount that can be met where this one cannot."""
        method = METHODS[self.method]
        if amount.option == "--angle":
            return method.plan_within(self.subject, self.request, amount.value)
        course = method.plans(self.subject, self.footprint, self.request)
        if amount.needs_images:
            return self._whole(course.plan(self._last_bearable(course, amount)))
        if method.weights:
            return self._whole(course.plan(self._weights(course, amount)))
        step = first_step(course, partial(self._enough, amount))
        if step is None:
            raise self._out_of_reach(course, amount)
        return course.plan(step)

    def _enough(self, amount: Amount, plan: Plan) -> bool:
        return self._left(plan, amount) <= self._wanted(amount)

    def _left(self, plan: Plan, amount: Amount) -> float:
        """What a plan leaves of what the amount counts."""
        if amount.option in ("--amount", "--units"):
            return sum(len(removal.kept) for removal in plan.removals)
        whole = self._footprint
        left = after(plan, self.subject, whole)
        if amount.option == "--macs":
            return self.cost.macs - whole.macs + left.macs
        return self.cost.parameters - whole.parameters + left.parameters

    def _wanted(self, amount: Amount) -> float:
        units = sum(self.subject.statistics[layer.name].units for layer in self.subject.layers)
        return {
            "--amount": units - round(units * amount.value),
            "--units": amount.value,
            "--macs": self.cost.macs * amount.value,
            "--params": self.cost.parameters * amount.value,
        }[amount.option]

    def _out_of_reach(self, course: Course, amount: Amount) -> UsageFault:
        left = self._left(course.plan(course.length), amount)
        if amount.option == "--units":
            stay = f"{console.counted(round(left), 'unit')} {'has' if round(left) == 1 else 'have'} to stay"
            return UsageFault(f"{amount} cannot be met: {stay}", f"give --units {left:.0f}")
        if amount.option == "--amount":
            most = math.floor(1e4 * (1 - left / self._left(course.plan(0), amount))) / 1e4
            fact = f"{amount} would leave layers without units: at most {most:.2%} can go"
            return UsageFault(fact, f"give --amount {most:g} or less")
        whole = self.cost.macs if amount.option == "--macs" else self.cost.parameters
        least = math.ceil(1e4 * left / whole) / 1e4
        what = "multiply-accumulates" if amount.option == "--macs" else "parameters"
        fact = f"{amount} cannot be met: the least that can stay is {least:.2%} of the {what}"
        return UsageFault(fact, f"give {amount.option} {least:g} or more")

    def _weights(self, course: Course, amount: Amount) -> int:
        wanted = round((course.length + 1) * amount.value)
        if wanted > course.length:
            most = math.floor(1e4 * course.length / (course.length + 1)) / 1e4
            raise UsageFault(f"{amount} would leave no weight", f"give --amount {most:g} or less")
        return wanted

    def _last_bearable(self, course: Course, amount: Amount) -> int:
        """The last step whose network loses no more than the amount allows."""
        assert self.images is not None
        judge = self.images.judge
        loss, accuracy = self._before
        if accuracy is None and amount.option == "--max-drop":
            raise UsageFault(f"{self.before.spec.arch} has no accuracy to drop", "give --max-loss-increase")

        def too_much(plan: Plan) -> bool:
            pruned = self.carried_out(self._whole(plan))
            now_loss, now = judge(nets.restore(pruned.spec, pruned.tensors))
            points = 100 * ((accuracy or 0) - (now or 0))
            lost = points if amount.option == "--max-drop" else now_loss - loss
            # not the other way round: a network that computes NaN has lost too much
            return not lost <= amount.value + 1e-9

        # the harshest plan, then a bisection of the rest
        most, answers = 1 + course.length.bit_length(), list[bool]()
        with console.progress("search", most) as advance:

            def answer(plan: Plan) -> bool:
                answers.append(too_much(plan))
                advance()
                return answers[-1]

            step = first_step(course, answer)
            advance(most - len(answers))
        return course.length if step is None else max(0, step - 1)

    def _whole(self, plan: Plan) -> Plan:
        """A plan of masks together with the units that they silence; any other plan as it is."""
        if not plan.masks:
            return plan
        tensors = {**self.before.tensors}
        for name, mask in plan.masks.items():
            tensors[name] = tensors[name] * mask
        graph = self.subject.graph
        noise = torch.randn(
            NOISE_BATCH, *self.before.spec.input, generator=torch.Generator().manual_seed(self.request.seed)
        )
        seen = collect(nets.restore(self.before.spec, tensors), graph, graph.layers, [noise])
        found = {
            removal.layer: removal
            for removal in silenced(graph, tensors, seen).removals
            if f"{removal.layer}.weight" in self.request.weights
        }
        removals = [
            found.get(name, Removal(name, stop - start)) for name, (start, stop) in graph.spans.items()
        ]
        return Plan(tuple(removals), plan.masks)

    def merges(self, plan: Plan) -> dict[Merge, Merged]:
        """The tensors that the survivors take over with, under either merge; masks are merged by none."""
        if plan.masks:
            return {"sum": {name: self.before.tensors[name] * mask for name, mask in plan.masks.items()}}
        return {name: self._merged(plan, name) for name in MERGES}

    def _merged(self, plan: Plan, merge: Merge) -> Merged:
        """What a merge gives, with the zeros of an earlier pruning still zero."""
        merged = MERGES[merge](self.subject, plan)
        return {
            name: tensor * self.before.masks[name] if name in self.before.masks else tensor
            for name, tensor in merged.items()
        }

    def carried_out(self, plan: Plan, merged: Merged | None = None) -> Checkpoint:
        """The smaller network: merged, its batch norm mended, and re-solved on images where there are any.

        `merged` are the tensors of the job's own merge, where they are known already.
        """
        if self.request.merge == "sum" or plan.masks:
            merged = {} if plan.masks else merged or self._merged(plan, "sum")
            return surgery.apply(plan, self.before, self.subject, merged)
        merged = merged or self._merged(plan, "lstsq")
        if self.images is None:
            merged = {**merged, **batchnorm.rescaled(self.subject, plan, merged)}
            return surgery.apply(plan, self.before, self.subject, merged)
        return self._refitted(plan, surgery.apply(plan, self.before, self.subject, merged))

    def _refitted(self, plan: Plan, pruned: Checkpoint) -> Checkpoint:
        alive, graph = self.subject.alive(plan), self.subject.graph
        kept = {
            cut.tensor.removesuffix(".weight"): torch.nonzero(stays(cut.owner, alive)).flatten()
            for cut in graph.cuts
            if cut.dim == 0 and cut.tensor in graph.works
        }
        norms = {reader.layer: reader.norm for reading in graph.readings for reader in reading.readers}
        # its own copy: what was not cut is the original's still
        tensors = {name: tensor.clone() for name, tensor in pruned.tensors.items()}
        net = nets.restore(pruned.spec, tensors)
        refit = Refit(self.net, net, kept=kept, norms=norms, seed=self.request.seed)
        for _ in console.tracked(refit.run(self._batches), "re-solve", refit.steps):
            pass
        left = {name: tensor.detach() for name, tensor in net.state_dict().items()}
        masked = {name: left[name] * mask for name, mask in pruned.masks.items()}
        return replace(pruned, tensors={**left, **masked})

    def ladder(self, layer: HiddenLayer, amounts: Sequence[float]) -> Iterator[dict[str, Any]]:
        """What each share of one layer's units costs if nothing else goes."""
        alone = replace(self, subject=replace(self.subject, layers=(layer,)))
        course = METHODS[self.method].plans(alone.subject, alone.footprint, self.request)
        for amount in amounts:
            wanted = Amount("--amount", amount)
            step = first_step(course, partial(alone._enough, wanted))
            if step is not None:
                plan = course.plan(step)
                (certificate,) = certify(alone.subject, plan, alone.merges(plan))
                yield {"amount": amount, **asdict(certificate)}
