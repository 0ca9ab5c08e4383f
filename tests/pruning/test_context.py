"""One network under one method, and what is left of it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from emoprune.cli.main import main
from emoprune.networks.types import Checkpoint
from emoprune.pruning.angles import angles_deg
from emoprune.pruning.methods import METHODS
from emoprune.pruning.refit import Refit
from tests.evaluation.test_model import rewritten
from tests.support.checkpoints import OF_UNITS, OFFLINE, changed, check_agrees, check_works, read, some, units
from tests.support.command_line import Runner, opened, tree
from tests.support.layers import table_pruning


def test_layers_are_re_solved_where_someone_does_it() -> None:
    seen: list[Refit] = []
    found = replace(table_pruning(), resolve=seen.append)
    plan = found.schedule().plan(4)
    after, merged = found.carried_out(plan), replace(found, resolve=None).carried_out(plan)
    assert len(seen) == 1
    # nothing was done to it, so the merge is what is left
    assert all(torch.equal(after.tensors[name], tensor) for name, tensor in merged.tensors.items())
    replace(found, request=replace(found.request, merge="sum")).carried_out(plan)
    assert len(seen) == 1


def test_what_is_left_is_told_by_its_angles_and_its_kernels() -> None:
    found = table_pruning("importance", center="mean")
    plan = found.schedule().plan(5)
    after = found.carried_out(plan)
    angles = [angles_deg(statistics, center="mean") for statistics in after.statistics.values()]
    least = min(float(each[i, j]) for each in angles for i in range(len(each)) for j in range(i))
    assert found.smallest_angle_deg(after) == least
    norms = [
        float(found.before.tensors[f"{removal.layer}.weight"][unit].double().norm())
        for removal in plan.removals
        for unit in removal.kept
    ]
    assert found.least_importance(plan) == pytest.approx(min(norms))


Zoo = Callable[[str], Path]
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
    held["reads.features.3.covariance"] = held["reads.features.3.covariance"][:-1, :-1].clone()


def lopsided(held: Held) -> None:
    generator = torch.Generator().manual_seed(0)
    held["reads.features.3.covariance"] = torch.randn(16, 16, generator=generator)


def swapped(held: Held) -> None:
    """Statistics of one layer under the name of another."""
    for part in ("count", "gram", "sum", "min", "max"):
        one, other = f"stats.features.0.{part}", f"stats.features.3.{part}"
        held[one], held[other] = held[other], held[one]


ILL: dict[str, tuple[Callable[[Held], None], tuple[str, ...]]] = {
    "a weight that is no number": (poked("net.features.3.weight", NAN), ("features.3.weight", "finite")),
    "an infinite bias": (poked("net.features.0.bias", float("inf")), ("features.0.bias", "finite")),
    "a gram that is no number": (poked("stats.features.3.gram", NAN), ("not finite",)),
    "an infinite sum": (poked("stats.classifier.hidden1.sum", float("inf")), ("not finite",)),
    "a mean that is no number": (poked("reads.features.3.mean", NAN), ("not finite",)),
    "an infinite covariance": (poked("reads.features.3.covariance", float("inf")), ("not finite",)),
    "no moments": (without("reads."), ("features.3", "--data")),
    "moments of other channels": (narrower, ("features.3", "--data")),
    "statistics of other layers": (swapped, ("features.",)),
}


@pytest.mark.parametrize("method", ["distinct", "reconstruct"])
@pytest.mark.parametrize("illness", ILL)
def test_an_ill_checkpoint_is_refused_in_one_line(
    emoprune: Runner, zoo: Zoo, illness: str, method: str
) -> None:
    change, says = ILL[illness]
    Path("m.st").write_bytes(rewritten(zoo("conv2").read_bytes(), change))
    emoprune.check_refused("prune", "m.st", *some(method), says=("m.st: ", *says))


CONTRADICTORY: dict[str, Callable[[Held], None]] = {
    "negative variances": times("reads.features.3.covariance", -1),
    "a lopsided covariance": lopsided,
    "a negative gram": times("stats.features.3.gram", -1),
    "huge numbers": times("reads.features.3.covariance", 1e37),
    "many patterns": lambda held: held.update({"stats.features.3.count": torch.tensor(2**62)}),
}


@pytest.mark.parametrize("method", ["distinct", "reconstruct", "importance"])
@pytest.mark.parametrize("illness", CONTRADICTORY)
def test_moments_that_contradict_themselves_are_no_bug(
    emoprune: Runner, zoo: Zoo, illness: str, method: str
) -> None:
    Path("m.st").write_bytes(rewritten(zoo("conv2").read_bytes(), CONTRADICTORY[illness]))
    result = emoprune("prune", "m.st", *some(method), "-o", "o.st")
    if result.code:
        assert result.code == 1
        (line,) = result.complaints
        assert line.startswith("emoprune: m.st: ")
    else:
        assert all(bool(value.isfinite().all()) for value in read("o.st").tensors.values())


@pytest.mark.parametrize("illness", ["no moments", "moments of other channels"])
def test_images_heal_what_was_measured(emoprune: Runner, zoo: Zoo, small: Path, illness: str) -> None:
    Path("m.st").write_bytes(rewritten(zoo("conv2").read_bytes(), ILL[illness][0]))
    emoprune.done("prune", "m.st", *some("reconstruct"), "--data", small, "-o", "o.st")
    emoprune.done("prune", zoo("conv2"), *some("reconstruct"), "--data", small, "-o", "p.st")
    one, other = read("o.st"), read("p.st")
    assert all(torch.equal(value, other.tensors[name]) for name, value in one.tensors.items())


def test_statistics_of_another_network_are_refused(emoprune: Runner, zoo: Zoo) -> None:
    emoprune.done("prune", zoo("conv2"), *some("importance"), "-o", "lender.st")

    def borrow(found: Checkpoint) -> Mapping[str, Any]:
        lent = read("lender.st")
        return {"layers": lent.layers, "statistics": lent.statistics, "moments": lent.moments}

    Path("m.st").write_bytes(changed(zoo("conv2").read_bytes(), borrow))
    emoprune.check_refused("prune", "m.st", "-o", "o.st", says=("m.st: ", "--data"))


@pytest.fixture
def disabled(zoo: Zoo, in_folder: Path) -> Path:
    """A network with a channel that is always zero and a unit that is always the same."""

    def disable(held: Held) -> None:
        held["net.features.3.weight"][5], held["net.features.3.bias"][5] = 0, -1
        held["net.classifier.hidden1.weight"][7] = 0

    path = in_folder / "m.st"
    path.write_bytes(rewritten(zoo("conv2").read_bytes(), disable))
    return path


TAKE_NOTHING = ("--method", "importance", "--amount", "0", "--merge", "sum")


def test_dead_and_constant_units_are_insignificant(emoprune: Runner, disabled: Path, small: Path) -> None:
    record = emoprune.done("prune", disabled, "--angle", "0", "--center", "mean", "--data", small).record
    found = {layer["layer"]: layer["removed"] for layer in record["layers"]}
    assert 5 in found["features.3"]
    assert 7 in found["classifier.hidden1"]


@pytest.mark.parametrize("merge", ["lstsq", "sum"])
@pytest.mark.parametrize("method", METHODS)
def test_dead_and_constant_units_are_borne(
    emoprune: Runner, disabled: Path, small: Path, method: str, merge: str
) -> None:
    record = emoprune.done("prune", disabled, *some(method), "--merge", merge, "--data", small, "-o", "o.st")
    check_agrees(record.record, disabled, "o.st")
    assert all(bool(value.isfinite().all()) for value in read("o.st").tensors.values())


@pytest.mark.parametrize("images", ["small", "none"])
def test_dead_and_constant_units_go_first_and_nobody_misses_them(
    emoprune: Runner, disabled: Path, small: Path, images: str
) -> None:
    emoprune.done("prune", disabled, *TAKE_NOTHING, "--data", small, "-o", "measured.st")
    options = ("--method", "reconstruct", "--units", "58", "--data", small if images == "small" else images)
    record = emoprune.done("prune", "measured.st", *options, "-o", "o.st").record
    gone = {layer["layer"]: layer["removed"] for layer in record["layers"]}
    assert gone == {"features.0": [], "features.3": [5], "classifier.hidden1": [7]}
    for layer in record["layers"]:
        assert layer["error_lstsq"] == pytest.approx(0, abs=1e-4)
    checkpoint, net = opened(disabled)
    batch = torch.rand(20, *checkpoint.spec.input, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(opened(Path("o.st"))[1](batch), net(batch), rtol=1e-3, atol=1e-3)


@pytest.fixture(scope="session")
def starved(small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of 248 units that was trained on six pictures."""
    path = tmp_path_factory.mktemp("starved") / "m.st"
    options = ("--size", "24", "--gray", "--hidden", "200", "--epochs", "3", "--split", "6/24")
    assert main(["train", str(small), str(path), "--arch", "conv2", *options]) == 0
    return path


