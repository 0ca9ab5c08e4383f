"""Single weights that emoprune prune makes zero: as many as asked, and zero for good."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from emoprune.networks import build
from emoprune.networks.types import Checkpoint, HistoryEntry
from tests.support.checkpoints import OF_WEIGHTS, OFFLINE, changed, check_agrees, check_works, read, units
from tests.support.command_line import Runner

Zoo = Callable[[str], Path]
WEIGHTS = {
    "features.0.weight": 400,
    "features.3.weight": 12800,
    "classifier.hidden1.weight": 3456,
    "classifier.output.weight": 36,
}
TOTAL = sum(WEIGHTS.values())


def zeros(checkpoint: Checkpoint) -> dict[str, int]:
    """How many weights each mask takes; each is zero."""
    found = {}
    for name, mask in checkpoint.masks.items():
        assert mask.dtype == torch.bool
        assert mask.shape == checkpoint.tensors[name].shape
        assert not bool(checkpoint.tensors[name][~mask].any())
        found[name] = int((~mask).sum())
    return found


def masked(emoprune: Runner, model: Path | str, method: str, share: float, *more: object) -> Checkpoint:
    """The written checkpoint of a method at that share."""
    options = ("--method", method, "--amount", share, *more, "-o", "o.st", "--force")
    check_agrees(emoprune.done("prune", model, *options).record, model, "o.st")
    return read("o.st")


@pytest.mark.parametrize(
    ("method", "share"), [*(("magnitude", share) for share in (0, 0.1, 0.77)), ("random", 0.5)]
)
def test_exactly_that_share_of_the_weights_is_zero(
    emoprune: Runner, zoo: Zoo, method: str, share: float
) -> None:
    found = masked(emoprune, zoo("conv2"), method, share)
    assert found.masks.keys() == WEIGHTS.keys()
    assert sum(zeros(found).values()) == round(TOTAL * share)
    # in a network that was never pruned nothing is zero by itself
    assert sum(int((found.tensors[name] == 0).sum()) for name in WEIGHTS) == round(TOTAL * share)


@pytest.mark.parametrize("method", OF_WEIGHTS)
def test_scope_layer_takes_the_same_share_of_every_weight(emoprune: Runner, zoo: Zoo, method: str) -> None:
    taken = zeros(masked(emoprune, zoo("conv2"), method, 0.25, "--scope", "layer"))
    assert sum(taken.values()) == round(TOTAL * 0.25)
    for name, count in WEIGHTS.items():
        assert abs(taken[name] - 0.25 * count) <= 1


def test_magnitude_takes_the_smallest_of_all(emoprune: Runner, zoo: Zoo) -> None:
    found = masked(emoprune, zoo("conv2"), "magnitude", 0.5)
    before = read(zoo("conv2")).tensors
    taken = max(float(before[name][~mask].abs().max()) for name, mask in found.masks.items())
    left = min(float(before[name][mask].abs().min()) for name, mask in found.masks.items())
    assert taken <= left
    for name, mask in found.masks.items():
        assert torch.equal(found.tensors[name], before[name] * mask)


def test_layers_that_do_not_match_keep_their_weights(emoprune: Runner, zoo: Zoo) -> None:
    found = masked(emoprune, zoo("conv2"), "magnitude", 0.5, "--layer", "features.*")
    assert zeros(found).keys() == {"features.0.weight", "features.3.weight"}
    assert sum(zeros(found).values()) == 6600
    before = read(zoo("conv2")).tensors
    for name in ("classifier.hidden1.weight", "classifier.output.weight"):
        assert torch.equal(found.tensors[name], before[name])


def test_weights_of_any_layer_can_be_chosen(emoprune: Runner, zoo: Zoo) -> None:
    # it has no units of its own, but weights
    found = masked(emoprune, zoo("conv2"), "magnitude", 0.25, "--layer", "classifier.output")
    assert zeros(found) == {"classifier.output.weight": 9}


def test_a_model_without_statistics_loses_weights_all_the_same(emoprune: Runner, small: Path) -> None:
    options = ("--arch", "squeezenet1_1", "--size", "32", "--weights", "none", "--epochs", "0")
    emoprune.done("train", small, "m.st", *options, "--freeze", "backbone")
    found = masked(emoprune, "m.st", "magnitude", 0.5)
    assert sum(zeros(found).values()) > 0


@pytest.mark.parametrize(
    ("second", "share"), [("magnitude", 0.3), ("magnitude", 0.9), ("random", 0.3), ("random", 0.65)]
)
def test_zeros_stay_zero_when_more_weights_go(emoprune: Runner, zoo: Zoo, second: str, share: float) -> None:
    first = masked(emoprune, zoo("conv2"), "magnitude", 0.6)
    Path("first.st").write_bytes(Path("o.st").read_bytes())
    both = masked(emoprune, "first.st", second, share)
    for name, mask in first.masks.items():
        assert not bool((both.masks[name] & ~mask).any()), "what a mask has taken no later one gives back"
    # weights that are gone already count towards what is asked
    assert sum(zeros(both).values()) == round(TOTAL * max(0.6, share))


@pytest.mark.parametrize("merge", ["lstsq", "sum"])
@pytest.mark.parametrize("images", ["none", "small"])
def test_zeros_stay_zero_when_units_go(
    emoprune: Runner, zoo: Zoo, small: Path, merge: str, images: str
) -> None:
    first = masked(emoprune, zoo("conv2"), "magnitude", 0.6)
    data = small if images == "small" else images
    options = ("--method", "reconstruct", "--amount", "0.4", "--merge", merge, "--data", data)
    record = emoprune.done("prune", "o.st", *options, "-o", "two.st").record
    check_agrees(record, "o.st", "two.st")
    found = read("two.st")
    gone = {layer["layer"]: layer["removed"] for layer in record["layers"]}
    kept = [unit for unit in range(32) if unit not in gone["features.3"]]
    read_by = [unit for unit in range(16) if unit not in gone["features.0"]]
    assert torch.equal(found.masks["features.3.weight"], first.masks["features.3.weight"][kept][:, read_by])
    assert sum(zeros(found).values()) > 0.5 * sum(mask.numel() for mask in found.masks.values())
    check_works(emoprune, "two.st", small)
    assert found.masks.keys() == WEIGHTS.keys()


def test_zeros_stay_zero_through_three_prunes(emoprune: Runner, zoo: Zoo) -> None:
    masked(emoprune, zoo("conv2"), "magnitude", 0.8)
    masked(emoprune, "o.st", "magnitude", 0.5)
    record = emoprune.done(
        "prune", "o.st", "--method", "reconstruct", "--amount", "0.3", "-o", "two.st"
    ).record
    counts = record["nonzero_parameters"]
    assert counts["after"] < counts["before"] < 0.25 * TOTAL


def test_a_sparse_network_is_evaluated_and_exported(emoprune: Runner, zoo: Zoo, small: Path) -> None:
    masked(emoprune, zoo("conv2"), "magnitude", 0.5)
    check_works(emoprune, "o.st", small)
    emoprune.done("export", "o.st", "o.onnx", "--data", small)
    one, other = (emoprune.done("eval", path, small).record for path in ("o.st", "o.onnx"))
    for key in ("confusion", "parameters", "nonzero_parameters", "units"):
        assert one[key] == other[key]
    assert one["nonzero_parameters"] < 0.51 * one["parameters"]


def test_a_note_says_that_dense_engines_gain_nothing(emoprune: Runner, zoo: Zoo) -> None:
    result = emoprune.done("prune", zoo("conv2"), "--method", "magnitude", "--amount", "0.5", "--dry-run")
    (note,) = [line for line in result.err.splitlines() if line.startswith("note: ")]
    assert "49.8% of the parameters are zero" in note
    assert "dense engine" in note
    assert result.record["macs"]["before"] == result.record["macs"]["after"]


@pytest.mark.parametrize("merge", ["lstsq", "sum"])
def test_a_heavy_loss_is_told_whatever_merge_was_named(emoprune: Runner, zoo: Zoo, merge: str) -> None:
    options = ("--method", "magnitude", "--amount", "0.99", "--merge", merge, "--dry-run")
    result = emoprune.done("prune", zoo("conv2"), *options)
    assert any(layer["error_sum"] > 0.5 for layer in result.record["layers"])
    assert "warning: " in result.err


@pytest.mark.parametrize("name", ["conv2", "shufflenet_v2_x0_5"])
def test_units_that_fall_silent_really_go_and_nobody_misses_them(
    emoprune: Runner, zoo: Zoo, small: Path, name: str
) -> None:
    options = ("--method", "magnitude", "--amount", "0.95", *OFFLINE, "-o", "o.st")
    result = emoprune.done("prune", zoo(name), *options)
    counts = result.record["units"]
    assert 0 < counts["after"] < counts["before"]
    assert counts["after"] == sum(units("o.st").values())
    assert f"{counts['before'] - counts['after']:,} units" in result.err
    before, after = read(zoo(name)), read("o.st")
    sizes = torch.cat([before.tensors[weight].abs().flatten() for weight in after.masks])
    least = sizes.sort().values[round(0.95 * len(sizes))]
    masked = {**before.tensors}
    for weight in after.masks:
        masked[weight] = masked[weight] * (masked[weight].abs() >= least)
    batch = torch.randn(5, *before.spec.input, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        one, other = (
            build.restore(found.spec, tensors)(batch)
            for found, tensors in ((before, masked), (after, after.tensors))
        )
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    check_works(emoprune, "o.st", small)


def test_statistics_of_before_the_masks_are_not_passed_over_in_silence(
    emoprune: Runner, zoo: Zoo, small: Path
) -> None:
    stale = "its statistics are of before weights of it were masked"
    masked(emoprune, zoo("conv2"), "magnitude", 0.5, *OFFLINE)
    units_go = ("--method", "reconstruct", "--amount", "0.2", "-o", "p.st", "--force")
    assert stale in emoprune.done("angles", "o.st").err
    assert stale in emoprune.done("prune", "o.st", *units_go, *OFFLINE).err
    assert stale not in emoprune.done("prune", "o.st", *units_go, "--data", small).err
    # measured anew, it hands what it measured on
    assert stale not in emoprune.done("angles", "p.st").err
    assert stale not in emoprune.done("angles", zoo("conv2")).err


@pytest.mark.parametrize("parameters", [{}, {"method": "of tomorrow"}, {"method": ["magnitude"], "data": {}}])
def test_a_history_of_another_version_is_no_fault(
    emoprune: Runner, zoo: Zoo, parameters: dict[str, object]
) -> None:
    entry = HistoryEntry("prune", parameters, {}, {})
    Path("h.st").write_bytes(changed(zoo("conv2").read_bytes(), lambda found: {"history": (entry,)}))
    assert emoprune.done("angles", "h.st").lines
