"""The loss of answers, against scipy and against what it is by definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import entropy
from torch import Tensor, nn

from emoprune.evaluation.answers import AnswerLoss, answer_loss


class Answers(nn.Module):
    """Answers with rows of a table, by number."""

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.rows = rows

    def forward(self, x: Tensor) -> Tensor:
        return self.rows[x.long()]


def drawn(seed: int, *, scale: float = 2.0) -> Tensor:
    return scale * torch.randn(50, 7, generator=torch.Generator().manual_seed(seed))


def found(first: Tensor, second: Tensor, task: str) -> AnswerLoss | None:
    numbers = torch.arange(len(first)).split(8)
    return answer_loss(Answers(first), Answers(second), numbers, task, on="images")  # type: ignore[arg-type]


def test_lost_information_is_a_part_of_the_mutual_information() -> None:
    first, second = drawn(0), drawn(0) + drawn(1, scale=0.5)
    loss = found(first, second, "classify")
    assert loss is not None
    chances, others = (softmax(each.double().numpy(), axis=1) for each in (first, second))
    told = entropy(chances.mean(0)) - np.mean([entropy(row) for row in chances])
    lost = np.mean([entropy(row, other) for row, other in zip(chances, others, strict=True)])
    assert loss.lost == pytest.approx(lost / told, rel=1e-6)
    assert loss.same == float((chances.argmax(1) == others.argmax(1)).mean())
    assert loss.images == 50


@pytest.mark.parametrize("task", ["classify", "reconstruct"])
def test_the_same_answers_lose_nothing_and_the_mean_answer_loses_all(task: str) -> None:
    first = drawn(0)
    mean = torch.from_numpy(np.log(softmax(first.double().numpy(), axis=1).mean(0)))
    always = (mean if task == "classify" else first.mean(0)).expand_as(first)
    for second, expected in ((first, 0), (always, 1)):
        loss = found(first, second, task)
        assert loss is not None
        assert loss.lost == pytest.approx(expected, abs=1e-6)


def test_what_values_lose_is_unexplained_variance() -> None:
    first, second = drawn(0), drawn(1)
    loss = found(first, second, "reconstruct")
    assert loss is not None
    expected = ((first - second) ** 2).mean() / first.numpy().var(0).mean()
    assert loss.lost == pytest.approx(float(expected), rel=1e-5)
    assert loss.same is None
    assert str(loss) == f"the answers lose {loss.lost:.1%} of their information (50 images)"


@pytest.mark.parametrize("task", ["classify", "reconstruct"])
def test_answers_that_tell_nothing_lose_nothing_that_is_known(task: str) -> None:
    assert found(torch.ones(9, 7), drawn(1)[:9], task) is None


def test_an_impossible_answer_loses_everything() -> None:
    second = drawn(0)
    second[3, 2] = float("nan")
    loss = found(drawn(0), second, "classify")
    assert loss is not None
    assert not loss.lost <= 1e9


def test_answers_without_a_dimension_of_their_own_are_values_and_inputs_stay() -> None:
    class Overwriting(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.sub_(1).sum(1)

    x = torch.randn(20, 3)
    kept = x.clone()
    loss = answer_loss(Overwriting(), Overwriting(), [x], "reconstruct", on="images")
    assert loss is not None
    assert (loss.lost, loss.images) == (0, 20)
    assert torch.equal(x, kept)
