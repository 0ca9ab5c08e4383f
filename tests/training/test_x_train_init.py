"""emoprune train --save-init and --overfit: where training starts, and whether it can learn at all."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from emoprune.networks import checkpoint
from emoprune.networks.types import Checkpoint
from emoprune.training.loop import Recipe, fit
from tests.support.command_line import SMALL, Runner, tree

MLP = ("--arch", "mlp", "--hidden", "10", "--lr", "0.05")


def read(path: str | Path) -> Checkpoint:
    return checkpoint.read(str(path))


def same_tensors(one: Checkpoint, other: Checkpoint) -> bool:
    return one.tensors.keys() == other.tensors.keys() and all(
        torch.equal(one.tensors[name], other.tensors[name]) for name in one.tensors
    )


def test_the_first_state_is_that_of_no_steps_at_all(emoprune: Runner, small: Path, in_folder: Path) -> None:
    emoprune.done("train", small, "m.st", *SMALL, "--save-init", "init.st")
    emoprune.done("train", small, "zero.st", *SMALL, "--epochs", "0")
    assert same_tensors(read("init.st"), read("zero.st"))
    assert not same_tensors(read("init.st"), read("m.st"))
    assert read("init.st").spec == read("m.st").spec
    assert set(tree(in_folder)) == {"m.st", "init.st", "zero.st"}


def test_saving_the_first_state_changes_nothing_of_the_last(emoprune: Runner, small: Path) -> None:
    emoprune.done("train", small, "m.st", *SMALL, "--save-init", "init.st")
    assert emoprune.done("train", small, "-", *SMALL).raw == Path("m.st").read_bytes()


def test_going_on_from_the_first_state_is_the_whole_training(emoprune: Runner, small: Path) -> None:
    emoprune.done("train", small, "m.st", *SMALL, "--save-init", "init.st")
    emoprune.done("train", small, "again.st", "--from", "init.st", "--epochs", "2")
    one, other = read("m.st"), read("again.st")
    assert same_tensors(one, other)
    assert one.training == other.training


def test_the_first_state_has_no_statistics_and_is_a_model_like_any(
    emoprune: Runner, small: Path, in_folder: Path
) -> None:
    emoprune.done("train", small, "m.st", *SMALL, "--save-init", "init.st")
    found = read("init.st")
    assert (found.layers, found.statistics, found.moments, found.training) == ((), {}, {}, ())
    assert found.classes == ("angry", "happy", "surprise")
    assert emoprune.done("eval", "init.st", small).record["n"] == 6
    emoprune.check_refused("angles", "init.st", says=("init.st: ", "no statistics", "--data"))
    assert len(emoprune.done("angles", "init.st", "--data", small).out.splitlines()) == 2


def test_the_first_state_of_going_on_is_the_checkpoint_gone_on_with(
    emoprune: Runner, model: Path, faces: Path
) -> None:
    emoprune.done("train", faces, "on.st", "--from", model, "--epochs", "1", "--save-init", "init.st")
    assert same_tensors(read("init.st"), read(model))
    assert len(read("init.st").history) == 2


@pytest.mark.parametrize("place", ["nowhere/init.st", ".", "there.st"])
def test_a_first_state_that_cannot_be_written_is_refused_before_any_step(
    emoprune: Runner, small: Path, in_folder: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("it was trained for nothing")

    (in_folder / "there.st").write_text("mine")
    monkeypatch.setattr("emoprune.training.train.fit", never)
    emoprune.check_refused("train", small, "m.st", *SMALL, "--save-init", place)
    monkeypatch.undo()


def test_an_old_first_state_is_replaced_with_force(emoprune: Runner, small: Path, in_folder: Path) -> None:
    (in_folder / "init.st").write_text("mine")
    emoprune.done("train", small, "m.st", *SMALL, "--save-init", "init.st", "--force")
    assert read("init.st").spec.arch == "conv1"


def test_a_sanity_check_learns_so_many_samples_and_says_so(
    emoprune: Runner, table: Path, in_folder: Path
) -> None:
    result = emoprune.done("train", table, "m.st", *MLP, "--overfit", "7", "--epochs", "60")
    assert result.record["parts"] == {"train": 7, "test": 12}
    found = read("m.st")
    assert found.statistics["classifier.hidden1"].count == 7
    first = next(epoch.index for epoch in found.training if (epoch.train_accuracy or 0) >= 0.99)
    assert f"note: 7 samples are learned by epoch {first}" in result.err
    assert found.history[-1].parameters["overfit"] == 7


def test_what_is_not_learned_is_told_with_the_best_there_was(
    emoprune: Runner, table: Path, in_folder: Path
) -> None:
    result = emoprune.done("train", table, "m.st", *MLP, "--lr", "0", "--overfit", "9", "--epochs", "3")
    best = max(epoch.train_accuracy or 0 for epoch in read("m.st").training)
    assert best < 0.99
    assert f"warning: 9 samples are not learned: at best {best:.1%} of them" in result.err


def test_without_a_sanity_check_nothing_is_told(emoprune: Runner, table: Path) -> None:
    err = emoprune.done("train", table, "m.st", *MLP, "--epochs", "3").err
    assert "learned" not in err


def test_the_few_samples_are_of_the_training_part_and_follow_from_the_seed(
    emoprune: Runner, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[int]] = []

    def watched(net, samples, parts, *rest, **more):  # type: ignore[no-untyped-def]  # whatever fit takes
        seen.append(parts["train"].tolist())
        return fit(net, samples, parts, *rest, **more)

    monkeypatch.setattr("emoprune.training.train.fit", watched)
    for options in (("--overfit", "6"), ("--overfit", "6"), ("--overfit", "6", "--seed", "1"), ()):
        emoprune.done("train", table, "m.st", *MLP, "--epochs", "1", *options, "--force")
    few, again, other, whole = seen
    assert few == again != other
    assert len(set(few)) == 6
    assert set(few) <= set(whole)
    assert len(whole) == 48
    seen.clear()
    # going on the split stays, so that what differs is the choice from one part
    for seed in (1, 2):
        on = ("--from", "m.st", "--overfit", "6", "--seed", seed)
        emoprune.done("train", table, "on.st", *on, "--epochs", "1", "--force")
    assert seen[0] != seen[1]
    assert {*seen[0], *seen[1]} <= set(whole)


def test_pictures_behind_a_frozen_backbone_are_as_few(emoprune: Runner, small: Path) -> None:
    frozen = ("--freeze", "backbone", "--overfit", "6")
    emoprune.done("train", small, "m.st", *SMALL, *frozen)
    assert read("m.st").statistics["classifier.hidden1"].count == 6


def test_as_many_as_there_are_is_all_of_them(emoprune: Runner, table: Path) -> None:
    emoprune.done("train", table, "few.st", *MLP, "--overfit", "48", "--epochs", "2")
    emoprune.done("train", table, "all.st", *MLP, "--epochs", "2")
    assert same_tensors(read("few.st"), read("all.st"))


@pytest.mark.parametrize(
    ("count", "says"), [("49", ("--overfit 49", "48")), ("0", ("--overfit",)), ("-3", ("--overfit",))]
)
def test_a_count_that_cannot_be_is_refused(
    emoprune: Runner, table: Path, count: str, says: tuple[str, ...]
) -> None:
    emoprune.check_refused("train", table, "m.st", *MLP, "--overfit", count, code=2, says=says)


@pytest.mark.parametrize(
    ("option", "recorded"), [(("--lr-factor", "0.5"), "lr_factor"), (("--lr-decay", "0.5"), "lr_decay")]
)
def test_a_falling_rate_is_recorded_and_changes_what_is_learned(
    emoprune: Runner, table: Path, option: tuple[str, str], recorded: str
) -> None:
    emoprune.done("train", table, "plain.st", *MLP, "--epochs", "3")
    emoprune.done("train", table, "falling.st", *MLP, "--epochs", "3", *option)
    plain, falling = read("plain.st"), read("falling.st")
    assert falling.history[-1].parameters[recorded] == 0.5
    assert plain.history[-1].parameters[recorded] == getattr(Recipe, recorded)
    assert plain.training[0].train_loss == pytest.approx(falling.training[0].train_loss, rel=0.2)
    assert not same_tensors(plain, falling)


@pytest.mark.parametrize(
    "options",
    [
        *(("--lr-factor", "1.1"), ("--lr-factor", "-0.1"), ("--lr-factor", "nan"), ("--lr-decay", "-1")),
        *(("--lr-decay", "nan"), ("--hidden", "0"), ("--channels", "0"), ("--channels", "-2")),
        *(
            ("--channels", "many"),
            ("--arch", "conv2", "--channels", "3"),
            ("--channels", "3", "--channels", "4"),
        ),
        *(("--arch", "mlp", "--channels", "3"), ("--arch", "resnet18", "--size", "32", "--channels", "3")),
        *(("--augment", "none,flip"), ("--augment", "none", "--augment", "flip"), ("--augment", "None")),
    ],
    ids=" ".join,
)
def test_values_that_make_no_sense_are_usage_faults(
    emoprune: Runner, small: Path, options: tuple[str, ...]
) -> None:
    says = (options[-2],)
    emoprune.check_refused("train", small, "m.st", *SMALL, *options, code=2, says=says)


def test_channels_are_the_widths_of_the_convolutions(emoprune: Runner, small: Path) -> None:
    options = ("--arch", "conv2", "--size", "20", "--channels", "3", "--channels", "5", "--epochs", "1")
    summary = emoprune.done("train", small, "m.st", *options).record
    assert summary["layers"] == {"features.0": 3, "features.3": 5, "classifier.hidden1": 200}
    assert read("m.st").spec.channels == (3, 5)
    emoprune.done("prune", "m.st", "--method", "reconstruct", "--amount", "0.5", "-o", "half.st")
    assert emoprune.done("eval", "half.st", small).record["n"] == 6
    emoprune.done("export", "half.st", "half.onnx")
