"""What the papers' systems do on SFEW's own sheet, where the data folder is there."""

from __future__ import annotations

import statistics
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.command_line import Runner

SEEDS = range(10)


@pytest.fixture(scope="module")
def sheet(shared_data: Path) -> Path:
    return shared_data / "data" / "sfew" / "SFEW.xlsx"


def test_the_network_of_20_units_learns_what_jain2020_says_and_generalises_no_better(
    emoprune: Runner, sheet: Path
) -> None:
    training, test = [], []
    for seed in SEEDS:
        emoprune.done("train", sheet, "m.st", "--preset", "jain2020-ff", "--seed", seed, "--force")
        training.append(emoprune.done("eval", "m.st", sheet, "--split", "train").record["accuracy"])
        test.append(emoprune.done("eval", "m.st", sheet).record["accuracy"])
    # 47.1% and 17.6% in section 3.1
    assert statistics.mean(training) > 0.35
    assert 0.12 < statistics.mean(test) < 0.26


def test_the_support_vector_machine_is_a_baseline_like_that_of_2011(emoprune: Runner, sheet: Path) -> None:
    found = []
    for seed in SEEDS:
        emoprune.done("train", sheet, "m.st", "--preset", "dhall2011-svm", "--seed", seed, "--force")
        found.append(emoprune.done("eval", "m.st", sheet).record["accuracy"])
    # 19.0%
    assert 0.15 < statistics.mean(found) < 0.30


def test_compression_loses_with_every_unit_and_least_squares_loses_less(
    emoprune: Runner, sheet: Path
) -> None:
    emoprune.done("train", sheet, "m.st", "--preset", "luan2020-autoencoder")
    courses = {}
    for merge in ("sum", "lstsq"):
        options = ("--method", "progressive", "--merge", merge, "--units", 3, "--steps")
        courses[merge] = emoprune.done("prune", "m.st", *options).record["steps"]
    assert [step["units"] for step in courses["sum"]] == list(range(10, 2, -1))
    for course in courses.values():
        for more, less in pairwise(course):
            assert less["loss"] > more["loss"]
            assert less["smallest_angle_deg"] >= more["smallest_angle_deg"]
    for published, solved in zip(courses["sum"][1:], courses["lstsq"][1:], strict=True):
        assert solved["loss"] < published["loss"]
