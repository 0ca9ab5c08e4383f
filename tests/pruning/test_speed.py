"""The search for a speed, with engines whose times follow from the network, and once with the real one."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from emoprune.errors import UsageFault
from emoprune.networks.costs import profiling
from emoprune.networks.types import Spec
from emoprune.pruning.prune import PrunePlan, plan
from emoprune.pruning.speed import ROUNDS, TOLERANCE
from emoprune.pruning.types import PruneConfig
from tests.support.checkpoints import Zoo, pruned, read, remedy
from tests.support.layers import checkpoint_of
from tests.support.timing import set_times

WHOLE = 160 * 10 + 160 * 112 + 112 * 3


def linear(macs: int) -> float:
    return macs / 1e6


def overhead(macs: int) -> float:
    """Half of the time is not that of layers, and does not shrink."""
    return 0.02 + macs / 1e6


def curved(macs: int) -> float:
    """Small layers are slower for their size."""
    return float(macs**0.7 / 1e4)


def noisy() -> Callable[[int], float]:
    errors = itertools.cycle((1.0, 0.985, 1.015, 1.01, 0.99))
    return lambda macs: next(errors) * curved(macs)


def planned(**settings: Any) -> PrunePlan:
    """A plan for a network of WHOLE multiply-accumulates in three layers."""
    inputs = torch.randn(400, 10, generator=torch.Generator().manual_seed(1))
    whole = checkpoint_of(Spec("mlp", 3, (10,), (160, 112)), inputs)
    given: dict[str, Any] = {"method": "reconstruct", "data": "none", "max_error": 1e3, **settings}
    return plan(whole, PruneConfig(**given))


def macs_after(found: PrunePlan) -> int:
    return int(found.outcome().macs.after or 0)


@pytest.mark.parametrize("ms", [linear, overhead, curved])
@pytest.mark.parametrize(
    "settings",
    [
        {"speedup": 1.4, "round_to": 1},
        {"speedup": 1.8, "round_to": 4},
        {"speedup": 1.7, "method": "distinct", "layer": "*"},
    ],
    ids=str,
)
def test_a_network_is_as_fast_as_asked(
    monkeypatch: pytest.MonkeyPatch, ms: Callable[[int], float], settings: dict[str, Any]
) -> None:
    timed = set_times(monkeypatch, ms)
    found = planned(**settings)
    before, after = ms(timed[0]), ms(macs_after(found))
    assert found.speed is not None
    assert found.speed.speedup == pytest.approx(before / after)
    assert (found.speed.latency_ms.before, found.speed.latency_ms.after) == (before, after)
    assert abs(found.speed.speedup / settings["speedup"] - 1) <= TOLERANCE
    assert len(timed) <= ROUNDS + 1
    if ms is linear:
        # what layers promise holds, and the first guess is right
        assert found.speed.predicted == pytest.approx(found.speed.speedup, rel=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_noise_does_not_lead_astray(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    ms = noisy()
    for _ in range(seed):
        ms(1)
    timed = set_times(monkeypatch, ms)
    found = planned(speedup=1.6, round_to=1)
    assert abs(curved(timed[0]) / curved(macs_after(found)) / 1.6 - 1) <= TOLERANCE + 0.03


def test_a_network_takes_no_longer_than_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    timed = set_times(monkeypatch, curved)
    whole = curved(WHOLE)
    found = planned(latency_ms=whole / 1.5, round_to=1)
    assert curved(timed[0]) == pytest.approx(whole)
    assert curved(macs_after(found)) == pytest.approx(whole / 1.5, rel=TOLERANCE)


@pytest.mark.parametrize("settings", [{"speedup": 1}, {"latency_ms": 99}], ids=str)
def test_nothing_is_removed_of_a_network_that_is_fast_enough(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    timed = set_times(monkeypatch, linear)
    found = planned(**settings)
    assert not any(removal.removed for removal in found.removals)
    assert len(timed) == 1


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"speedup": 9, "round_to": 1}, "is out of reach: at most 1.9"),
        ({"speedup": 9}, "or a smaller `round_to`"),
        ({"latency_ms": 0.004, "round_to": 1}, "is out of reach: it takes at least 0.0"),
    ],
    ids=str,
)
def test_a_speed_out_of_reach_is_answered_with_the_nearest(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], says: str
) -> None:
    set_times(monkeypatch, overhead)
    with pytest.raises(UsageFault) as caught:
        planned(**settings)
    assert says in str(caught.value)
    name, nearest = remedy(str(caught.value))
    found = planned(**{**settings, name: nearest})
    assert found.speed is not None


def test_layers_keep_a_multiple_of_a_block_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    set_times(monkeypatch, linear)
    for settings, multiple in (({}, 16), ({"round_to": 4}, 4)):
        found = planned(speedup=1.5, **settings)
        assert found.settings["round_to"] == multiple
        assert all(len(removal.kept) % multiple == 0 for removal in found.removals)
        assert any(removal.removed for removal in found.removals)
    assert PruneConfig(method="reconstruct", macs=0.5).multiple == 1
    assert PruneConfig(speedup=2).multiple == 1


def test_history_has_what_was_asked_and_measured(monkeypatch: pytest.MonkeyPatch, zoo: Zoo) -> None:
    set_times(monkeypatch, linear)
    result = pruned(zoo("conv2"), method="reconstruct", data="none", speedup=1.5, round_to=1)
    entry = result.checkpoint.history[-1]
    assert entry.parameters["amount"] == {"speedup": 1.5}
    speed = entry.metrics["speed"]
    net = result.checkpoint.module()
    after = profiling.cost(net, result.checkpoint.spec.input).macs
    assert speed["latency_ms"]["after"] == pytest.approx(after / 1e6)
    assert speed["speedup"] == pytest.approx(1.5, rel=TOLERANCE)
    assert speed["threads"] == 1


def test_the_real_engine_is_timed(zoo: Zoo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Exports some networks, which takes seconds: nothing else runs all of it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(profiling, "MOST_TURNS", 20)
    config = PruneConfig(method="reconstruct", data="none", speedup=1000, threads=2)
    with pytest.raises(UsageFault, match="out of reach: at most") as caught:
        plan(read(zoo("conv2")), config)
    assert remedy(str(caught.value))[1] < 1000
    assert list(tmp_path.rglob("latency-*.json"))
