import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from emoprune.data.types import Preprocess
from emoprune.errors import InvalidRecord
from emoprune.networks.types import HiddenLayer, Spec, UnitStatistics
from tests.support.records import checkpoint, moments, statistics, tensors


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
        {"covariance": torch.zeros(4, 3)},
        {"covariance": torch.zeros(4)},
        {"low": torch.zeros(3)},
        {"high": torch.zeros(4, 1)},
        {"mean": torch.zeros(3)},
        {"mean": torch.zeros(4, 2)},
    )
    for change in wrong:
        with pytest.raises(InvalidRecord):
            dataclasses.replace(good, **change)
    with pytest.raises(InvalidRecord):
        UnitStatistics(1, torch.zeros(0), torch.zeros(0, 0), torch.zeros(0), torch.zeros(0))


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
        {"covariance": torch.arange(16.0).reshape(4, 4)},
        {"covariance": -torch.eye(4)},
        {"mean": torch.zeros(0), "covariance": torch.zeros(0, 0)},
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
