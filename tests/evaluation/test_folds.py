"""Networks on the folds that they were not trained on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from emoprune.data.datasets import open_data
from emoprune.data.image_dataset import to_input
from emoprune.data.splits import fold_rules, partition
from emoprune.errors import BadData
from emoprune.evaluation.folds import evaluate_folds
from emoprune.evaluation.model import samples_for
from emoprune.networks.losses import predict
from emoprune.networks.types import Checkpoint
from emoprune.training.config import train_config
from emoprune.training.train import train


@pytest.fixture(scope="module")
def folds(faces: Path) -> list[Checkpoint]:
    data = open_data(faces)
    config = train_config(arch="conv1", size="16", gray=True, hidden=8, epochs=4, lr=0.02, keep="last")
    return [train(data, config, rule=rule).checkpoint for rule in fold_rules(data, 3)]


def test_evaluate_folds_scores_each_sample_by_the_network_that_has_not_seen_it(
    faces: Path, folds: list[Checkpoint]
) -> None:
    data = open_data(faces)
    guessed: dict[int, int] = {}
    for made in folds:
        held_out = torch.tensor(partition(data.catalog, made.split)["val"])
        inputs = to_input(samples_for(made, data).batch(held_out), made.preprocess)
        (logits,) = predict(made.module(), iter([inputs]))
        guessed.update(zip(held_out.tolist(), logits.argmax(1).tolist(), strict=True))
    assert sorted(guessed) == list(range(60))
    found = evaluate_folds(folds, data, device="cpu")
    wanted, named = data.catalog.labels, [guessed[index] for index in range(60)]
    assert found.accuracy == pytest.approx(accuracy_score(wanted, named))
    assert found.macro_f1 == pytest.approx(f1_score(wanted, named, average="macro"))
    assert [list(row) for row in found.confusion] == confusion_matrix(wanted, named).tolist()
    assert (found.n, found.split) == (60, "out of fold")


def test_evaluate_folds_refuses_one_fold_twice(faces: Path, folds: list[Checkpoint]) -> None:
    with pytest.raises(BadData, match="folds that share a sample"):
        evaluate_folds([folds[0], folds[0]], open_data(faces), device="cpu")


def test_evaluate_folds_has_intervals_over_the_groups_of_the_split(faces: Path) -> None:
    data = open_data(faces, group_by="^[^_]+")
    config = train_config(arch="conv1", size="16", gray=True, hidden=8, epochs=1)
    made = [train(data, config, rule=rule).checkpoint for rule in fold_rules(data, 2)]
    found = evaluate_folds(made, data, device="cpu").intervals
    assert found is not None
    assert (found.over, found.count) == ("groups", 5)
    assert "accuracy" in found.of
