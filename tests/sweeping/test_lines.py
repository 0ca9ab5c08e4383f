"""The file of a sweep: what is written is read, and nothing else is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from emoprune.errors import BadMetrics, OutputFault, UsageFault
from emoprune.reporting import inputs, records_io
from emoprune.sweeping import lines
from emoprune.sweeping.lines import WHOLE, Lines
from tests.support.runs import run

OF = {"model": "a", "data": "d", "version": "1", "part": "test", "seed": "0"}
METRICS = {WHOLE: run("whole network", 0.5, macs=1), "distinct.macs0.5": run("distinct", 0.4, macs=0.5)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with two lines and a combination that was not met."""
    place = tmp_path / "s.jsonl"
    found = Lines(str(place), OF)
    found.add(METRICS, {})
    found.add({}, {"distinct.macs0.1": "cannot be met"})
    return place


def read(path: Path, **changes: str) -> Lines:
    return lines.read(str(path), OF | changes, model="m.st", data="faces")


def test_what_is_added_is_read_again_and_report_takes_the_lines(path: Path) -> None:
    found = read(path)
    assert found.metrics == METRICS
    assert found.unmet == {"distinct.macs0.1": "cannot be met"}
    assert inputs.read([str(path)]).evaluations == tuple(METRICS.values())


def test_a_last_line_that_was_cut_short_is_dropped(path: Path, told: pytest.LogCaptureFixture) -> None:
    path.write_bytes(path.read_bytes()[:-9])
    assert [*read(path).metrics] == [WHOLE]
    assert told.messages == [
        f"{path}: its last line was cut short, and is dropped",
        f"{path}: goes on from 1 line",
    ]
    # one in the middle is damage
    first, second = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([first, second, first]))
    with pytest.raises(BadMetrics, match="line 2: not a line of a sweep"):
        read(path)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model": "b"}, "is a sweep of m.st, which has changed since; name another"),
        ({"data": "e"}, "is a sweep of faces, which has changed since; name another"),
        ({"version": "2"}, "is a sweep of emoprune 1, not 2"),
        ({"seed": "3"}, "is a sweep with `seed=0`, not 3"),
        ({"layer": "x"}, "is a sweep with `layer=nothing`, not x"),
    ],
)
def test_another_sweep_is_refused_by_what_differs(path: Path, changes: dict[str, str], says: str) -> None:
    with pytest.raises(UsageFault) as caught:
        read(path, **changes)
    assert says in str(caught.value)


def test_another_model_is_refused_by_name(path: Path) -> None:
    with pytest.raises(UsageFault, match=r"s\.jsonl: is a sweep of m\.st, not of other\.st; name another"):
        lines.read(str(path), OF | {"model": "b"}, model="other.st", data="faces")


def test_lines_of_anything_else_are_refused(path: Path) -> None:
    record = json.dumps(records_io.to_record(METRICS[WHOLE]))
    second = path.read_text().splitlines()[1]
    for text in (record, second, "{}", "[1]", "nonsense"):
        path.write_text(f"{text}\n")
        with pytest.raises(BadMetrics, match="line 1: "):
            read(path)


def test_a_file_that_exists_is_kept_unless_asked(path: Path) -> None:
    with pytest.raises(OutputFault, match=r"exists already; give `resume=True` to go on with it, or `force"):
        lines.check(str(path), resume=False, force=False)
    lines.check(str(path), resume=True, force=False)
    lines.check(str(path), resume=False, force=True)
    for place in ("-", str(path.parent)):
        with pytest.raises(OutputFault, match="is not a file that a sweep can come back to"):
            lines.check(place, resume=False, force=True)
