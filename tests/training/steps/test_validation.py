"""What is said of an epoch on the val part."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss
from torch import nn

from emoprune.choices import KeepBy
from emoprune.data.randomness import generator_at
from emoprune.networks.types import Epoch
from emoprune.training.steps.validation import merit, validate


def test_validate_gives_the_scores_of_scikit_learn() -> None:
    logits = torch.randn(60, 4, generator=generator_at(0))
    labels = torch.tensor([0] * 40 + [1] * 12 + [2] * 6 + [3] * 2)
    found = validate(nn.Identity(), iter(logits.split(7)), labels, "classify", 4)
    guessed = logits.argmax(1)
    assert found.accuracy == pytest.approx(float((guessed == labels).float().mean()))
    assert found.balanced_accuracy == pytest.approx(balanced_accuracy_score(labels, guessed))
    assert found.macro_f1 == pytest.approx(f1_score(labels, guessed, average="macro"))
    assert found.loss == pytest.approx(log_loss(labels, logits.double().softmax(1).numpy()))


def test_validate_says_nan_for_outputs_that_are_not_finite() -> None:
    logits = torch.tensor([[0.0, math.inf]])
    assert math.isnan(validate(nn.Identity(), iter([logits]), torch.tensor([0]), "classify", 2).loss)


@pytest.mark.parametrize(
    ("by", "wanted"), [("accuracy", 0.5), ("balanced-accuracy", 0.4), ("macro-f1", 0.3), ("loss", -1.5)]
)
def test_merit_is_the_score_that_is_asked_for(by: KeepBy, wanted: float) -> None:
    assert merit(Epoch(1, 1.0, 0.6, 1.5, 0.5, 0.4, 0.3), by) == wanted


def test_merit_of_what_does_not_classify_is_its_loss() -> None:
    assert merit(Epoch(1, 1.0, None, 0.25), "accuracy") == -0.25
