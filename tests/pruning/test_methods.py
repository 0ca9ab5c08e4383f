"""Every selection method is found by name without torch and does what its functions do."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest
import torch
from torch import nn

from emoprune.networks.profiling import Footprint
from emoprune.pruning import schedules
from emoprune.pruning.context import PruningContext, Request
from emoprune.pruning.methods import METHODS, Method
from emoprune.pruning.types import Plan
from tests.support.layers import subject_of_net


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 7), nn.Sigmoid(), nn.Linear(7, 5), nn.Sigmoid(), nn.Linear(5, 2)).eval()


@pytest.fixture
def context(net: nn.Module) -> PruningContext:
    with torch.no_grad():
        for name in ("weight", "bias"):
            net.get_parameter(f"0.{name}")[2] = net.get_parameter(f"0.{name}")[0]
    return subject_of_net(net, [torch.randn(30, 4)])


def test_tables_of_choices_are_known_before_torch_is_imported() -> None:
    code = (
        "import sys; from emoprune.pruning import methods; from emoprune.networks import registry;"
        "from emoprune.data import augmentation; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_names_functions_that_are_there(name: str) -> None:
    method = METHODS[name]
    for place in (method.schedule, method.within):
        if place is not None:
            module, _, function = place.partition(":")
            assert callable(getattr(import_module(module), function))
    assert method.meaning


def test_the_methods_that_look_at_angles_have_a_plan_for_an_angle() -> None:
    assert {name for name, method in METHODS.items() if method.within} == {"distinct", "progressive"}
    assert {name for name, method in METHODS.items() if method.weights} == {"magnitude", "random"}


@pytest.mark.parametrize("name", ["distinct", "progressive"])
def test_a_method_hands_what_it_is_given_to_its_functions_and_their_answer_back(
    name: str, net: nn.Module, context: PruningContext
) -> None:
    request = Request(merge="sum", center="half")
    plan = METHODS[name].plan_within(context, request, 15.0)
    function = {"distinct": schedules.distinct_within, "progressive": schedules.progressive_within}[name]
    assert plan == function(context, request, 15.0)
    assert 2 in plan.removals[0].similar
    schedule = METHODS[name].plans(context, Footprint(context.graph, net), request)
    expected = {"distinct": schedules.distinct_schedule, "progressive": schedules.progressive_schedule}[name]
    again = expected(context, Footprint(context.graph, net), request)
    assert schedule.length == again.length
    assert schedule.plan(schedule.length) == again.plan(again.length)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_gives_legal_plans(name: str, net: nn.Module, context: PruningContext) -> None:
    request = Request(weights=("0.weight", "2.weight"))
    schedule = METHODS[name].plans(context, Footprint(context.graph, net), request)
    plan = schedule.plan(schedule.length)
    assert isinstance(plan, Plan)
    if METHODS[name].weights:
        assert set(plan.masks) == set(request.weights)
        assert sum(int(mask.sum()) for mask in plan.masks.values()) == 1
    else:
        assert [removal.layer for removal in plan.removals] == ["0", "2"]
        assert all(1 <= len(removal.kept) < removal.units for removal in plan.removals)


def test_a_method_of_a_missing_module_fails_when_it_is_called_not_when_it_is_made() -> None:
    method = Method("a slip of the pen", "emoprune.pruning.nowhere:nothing")
    with pytest.raises(ModuleNotFoundError):
        method.plans(None, None, None)  # type: ignore[arg-type]  # it must fail before it looks at any
