"""Scores of predictions agree with scikit-learn, statsmodels and slow literal versions."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics
from torch import Tensor

from emoprune.evaluation.confidence import wilson_interval
from emoprune.evaluation.scores import calibration_error, reliability, score

CLASSES = ("angry", "happy", "sad", "surprise")


@st.composite
def predictions(draw: st.DrawFn) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Logits, labels and classes; often a class is never predicted, or never there."""
    width, n = draw(st.integers(2, 4)), draw(st.integers(1, 40))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    logits = draw(st.sampled_from([0.5, 3.0])) * torch.randn(n, width, generator=generator)
    labels = torch.randint(draw(st.integers(1, width)), (n,), generator=generator)
    return logits, labels, CLASSES[:width]


def one_sure(*classes: int) -> Tensor:
    """Logits that are nearly certain of the given class in each row."""
    return 20 * torch.nn.functional.one_hot(torch.tensor(classes), 3).float()


@settings(deadline=None, max_examples=60)
@given(predictions())
def test_score_agrees_with_scikit_learn(case: tuple[Tensor, Tensor, tuple[str, ...]]) -> None:
    logits, labels, classes = case
    found = score(logits, labels, classes)
    actual, predicted, every = labels.numpy(), logits.argmax(1).numpy(), list(range(len(classes)))
    assert found["n"] == len(actual)
    assert found["classes"] == classes
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(actual, predicted))
    assert found["confusion"] == tuple(
        map(tuple, metrics.confusion_matrix(actual, predicted, labels=every).tolist())
    )
    probabilities = torch.softmax(logits.double(), 1).numpy()
    assert found["log_loss"] == pytest.approx(metrics.log_loss(actual, probabilities, labels=every))
    present = sorted(set(actual.tolist()))
    macro = metrics.f1_score(actual, predicted, labels=present, average="macro", zero_division=0)
    assert found["macro_f1"] == pytest.approx(macro)
    # scikit-learn says nan where there is nothing to divide by, we say None
    figures = metrics.precision_recall_fscore_support(
        actual, predicted, labels=every, zero_division=np.nan, average=None
    )
    top2 = np.argsort(-probabilities, axis=1, kind="stable")[:, :2]
    assert found["top2_accuracy"] == pytest.approx((top2 == actual[:, None]).any(1).mean(), abs=1e-9)
    if len(classes) > 2:
        theirs = metrics.top_k_accuracy_score(actual, probabilities, k=2, labels=every)
        assert found["top2_accuracy"] == pytest.approx(theirs, abs=1e-9)
    for index, name in enumerate(classes):
        own = found["per_class"][name]
        for ours, theirs in zip((own.precision, own.recall, own.f1), figures[:3], strict=True):
            assert (math.nan if ours is None else ours) == pytest.approx(theirs[index], nan_ok=True)
        assert own.support == figures[3][index]


def test_score_counts_a_class_never_predicted_as_0_in_macro_f1() -> None:
    found = score(one_sure(0, 0, 1), torch.tensor([0, 2, 1]), CLASSES[:3])
    never = found["per_class"]["sad"]
    assert (never.precision, never.recall, never.f1, never.support) == (None, 0, 0, 1)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 1 + 0) / 3)


def test_score_leaves_a_class_without_samples_out_of_macro_f1() -> None:
    found = score(one_sure(0, 1, 2), torch.tensor([0, 1, 1]), CLASSES[:3])
    absent = found["per_class"]["sad"]
    assert (absent.precision, absent.recall, absent.f1, absent.support) == (0, None, 0, 0)
    assert found["macro_f1"] == pytest.approx((1 + 2 / 3) / 2)


def test_score_gives_an_absent_class_no_figures() -> None:
    nothing = score(one_sure(0, 1), torch.tensor([0, 1]), CLASSES[:3])["per_class"]["sad"]
    assert (nothing.precision, nothing.recall, nothing.f1, nothing.support) == (None, None, None, 0)


def test_score_puts_actual_classes_in_rows_of_confusion() -> None:
    found = score(one_sure(1, 1, 2), torch.tensor([0, 0, 1]), CLASSES[:3])
    assert found["confusion"] == ((0, 2, 0), (0, 0, 1), (0, 0, 0))


def test_score_returns_plain_numbers() -> None:
    found = score(one_sure(0, 1), torch.tensor([0, 1]), CLASSES[:3])
    assert all(type(found[key]) is float for key in ("accuracy", "macro_f1", "log_loss", "calibration_error"))
    assert all(type(count) is int for row in found["confusion"] for count in row)


@settings(deadline=None, max_examples=30)
@given(st.sampled_from([torch.float32, torch.float64]), st.integers(0, 600))
def test_score_has_the_gap_of_logits_as_log_loss_of_a_sure_miss(dtype: torch.dtype, gap: int) -> None:
    logits = torch.tensor([[0.0, float(gap)]], dtype=dtype)
    found = score(logits, torch.tensor([0]), CLASSES[:2])
    assert found["log_loss"] == pytest.approx(gap + math.log1p(math.exp(-gap)))


