"""Two runs of predictions as pairs of answers: by name, whatever their order; and what is refused of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

import emoprune as ep
from emoprune import events
from emoprune.errors import BadData
from emoprune.evaluation.predictions import Predictions
from emoprune.evaluation.significance.compare import Comparison
from emoprune.evaluation.significance.pairing import Flip, pair
from tests.support.answers import answers

LETTERS = st.text("abc", min_size=1, max_size=40)


def shuffled(run: Predictions, seed: int) -> Predictions:
    """The same rows in another order, and the same classes in another."""
    generator = np.random.default_rng(seed)
    rows, columns = generator.permutation(len(run.names)), generator.permutation(len(run.classes))
    places = np.argsort(columns)
    return replace(
        run,
        names=tuple(run.names[index] for index in rows),
        groups=run.groups and tuple(run.groups[index] for index in rows),
        classes=tuple(run.classes[index] for index in columns),
        labels=places[run.labels[rows]],
        predicted=places[run.predicted[rows]],
        probabilities=run.probabilities[rows][:, columns],
    )


def numbers(found: Comparison) -> list[Any]:
    changes = [found.accuracy, *(found.recall[name] for name in sorted(found.recall))]
    return [(each.images, each.groups, each.mcnemar, each.interval, each.adjusted_p) for each in changes]


@given(LETTERS, st.integers(0, 10**6), st.sampled_from([None, 2, 5]))
def test_pair_takes_samples_and_classes_in_any_order(labels: str, seed: int, films: int | None) -> None:
    generator = np.random.default_rng(seed)
    groups = None if films is None else [f"f{number}" for number in generator.integers(0, films, len(labels))]
    first, second = (
        answers(
            run, "".join(generator.choice([*"abc"], len(labels))), labels=labels, classes="abc", groups=groups
        )
        for run in ("m", "n")
    )
    found = pair(first, second)
    again = pair(shuffled(first, seed), shuffled(second, seed + 1))
    assert again.names == found.names == tuple(sorted(first.names))
    assert again.flips() == found.flips()
    for ours, theirs in zip(numbers(again.compared()), numbers(found.compared()), strict=True):
        assert ours[:3] == theirs[:3]
        assert ours[3] == pytest.approx(theirs[3])
        assert ours[4] == pytest.approx(theirs[4])


def test_compared_has_the_p_of_statsmodels_for_all_and_for_each_class() -> None:
    generator = np.random.default_rng(3)
    labels = "".join(generator.choice([*"abc"], 300))
    one, other = (
        "".join(
            label if sure else "c" for label, sure in zip(labels, generator.random(300) < chance, strict=True)
        )
        for chance in (0.8, 0.7)
    )
    found = pair(
        answers("m", one, labels=labels, classes="abc"), answers("n", other, labels=labels, classes="abc")
    ).compared()
    first, second, truth = (np.array([*text]) for text in (one, other, labels))

    def table(chosen: Any) -> list[list[int]]:
        before, after = (first == truth)[chosen], (second == truth)[chosen]
        return [[int((a & b).sum()) for b in (after, ~after)] for a in (before, ~before)]

    everything = table(truth != "")
    assert found.accuracy.mcnemar.exact_p == pytest.approx(mcnemar(everything).pvalue)
    assert (found.accuracy.mcnemar.lost, found.accuracy.mcnemar.gained) == (
        everything[0][1],
        everything[1][0],
    )
    assert list(found.recall) == ["a", "b", "c"]
    for name, change in found.recall.items():
        assert change.mcnemar.exact_p == pytest.approx(mcnemar(table(truth == name)).pvalue)
    plain = [change.p for change in found.recall.values()]
    adjusted = multipletests(plain, method="holm")[1]
    assert [change.adjusted_p for change in found.recall.values()] == pytest.approx(adjusted)


def test_flips_are_the_images_that_one_has_right_the_most_confident_errors_first() -> None:
    first = answers("m", "aaaabb", sure=(0.5, 0.6, 0.7, 0.8, 0.6, 0.95))
    second = answers("n", "abbbaa", sure=(0.9, 0.7, 0.8, 0.7, 0.99, 0.5))
    assert pair(first, second).flips() == (
        Flip("00002.jpg", "a", "a", "b", 0.8),
        Flip("00001.jpg", "a", "a", "b", 0.7),
        Flip("00003.jpg", "a", "a", "b", 0.7),
        Flip("00005.jpg", "a", "b", "a", 0.95),
        Flip("00004.jpg", "a", "b", "a", 0.6),
    )


BASE = answers("base", "aab", names=("1", "2", "3"))
FACTS: dict[str, tuple[Predictions, str]] = {
    "other data": (
        answers("small", "aab", names=("1", "2", "3"), data="x" * 20),
        "its data are xxxxxxxxxxxx, and those of base are data; evaluate both on the same data, or give "
        "`force=True` to pair images by name",
    ),
    "other images": (
        answers("small", "aaba", names=("2", "3", "4", "5")),
        "2 images of it and 1 of base are not in the other; evaluate both on the same images, or give "
        "`force=True` to compare those in common",
    ),
    "no image": (
        answers("small", "a", names=("4",)),
        "none of its 1 images is among the 3 of base; evaluate both on the same data",
    ),
    "other classes": (
        answers("small", "aab", names=("1", "2", "3"), classes="az"),
        "its classes are a, z, and those of base are a, b; compare networks of the same classes",
    ),
    "other labels": (
        answers("small", "aab", names=("1", "2", "3"), labels="aba"),
        "1 of 3 labels differ: 2 is b here, and a in base; evaluate both on the same labels",
    ),
}


@pytest.mark.parametrize("name", FACTS)
def test_pair_refuses_what_cannot_be_compared(name: str) -> None:
    second, fact = FACTS[name]
    with pytest.raises(BadData) as caught:
        pair(BASE, second)
    assert str(caught.value) == f"small: {fact}"


@pytest.mark.parametrize("name", ["no image", "other classes", "other labels"])
def test_force_does_not_compare_what_contradicts(name: str) -> None:
    with pytest.raises(BadData):
        pair(BASE, FACTS[name][0], force=True)


def test_force_compares_the_images_in_common_and_says_what_is_left_out() -> None:
    with events.gathered() as told:
        found = pair(BASE, FACTS["other images"][0], force=True)
        pair(BASE, FACTS["other data"][0], force=True)
    assert found.names == ("2", "3")
    assert [text for _, text in told] == [
        "small: 2 images of it and 1 of base are not in the other, and are left out; compared are 2 in "
        "common",
        "small: its data are xxxxxxxxxxxx, and those of base are data; images of the same name are taken for "
        "the same",
    ]


def of_groups(*groups: list[str] | None) -> tuple[list[int] | None, list[str]]:
    """The groups of two runs as numbers, and what is told of them."""
    first, second = (answers(run, "a" * 4, groups=each) for run, each in zip(("m", "n"), groups, strict=True))
    with events.gathered() as told:
        found = pair(first, second).groups
    return None if found is None else found.tolist(), [text for _, text in told]


def test_pair_takes_groups_from_whoever_knows_them() -> None:
    films = ["x", "y", "x", "z"]
    assert of_groups(None, None) == (None, [])
    assert of_groups(films, films) == ([0, 1, 0, 2], [])
    assert of_groups(films, ["1", "2", "1", "3"]) == ([0, 1, 0, 2], [])
    assert of_groups(films, None) == ([0, 1, 0, 2], ["groups of images are those of m; n knows none"])
    assert of_groups(None, films) == ([0, 1, 0, 2], ["groups of images are those of n; m knows none"])
    assert of_groups(["x", "", "", "z"], ["1", "2", "1", "3"]) == ([0, 1, 0, 2], [])
    said = ["n: 2 images without a group count as one group"]
    assert of_groups(["x", "", "", "z"], ["x", "", "", "z"]) == ([0, 1, 1, 2], said)


@pytest.mark.parametrize("theirs", [["x", "x", "y", "z"], ["x", "y", "z", "w"]])
def test_pair_refuses_groups_that_contradict(theirs: list[str]) -> None:
    with pytest.raises(
        BadData, match=r"^n: its groups of images are not those of m; write both .*`group_by`"
    ):
        of_groups(["x", "y", "x", "z"], theirs)


@pytest.mark.parametrize(
    ("second", "groups", "said"),
    [
        ("b", None, "no evidence either way: 1 image cannot show any difference"),
        ("bbbb", "xxxx", "no verdict: 4 images of a single group say nothing of others"),
    ],
)
def test_one_image_or_one_group_has_no_verdict(second: str, groups: str | None, said: str) -> None:
    first, other = (
        answers(run, text, groups=groups) for run, text in (("m", "a" * len(second)), ("n", second))
    )
    assert pair(first, other).compared().sentence() == said


def test_compare_of_the_api_takes_files_and_runs(in_folder: Path) -> None:
    first, second = answers("m", "a" * 60), answers("n", "a" * 40 + "b" * 20)
    first.write("m.csv")
    for one in (first, "m.csv", Path("m.csv")):
        assert ep.compare(one, second) == pair(first, second).compared()
    shorter = answers("n", "a" * 40)
    with pytest.raises(BadData, match="0 images of it and 20 of m"):
        ep.compare(first, shorter)
    assert ep.compare(first, shorter, force=True).accuracy.images == 40