@pytest.mark.parametrize("merge", ["lstsq", "sum"])
@pytest.mark.parametrize("method", METHODS)
def test_fewer_patterns_than_units_are_enough(
    emoprune: Runner, starved: Path, method: str, merge: str
) -> None:
    options = (*some(method), "--merge", merge, "-o", "o.st")
    record = emoprune.done("prune", starved, *options).record
    check_agrees(record, starved, "o.st")
    for name, value in read("o.st").tensors.items():
        assert bool(value.isfinite().all()), name
        # least squares on six patterns must not answer with huge weights
        assert float(value.abs().max()) < 5
    if method in OF_UNITS:
        assert record["units"]["after"] < record["units"]["before"]


def test_a_network_of_hardly_any_units_is_left_as_it_is(emoprune: Runner, zoo: Zoo, small: Path) -> None:
    emoprune.done("prune", zoo("conv2"), "--method", "random-units", "--units", "3", "-o", "o.st")
    for method in METHODS:
        amount = ("--angle", "90") if METHODS[method].within else ("--amount", "0")
        emoprune.done("prune", "o.st", "--method", method, *amount, "-o", f"{method}.st")
        assert set(units(f"{method}.st").values()) == {1}
    check_works(emoprune, "distinct.st", small)


def test_ctrl_c_in_the_middle_of_work_leaves_nothing(
    emoprune: Runner, zoo: Zoo, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Refit.run

    def interrupted(self: Refit, images: Any) -> Iterator[str]:
        for step, name in enumerate(whole(self, images)):
            if step == 4:
                raise KeyboardInterrupt
            yield name

    monkeypatch.setattr(Refit, "run", interrupted)
    Path("o.st").write_bytes(b"old")
    before = tree(emoprune.folder)
    options = (*some("reconstruct"), "--data", small, "-o", "o.st", "--force")
    result = emoprune("prune", zoo("conv2"), *options)
    assert (result.code, result.complaints, result.raw) == (130, ["emoprune: interrupted"], b"")
    assert tree(emoprune.folder) == before


@pytest.mark.parametrize(
    "options", [(*some("reconstruct"), "--dry-run"), ("--sensitivity",), (*some("reconstruct"), "-o", "-")]
)
def test_a_closed_pipe_ends_it_without_a_word(
    zoo: Zoo,
    in_folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
) -> None:
    path = str(zoo("conv2"))
    capsys.readouterr()
    layer_input, writing = os.pipe()
    os.close(layer_input)
    with (
        monkeypatch.context() as patch,
        contextlib.suppress(BrokenPipeError),
        os.fdopen(writing, "w") as stream,
    ):
        patch.setattr(sys, "stdout", stream)
        code = main(["prune", path, *options])
    assert code == 141
    assert capsys.readouterr().err == ""
    assert tree(in_folder) == {}


def test_standard_input_and_output_are_the_same_as_files(emoprune: Runner, zoo: Zoo) -> None:
    argv = (*some("reconstruct"), *OFFLINE)
    emoprune.done("prune", zoo("conv2"), *argv, "-o", "o.st")
    piped = emoprune.done("prune", "-", *argv, "-o", "-", stdin=zoo("conv2").read_bytes())
    assert piped.raw == Path("o.st").read_bytes()
    ladder = emoprune.done("prune", "-", "--sensitivity", stdin=zoo("conv2").read_bytes())
    assert {step["model"] for step in ladder.lines} == {"-"}


@pytest.mark.parametrize("content", [b"", b"text", b"PK\3\4"])
def test_standard_input_that_is_no_checkpoint_is_named(emoprune: Runner, content: bytes) -> None:
    emoprune.check_refused("prune", "-", "-o", "o.st", stdin=content, says=("standard input: ",))
