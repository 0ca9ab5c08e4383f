"""Predicted errors as people read them: what is folded, left out, and in the singular."""

from __future__ import annotations

from typing import Any

import pytest

from emoprune.cli import output
from emoprune.evaluation.answers import AnswerLoss
from emoprune.networks.graph.types import Obstacle
from emoprune.pruning.types import Change, Evaluated, LayerOutcome, PruneOutcome, Speed
from emoprune.reporting.error_tables import error_tables


def layer(name: str, after: int, **other: Any) -> LayerOutcome:
    """A layer of four units."""
    reasons = {"similar": 4 - after, "complementary": 0, "insignificant": 0}
    errors = {"error_sum": 0.25, "error_lstsq": 0.125}
    rest = {"center": "half", "removed": tuple(range(after, 4)), "merges": {}, "spared": False}
    return LayerOutcome(**{"layer": name, "before": 4, "after": after, **reasons, **errors, **rest, **other})


def shown(
    capsys: pytest.CaptureFixture[str],
    *layers: LayerOutcome,
    method: str = "distinct",
    amount: dict[str, float] | None = None,
    refitted_on: int = 0,
    drawn: bool = False,
    frozen: tuple[Obstacle, ...] = (),
    **judged: Any,
) -> list[str]:
    """The lines of the tables."""
    units = Change(4 * len(layers), sum(entry.after for entry in layers))
    counts = Change(100, 60), Change(100, 60), Change(1000, 500), Change(400, 240)
    found = PruneOutcome(units, 0.5, *counts, layers, frozen, **judged)
    settings = {"method": method, "merge": "lstsq", "amount": amount or {"angle": 15.0}}
    output.show(error_tables({**settings, "refitted_on": refitted_on, "drawn": drawn}, found))
    return [line.strip() for line in capsys.readouterr().out.splitlines() if line.strip()]


@pytest.mark.parametrize(
    ("left", "line"),
    [
        ((4, 4), "2 layers lose nothing"),
        ((4,), "1 layer loses nothing"),
        ((3, 4), "1 more layer loses nothing"),
        ((4, 4, 1), "2 more layers lose nothing"),
    ],
)
def test_error_tables_count_layers_that_lose_nothing_in_one_line(
    capsys: pytest.CaptureFixture[str], left: tuple[int, ...], line: str
) -> None:
    names = [f"layer{index}" for index in range(len(left))]
    lines = shown(capsys, *map(layer, names, left))
    assert line in lines
    rows = [line.split()[0] for line in lines if line.split()[0] in names]
    assert rows == [name for name, units in zip(names, left, strict=True) if units < 4]


def test_error_tables_have_no_such_line_where_all_layers_lose(capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(shown(capsys, layer("a", 3), layer("b", 1)))
    assert "nothing" not in text
    assert "a 4 > 3 1 0.25 0.125" in " ".join(text.split())
    assert "weights (bytes) 400 240 -40.0%" in " ".join(text.split())


def test_error_tables_leave_out_columns_without_a_number(capsys: pytest.CaptureFixture[str]) -> None:
    (heading,) = [line for line in shown(capsys, layer("a", 3)) if line.startswith("layer ")]
    assert heading.split() == ["layer", "units", "similar", "error:", "sum", "lstsq"]
    several = layer("a", 3), layer("b", 3, similar=0, insignificant=1)
    (heading,) = [line for line in shown(capsys, *several) if line.startswith("layer ")]
    assert heading.split() == ["layer", "units", "similar", "insign.", "error:", "sum", "lstsq"]


def test_error_tables_of_masks_have_no_merge_and_one_error(capsys: pytest.CaptureFixture[str]) -> None:
    masked = layer("a", 4, error_lstsq=None), layer("b", 4, error_sum=0.0, error_lstsq=None)
    frozen = (Obstacle("c", 2, "view"),)
    lines = shown(capsys, *masked, method="magnitude", amount={"amount": 0.5}, frozen=frozen)
    assert lines[0] == "Predicted error (magnitude, amount 0.5)"
    assert lines[1].split() == ["layer", "units", "error"]
    assert "1 more layer loses nothing" in lines
    assert "view" not in " ".join(lines)


def test_error_tables_tell_a_tiny_error_from_none(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, layer("a", 3, error_sum=0.00001, error_lstsq=0.0))
    (row,) = [line.split() for line in lines if line.startswith("a ")]
    assert row[-2:] == ["<0.0001", "0"]


@pytest.mark.parametrize(
    ("count", "drawn", "says"),
    [
        (0, False, None),
        (1, False, "on 1 image,"),
        (2000, False, "on 2,000 images,"),
        (1000, True, "on 1,000 drawn faces,"),
    ],
)
def test_error_tables_say_that_a_refitted_network_is_better_than_predicted(
    capsys: pytest.CaptureFixture[str], count: int, drawn: bool, says: str | None
) -> None:
    text = " ".join(shown(capsys, layer("a", 3), refitted_on=count, drawn=drawn))
    assert ("without images" in text) == (says is not None)
    assert (says or "") in text


def test_error_tables_list_what_is_never_removed_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, layer("b", 3), frozen=(Obstacle("a", 1, "view"),))
    assert "never removed: 1 channel of 1 layer, which" in lines[-2]
    assert "(view)" in lines[-1]
    most = tuple(Obstacle(f"l{i}", 9999, name) for i, name in enumerate(("flip", "view")))
    lines = shown(capsys, layer("b", 3), frozen=most)
    assert "never removed: 19,998 channels of 2 layers," in lines[-2]
    assert "(flip, view)" in lines[-1]
    assert max(map(len, lines)) <= 78


def test_error_tables_give_the_change_of_accuracy_in_points(capsys: pytest.CaptureFixture[str]) -> None:
    judged: dict[str, Any] = {
        "accuracy": Change(0.75, 0.625),
        "loss": Change(1.0, None),
        "evaluated_on": Evaluated("val", 8),
    }
    lines = [" ".join(line.split()) for line in shown(capsys, layer("a", 3), **judged)]
    assert "accuracy (val) 75.0% 62.5% -12.5 points" in lines
    assert "loss (val) 1 - -" in lines


def test_error_tables_give_the_measured_speed(capsys: pytest.CaptureFixture[str]) -> None:
    speed = Speed(Change(40.125, 20.0), 2.006, 1.9, 1, "a processor, onnxruntime 1")
    lines = [" ".join(line.split()) for line in shown(capsys, layer("a", 3), speed=speed)]
    assert "latency (ms, 1 thread) 40.12 20 2.01 times as fast" in lines


@pytest.mark.parametrize(("same", "more"), [(0.93211, ["93.2% name the same class"]), (None, [])])
def test_error_tables_say_what_a_refitted_network_loses_of_the_answers(
    capsys: pytest.CaptureFixture[str], same: float | None, more: list[str]
) -> None:
    answers = AnswerLoss(0.0451, same, 2434, "validation images")
    lines = shown(capsys, layer("first", 3), answers=answers)
    said = "the answers lose 4.5% of their information (2,434 validation images)"
    assert lines[lines.index(said) :] == [said, *more]
