"""How much a pruning is to take."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from emoprune.errors import UsageFault
from emoprune.networks import build, profiling
from emoprune.networks.profiling import Footprint
from emoprune.networks.types import Cost
from emoprune.pruning.amounts import Amount
from emoprune.pruning.budget import after, first_step, is_met, is_too_much, step_for
from emoprune.pruning.context import Request
from emoprune.pruning.methods import METHODS
from emoprune.pruning.pruning import Pruning
from emoprune.pruning.types import Plan, Removal
from tests.support.checkpoints import (
    OF_UNITS,
    OFFLINE,
    ONE_BY_ONE,
    check_agrees,
    counted,
    read,
    remedy,
    units,
)
from tests.support.command_line import Runner, tree
from tests.support.layers import subject_of_net, table_pruning
from tests.support.wiring import conv, head


@dataclass(frozen=True)
class Counting:
    """A schedule whose plan number n takes n of its units."""

    length: int

    def plan(self, step: int) -> Plan:
        assert 0 <= step <= self.length
        return Plan((Removal("hidden", self.length + 1, chosen=tuple(range(step))),))


def taken(plan: Plan) -> int:
    return len(plan.removals[0].removed)


@given(length=st.integers(0, 200), wanted=st.integers(0, 200))
def test_the_first_step_that_is_enough_is_found(length: int, wanted: int) -> None:
    found = first_step(Counting(length), lambda plan: taken(plan) >= wanted)
    assert found == (wanted if wanted <= length else None)


def test_few_plans_are_looked_at() -> None:
    looked: list[int] = []

    def enough(plan: Plan) -> bool:
        looked.append(taken(plan))
        return taken(plan) >= 700

    assert first_step(Counting(1000), enough) == 700
    assert len(looked) <= 12


def test_what_is_never_enough_has_no_step() -> None:
    assert first_step(Counting(10), lambda plan: False) is None
    assert first_step(Counting(10), lambda plan: True) == 0


@pytest.mark.parametrize("method", ["reconstruct", "random-units"])
def test_a_budget_is_met_and_one_unit_less_would_not_meet_it(method: str) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(conv(3, 12), nn.ReLU(), conv(12, 14), nn.ReLU(), head(14)).eval()
    context = subject_of_net(net, [torch.randn(20, 3, 6, 6)])
    whole = Footprint(context.graph, net)
    schedule = METHODS[method].plans(context, Footprint(context.graph, net), Request())
    for share in (0.9, 0.5, 0.1):
        wanted = share * whole.macs
        step = first_step(schedule, lambda plan: after(plan, context, whole).macs <= wanted)  # noqa: B023
        assert step is not None
        assert after(schedule.plan(step), context, whole).macs <= wanted
        assert after(schedule.plan(step - 1), context, whole).macs > wanted


def test_the_footprint_after_a_plan_is_that_of_a_copy() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(conv(3, 5), nn.ReLU(), conv(5, 4), nn.ReLU(), head(4)).eval()
    context = subject_of_net(net, [torch.randn(4, 3, 6, 6)])
    whole = Footprint(context.graph, net)
    before = whole.macs, whole.left.tolist()
    # layers may come in any order, and not all of them
    left = after(Plan((Removal("2", 4, chosen=(0, 3)), Removal("0", 5, chosen=(1,)))), context, whole)
    assert left.left.tolist() == [4, 2]
    assert left.macs == 36 * 9 * (3 * 4 + 4 * 2) + 2 * 2
    assert after(Plan((Removal("2", 4, chosen=(0,)),)), context, whole).left.tolist() == [5, 3]
    assert (whole.macs, whole.left.tolist()) == before


def cost_at(found: Pruning, step: int) -> tuple[int, Cost]:
    """The units and the cost of the network that is really built at a step."""
    after = found.carried_out(found.schedule().plan(step))
    units = sum(statistics.units for statistics in after.statistics.values())
    return units, profiling.cost(build.restore(after.spec, after.tensors), after.spec)


@pytest.mark.parametrize("option", ["--units", "--amount", "--macs", "--params"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_an_amount_is_met_at_the_first_step_whose_network_comes_down_to_it(option: str, share: float) -> None:
    found = table_pruning()
    amount = Amount(option, 14 * share if option == "--units" else share)
    step = step_for(found, found.schedule(), amount)
    for at, met in ((step, True), (step - 1, False)):
        units, cost = cost_at(found, at)
        enough = {
            "--units": units <= amount.value,
            "--amount": 14 - units >= round(14 * share),
            "--macs": cost.macs <= share * found.cost.macs,
            "--params": cost.parameters <= share * found.cost.parameters,
        }[option]
        assert enough == is_met(found, amount, found.schedule().plan(at)) == met


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--units", 1, "--units 1 cannot be met: 2 units have to stay; give --units 2"),
        ("--amount", 1, "at most 85.71% can go; give --amount 0.8571 or less"),
        # one unit a layer: 5 + 1 + 3 of 40 + 48 + 18
        ("--macs", 0.01, "the least that can stay is 8.50% of the multiply-accumulates; give --macs 0.085"),
    ],
)
def test_what_is_out_of_reach_is_answered_with_the_nearest(option: str, value: float, says: str) -> None:
    found = table_pruning()
    with pytest.raises(UsageFault) as caught:
        step_for(found, found.schedule(), Amount(option, value))
    assert says in str(caught.value)


def test_single_weights_are_counted_one_by_one_and_one_stays() -> None:
    found = table_pruning("magnitude")
    assert step_for(found, found.schedule(), Amount("--amount", 0.5)) == 24
    with pytest.raises(UsageFault, match="would leave no weight"):
        step_for(found, found.schedule(), Amount("--amount", 1))


def test_a_drop_is_of_points_and_an_increase_of_the_loss() -> None:
    drop, increase = Amount("--max-drop", 2), Amount("--max-loss-increase", 0.5)
    for now, lost in (((9.0, 0.78), False), ((0.0, 0.77), True)):
        assert is_too_much(drop, (1.0, 0.8), now) == lost
    for loss, lost in ((1.5, False), (1.6, True), (math.nan, True)):
        assert is_too_much(increase, (1.0, None), (loss, None)) == lost


@pytest.mark.parametrize(
    ("option", "name", "price", "images"),
    [
        ("--angle", "angle", "units", False),
        ("--amount", "amount", "units", False),
        ("--units", "units", "units", False),
        ("--macs", "macs", "macs", False),
        ("--params", "params", "parameters", False),
        ("--max-loss-increase", "max_loss_increase", "macs", True),
        ("--max-drop", "max_drop", "macs", True),
    ],
)
def test_an_amount_says_what_it_saves_and_whether_the_network_has_to_run(
    option: str, name: str, price: str, images: bool
) -> None:
    amount = Amount(option, 0.5)
    assert (amount.name, amount.price, amount.needs_images) == (name, price, images)
    assert str(amount) == f"{option} 0.5"


Zoo = Callable[[str], Path]
KEYS = {"--macs": "macs", "--params": "parameters"}


@pytest.mark.parametrize(("option", "share"), [("--macs", 0.8), ("--params", 0.3)])
@pytest.mark.parametrize("method", OF_UNITS)
def test_a_budget_is_met_and_hardly_overshot(
    emoprune: Runner, zoo: Zoo, method: str, option: str, share: float
) -> None:
    options = ("--method", method, option, share, "-o", "o.st")
    record = emoprune.done("prune", zoo("conv2"), *options).record
    check_agrees(record, zoo("conv2"), "o.st")
    left = counted("o.st")[KEYS[option]] / counted(zoo("conv2"))[KEYS[option]]
    # a unit of the first layer has a sixteenth of the multiply-accumulates of two layers
    assert share - 0.1 < left <= share
    assert record["amount"] == {option.removeprefix("--"): share}


@pytest.mark.parametrize(
    ("name", "option"),
    [("shufflenet_v2_x0_5", "--macs"), ("table", "--params")],
)
def test_a_budget_is_met_whatever_the_network(emoprune: Runner, zoo: Zoo, name: str, option: str) -> None:
    emoprune.done("prune", zoo(name), "--method", "reconstruct", option, 0.5, *OFFLINE, "-o", "o.st")
    left = counted("o.st")[KEYS[option]] / counted(zoo(name))[KEYS[option]]
    assert 0.42 < left <= 0.5


@pytest.mark.parametrize("wanted", [3, 59, 1000])
@pytest.mark.parametrize("method", ONE_BY_ONE)
def test_exactly_so_many_units_stay(emoprune: Runner, zoo: Zoo, method: str, wanted: int) -> None:
    emoprune.done("prune", zoo("conv2"), "--method", method, "--units", wanted, "-o", "o.st")
    assert sum(units("o.st").values()) == min(wanted, 60)


@pytest.mark.parametrize("wanted", [30, 3])
def test_distinct_leaves_no_more_units_than_wanted(emoprune: Runner, zoo: Zoo, wanted: int) -> None:
    # two of a complementary pair go at once
    record = emoprune.done("prune", zoo("conv2"), "--units", wanted, "-o", "o.st").record
    assert wanted - 6 <= record["units"]["after"] <= wanted
    assert record["amount"] == {"units": wanted}


@pytest.mark.parametrize("share", [0.1, 0.51])
@pytest.mark.parametrize("method", ONE_BY_ONE)
def test_that_share_of_the_units_goes(emoprune: Runner, zoo: Zoo, method: str, share: float) -> None:
    emoprune.done("prune", zoo("conv2"), "--method", method, "--amount", share, "-o", "o.st")
    assert sum(units("o.st").values()) == 60 - round(60 * share)


@pytest.mark.parametrize(
    "amount", [("--amount", 0), ("--macs", 1), ("--params", 1), ("--units", 60), ("--units", 61)]
)
def test_an_amount_of_nothing_takes_nothing(emoprune: Runner, zoo: Zoo, amount: tuple[str, object]) -> None:
    emoprune.done("prune", zoo("conv2"), "--method", "reconstruct", *amount, "-o", "o.st")
    before, after = read(zoo("conv2")), read("o.st")
    assert all(bool((value == after.tensors[name]).all()) for name, value in before.tensors.items())
    assert after.spec == before.spec


@pytest.mark.parametrize(("name", "method"), [("conv2", name) for name in ONE_BY_ONE])
def test_scope_layer_takes_the_same_share_of_every_layer(
    emoprune: Runner, zoo: Zoo, name: str, method: str
) -> None:
    options = ("--method", method, "--amount", "0.4", "--scope", "layer", *OFFLINE)
    layers = emoprune.done("prune", zoo(name), *options, "--dry-run").record["layers"]
    total = sum(layer["before"] for layer in layers)
    lost = 1 - sum(layer["after"] for layer in layers) / total
    for layer in layers:
        # layers of a unit or two cannot lose just as much
        assert abs(1 - layer["after"] / layer["before"] - lost) <= 1 / layer["before"] + 0.03


def test_a_global_budget_is_spent_where_it_costs_least(emoprune: Runner, zoo: Zoo) -> None:
    options = ("--method", "reconstruct", "--amount", "0.4")
    worst = []
    for scope in ("global", "layer"):
        record = emoprune.done("prune", zoo("conv2"), *options, "--scope", scope, "--dry-run").record
        worst.append(sum(layer["error_lstsq"] for layer in record["layers"]))
    assert worst[0] < worst[1]


@pytest.mark.parametrize(
    ("name", "multiple", "method"),
    [
        *(("conv2", 4, method) for method in ONE_BY_ONE),
        ("conv2", 10, "reconstruct"),
        ("shufflenet_v2_x0_5", 2, "reconstruct"),
    ],
)
def test_layers_keep_a_multiple(emoprune: Runner, zoo: Zoo, name: str, multiple: int, method: str) -> None:
    options = ("--method", method, "--macs", "0.6", "--round-to", multiple, *OFFLINE, "-o", "o.st")
    record = emoprune.done("prune", zoo(name), *options).record
    for layer in record["layers"]:
        assert layer["after"] % multiple == 0 or layer["after"] == layer["before"]
    assert any(layer["after"] < layer["before"] for layer in record["layers"])
    assert counted("o.st")["macs"] <= 0.6 * counted(zoo(name))["macs"]


@pytest.mark.parametrize(
    ("name", "glob", "method"),
    [
        *(("conv2", "features.*", method) for method in OF_UNITS),
        ("conv2", "*hidden1", "reconstruct"),
        ("shufflenet_v2_x0_5", "stage2.*", "importance"),
    ],
)
def test_layers_that_do_not_match_stay_whole(
    emoprune: Runner, zoo: Zoo, name: str, glob: str, method: str
) -> None:
    options = ("--method", method, "--layer", glob, "--amount", "0.5", *OFFLINE, "-o", "o.st")
    record = emoprune.done("prune", zoo(name), *options).record
    before, after = units(zoo(name)), units("o.st")
    chosen = {layer for layer in before if fnmatchcase(layer, glob)}
    assert {layer["layer"] for layer in record["layers"]} == chosen
    assert {layer for layer in before if after[layer] < before[layer]} <= chosen
    assert record["units"]["before"] == sum(before[layer] for layer in chosen)
    assert record["units"]["after"] <= record["units"]["before"] - round(record["units"]["before"] / 2)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--angle", "20", "--macs", "0.5"], ("--angle", "--macs", "give one")),
        (["--units", "20", "--amount", "0.5"], ("--units", "--amount", "give one")),
        (["--max-drop", "1", "--max-loss-increase", "1"], ("--max-drop", "--max-loss-increase")),
        (["--method", "reconstruct"], ("reconstruct", "give --macs")),
        (["--method", "importance"], ("importance", "give --macs")),
        (["--method", "random"], ("random", "give --amount")),
        (["--method", "importance", "--angle", "9"], ("importance", "angles", "--amount")),
        (["--method", "random-units", "--angle", "9"], ("random-units", "angles")),
        (["--method", "magnitude", "--angle", "9"], ("magnitude", "angles", "--amount")),
        (["--method", "magnitude", "--macs", "0.5"], ("magnitude", "--macs", "--amount")),
        (["--method", "random", "--units", "5"], ("random", "--units", "--amount")),
        (["--method", "magnitude", "--params", "0.5"], ("magnitude", "--params", "--amount")),
        (["--round-to", "8"], ("--round-to", "reconstruct")),
        (["--round-to", "8", "--units", "20"], ("--round-to", "reconstruct")),
        (["--method", "progressive", "--round-to", "8"], ("--round-to", "--macs")),
        (["--method", "magnitude", "--amount", "0.5", "--round-to", "8"], ("--round-to", "reconstruct")),
        (["--sensitivity", "--macs", "0.5"], ("--sensitivity", "--macs")),
        (["--scope", "layer", "--amount", "0.5"], ("--scope layer", "angle", "reconstruct")),
        (["--method", "progressive", "--scope", "layer"], ("--scope layer", "angle")),
        (["--method", "importance", "--amount", "0.5", "--round-to", "99"], ("no layer", "--round-to 99")),
        (["--macs", "1.5"], ("--macs",)),
        (["--macs", "-0.1"], ("--macs",)),
        (["--params", "nan"], ("--params",)),
        (["--amount", "2"], ("--amount",)),
        (["--units", "0"], ("--units",)),
        (["--units", "2.5"], ("--units",)),
        (["--round-to", "0"], ("--round-to",)),
        (["--max-drop", "101"], ("--max-drop",)),
        (["--max-loss-increase", "-1"], ("--max-loss-increase",)),
        (["--max-loss-increase", "inf"], ("--max-loss-increase",)),
        (["--max-loss-increase", "nan"], ("--max-loss-increase",)),
        (["--scope", "network"], ("--scope", "network")),
        (["--method", "magnitud", "--amount", "0.5"], ("magnitud", "did you mean magnitude?")),
        (["--samples", "1"], ("--samples",)),
    ],
    ids=" ".join,
)
def test_amounts_that_make_no_sense_are_the_command_lines_fault(
    emoprune: Runner, zoo: Zoo, argv: list[str], says: tuple[str, ...]
) -> None:
    emoprune.check_refused("prune", zoo("conv2"), *argv, "-o", "o.st", code=2, says=says)


@pytest.mark.parametrize(
    ("name", "method", "amount"),
    [
        *(
            ("conv2", method, (option, value))
            for method in ("reconstruct", "distinct")
            for option, value in (
                *(("--macs", "0.0001"), ("--params", "0.0001"), ("--macs", "0")),
                *(("--amount", "1"), ("--units", "1")),
            )
        ),
        ("shufflenet_v2_x0_5", "reconstruct", ("--macs", "0.01")),
        ("table", "importance", ("--params", "0")),
    ],
)
def test_what_cannot_be_met_is_answered_with_the_nearest_that_can(
    emoprune: Runner, zoo: Zoo, name: str, method: str, amount: tuple[str, str]
) -> None:
    argv = ("prune", zoo(name), "--method", method, *OFFLINE, "--dry-run")
    line = emoprune.check_refused(*argv, *amount, code=2, says=(" ".join(amount),))
    option, nearest = remedy(line)
    assert option == amount[0]
    emoprune.done(*argv, option, nearest)
    step = {"--units": -1, "--amount": 0.01}.get(option, -0.001)
    beyond = float(nearest) + step
    if 0 <= beyond <= 1 or option == "--units":
        emoprune.check_refused(*argv, option, f"{beyond:g}", code=2)


@pytest.mark.parametrize("amount", ["1", "0.99999"])
def test_a_share_that_leaves_no_weight_is_answered_with_one_that_does(
    emoprune: Runner, zoo: Zoo, amount: str
) -> None:
    argv = ("prune", zoo("table"), "--method", "magnitude", "--dry-run", "--amount")
    line = emoprune.check_refused(*argv, amount, code=2, says=("no weight",))
    _, most = remedy(line)
    emoprune.done(*argv, most)


def test_at_the_least_of_everything_a_network_is_left(emoprune: Runner, zoo: Zoo, small: Path) -> None:
    layers = len(read(zoo("conv2")).layers)
    emoprune.done("prune", zoo("conv2"), "--method", "reconstruct", "--units", layers, "-o", "o.st")
    assert set(units("o.st").values()) == {1}
    assert emoprune.done("eval", "o.st", small).record["units"] == layers
    before = tree(emoprune.folder)
    emoprune.done("prune", "o.st", "--method", "reconstruct", "--amount", "0.1", "--dry-run")
    emoprune.check_refused("prune", "o.st", "--method", "reconstruct", "--units", "1", code=2)
    assert tree(emoprune.folder) == before
