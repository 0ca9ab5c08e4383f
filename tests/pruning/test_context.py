"""A checkpoint that is broken, of few images or of dead units, and what pruning makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from emoprune.choices import Merge, MethodName
from emoprune.cli.main import main
from emoprune.errors import EmopruneError, InvalidRecord, UsageFault
from emoprune.io import safetensors_files
from emoprune.networks import checkpoint as checkpoints
from emoprune.networks.types import Checkpoint
from emoprune.pruning.methods import METHODS
from emoprune.pruning.refit import Refit
from tests.evaluation.test_model import rewritten
from tests.support.checkpoints import (
    MERGE_NAMES,
    OF_UNITS,
    Zoo,
    changed,
    check_agrees,
    check_refused,
    check_works,
    planned,
    pruned,
    read,
    same_tensors,
    some,
    units,
)
from tests.support.layers import table_run
from tests.support.records import outcome


def test_apply_refits_layers_where_there_are_images(monkeypatch: pytest.MonkeyPatch) -> None:
    refitted: list[Refit] = []

    def nothing(self: Refit, images: object) -> Iterator[str]:
        refitted.append(self)
        yield from ()

    monkeypatch.setattr(Refit, "run", nothing)
    run = table_run()
    plan = run.schedule().plan(4)
    with_images = replace(run, images=lambda: [torch.randn(4, 5)])
    found, merged = with_images.apply(plan), run.apply(plan)
    assert len(refitted) == 1
    # nothing was refitted, so the merge is what is left
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in merged.tensors.items())
    replace(with_images, config=replace(run.config, merge="sum")).apply(plan)
    assert len(refitted) == 1


BY_ANGLE = [name for name, entry in METHODS.items() if entry.by_angle]


@pytest.mark.parametrize("method", METHODS)
def test_default_layers_of_methods_by_angle_are_the_dense_ones(
    zoo: Zoo, told: pytest.LogCaptureFixture, method: MethodName
) -> None:
    model, settings = read(zoo("conv2")), {**some(method), "data": "none"}
    dense = [removal.layer for removal in planned(model, **settings, layer=None).removals]
    every = [removal.layer for removal in planned(model, **settings, layer="*").removals]
    assert every == ["features.0", "features.3", "classifier.hidden1"]
    assert dense == (every[2:] if method in BY_ANGLE else every)
    note = f"`method={method}` prunes the dense hidden layers; `layer=*` prunes 2 other layers too"
    assert told.messages.count(note) == (method in BY_ANGLE)


@pytest.mark.parametrize("method", BY_ANGLE)
def test_default_layers_are_all_where_none_or_every_one_is_dense(
    zoo: Zoo, told: pytest.LogCaptureFixture, method: MethodName
) -> None:
    for name in ("shufflenet_v2_x0_5", "table"):
        model = read(zoo(name))
        found = planned(model, **some(method), data="none", layer=None)
        assert [removal.layer for removal in found.removals] == [layer.name for layer in model.layers]
    assert not any("prunes the dense" in message for message in told.messages)


Held = dict[str, Tensor]
NAN = float("nan")


def poked(name: str, value: float) -> Callable[[Held], None]:
    """Puts a number into a tensor of a checkpoint."""

    def poke(held: Held) -> None:
        held[name].view(-1)[3] = value

    return poke


def times(name: str, factor: float) -> Callable[[Held], None]:
    def scale(held: Held) -> None:
        held[name] = held[name] * factor

    return scale


def without(prefix: str) -> Callable[[Held], None]:
    """Takes all tensors away whose names begin so."""

    def drop(held: Held) -> None:
        for name in [name for name in held if name.startswith(prefix)]:
            del held[name]

    return drop


def narrower(held: Held) -> None:
    """Moments of one channel less."""
    held["reads.features.3.mean"] = held["reads.features.3.mean"][:-1].clone()
    whole = safetensors_files.unpacked(held["reads.features.3.covariance"], 16)
    held["reads.features.3.covariance"] = safetensors_files.packed(whole[:-1, :-1])


def swapped(held: Held) -> None:
    """Statistics of one layer under the name of another."""
    for part in checkpoints.STATISTICS:
        one, other = f"stats.features.0.{part}", f"stats.features.3.{part}"
        held[one], held[other] = held[other], held[one]


ILL: dict[str, tuple[Callable[[Held], None], tuple[str, ...]]] = {
    "a weight that is no number": (poked("net.features.3.weight", NAN), ("features.3.weight", "finite")),
    "an infinite bias": (poked("net.features.0.bias", float("inf")), ("features.0.bias", "finite")),
    "products that are no number": (poked("stats.features.3.covariance", NAN), ("not finite",)),
    "an infinite mean": (poked("stats.classifier.hidden1.mean", float("inf")), ("not finite",)),
    "a mean that is no number": (poked("reads.features.3.mean", NAN), ("not finite",)),
    "an infinite covariance": (poked("reads.features.3.covariance", float("inf")), ("not finite",)),
    "no moments": (without("reads."), ("features.3", "`data`")),
    "moments of other channels": (narrower, ("features.3", "`data`")),
    "statistics of other layers": (swapped, ("features.",)),
}


def read_as(zoo: Zoo, change: Callable[[Held], None]) -> Checkpoint:
    """The checkpoint of a convolutional network with its file changed."""
    return checkpoints.from_bytes(rewritten(zoo("conv2").read_bytes(), change))


@pytest.mark.parametrize("method", ["distinct", "reconstruct"])
@pytest.mark.parametrize("illness", ILL)
def test_a_broken_checkpoint_is_refused_by_name(zoo: Zoo, illness: str, method: MethodName) -> None:
    change, says = ILL[illness]
    with pytest.raises(EmopruneError) as caught:
        pruned(read_as(zoo, change), **some(method))
    assert not isinstance(caught.value, UsageFault)
    assert all(word in str(caught.value) for word in says)


CONTRADICTORY: dict[str, Callable[[Held], None]] = {
    "negative variances": times("reads.features.3.covariance", -1),
    "negative products": times("stats.features.3.covariance", -1),
    "huge numbers": times("reads.features.3.covariance", 1e37),
    "many patterns": lambda held: held.update({"stats.features.3.count": torch.tensor(2**62)}),
}


@pytest.mark.parametrize("method", ["distinct", "reconstruct", "importance"])
@pytest.mark.parametrize("illness", CONTRADICTORY)
def test_moments_that_contradict_themselves_are_refused_or_give_finite_weights(
    zoo: Zoo, illness: str, method: MethodName
) -> None:
    found = outcome(EmopruneError, lambda: pruned(read_as(zoo, CONTRADICTORY[illness]), **some(method)))
    if isinstance(found, EmopruneError):
        assert found.exit_code == 1
    else:
        assert all(bool(value.isfinite().all()) for value in found.checkpoint.tensors.values())


@pytest.mark.parametrize("illness", ["no moments", "moments of other channels"])
def test_data_replaces_statistics_that_are_broken(zoo: Zoo, small: Path, illness: str) -> None:
    settings = {**some("reconstruct"), "data": str(small)}
    broken = pruned(read_as(zoo, ILL[illness][0]), **settings).checkpoint
    assert same_tensors(broken, pruned(zoo("conv2"), **settings).checkpoint)


def test_statistics_of_another_network_are_refused(zoo: Zoo) -> None:
    lent = pruned(zoo("conv2"), **some("importance")).checkpoint
    fields = {"layers": lent.layers, "statistics": lent.statistics, "moments": lent.moments}
    borrowed = changed(read(zoo("conv2")), **fields)
    check_refused(borrowed, "`data`", error=InvalidRecord)


@pytest.fixture
def disabled(zoo: Zoo) -> Checkpoint:
    """A network with a channel that is always zero and a unit that is always the same."""

    def disable(held: Held) -> None:
        held["net.features.3.weight"][5], held["net.features.3.bias"][5] = 0, -1
        held["net.classifier.hidden1.weight"][7] = 0

    return read_as(zoo, disable)


def test_dead_and_constant_units_are_insignificant(disabled: Checkpoint, small: Path) -> None:
    found = planned(disabled, angle=0, center="mean", data=str(small))
    insignificant = {removal.layer: removal.insignificant for removal in found.removals}
    assert 5 in insignificant["features.3"]
    assert 7 in insignificant["classifier.hidden1"]


@pytest.mark.parametrize("merge", MERGE_NAMES)
@pytest.mark.parametrize("method", METHODS)
def test_every_method_prunes_a_network_with_dead_and_constant_units(
    disabled: Checkpoint, small: Path, method: MethodName, merge: Merge
) -> None:
    result = pruned(disabled, **some(method), merge=merge, data=str(small))
    check_agrees(result.outcome, disabled, result.checkpoint)


@pytest.mark.parametrize("images", ["small", "none"])
def test_dead_and_constant_units_are_removed_first_and_cost_nothing(
    disabled: Checkpoint, small: Path, images: str
) -> None:
    measured = pruned(disabled, method="importance", amount=0, merge="sum", data=str(small)).checkpoint
    data = str(small) if images == "small" else images
    result = pruned(measured, method="reconstruct", units=58, data=data)
    removed = {layer.layer: layer.removed for layer in result.outcome.layers}
    assert removed == {"features.0": (), "features.3": (5,), "classifier.hidden1": (7,)}
    for layer in result.outcome.layers:
        assert layer.error_lstsq == pytest.approx(0, abs=1e-4)
    batch = torch.rand(20, *disabled.spec.input, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        one, other = result.checkpoint.module()(batch), disabled.module()(batch)
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


@pytest.fixture(scope="session")
def starved(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of 248 units that was trained on six pictures."""
    path = tmp_path_factory.mktemp("starved") / "m.st"
    options = ("--size", "24", "--gray", "--hidden", "200", "--epochs", "3", "--split", "6/24")
    assert main(["train", str(small), str(path), "--arch", "conv2", *options]) == 0
    return path


@pytest.mark.parametrize("merge", MERGE_NAMES)
@pytest.mark.parametrize("method", METHODS)
def test_fewer_patterns_than_units_are_enough(starved: Path, method: MethodName, merge: Merge) -> None:
    result = pruned(starved, **some(method), merge=merge)
    check_agrees(result.outcome, read(starved), result.checkpoint)
    # least squares on six patterns must not answer with huge weights
    assert all(float(value.abs().max()) < 5 for value in result.checkpoint.tensors.values())
    if method in OF_UNITS:
        assert result.checkpoint.units < read(starved).units


def test_a_network_of_one_unit_a_layer_keeps_them(zoo: Zoo, small: Path) -> None:
    least = pruned(zoo("conv2"), method="random-units", units=3).checkpoint
    for method, entry in METHODS.items():
        amount = {"angle": 90} if entry.by_angle else {"amount": 0}
        again = pruned(least, method=method, **amount).checkpoint
        assert set(units(again).values()) == {1}
    check_works(again, small)
