"""Sensitivity sweeps and pruning curves say what prune does at each amount."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from emoprune.choices import Center, Merge, MethodName
from emoprune.errors import UsageFault
from emoprune.pruning import sweeps
from emoprune.pruning.angles import angles_deg, default_center
from emoprune.pruning.error_estimate import estimate_errors
from emoprune.pruning.sweeps import sensitivity
from emoprune.pruning.types import PruneConfig, PruningStep
from tests.support.checkpoints import (
    FREELY,
    MERGE_NAMES,
    OF_UNITS,
    OF_WEIGHTS,
    Zoo,
    planned,
    pruned,
    read,
    scores_of,
    units,
)
from tests.support.command_line import SMALL, Runner
from tests.support.feature_tables import draw_table
from tests.support.layers import table_run


def swept(model: Path, **settings: Any) -> dict[str, list[dict[str, Any]]]:
    """The amounts and estimates of each layer."""
    found = sweeps.sensitivity_sweep(read(model), PruneConfig(**{**FREELY, **settings}))
    assert {each.layer: each.units for each in found} == units(read(model))
    return {
        each.layer: [{"amount": amount, **vars(estimate)} for amount, estimate in each.estimates.items()]
        for each in found
    }


@pytest.mark.parametrize("method", OF_UNITS)
def test_sensitivity_sweep_predicts_the_error_of_each_layer_alone(zoo: Zoo, method: MethodName) -> None:
    for name, steps in swept(zoo("conv2"), method=method).items():
        assert [step["amount"] for step in steps] == [tenths / 10 for tenths in range(1, 10)]
        left = [step["after"] for step in steps]
        assert left == sorted(left, reverse=True)
        (alone,) = planned(zoo("conv2"), method=method, layer=name, amount=0.5).error_estimate
        for key in ("before", "after", "error_sum", "error_lstsq"):
            assert getattr(alone, key) == pytest.approx(steps[4][key])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        *(({"method": method}, method) for method in OF_WEIGHTS),
        ({"macs": 0.5}, "`macs=0.5` is given"),
        ({"round_to": 8}, "`round_to`"),
    ],
)
def test_sensitivity_sweep_refuses_single_weights_and_amounts(
    zoo: Zoo, settings: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageFault, match=says):
        swept(zoo("conv2"), **settings)


@pytest.fixture
def narrow(emoprune: Runner, in_folder: Path) -> Path:
    """A table's model of 8 sigmoid units."""
    draw_table(in_folder / "t.csv")
    emoprune.done("train", "t.csv", "m.st", "--arch", "mlp", "--hidden", "8", "--epochs", "20")
    return in_folder / "m.st"


def curve(model: Path, **settings: Any) -> tuple[PruningStep, ...]:
    return sweeps.pruning_curve(read(model), PruneConfig(**settings), model="m.st").steps


@pytest.mark.parametrize("merge", MERGE_NAMES)
def test_every_step_of_a_curve_is_the_network_that_prune_makes_at_so_many_units(
    narrow: Path, merge: Merge
) -> None:
    center: Center | None = "mean" if merge == "sum" else None
    common: dict[str, Any] = {"method": "progressive", "merge": merge, "center": center}
    steps = curve(narrow, **common, units=4)
    assert [step.units for step in steps] == [8, 7, 6, 5, 4]
    for step in steps[1:]:
        found = pruned(narrow, **common, units=step.units).checkpoint
        scores = scores_of(found, Path("t.csv"), "train")
        assert step.loss == pytest.approx(scores.log_loss, rel=1e-5)
        assert step.accuracy == pytest.approx(scores.accuracy)
        (statistics,) = found.statistics.values()
        angles = angles_deg(statistics, center=center or default_center("sigmoid"))
        smallest = min(float(angles[i, j]) for i in range(len(angles)) for j in range(i))
        assert step.smallest_angle_deg == pytest.approx(smallest)
        assert step.least_importance is None


def test_pruning_curve_goes_down_to_one_unit_without_an_amount(narrow: Path) -> None:
    steps = curve(narrow, method="reconstruct")
    assert [step.units for step in steps] == list(range(8, 0, -1))
    assert steps[-1].smallest_angle_deg is None


def test_pruning_curve_stops_before_too_much_is_lost(narrow: Path) -> None:
    steps = curve(narrow, method="reconstruct", max_loss_increase=0.05)
    assert steps[0].loss is not None
    assert steps[-1].loss is not None
    assert steps[-1].loss <= steps[0].loss + 0.05
    left = pruned(narrow, method="reconstruct", max_loss_increase=0.05).checkpoint.units
    assert steps[-1].units == left < 8


def test_pruning_curve_of_importance_has_the_least_kernel_norm(emoprune: Runner, small: Path) -> None:
    emoprune.done("train", small, "c.st", *SMALL, "--epochs", "1", "--keep-paths")
    steps = curve(Path("c.st"), method="importance", layer="features.0", units=13)
    weight = read("c.st").tensors["features.0.weight"].double()
    # I = sqrt(sum(a^2) / k^2), luan2020, section 2.3
    norms = sorted((weight.square().sum((1, 2, 3)) / weight[0, 0].numel()).sqrt().tolist())
    assert [step.units for step in steps] == [16, 15, 14, 13]
    assert [step.least_importance for step in steps] == pytest.approx(norms[:4])
    assert all(step.smallest_angle_deg is None for step in steps)


def test_every_step_of_a_rounded_curve_removes_something(narrow: Path) -> None:
    counts = [step.units for step in curve(narrow, method="progressive", round_to=4)]
    assert len(counts) > 1
    assert counts == sorted(set(counts), reverse=True)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"method": "distinct"}, "one by one"),
        ({"method": "magnitude"}, "one by one"),
        ({"method": "progressive", "angle": 15}, "`angle` is given"),
        ({"method": "progressive", "data": "none"}, "gives none"),
    ],
)
def test_pruning_curve_refuses_what_has_no_steps(narrow: Path, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageFault, match=says):
        curve(narrow, **settings)


def test_pruning_curve_asks_for_data_that_is_gone(narrow: Path, in_folder: Path) -> None:
    (in_folder / "t.csv").rename(in_folder / "elsewhere.csv")
    with pytest.raises(UsageFault, match="give `data`"):
        curve(narrow, method="progressive")
    assert curve(narrow, method="progressive", data="elsewhere.csv")


def test_sensitivity_is_the_estimate_of_that_layer_alone() -> None:
    found = table_run()
    first, second = found.context.layers
    swept = dict(sensitivity(found, second, (0.5, 1.0)))
    # all of the units cannot go
    assert list(swept) == [0.5]
    assert (swept[0.5].layer, swept[0.5].before, swept[0.5].after) == (second.name, 6, 3)
    alone = replace(found, context=replace(found.context, layers=(second,)))
    plan = alone.schedule().plan(3)
    assert (swept[0.5],) == estimate_errors(found.context, plan, found.merges(plan))
    assert first.name not in {removal.layer for removal in plan.removals}
