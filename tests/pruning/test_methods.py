"""Every method has the functions that its table promises, and legal plans."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import nn

from emoprune.choices import MethodName
from emoprune.networks.costs.profiling import Footprint
from emoprune.pruning.context import PruningContext
from emoprune.pruning.methods import METHODS
from emoprune.pruning.selection.schedules import SCHEDULES, WITHIN_ANGLE
from emoprune.pruning.types import Plan, PruneConfig
from tests.support.layers import context_of_net


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 7), nn.Sigmoid(), nn.Linear(7, 5), nn.Sigmoid(), nn.Linear(5, 2)).eval()


@pytest.fixture
def context(net: nn.Module) -> PruningContext:
    with torch.no_grad():
        for name in ("weight", "bias"):
            net.get_parameter(f"0.{name}")[2] = net.get_parameter(f"0.{name}")[0]
    return context_of_net(net, [torch.randn(30, 4)])


def test_registries_import_no_torch() -> None:
    code = (
        "import sys; from emoprune.pruning import methods; from emoprune.networks import registry;"
        "from emoprune.data import augmentation; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_method_has_a_schedule_and_those_by_angle_a_plan_for_an_angle() -> None:
    assert set(METHODS) == set(SCHEDULES) == set(get_args(MethodName))
    assert set(WITHIN_ANGLE) == {name for name, method in METHODS.items() if method.by_angle}


@pytest.mark.parametrize("name", sorted(WITHIN_ANGLE))
def test_methods_by_angle_remove_a_copy_under_any_angle(name: MethodName, context: PruningContext) -> None:
    config = PruneConfig(method=name, merge="sum", center="half")
    plan = WITHIN_ANGLE[name](context, config, 0.001)
    assert 2 in plan.removals[0].similar
    assert plan.removals[0].merges[2] == 0


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_gives_legal_plans(name: MethodName, net: nn.Module, context: PruningContext) -> None:
    context = replace(context, weights=("0.weight", "2.weight"))
    schedule = SCHEDULES[name](context, Footprint(context.graph, net), PruneConfig(method=name))
    plan = schedule.plan(schedule.length)
    assert isinstance(plan, Plan)
    if METHODS[name].weights:
        assert set(plan.masks) == set(context.weights)
        assert sum(int(mask.sum()) for mask in plan.masks.values()) == 1
    else:
        assert [removal.layer for removal in plan.removals] == ["0", "2"]
        assert all(1 <= len(removal.kept) < removal.units for removal in plan.removals)
