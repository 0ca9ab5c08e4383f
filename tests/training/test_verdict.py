"""What is said of a training that has ended: made-up curves and answers, and what is wrong with them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from emoprune.choices import Keep
from emoprune.data.datasets import open_data
from emoprune.evaluation.evaluate import evaluate
from emoprune.evaluation.types import Metrics
from emoprune.networks.types import Epoch
from emoprune.training.config import train_config
from emoprune.training.train import train
from emoprune.training.verdict import Answers, Verdict, best_epoch, verdict
from tests.support.training import CONV1

NAMES = ("angry", "happy", "sad")
GOOD = Answers((100, 120, 80), (100, 120, 80), 240)


def curve(losses: Sequence[float], val: Sequence[float] = ()) -> tuple[Epoch, ...]:
    """Epochs with these training losses and val accuracies."""
    accuracies: Sequence[float | None] = val or [None] * len(losses)
    pairs = zip(losses, accuracies, strict=True)
    return tuple(
        Epoch(index, loss, 0.5, None if right is None else 1.0, right)
        for index, (loss, right) in enumerate(pairs, 1)
    )


LEARNING = curve([1.0, 0.6, 0.4], [0.4, 0.8, 0.7])


def judged(train: Answers = GOOD, val: Answers | None = GOOD, *, keep: Keep = "best") -> Verdict:
    return verdict(LEARNING, {"train": train} | ({"val": val} if val else {}), NAMES, keep=keep)


def test_answers_are_counted_by_class() -> None:
    labels, predicted = torch.tensor([0, 0, 1, 2]), torch.tensor([0, 1, 1, 1])
    found = Answers.of(labels, predicted, 4)
    assert found == Answers((2, 1, 1, 0), (1, 3, 0, 0), 2)
    assert (found.samples, found.accuracy, found.most_frequent) == (4, 0.5, 0)


def test_a_training_that_has_learned_is_one_fact_beside_chance_and_the_majority() -> None:
    found = judged()
    assert found.warnings == ()
    assert (found.best_epoch, found.train_accuracy, found.val_accuracy) == (2, 0.8, 0.8)
    assert (found.chance, found.majority) == (1 / 3, 0.4)
    assert found.fact == (
        "epoch 2 of 3 is kept, the best on val: 80.0% of train and 80.0% of val right; "
        "chance is 33.3%, always happy 40.0% of val"
    )
    assert judged(keep="last").fact.startswith("epoch 3 is kept, the last (the best on val is 2): ")


def test_more_than_the_majority_is_learned_of_val_where_there_is_that_part() -> None:
    assert judged().learned
    as_often = Answers((100, 120, 80), (0, 300, 0), 120)
    assert not judged(val=as_often).learned
    assert not judged(train=as_often, val=None).learned
    assert verdict(LEARNING, {}, NAMES, keep="last").learned


def test_without_a_val_part_train_is_judged() -> None:
    found = verdict(curve([1.0, 0.5]), {"train": GOOD}, NAMES, keep="last")
    assert (found.best_epoch, found.val_accuracy, found.majority) == (None, None, 0.4)
    assert (
        found.fact
        == "epoch 2 is kept, the last: 80.0% of train right; chance is 33.3%, always happy 40.0% of train"
    )


def test_best_epoch_is_the_earliest_of_the_highest_accuracy_or_lowest_loss() -> None:
    assert best_epoch(curve([1, 1, 1], [0.5, 0.7, 0.7]), "accuracy") == 2
    assert best_epoch(curve([1, 1, 1], [0.5, 0.7, 0.7]), "loss") == 1
    losses = tuple(Epoch(i, 1.0, None, loss) for i, loss in enumerate([3.0, 2.0, 2.5], 1))
    assert best_epoch(losses, "accuracy") == 2
    assert best_epoch(curve([1, 1]), "accuracy") is best_epoch((), "accuracy") is None


@pytest.mark.parametrize(("right", "warned"), [(48, True), (58, True), (62, False), (110, False)])
def test_what_may_be_chance_is_said_where_the_interval_holds_the_majority(right: int, warned: bool) -> None:
    # 48 of 120 are happy; of 60 right answers the 95% interval (Wilson) begins at 41.4%, of 58 at 39.7%
    (*texts,) = judged(val=Answers((40, 48, 32), (40, 48, 32), right)).warnings
    assert (
        any("of 120 samples of val are right, and always answering happy gets 48" in x for x in texts)
        is warned
    )


def test_overfitting_is_told_by_how_much() -> None:
    train = Answers((100, 120, 80), (100, 120, 80), 297)
    (text,) = judged(train, Answers((40, 48, 32), (40, 48, 32), 66)).warnings
    assert text.startswith("the network overfits: accuracy on train is 44 points above that on val; try ")
    # 9 points are little, and 10 of 9 samples may be chance
    assert judged(train, Answers((100, 120, 80), (100, 120, 80), 270)).warnings == ()
    few = judged(train, Answers((3, 3, 3), (3, 3, 3), 8)).warnings
    assert not any("overfits" in text for text in few)


@pytest.mark.parametrize(
    ("losses", "says"),
    [
        ([900.0, 500.0], f"the loss ends at 500, that of guessing is {math.log(3):.3g}; try a lower `lr`"),
        ([1.2, 1.9], "the loss has risen from 1.2 to 1.9; try a lower `lr`"),
        # worse than at the start, and still better than guessing
        ([0.2, 0.4], None),
        ([1.2, 1.1], None),
    ],
)
def test_a_loss_that_blew_up_is_told(losses: Sequence[float], says: str | None) -> None:
    found = verdict(curve(losses), {"train": GOOD}, NAMES, keep="last").warnings
    assert found == (() if says is None else (says,))


def test_one_answer_for_nearly_everything_is_told_unless_the_data_are_so() -> None:
    found = judged(val=Answers((40, 48, 32), (1, 117, 2), 48)).warnings
    assert any(
        text.startswith("98% of val is taken for happy, and 40% is; try another `lr`, more `epochs`")
        for text in found
    )
    same = judged(val=Answers((1, 117, 2), (1, 117, 2), 118)).warnings
    assert not any("taken for" in text for text in same)


def test_few_samples_are_to_be_overfit() -> None:
    answers = {"train": Answers((2, 0, 0), (2, 0, 0), 2), "val": Answers((40, 48, 32), (40, 40, 40), 40)}
    assert verdict(LEARNING, answers, NAMES, keep="best", overfit=True).warnings == ()


def test_a_network_that_reconstructs_has_losses_alone() -> None:
    epochs = (Epoch(1, 0.5, None, 0.6, None), Epoch(2, 0.3, None, 0.7, None))
    found = verdict(epochs, {}, (), keep="best")
    assert found.fact == "epoch 1 of 2 is kept, the best on val: loss 0.5 on train, 0.6 on val"
    assert (found.best_epoch, found.chance, found.warnings) == (1, None, ())
    assert verdict(epochs[::-1], {}, (), keep="last").warnings


def test_what_was_fitted_in_one_go_has_no_epoch_and_other_remedies() -> None:
    found = verdict((), {"train": GOOD, "val": Answers((40, 48, 32), (40, 40, 40), 50)}, NAMES, keep="best")
    assert found.fact.startswith("fitted in one go: 80.0% of train and 41.7% of val right")
    assert len(found.warnings) == 2
    assert all("`penalty`" in text for text in found.warnings)


@pytest.mark.parametrize("split", ["60/20/20", "80/20"])
@pytest.mark.parametrize("freeze", ["none", "backbone"])
def test_accuracies_are_those_that_eval_finds_of_the_network_that_is_kept(
    faces: Path, split: str, freeze: str
) -> None:
    data = open_data(faces)
    config = train_config(**CONV1 | {"epochs": 6, "lr": 0.02}, split=split, freeze=freeze, statistics=False)
    trained = train(data, config)
    found = trained.verdict
    assert found is not None
    for part, accuracy in (("train", found.train_accuracy), ("val", found.val_accuracy)):
        if part in trained.parts:
            metrics = evaluate(trained.checkpoint, data, part=part)  # type: ignore[arg-type]  # of a loop
            assert isinstance(metrics, Metrics)
            assert accuracy == metrics.accuracy
    assert (found.val_accuracy is None) == (split == "80/20")


def test_what_was_not_trained_has_no_verdict(faces: Path) -> None:
    assert train(open_data(faces), train_config(**CONV1 | {"epochs": 0})).verdict is None
