"""Rows of a pre-trained output layer go to the classes that they stand for."""

from typing import Any

import pytest
import torch

from emoprune.errors import UsageFault
from emoprune.networks.weights.head_rows import OutputLayer, TakenRows, taken_rows
from emoprune.networks.weights.pretrained import Weights

CLASSES = ("angry", "happy", "sad")


def layer(
    rows: int, columns: int = 2, *, start: float = 10.0, bias: bool = True, name: str = "fc"
) -> OutputLayer:
    """A layer whose row i holds `start` + i."""
    numbers = start + torch.arange(float(rows))
    return OutputLayer(name, numbers[:, None].expand(rows, columns), numbers if bias else None)


def taken(found: OutputLayer, stated: tuple[str, ...] = (), **more: Any) -> TakenRows:
    return taken_rows(layer(3, start=0.0), [found], Weights("w.pth", {}, stated), classes=CLASSES, **more)


def rows(made: TakenRows) -> list[float]:
    """What each row of the network's layer holds: 0, 1, 2 of its own, 10 and more of the file."""
    assert torch.equal(made.tensors["fc.weight"][:, 0], made.tensors["fc.bias"])
    return made.tensors["fc.bias"].tolist()


@pytest.mark.parametrize(
    ("stated", "given", "wanted"),
    [
        (("sad", "angry", "happy"), (), [11, 12, 10]),
        (("Sadness", "Anger", "HAPPY"), (), [11, 12, 10]),
        ((), ("sad", "angry", "happy"), [11, 12, 10]),
        # what is given counts before what the file says
        (("angry", "happy", "sad"), ("sad", "angry", "happy"), [11, 12, 10]),
        (("triste", "furieux", "content"), ("sad", "angry", "happy"), [11, 12, 10]),
        (("contempt", "sad", "happy", "angry"), (), [13, 12, 11]),
        ((), ("contempt", "sad", "happy", "angry"), [13, 12, 11]),
    ],
)
def test_rows_are_matched_by_name(
    stated: tuple[str, ...], given: tuple[str, ...], wanted: list[float]
) -> None:
    found = taken(layer(len(given or stated)), stated, given=given)
    assert (rows(found), found.kept, found.fault) == (wanted, CLASSES, None)


def test_rows_without_names_are_in_order_and_that_is_told(told: pytest.LogCaptureFixture) -> None:
    assert rows(taken(layer(3))) == [10, 11, 12]
    assert told.messages == [
        "w.pth: rows of fc are taken as angry, happy, sad; `classes` gives another order"
    ]
    told.clear()
    assert rows(taken(layer(3), ("one", "two"))) == [10, 11, 12]
    assert "3 rows, and the 2 names in the file are ignored" in told.messages[0]


def test_rows_that_some_names_match_are_kept_and_others_stay(told: pytest.LogCaptureFixture) -> None:
    found = taken(layer(3), ("neutral", "sad", "fear"))
    assert (rows(found), found.kept) == ([0, 1, 11], ("sad",))
    assert "no rows for angry, happy: its classes are neutral, sad, fear; say with `classes`" in str(
        found.fault
    )
    none = taken(layer(3), ("wut", "freude", "trauer"))
    assert (none.tensors, none.kept) == ({}, ())
    assert none.fault is not None


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("angry", "sad"), "names 2 rows, and fc of w.pth has 3"),
        (("angry", "sad", "hapy"), "names hapy, and the data has happy"),
    ],
)
def test_names_that_do_not_fit_are_refused(given: tuple[str, ...], says: str) -> None:
    with pytest.raises(UsageFault, match=says):
        taken(layer(3), given=given)


@pytest.mark.parametrize(
    ("count", "says"), [(1000, None), (8, "8 rows without names, and there are 3 classes")]
)
def test_a_head_of_other_classes_is_a_fault_unless_it_is_imagenets(count: int, says: str | None) -> None:
    found = taken(layer(count))
    assert found.tensors == {}
    assert (found.fault.fact if found.fault else None) == (says and f"fc has {says}")


def test_what_is_spelled_otherwise_or_left_out_is_told(told: pytest.LogCaptureFixture) -> None:
    taken(layer(4), ("anger", "contempt", "happy", "sad"))
    assert told.messages == [
        "w.pth: classes are matched by name, anger as angry",
        "w.pth: rows of fc for contempt are left out",
    ]


def test_a_layer_of_another_name_or_without_bias_is_taken_and_told(told: pytest.LogCaptureFixture) -> None:
    found = taken(layer(3, bias=False, name="head.1"), CLASSES)
    assert found.tensors["fc.weight"][:, 0].tolist() == [10, 11, 12]
    assert found.tensors["fc.bias"].tolist() == [0, 0, 0]
    assert told.messages == [
        "w.pth: fc is taken from head.1",
        "w.pth: head.1 has no bias, so the bias of fc is 0",
    ]


def test_a_head_of_several_layers_or_of_other_features_is_a_fault() -> None:
    assert "its fc is 3x5 float32, which does not fit fc, 3x2 float32" in str(
        taken(layer(3, columns=5)).fault
    )
    several = [layer(3, name="fc.0"), layer(3, name="fc.2")]
    found = taken_rows(layer(3), several, Weights("w.pth", {}), classes=CLASSES)
    assert "several layers (fc.0, fc.2)" in str(found.fault)


def test_own_rows_are_not_changed_in_place() -> None:
    own = layer(3, start=0.0)
    taken_rows(own, [layer(3)], Weights("w.pth", {}), classes=CLASSES)
    assert own.bias is not None
    assert own.bias.tolist() == [0, 1, 2]
