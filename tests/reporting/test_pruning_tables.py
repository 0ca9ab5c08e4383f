"""The certificate as people read it: what is folded, left out, and said in the singular."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from emoprune.cli import output
from emoprune.pruning import certificate
from emoprune.reporting.pruning_tables import tables


def layer(name: str, after: int, **other: object) -> dict[str, Any]:
    """A layer of four units."""
    reasons = {"similar": 4 - after, "complementary": 0, "insignificant": 0}
    errors = {"error_sum": 0.25, "error_lstsq": 0.125}
    return {"layer": name, "before": 4, "after": after, "spared": False, **reasons, **errors, **other}


def summary(*layers: Mapping[str, Any], method: str = "distinct", **other: object) -> dict[str, Any]:
    before, after = 4 * len(layers), sum(entry["after"] for entry in layers)
    counts = {
        "parameters": {"before": 100, "after": 60},
        "nonzero_parameters": {"before": 100, "after": 60},
        "macs": {"before": 1000, "after": 500},
        "bytes": {"before": 400, "after": 240},
    }
    return {
        **{"method": method, "merge": "lstsq", "amount": {"angle": 15.0}, "resolved_on": 0, "frozen": []},
        **{"units": {"before": before, "after": after}, "layers": list(layers), **counts},
        **other,
    }


def shown(capsys: pytest.CaptureFixture[str], found: Mapping[str, Any]) -> list[str]:
    output.show(tables(found))
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
def test_layers_that_lose_nothing_are_one_line(
    capsys: pytest.CaptureFixture[str], left: tuple[int, ...], line: str
) -> None:
    names = [f"layer{index}" for index in range(len(left))]
    lines = shown(capsys, summary(*map(layer, names, left)))
    assert line in lines
    rows = [line.split()[0] for line in lines if line.split()[0] in names]
    assert rows == [name for name, units in zip(names, left, strict=True) if units < 4]


def test_where_all_layers_lose_nothing_is_folded(capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(shown(capsys, summary(layer("a", 3), layer("b", 1))))
    assert "nothing" not in text
    assert "a 4 > 3 1 0.25 0.125" in " ".join(text.split())


def test_columns_without_a_figure_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    (heading,) = [line for line in shown(capsys, summary(layer("a", 3))) if line.startswith("layer ")]
    assert heading.split() == ["layer", "units", "similar", "error:", "sum", "lstsq"]
    several = summary(layer("a", 3), layer("b", 3, similar=0, insignificant=1))
    (heading,) = [line for line in shown(capsys, several) if line.startswith("layer ")]
    assert heading.split() == ["layer", "units", "similar", "insign.", "error:", "sum", "lstsq"]


def test_masks_have_no_merge_and_one_error(capsys: pytest.CaptureFixture[str]) -> None:
    masked = [layer("a", 4, error_lstsq=None), layer("b", 4, error_sum=0.0, error_lstsq=None)]
    frozen = [{"layer": "c", "channels": 2, "operation": "view"}]
    lines = shown(capsys, summary(*masked, method="magnitude", amount={"amount": 0.5}, frozen=frozen))
    assert lines[0] == "Certificate (magnitude, amount 0.5)"
    assert lines[1].split() == ["layer", "units", "error"]
    assert "1 more layer loses nothing" in lines
    assert "view" not in " ".join(lines)


def test_an_error_too_small_to_tell_is_not_none(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, summary(layer("a", 3, error_sum=0.00001, error_lstsq=0.0)))
    (row,) = [line.split() for line in lines if line.startswith("a ")]
    assert row[-2:] == ["<0.0001", "0"]


@pytest.mark.parametrize(("count", "said"), [(0, None), (1, "on 1 image,"), (2000, "on 2,000 images,")])
def test_that_the_network_is_better_than_its_errors_is_said_where_it_was_re_solved(
    capsys: pytest.CaptureFixture[str], count: int, said: str | None
) -> None:
    text = " ".join(shown(capsys, summary(layer("a", 3), resolved_on=count)))
    assert ("without images" in text) == (said is not None)
    assert (said or "") in text


def test_what_never_goes_is_told_with_what_is_in_the_way(capsys: pytest.CaptureFixture[str]) -> None:
    one = [{"layer": "a", "channels": 1, "operation": "view"}]
    lines = shown(capsys, summary(layer("b", 3), frozen=one))
    assert "never taken: 1 channel of 1 layer, which" in lines[-2]
    assert "(view)" in lines[-1]
    most = [
        {"layer": f"l{i}", "channels": 9999, "operation": name} for i, name in enumerate(("flip", "view"))
    ]
    lines = shown(capsys, summary(layer("b", 3), frozen=most))
    assert "never taken: 19,998 channels of 2 layers," in lines[-2]
    assert "(flip, view)" in lines[-1]
    assert max(map(len, lines)) <= 78


def test_accuracy_changes_by_points(capsys: pytest.CaptureFixture[str]) -> None:
    judged: dict[str, Any] = {
        "accuracy": {"before": 0.75, "after": 0.625},
        "loss": {"before": 1.0, "after": None},
        "judged_on": {"part": "val", "images": 8},
    }
    lines = [" ".join(line.split()) for line in shown(capsys, summary(layer("a", 3), **judged))]
    assert "accuracy (val) 75.0% 62.5% -12.5 points" in lines
    assert "loss (val) 1 - -" in lines


@pytest.mark.parametrize(
    ("count", "others"),
    [(1, ""), (2, " (and so in 1 more layer)"), (4, " (and so in 3 more layers)")],
)
def test_warnings_of_many_layers_are_one(capsys: pytest.CaptureFixture[str], count: int, others: str) -> None:
    layers = [layer(f"l{index}", 1, spared=True, error_lstsq=0.75) for index in range(count)]
    certificate.warn(summary(*layers))
    assert capsys.readouterr().err == (
        f"warning: l0: every unit would go; 1 stays{others}\n"
        f"warning: l0: what the next layer reads changes by 75% of its spread{others}\n"
    )


@pytest.mark.parametrize(
    ("left", "end"),
    [
        (4, "all the same\n"),
        (3, "all the same; really gone is the 1 unit that fell silent\n"),
        (2, "all the same; really gone are the 2 units that fell silent\n"),
    ],
)
def test_silent_units_are_told_where_there_are_any(
    capsys: pytest.CaptureFixture[str], left: int, end: str
) -> None:
    certificate.warn(summary(layer("a", left), method="random", amount={"amount": 0.4}))
    assert capsys.readouterr().err.endswith(end)
