"""What users may write after --space, and what grids and narrowings make of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emoprune.errors import InvalidRecord, UsageFault
from emoprune.search.space import (
    Space,
    Trial,
    grid_point,
    grid_size,
    narrowed,
    on_log_scale,
    parse_space,
    points,
)

TYPES: dict[str, type] = {"lr": float, "lr_factor": float, "hidden": int, "optimizer": str, "augment": str}
positive = st.floats(1e-9, 1e9)
finite = st.floats(-1e9, 1e9)


@given(positive, positive)
def test_parse_space_reads_a_log_range(one: float, other: float) -> None:
    low, high = sorted((one, other))
    if low < high:
        assert parse_space(f"lr=log:{low!r}:{high!r}", TYPES) == Space("lr", "log", low, high)


@given(finite, finite)
def test_parse_space_reads_an_even_range(one: float, other: float) -> None:
    low, high = sorted((one, other))
    if low < high:
        assert parse_space(f"lr={low!r}:{high!r}", TYPES) == Space("lr", "linear", low, high)


@given(st.integers(-1000, 1000), st.integers(1, 1000), st.sampled_from(["hidden=int:", "hidden=", "lr=int:"]))
def test_parse_space_reads_whole_numbers(low: int, more: int, start: str) -> None:
    space = parse_space(f"{start}{low}:{low + more}", TYPES)
    assert (space.whole, space.low, space.high) == (True, low, low + more)
    assert list(points(space)) == list(range(low, low + more + 1))


@given(st.lists(st.integers(1, 2000), min_size=1, unique=True))
def test_parse_space_reads_choices(widths: list[int]) -> None:
    space = parse_space("hidden=" + ",".join(map(str, widths)), TYPES)
    assert (space.kind, space.choices) == ("choice", tuple(widths))


@given(
    st.sampled_from(["lr=log:1e-4:1e-1", "lr=0:1:3", "hidden=int:1:3", "hidden=log:1:512:4", "hidden=5,1+2"])
)
def test_spelled_is_what_parse_space_reads(text: str) -> None:
    space = parse_space(text, TYPES)
    assert parse_space(f"{space.name}={space.spelled}", TYPES) == space


def test_parse_space_reads_words_with_colons_and_several_layers_as_choices() -> None:
    assert parse_space("augment=none,flip+rotate:10", TYPES).choices == ("none", "flip+rotate:10")
    assert parse_space("hidden=100,50+20", TYPES).choices == (100, "50+20")
    assert parse_space("lr=1e-3,1", TYPES).choices == (0.001, 1.0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rate=1:2", "unknown"),
        ("lr_facto=1:2", "did you mean lr_factor"),
        ("lr", "no values"),
        ("lr=", "no values"),
        ("lr=log:0:1", "begin above 0"),
        ("lr=log:-1:1", "begin above 0"),
        ("lr=log:1", "not a range"),
        ("lr=1:2:3:4", "not a range"),
        ("lr=2:1", "ends before it begins"),
        ("lr=1:1", "`fixed=lr=1`"),
        ("lr=a:1", "'a' is not a number"),
        ("lr=nan:1", "'nan' is not a number"),
        ("lr=1:1e999", "without an end"),
        ("lr=1:2:x", "not a number of steps"),
        ("lr=1:2:1", "2 steps"),
        ("lr=fast,slow", "'fast' is not a number"),
        ("lr=1,1", "give each once"),
        ("lr=0.1,", "empty choice"),
        ("hidden=int:1.5:3", "whole numbers"),
        ("hidden=0.5:3", "whole numbers"),
    ],
)
def test_parse_space_refuses_anything_else(text: str, says: str) -> None:
    with pytest.raises(UsageFault) as caught:
        parse_space(text, TYPES)
    assert says in str(caught.value)
    assert "`space=" in str(caught.value)


@given(st.text())
def test_parse_space_makes_a_space_or_a_usage_fault_of_any_text(text: str) -> None:
    for start in ("", "lr=", "hidden=log:", "optimizer="):
        try:
            space = parse_space(start + text, TYPES)
        except UsageFault:
            continue
        assert space.name in TYPES


@given(positive, positive, st.integers(2, 30), st.sampled_from(["linear", "log"]))
def test_points_are_even_and_include_both_ends(one: float, other: float, steps: int, kind: str) -> None:
    low, high = sorted((one, other))
    if high < low * 1.001:
        return
    found = points(Space("lr", "log" if kind == "log" else "linear", low, high, steps=steps))
    assert (len(found), found[0], found[-1]) == (steps, low, high)
    on_scale = [math.log(value) if kind == "log" else value for value in found]
    width = (on_scale[-1] - on_scale[0]) / (steps - 1)
    reach = 1e-9 * max(map(abs, on_scale))
    assert all(
        math.isclose(after - before, width, rel_tol=1e-6, abs_tol=reach)
        for before, after in pairwise(on_scale)
    )


def test_points_of_whole_numbers_are_distinct() -> None:
    assert points(Space("hidden", "log", 1, 4, True, 10)) == [1, 2, 3, 4]


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_grid_point_gives_every_combination_once(sizes: list[int]) -> None:
    spaces = [Space(f"s{index}", "choice", choices=tuple(range(size))) for index, size in enumerate(sizes)]
    found = {
        tuple(space.choices for space in grid_point(spaces, number)) for number in range(grid_size(spaces))
    }
    assert len(found) == grid_size(spaces) == math.prod(sizes)
    assert all(len(choices) == 1 for point in found for choices in point)


def test_grid_size_refuses_a_range_without_steps() -> None:
    with pytest.raises(UsageFault, match=r"lr=log:0\.1:1\.0:STEPS"):
        grid_size([Space("lr", "log", 0.1, 1.0)])


def test_grid_size_refuses_too_many_combinations() -> None:
    with pytest.raises(UsageFault, match="combinations"):
        grid_size([Space("a", "linear", 0, 999_999, True), Space("b", "choice", choices=(1, 2))])


def test_on_log_scale_changes_ranges_above_zero() -> None:
    assert on_log_scale(Space("lr", "linear", 0.1, 1)).kind == "log"
    assert on_log_scale(Space("momentum", "linear", 0, 1)).kind == "linear"
    assert on_log_scale(Space("scale", "choice", choices=("none",))).kind == "choice"


SPACES = (
    Space("lr", "log", 1e-4, 1.0),
    Space("momentum", "linear", 0.0, 0.9),
    Space("width", "linear", 1, 100, True),
    Space("hidden", "choice", choices=(10, 20, 30)),
)
TRIED = st.tuples(
    st.floats(1e-4, 1.0),
    st.floats(0, 0.9),
    st.integers(1, 100),
    st.sampled_from((10, 20, 30)),
    st.none() | st.floats(0, 1),
)


@given(st.lists(TRIED))
def test_narrowed_keeps_at_most_a_third_of_a_range_and_the_best_in_it(
    tried: list[tuple[float, float, int, int, float | None]],
) -> None:
    trials = [
        Trial(
            number,
            dict(zip(("lr", "momentum", "width", "hidden"), values, strict=True)),
            accuracy,
            None if accuracy is None else "{}",
        )
        for number, (*values, accuracy) in enumerate(tried)
    ]
    good = [trial for trial in trials if trial.accuracy is not None]
    if not good:
        with pytest.raises(UsageFault, match="failed"):
            narrowed(SPACES, trials)
        return
    best = sorted(good, key=lambda trial: (-(trial.accuracy or 0), trial.number))
    lr, momentum, width, hidden = found = narrowed(SPACES, trials)
    for before, after in zip(SPACES[:3], found, strict=False):
        assert before.low <= after.low <= float(best[0].values[before.name]) <= after.high <= before.high
    assert lr.high / lr.low <= (1e4 ** (1 / 3)) * (1 + 1e-9)
    assert momentum.high - momentum.low <= 0.3 * (1 + 1e-9)
    assert width.high - width.low <= 33
    quarter = best[: max(2, math.ceil(len(good) / 4))]
    assert hidden.choices == tuple(sorted({int(trial.values["hidden"]) for trial in quarter}))


def test_narrowed_shrinks_four_decades_to_one_and_a_third_around_the_best() -> None:
    accuracies = [0.1, 0.2, 0.6, 0.3, 0.5]
    trials = [
        Trial(
            number,
            {"lr": 10.0**-number, "momentum": 0.85, "width": 10, "hidden": 10},
            accuracy,
            "{}",
        )
        for number, accuracy in enumerate(accuracies)
    ]
    lr, momentum, width, hidden = narrowed(SPACES, trials)
    assert (lr.low, lr.high) == pytest.approx((1e-2 / 10 ** (2 / 3), 1e-2 * 10 ** (2 / 3)))
    assert (momentum.low, momentum.high) == pytest.approx((0.7, 0.9))
    # 10 - 16.5 lies below the range, 10 + 16.5 between two whole numbers
    assert (width.low, width.high) == (1, 26)
    assert hidden.choices == (10,)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Space("lr", "choice"),
        lambda: Space("lr", "choice", choices=(1, 1)),
        lambda: Space("lr", "linear", 1, 0),
        lambda: Space("lr", "linear", 0, math.inf),
        lambda: Space("lr", "log", 0, 1),
        lambda: Space("lr", "linear", 0.5, 3, True),
        lambda: Space("lr", "linear", 0, 1, steps=1),
        lambda: Trial(0, {}, 0.5),
        lambda: Trial(0, {}, line="{}"),
    ],
)
def test_an_empty_space_and_a_half_evaluated_trial_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(InvalidRecord):
        make()


def test_rank_orders_by_accuracy_then_age_and_failures_last() -> None:
    trials = [Trial(0, {}), Trial(1, {}, 0.5, "{}"), Trial(2, {}, 0.7, "{}"), Trial(3, {}, 0.7, "{}")]
    assert [trial.number for trial in sorted(trials, key=lambda trial: trial.rank)] == [2, 3, 1, 0]
