import math
from typing import Any

import pytest
import torch

from emoprune.data.types import Catalog, Preprocess, SplitRule, Table
from emoprune.errors import InvalidRecord


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
    "fields",
    [
        {"shares": "all"},
        {"shares": "file"},
        {"shares": "80/20", "assigned": "t3e"},
        *({"shares": "file", "assigned": text} for text in ("", "t0e", "x3", "t3e\n", "t-1e", "3t")),
        {"shares": "file", "assigned": "t1234567890"},
        *({"shares": "80/20", "fold": fold} for fold in ((0, 5), (6, 5), (1, 1), (-1, 2), (2, 0))),
    ],
)
def test_split_rule_refuses_parts_and_folds_that_cannot_be(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRecord):
        SplitRule(**{"seed": 0, "group_by": None, "fingerprint": "f", **fields})


def test_split_rule_takes_files_and_folds() -> None:
    assert SplitRule("file", 0, None, "f", assigned="t3ve12", fold=(2, 3)).fold == (2, 3)
    assert SplitRule("all", 0, None, "f", fold=(5, 5)).shares == "all"


def test_catalog_refuses_contents_of_other_samples() -> None:
    with pytest.raises(InvalidRecord):
        Catalog("faces", ("a", "b"), (0, 0), ("x",), "f", ("c",))
