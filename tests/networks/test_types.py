import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from emoprune.data.types import Catalog, Preprocess, Table
from emoprune.errors import InvalidRecord
from emoprune.evaluation.types import ClassScore, Metrics
from emoprune.faces.types import Box
from emoprune.networks.types import HiddenLayer, Spec, UnitStatistics
from emoprune.pruning.types import Removal
from emoprune.reporting.types import BarChart, Estimate
from tests.support.records import checkpoint, moments, statistics, tensors

FINITE = st.floats(-1e6, 1e6)


def metrics(
    confusion: tuple[tuple[int, ...], ...], n: int, *, per_class: tuple[str, ...] = ("a", "b")
) -> Metrics:
    scores = {name: ClassScore(None, None, None, 0) for name in per_class}
    return Metrics(
        *("m", "f", "d", "f", "test", n, ("a", "b"), 0.5, (0.1, 0.9), 0.5, scores, confusion),
        *(0.7, 0.1, 1, 1, 1, 1, 1),
    )


@given(FINITE, FINITE, FINITE, FINITE)
@settings(max_examples=60, deadline=None)
def test_box_refuses_an_empty_area(x1: float, y1: float, x2: float, y2: float) -> None:
    if x1 < x2 and y1 < y2:
        box = Box(x1, y1, x2, y2)
        assert box.area == (x2 - x1) * (y2 - y1)
        assert box.center == ((x1 + x2) / 2, (y1 + y2) / 2)
    else:
        with pytest.raises(InvalidRecord, match="has no area"):
            Box(x1, y1, x2, y2)


@pytest.mark.parametrize("place", range(4))
def test_box_refuses_nan(place: int) -> None:
    sides = [0.0, 0.0, 1.0, 1.0]
    sides[place] = math.nan
    with pytest.raises(InvalidRecord):
        Box(*sides)


def illegal_removals() -> dict[str, Callable[[], Removal]]:
    return {
        "twice": lambda: Removal("a", 4, similar=(1,), insignificant=(1,)),
        "twice alike": lambda: Removal("a", 4, similar=(1, 1)),
        "unknown": lambda: Removal("a", 4, complementary=(4,)),
        "negative": lambda: Removal("a", 4, complementary=(-1,)),
        "all": lambda: Removal("a", 2, complementary=(0, 1)),
        "none there": lambda: Removal("a", 0),
        "merge of a kept unit": lambda: Removal("a", 4, similar=(1,), merges={2: 3}),
        "merge into a removed unit": lambda: Removal("a", 4, similar=(1, 2), merges={1: 2}),
        "merge into itself": lambda: Removal("a", 4, similar=(1,), merges={1: 1}),
        "merge into an unknown unit": lambda: Removal("a", 4, similar=(1,), merges={1: 9}),
    }


@pytest.mark.parametrize("name", illegal_removals())
def test_removal_refuses_illegal_values(name: str) -> None:
    with pytest.raises(InvalidRecord):
        illegal_removals()[name]()


@given(
    st.integers(2, 12).flatmap(
        lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1), max_size=n - 1))
    )
)
@settings(max_examples=60, deadline=None)
def test_removal_keeps_the_units_that_it_does_not_remove(case: tuple[int, set[int]]) -> None:
    units, gone = case
    listed = sorted(gone, reverse=True)
    third = len(listed) // 3
    removal = Removal(
        "a", units, tuple(listed[:third]), tuple(listed[third : 2 * third]), tuple(listed[2 * third :])
    )
    assert removal.removed == tuple(sorted(gone))
    assert sorted(removal.removed + removal.kept) == list(range(units))
    assert list(removal.kept) == sorted(removal.kept)


@pytest.mark.parametrize(
    ("names", "labels", "classes"),
    [(("a",), (0, 1), ("x", "y")), (("a",), (1,), ("x",)), (("a",), (-1,), ("x",))],
)
def test_catalog_needs_one_known_label_per_name(
    names: tuple[str, ...], labels: tuple[int, ...], classes: tuple[str, ...]
) -> None:
    with pytest.raises(InvalidRecord):
        Catalog("here", names, labels, classes, "0")


