from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from emoprune.choices import Scope
from emoprune.networks.types import Checkpoint, Spec
from emoprune.pruning import surgery
from emoprune.pruning.context import Course, Request
from emoprune.pruning.methods import METHODS
from emoprune.pruning.types import Plan
from tests.support import reference_pruning as literal
from tests.support.layers import checkpoint_of, footprint_of, opened

WEIGHTS = ("classifier.hidden1.weight", "classifier.hidden2.weight", "classifier.output.weight")


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return checkpoint_of(Spec("mlp", 3, (6,), (10, 8)), torch.randn(50, 6))


def course_of(checkpoint: Checkpoint, name: str, *, scope: Scope = "global", seed: int = 0) -> Course:
    subject = opened(checkpoint)
    request = Request(scope=scope, seed=seed, weights=WEIGHTS)
    return METHODS[name].plans(subject, footprint_of(checkpoint, subject), request)


def carried_out(checkpoint: Checkpoint, plan: Plan) -> Checkpoint:
    return surgery.apply(plan, checkpoint, opened(checkpoint), {})


def zeros(tensors: Mapping[str, Tensor]) -> int:
    return sum(int((tensors[name] == 0).sum()) for name in WEIGHTS)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), share=st.floats(0, 0.999))
def test_the_smallest_weights_of_all_become_zero(seed: int, share: float) -> None:
    found = checkpoint_of(Spec("mlp", 3, (6,), (10, 8)), torch.randn(5, 6), seed=seed)
    course = course_of(found, "magnitude")
    assert course.length == 6 * 10 + 10 * 8 + 8 * 3 - 1
    step = round(share * course.length)
    plan = course.plan(step)
    expected = literal.smallest_weights([found.tensors[name].double().numpy() for name in WEIGHTS], step)
    assert plan.removals == ()
    for name, mask in zip(WEIGHTS, expected, strict=True):
        assert np.array_equal(plan.masks[name].numpy(), mask)
    assert zeros(carried_out(found, plan).tensors) == step


@pytest.mark.parametrize("step", [0, 17, 82, 150])
def test_the_smallest_weights_of_each_layer_become_zero(checkpoint: Checkpoint, step: int) -> None:
    course = course_of(checkpoint, "magnitude", scope="layer")
    plan = course.plan(step)
    shares = []
    for name in WEIGHTS:
        weight, mask = checkpoint.tensors[name].double().numpy(), plan.masks[name].numpy()
        count = int((~mask).sum())
        assert np.array_equal(mask, literal.smallest_weights([weight], count)[0])
        shares.append(count / weight.size)
        assert abs(count - step / (course.length + 1) * weight.size) <= 1
    assert max(shares) - min(shares) <= 1 / 24 + 1e-9


@pytest.mark.parametrize("name", ["magnitude", "random"])
@pytest.mark.parametrize("scope", ["global", "layer"])
def test_each_plan_takes_what_the_one_before_took_and_one_weight_more(
    checkpoint: Checkpoint, name: str, scope: Scope
) -> None:
    course = course_of(checkpoint, name, scope=scope)
    before = course.plan(0)
    assert all(bool(mask.all()) for mask in before.masks.values())
    for step in range(1, course.length + 1):
        now = course.plan(step)
        assert sum(int((~mask).sum()) for mask in now.masks.values()) == step
        assert all(not bool((now.masks[each] & ~before.masks[each]).any()) for each in WEIGHTS)
        before = now


def pruned_twice(
    checkpoint: Checkpoint, name: str, scope: Scope, second: int
) -> tuple[Checkpoint, Checkpoint]:
    once = carried_out(checkpoint, course_of(checkpoint, "magnitude").plan(80))
    return once, carried_out(once, course_of(once, name, scope=scope).plan(second))


@pytest.mark.parametrize("name", ["magnitude", "random"])
@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize("second", [30, 80, 120])
def test_pruning_again_never_brings_a_zero_back(
    checkpoint: Checkpoint, name: str, scope: Scope, second: int
) -> None:
    once, twice = pruned_twice(checkpoint, name, scope, second)
    for each in WEIGHTS:
        assert not bool(twice.tensors[each][once.tensors[each] == 0].any())
    if scope == "global":
        assert zeros(twice.tensors) == max(80, second)


@pytest.mark.parametrize("name", ["magnitude", "random"])
@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize("second", [30, 80, 120])
def test_masks_of_a_network_pruned_again_have_all_its_zeros(
    checkpoint: Checkpoint, name: str, scope: Scope, second: int
) -> None:
    once, twice = pruned_twice(checkpoint, name, scope, second)
    for each in WEIGHTS:
        # where a mask lets go of a zero, training could bring it back
        assert not bool((twice.masks[each] & ~once.masks[each]).any())


def test_random_weights_follow_the_seed_and_look_at_no_size(checkpoint: Checkpoint) -> None:
    first, again, other = (course_of(checkpoint, "random", seed=seed).plan(82) for seed in (5, 5, 6))
    assert all(torch.equal(first.masks[name], again.masks[name]) for name in WEIGHTS)
    assert any(not torch.equal(first.masks[name], other.masks[name]) for name in WEIGHTS)
    smallest = course_of(checkpoint, "magnitude").plan(82)
    same = sum(int((~first.masks[name] & ~smallest.masks[name]).sum()) for name in WEIGHTS)
    assert 20 < same < 62
