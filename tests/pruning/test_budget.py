"""From an amount to the step of a schedule, and the settings that contradict one another."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from emoprune.choices import MethodName
from emoprune.errors import UsageFault
from emoprune.networks.costs import profiling
from emoprune.networks.costs.profiling import Footprint
from emoprune.networks.types import Checkpoint
from emoprune.pruning.budget import first_step, footprint_after, is_met, is_too_much, step_for
from emoprune.pruning.selection.schedules import SCHEDULES, price_of
from emoprune.pruning.types import Amount, Plan, PruneConfig, Removal
from tests.support.checkpoints import (
    OF_UNITS,
    ONE_BY_ONE,
    Zoo,
    check_agrees,
    check_refused,
    counted,
    planned,
    pruned,
    read,
    remedy,
    same_tensors,
    scores_of,
    units,
)
from tests.support.layers import context_of_net, table_run
from tests.support.wiring import conv, head


@dataclass(frozen=True)
class Counting:
    """A schedule whose plan number n removes n of its units."""

    length: int

    def plan(self, step: int) -> Plan:
        assert 0 <= step <= self.length
        return Plan((Removal("hidden", self.length + 1, chosen=tuple(range(step))),))


def taken(plan: Plan) -> int:
    return len(plan.removals[0].removed)


@given(length=st.integers(0, 200), wanted=st.integers(0, 200))
def test_first_step_finds_the_first_plan_that_is_enough(length: int, wanted: int) -> None:
    found = first_step(Counting(length), lambda plan: taken(plan) >= wanted)
    assert found == (wanted if wanted <= length else None)


def test_first_step_tries_few_plans() -> None:
    looked: list[int] = []

    def enough(plan: Plan) -> bool:
        looked.append(taken(plan))
        return taken(plan) >= 700

    assert first_step(Counting(1000), enough) == 700
    assert len(looked) <= 12


def test_first_step_is_none_where_no_plan_is_enough() -> None:
    assert first_step(Counting(10), lambda plan: False) is None
    assert first_step(Counting(10), lambda plan: True) == 0


@pytest.mark.parametrize("method", ["reconstruct", "random-units"])
def test_first_step_meets_a_budget_that_one_unit_more_would_not(method: MethodName) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(conv(3, 12), nn.ReLU(), conv(12, 14), nn.ReLU(), head(14)).eval()
    context = context_of_net(net, [torch.randn(20, 3, 6, 6)])
    whole = Footprint(context.graph, net)
    schedule = SCHEDULES[method](context, Footprint(context.graph, net), PruneConfig(macs=0.5))
    for share in (0.9, 0.5, 0.1):
        wanted = share * whole.macs
        step = first_step(schedule, lambda plan: footprint_after(plan, context, whole).macs <= wanted)  # noqa: B023
        assert step is not None
        assert footprint_after(schedule.plan(step), context, whole).macs <= wanted
        assert footprint_after(schedule.plan(step - 1), context, whole).macs > wanted


def test_footprint_after_leaves_the_given_footprint_as_it_is() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(conv(3, 5), nn.ReLU(), conv(5, 4), nn.ReLU(), head(4)).eval()
    context = context_of_net(net, [torch.randn(4, 3, 6, 6)])
    whole = Footprint(context.graph, net)
    before = whole.macs, whole.left.tolist()
    # layers may come in any order, and not all of them
    left = footprint_after(
        Plan((Removal("2", 4, chosen=(0, 3)), Removal("0", 5, chosen=(1,)))), context, whole
    )
    assert left.left.tolist() == [4, 2]
    assert left.macs == 36 * 9 * (3 * 4 + 4 * 2) + 2 * 2
    assert footprint_after(Plan((Removal("2", 4, chosen=(0,)),)), context, whole).left.tolist() == [5, 3]
    assert (whole.macs, whole.left.tolist()) == before


@pytest.mark.parametrize("name", ["units", "amount", "macs", "params"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_step_for_is_the_first_step_whose_network_meets_the_amount(name: str, share: float) -> None:
    run = table_run()
    amount = Amount(name, 14 * share if name == "units" else share)
    schedule = run.schedule()
    step = step_for(run, schedule, amount)
    for at, met in ((step, True), (step - 1, False)):
        plan = schedule.plan(at)
        cost = profiling.cost(run.network(run.apply(plan)), run.input_shape)
        left = sum(len(removal.kept) for removal in plan.removals)
        enough = {
            "units": left <= amount.value,
            "amount": 14 - left >= round(14 * share),
            "macs": cost.macs <= share * run.cost.macs,
            "params": cost.parameters <= share * run.cost.parameters,
        }[name]
        assert enough == is_met(run, amount, plan) == met


@pytest.mark.parametrize(
    ("amount", "says"),
    [
        (Amount("units", 1), "`units=1` cannot be met: 2 units have to stay; give `units=2`"),
        (Amount("amount", 1), "at most 85.71% can be removed; give `amount=0.8571` or less"),
        # one unit a layer: 5 + 1 + 3 of 40 + 48 + 18
        (Amount("macs", 0.01), "at least 8.50% of the multiply-accumulates have to stay; give `macs=0.085`"),
    ],
)
def test_step_for_answers_what_is_out_of_reach_with_the_nearest(amount: Amount, says: str) -> None:
    run = table_run()
    with pytest.raises(UsageFault) as caught:
        step_for(run, run.schedule(), amount)
    assert says in str(caught.value)


def test_step_for_counts_single_weights_one_by_one_and_one_stays() -> None:
    run = table_run("magnitude")
    assert step_for(run, run.schedule(), Amount("amount", 0.5)) == 24
    with pytest.raises(UsageFault, match="would leave no weight"):
        step_for(run, run.schedule(), Amount("amount", 1))


def test_is_too_much_counts_a_drop_in_points_and_an_increase_of_the_loss() -> None:
    drop, increase = Amount("max_drop", 2), Amount("max_loss_increase", 0.5)
    for now, lost in (((9.0, 0.78), False), ((0.0, 0.77), True)):
        assert is_too_much(drop, (1.0, 0.8), now) == lost
    for loss, lost in ((1.5, False), (1.6, True), (math.nan, True)):
        assert is_too_much(increase, (1.0, None), (loss, None)) == lost


@pytest.mark.parametrize(
    ("name", "price", "images"),
    [
        *(("angle", "units", False), ("amount", "units", False), ("units", "units", False)),
        *(("macs", "macs", False), ("params", "parameters", False)),
        *(("speedup", "nanoseconds", False), ("latency_ms", "nanoseconds", False)),
        *(("max_loss_increase", "macs", True), ("max_drop", "macs", True)),
    ],
)
def test_given_amount_knows_what_it_saves_and_whether_the_network_has_to_run(
    name: str, price: str, images: bool
) -> None:
    config = PruneConfig(**{name: 1})  # type: ignore[arg-type]  # 1 is a value of each
    amount = config.given_amount
    assert amount == config.required_amount == Amount(name, 1)
    assert (price_of(config), amount.needs_images) == (price, images)
    assert str(amount) == f"`{name}=1`"


SAVED = {"macs": "macs", "params": "parameters"}


def left_of(found: Checkpoint, whole: Path, name: str) -> float:
    """The fraction of the multiply-accumulates or parameters that is left."""
    return counted(found)[SAVED[name]] / counted(read(whole))[SAVED[name]]


@pytest.mark.parametrize(("name", "share"), [("macs", 0.8), ("params", 0.3)])
@pytest.mark.parametrize("method", OF_UNITS)
def test_prune_meets_a_budget_and_hardly_overshoots(
    zoo: Zoo, method: MethodName, name: str, share: float
) -> None:
    result = pruned(zoo("conv2"), method=method, **{name: share})
    check_agrees(result.outcome, read(zoo("conv2")), result.checkpoint)
    # a unit of the first layer has a sixteenth of the multiply-accumulates of two layers
    assert share - 0.1 < left_of(result.checkpoint, zoo("conv2"), name) <= share
    assert result.checkpoint.history[-1].parameters["amount"] == {name: share}


@pytest.mark.parametrize(("name", "amount"), [("shufflenet_v2_x0_5", "macs"), ("table", "params")])
def test_prune_meets_a_budget_of_any_network(zoo: Zoo, name: str, amount: str) -> None:
    result = pruned(zoo(name), method="reconstruct", data="none", **{amount: 0.5})
    assert 0.42 < left_of(result.checkpoint, zoo(name), amount) <= 0.5


@pytest.mark.parametrize("wanted", [3, 59, 1000])
@pytest.mark.parametrize("method", ONE_BY_ONE)
def test_prune_keeps_exactly_the_units_asked_for(zoo: Zoo, method: MethodName, wanted: int) -> None:
    assert pruned(zoo("conv2"), method=method, units=wanted).checkpoint.units == min(wanted, 60)


@pytest.mark.parametrize("wanted", [30, 3])
def test_distinct_keeps_no_more_units_than_asked_for(zoo: Zoo, wanted: int) -> None:
    # both of a complementary pair may be removed at once
    assert wanted - 6 <= pruned(zoo("conv2"), units=wanted).checkpoint.units <= wanted


@pytest.mark.parametrize("share", [0.1, 0.51])
@pytest.mark.parametrize("method", ONE_BY_ONE)
def test_prune_removes_that_fraction_of_the_units(zoo: Zoo, method: MethodName, share: float) -> None:
    assert pruned(zoo("conv2"), method=method, amount=share).checkpoint.units == 60 - round(60 * share)


@pytest.mark.parametrize("amount", [{"amount": 0}, {"macs": 1}, {"params": 1}, {"units": 60}, {"units": 61}])
def test_an_amount_of_nothing_removes_nothing(zoo: Zoo, amount: dict[str, Any]) -> None:
    result = pruned(zoo("conv2"), method="reconstruct", **amount)
    assert same_tensors(read(zoo("conv2")), result.checkpoint)


@pytest.mark.parametrize("method", ONE_BY_ONE)
def test_scope_layer_removes_the_same_fraction_of_every_layer(zoo: Zoo, method: MethodName) -> None:
    found = planned(zoo("conv2"), method=method, amount=0.4, scope="layer", data="none")
    lost = sum(len(each.removed) for each in found.removals) / sum(each.units for each in found.removals)
    for each in found.removals:
        # layers of a unit or two cannot lose just as much
        assert abs(len(each.removed) / each.units - lost) <= 1 / each.units + 0.03


def test_a_global_budget_is_spent_where_it_costs_least(zoo: Zoo) -> None:
    errors = [
        sum(each.error_lstsq or 0 for each in planned(zoo("conv2"), **settings, scope=scope).error_estimate)
        for settings in [{"method": "reconstruct", "amount": 0.4}]
        for scope in ("global", "layer")
    ]
    assert errors[0] < errors[1]


@pytest.mark.parametrize(
    ("name", "multiple", "method"),
    [
        *(("conv2", 4, method) for method in ONE_BY_ONE),
        ("conv2", 10, "reconstruct"),
        ("shufflenet_v2_x0_5", 2, "reconstruct"),
    ],
)
def test_round_to_keeps_a_multiple_in_every_layer(
    zoo: Zoo, name: str, multiple: int, method: MethodName
) -> None:
    result = pruned(zoo(name), method=method, macs=0.7, round_to=multiple, data="none")
    for layer in result.outcome.layers:
        assert layer.after % multiple == 0 or layer.after == layer.before
    assert any(layer.after < layer.before for layer in result.outcome.layers)
    assert left_of(result.checkpoint, zoo(name), "macs") <= 0.7


@pytest.mark.parametrize(
    ("name", "glob", "method"),
    [
        *(("conv2", "features.*", method) for method in OF_UNITS),
        ("conv2", "*hidden1", "reconstruct"),
        ("shufflenet_v2_x0_5", "stage2.*", "importance"),
    ],
)
def test_layers_that_do_not_match_stay_whole(zoo: Zoo, name: str, glob: str, method: MethodName) -> None:
    result = pruned(zoo(name), method=method, layer=glob, amount=0.5, data="none")
    before, after = units(read(zoo(name))), units(result.checkpoint)
    chosen = {layer for layer in before if fnmatchcase(layer, glob)}
    assert {layer.layer for layer in result.outcome.layers} == chosen
    assert {layer for layer in before if after[layer] < before[layer]} <= chosen
    whole = sum(before[layer] for layer in chosen)
    assert result.outcome.units.before == whole
    assert sum(after[layer] for layer in chosen) <= whole - round(whole / 2)


def only(method: MethodName, **settings: Any) -> dict[str, Any]:
    return {"method": method, **settings}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"angle": 20, "macs": 0.5}, ("`angle`", "`macs`", "give one")),
        ({"units": 20, "amount": 0.5}, ("`units`", "`amount`", "give one")),
        ({"speedup": 2, "macs": 0.5}, ("`macs`", "`speedup`", "give one")),
        ({"speedup": 2, "latency_ms": 5}, ("`latency_ms`", "`speedup`", "give one")),
        ({"threads": 2, "macs": 0.5}, ("`threads`", "`speedup`", "`latency_ms`")),
        ({"speedup": 0.5}, ("`speedup=0.5`", "1 or more")),
        ({"latency_ms": 0}, ("`latency_ms=0`",)),
        (only("magnitude", speedup=2), ("magnitude", "`speedup`", "`amount`")),
        (only("random", latency_ms=2), ("random", "`latency_ms`", "`amount`")),
        ({"max_drop": 1, "max_loss_increase": 1}, ("`max_drop`", "`max_loss_increase`")),
        (only("reconstruct"), ("reconstruct", "give `macs=0.5`")),
        (only("importance"), ("importance", "give `macs=0.5`")),
        (only("random"), ("random", "give `amount=0.5`")),
        (only("importance", angle=9), ("importance", "angles", "`amount`")),
        (only("random-units", angle=9), ("random-units", "angles")),
        (only("magnitude", angle=9), ("magnitude", "angles", "`amount`")),
        (only("magnitude", macs=0.5), ("magnitude", "`macs`", "`amount`")),
        (only("random", units=5), ("random", "`units`", "`amount`")),
        (only("magnitude", params=0.5), ("magnitude", "`params`", "`amount`")),
        ({"round_to": 8}, ("`round_to`", "reconstruct")),
        ({"round_to": 8, "units": 20}, ("`round_to`", "reconstruct")),
        (only("progressive", round_to=8), ("`round_to`", "`macs`")),
        (only("magnitude", amount=0.5, round_to=8), ("`round_to`", "reconstruct")),
        ({"scope": "layer", "amount": 0.5}, ("`scope=layer`", "angle", "reconstruct")),
        (only("progressive", scope="layer"), ("`scope=layer`", "angle")),
        (only("importance", amount=0.5, round_to=99), ("no layer", "`round_to=99`")),
        ({"macs": 1.5}, ("`macs=1.5`",)),
        ({"macs": -0.1}, ("`macs=-0.1`",)),
        ({"params": math.nan}, ("`params=nan`",)),
        ({"amount": 2}, ("`amount=2`",)),
        ({"units": 0}, ("`units=0`",)),
        ({"round_to": 0}, ("`round_to=0`",)),
        ({"max_drop": 101}, ("`max_drop=101`",)),
        ({"max_loss_increase": -1}, ("`max_loss_increase=-1`",)),
        ({"max_loss_increase": math.inf}, ("`max_loss_increase=inf`",)),
        ({"max_loss_increase": math.nan}, ("`max_loss_increase=nan`",)),
        ({"scope": "network"}, ("scope", "network")),
        (only("magnitud", amount=0.5), ("magnitud", "magnitude")),  # type: ignore[arg-type]  # a misspelling
        ({"samples": 1}, ("`samples=1`",)),
    ],
    ids=str,
)
def test_settings_that_contradict_one_another_are_refused(
    zoo: Zoo, settings: dict[str, Any], says: tuple[str, ...]
) -> None:
    check_refused(zoo("conv2"), *says, **settings)


@pytest.mark.parametrize(
    ("name", "method", "amount", "value"),
    [
        *(
            ("conv2", method, *amount)
            for method in ("reconstruct", "distinct")
            for amount in (("macs", 0.0001), ("params", 0.0001), ("macs", 0.0), ("amount", 1), ("units", 1))
        ),
        ("shufflenet_v2_x0_5", "reconstruct", "macs", 0.01),
        ("table", "importance", "params", 0),
    ],
)
def test_plan_answers_what_cannot_be_met_with_the_nearest_that_can(
    zoo: Zoo, name: str, method: MethodName, amount: str, value: float
) -> None:
    shared: dict[str, Any] = {"method": method, "data": "none"}
    message = check_refused(zoo(name), f"`{amount}={value:g}`", **{**shared, amount: value})
    named, nearest = remedy(message)
    assert named == amount
    nearest = int(nearest) if amount == "units" else nearest
    planned(zoo(name), **{**shared, amount: nearest})
    beyond = nearest + {"units": -1, "amount": 0.01}.get(amount, -0.001)
    if 0 <= beyond <= 1 or amount == "units":
        check_refused(zoo(name), **{**shared, amount: beyond})


@pytest.mark.parametrize("amount", [1, 0.99999])
def test_a_fraction_that_leaves_no_weight_is_answered_with_one_that_does(zoo: Zoo, amount: float) -> None:
    message = check_refused(zoo("table"), "no weight", method="magnitude", amount=amount)
    planned(zoo("table"), method="magnitude", amount=remedy(message)[1])


def test_at_the_least_of_everything_a_network_is_left(zoo: Zoo, small: Path) -> None:
    layers = len(read(zoo("conv2")).layers)
    found = pruned(zoo("conv2"), method="reconstruct", units=layers).checkpoint
    assert set(units(found).values()) == {1}
    assert scores_of(found, small).units == layers
    assert not any(each.removed for each in planned(found, method="reconstruct", amount=0.1).removals)
    check_refused(found, method="reconstruct", units=1)