@pytest.mark.parametrize("shape", [(2,), (3, 1), (2, 2), (2, 1, 1)])
def test_table_needs_a_value_per_name_and_column(shape: tuple[int, ...]) -> None:
    catalog = Catalog("here", ("a", "b"), (0, 0), ("x",), "0")
    assert Table(catalog, ("f",), torch.zeros(2, 1)).values.shape == (2, 1)
    with pytest.raises(InvalidRecord):
        Table(catalog, ("f",), torch.zeros(shape))


@pytest.mark.parametrize(
    ("size", "color", "mean", "std"),
    [
        ((), "rgb", (0.5,) * 3, (0.5,) * 3),
        ((24,), "rgb", (0.5,) * 3, (0.5,) * 3),
        ((24, 0), "rgb", (0.5,) * 3, (0.5,) * 3),
        ((24, 24, 3), "rgb", (0.5,) * 3, (0.5,) * 3),
        ((24, 24), "rgb", (), ()),
        ((24, 24), "rgb", (0.5,) * 2, (0.5,) * 2),
        ((24, 24), "rgb", (0.5,) * 3, (0.5,)),
        ((24, 24), "rgb", (0.5,) * 3, (0.5, 0.5, 0.0)),
        ((24, 24), "rgb", (0.5,) * 3, (0.5, 0.5, -1.0)),
        ((24, 24), "rgb", (0.5,) * 3, (0.5, 0.5, math.nan)),
        ((24, 24), "rgb", (0.5,) * 3, (math.nan, 0.5, 0.5)),
        ((24, 24), "rgb", (0.5, math.nan, 0.5), (0.5,) * 3),
        ((24, 24), "rgb", (0.5,), (0.5,)),
    ],
)
def test_preprocess_refuses_impossible_values(
    size: tuple[int, ...], color: str, mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    with pytest.raises(InvalidRecord):
        Preprocess("image", size, color, mean, std)  # type: ignore[arg-type]  # a str of the parameter list


def test_preprocess_channels_are_those_of_the_network() -> None:
    with pytest.raises(InvalidRecord, match="photos"):
        Preprocess("image", (8, 8), "gray", (0.5,), (0.5,), fills=True)
    assert Preprocess("image", (8, 8), "gray", (0.5,), (0.5,)).channels == 1
    assert Preprocess("image", (8, 8), "gray", (0.5,) * 3, (0.5,) * 3).channels == 3


@pytest.mark.parametrize(
    "make",
    [
        lambda: Spec("mlp", 0, (3,)),
        lambda: Spec("mlp", 2, ()),
        lambda: Spec("mlp", 2, (3, 4)),
        lambda: Spec("mlp", 2, (3, 0, 4)),
        lambda: Spec("mlp", 2, (3,), hidden=(4, 0)),
        lambda: Spec("mlp", 2, (3,), widths={"a": (0, 3)}),
        lambda: Spec("mlp", 2, (3,), dropout=1.0),
        lambda: Spec("mlp", 2, (3,), dropout=-0.1),
        lambda: Spec("mlp", 2, (3,), dropout=math.nan),
    ],
)
def test_spec_refuses_impossible_values(make: Callable[[], Spec]) -> None:
    with pytest.raises(InvalidRecord):
        make()


def test_unit_statistics_refuse_wrong_shapes() -> None:
    good = statistics(4)
    assert good.units == 4
    wrong: tuple[dict[str, Any], ...] = (
        {"count": 0},
        {"gram": torch.zeros(4, 3)},
        {"gram": torch.zeros(4)},
        {"low": torch.zeros(3)},
        {"high": torch.zeros(4, 1)},
        {"total": torch.zeros(3)},
        {"total": torch.zeros(4, 2)},
    )
    for change in wrong:
        with pytest.raises(InvalidRecord):
            dataclasses.replace(good, **change)
    with pytest.raises(InvalidRecord):
        UnitStatistics(1, torch.zeros(0, 0), torch.zeros(0), torch.zeros(0), torch.zeros(0))


def test_checkpoint_refuses_contradictions() -> None:
    good = checkpoint()
    assert good.statistics["first"].units == 4
    changes: tuple[dict[str, Any], ...] = (
        {"classes": ("one",)},
        {"statistics": {}},
        {"layers": ()},
        {"statistics": {"first": statistics(5)}},
        {"tensors": tensors(3, 3, 2)},
        {"tensors": {}},
        {"masks": {"nowhere.weight": torch.ones(4, 3, dtype=torch.bool)}},
        {"masks": {"first.weight": torch.ones(3, 4, dtype=torch.bool)}},
    )
    for change in changes:
        with pytest.raises(InvalidRecord):
            checkpoint(**change)


def test_checkpoint_takes_layers_with_frozen_channels() -> None:
    assert checkpoint(tensors=tensors(3, 5, 2)).units == 4


def test_checkpoint_units_are_those_of_all_layers() -> None:
    layers = (HiddenLayer("first", "relu", ("last",)), HiddenLayer("last", "relu", ("first",)))
    assert checkpoint(layers=layers, statistics={"first": statistics(4), "last": statistics(2)}).units == 6


def test_hidden_layer_needs_consumers() -> None:
    with pytest.raises(InvalidRecord, match="no consumers"):
        HiddenLayer("first", "relu", ())


def test_moments_refuse_wrong_shapes() -> None:
    good = moments(4)
    wrong: tuple[dict[str, Any], ...] = (
        {"count": 0},
        {"mean": torch.zeros(3)},
        {"mean": torch.zeros(4, 4)},
        {"covariance": torch.zeros(4)},
        {"covariance": torch.zeros(4, 3)},
        {"mean": torch.full((4,), math.nan)},
        {"covariance": torch.full((4, 4), math.inf)},
    )
    for change in wrong:
        with pytest.raises(InvalidRecord):
            dataclasses.replace(good, **change)


@pytest.mark.parametrize(
    "preprocess",
    [
        Preprocess("image", (9, 8), "rgb", (0.5,) * 3, (0.5,) * 3),
        Preprocess("image", (8, 8), "gray", (0.5,), (0.5,)),
        Preprocess("table"),
    ],
)
def test_checkpoint_refuses_preprocessing_of_another_input(preprocess: Preprocess) -> None:
    spec = Spec("conv1", 2, (3, 8, 8), hidden=(4,))
    assert checkpoint(spec=spec, preprocess=Preprocess("image", (8, 8), "rgb", (0.5,) * 3, (0.5,) * 3))
    with pytest.raises(InvalidRecord):
        checkpoint(spec=spec, preprocess=preprocess)


@pytest.mark.parametrize(
    ("confusion", "n"), [(((1, 2), (3, 4)), 9), (((1, 2),), 3), (((1, 2, 0), (3, 4, 0)), 10), ((), 0)]
)
def test_metrics_need_a_square_confusion_that_adds_up(confusion: tuple[tuple[int, ...], ...], n: int) -> None:
    assert metrics(((1, 2), (3, 4)), 10).n == 10
    with pytest.raises(InvalidRecord):
        metrics(confusion, n)


def test_metrics_need_a_score_per_class() -> None:
    for names in (("a",), ("a", "b", "c"), ("a", "x")):
        with pytest.raises(InvalidRecord, match="per_class"):
            metrics(((1, 2), (3, 4)), 10, per_class=names)


@pytest.mark.parametrize(
    ("n", "low", "high"), [(0, None, None), (1, 0.1, 0.2), (2, None, None), (2, 0.1, None)]
)
def test_estimate_has_an_interval_only_for_several_runs(
    n: int, low: float | None, high: float | None
) -> None:
    with pytest.raises(InvalidRecord):
        Estimate(n, 0.15, low, high)


def test_bar_chart_needs_a_bar_per_series_and_category() -> None:
    for bars in (((None,),), ((None, None),) * 3, ()):
        with pytest.raises(InvalidRecord):
            BarChart("x", "", "accuracy", ("a", "b"), ("u", "v"), bars)