@pytest.mark.parametrize("size", [1e3, 1e8, 3e38])
def test_score_is_finite_for_extreme_logits(size: float) -> None:
    logits = torch.tensor([[size, -size], [-size, size], [size, -size]])
    found = score(logits, torch.tensor([0, 1, 1]), CLASSES[:2])
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert 600 / 3 <= found["log_loss"] < math.inf
    assert found["calibration_error"] == pytest.approx(1 / 3)


def test_score_ignores_a_constant_added_to_logits() -> None:
    logits = torch.randn(30, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(30) % 3
    first, second = (score(logits + offset, labels, CLASSES[:3]) for offset in (0, 1e4))
    assert first["confusion"] == second["confusion"]
    assert first["log_loss"] == pytest.approx(second["log_loss"])
    assert first["calibration_error"] == pytest.approx(second["calibration_error"])


def test_score_has_the_wilson_interval_of_its_hits() -> None:
    found = score(one_sure(0, 1, 2, 0), torch.tensor([0, 1, 2, 1]), CLASSES[:3])
    assert found["accuracy_interval"] == wilson_interval(3, 4)


def literal_calibration_error(probabilities: Tensor, labels: Tensor) -> float:
    """Bin by bin: the share of samples times how far their accuracy is from their mean confidence."""
    total = 0.0
    for number in range(15):
        low, high = number / 15, (number + 1) / 15
        members = [
            (max(row), row.index(max(row)) == label)
            for row, label in zip(probabilities.tolist(), labels.tolist(), strict=True)
            if low < max(row) <= high
        ]
        if members:
            accuracy = sum(hit for _, hit in members) / len(members)
            confidence = sum(sure for sure, _ in members) / len(members)
            total += len(members) / len(labels) * abs(accuracy - confidence)
    return total


@settings(deadline=None, max_examples=60)
@given(predictions())
def test_calibration_error_agrees_with_a_literal_version(
    case: tuple[Tensor, Tensor, tuple[str, ...]],
) -> None:
    logits, labels, classes = case
    probabilities = logits.double().softmax(1)
    wanted = literal_calibration_error(probabilities, labels)
    assert calibration_error(reliability(probabilities, labels)) == pytest.approx(wanted, abs=1e-12)
    assert score(logits, labels, classes)["calibration_error"] == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize(
    ("confidence", "hits", "wanted"),
    [
        ([1.0, 1.0], [True, True], 0.0),
        ([1.0, 1.0], [True, False], 0.5),
        ([0.75, 0.75, 0.75, 0.75], [True, True, True, False], 0.0),
        # two bins, each off by a quarter, must not cancel
        ([0.75, 0.75, 0.5, 0.5, 0.5, 0.5], [True, True, True, False, False, False], 0.25),
        # one bin: over- and underconfidence within it do
        ([0.72, 0.72], [True, False], 0.22),
    ],
)
def test_calibration_error_of_cases_worked_out_by_hand(
    confidence: list[float], hits: list[bool], wanted: float
) -> None:
    sure = torch.tensor(confidence, dtype=torch.float64)
    labels = torch.tensor([0 if hit else 1 for hit in hits])
    found = calibration_error(reliability(torch.stack([sure, 1 - sure], 1), labels))
    assert found == pytest.approx(wanted)


def test_reliability_has_the_means_of_each_bin() -> None:
    sure = torch.tensor([1.0, 0.5, 0.52, 0.9], dtype=torch.float64)
    bins = reliability(torch.stack([sure, 1 - sure], 1), torch.tensor([0, 0, 1, 1]))
    assert len(bins) == 15
    known = {
        index: (each.count, each.confidence, each.accuracy) for index, each in enumerate(bins) if each.count
    }
    # (0.4667, 0.5333], (0.8667, 0.9333], (0.9333, 1]
    assert known == {7: (2, pytest.approx(0.51), 0.5), 13: (1, 0.9, 0.0), 14: (1, 1.0, 1.0)}
    assert (bins[0].confidence, bins[0].accuracy) == (None, None)


@pytest.mark.parametrize("labels", [[1], [1, 1, 1]])
def test_score_of_one_class_has_no_auc(labels: list[int]) -> None:
    found = score(torch.randn(len(labels), 3), torch.tensor(labels), CLASSES[:3])
    assert found["auc"] is None
    assert 0 <= found["top2_accuracy"] <= 1


def test_score_takes_the_first_of_equally_likely_classes() -> None:
    logits = torch.zeros(3, 3)
    found = score(logits, torch.tensor([0, 1, 2]), CLASSES[:3])
    assert found["accuracy"] == pytest.approx(1 / 3)
    assert found["top2_accuracy"] == pytest.approx(2 / 3)
    assert found["auc"] == 0.5
