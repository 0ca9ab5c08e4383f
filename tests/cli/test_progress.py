"""Progress: live lines on a terminal, in a log as many lines as somebody reads."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator

import pytest

from emoprune import events
from emoprune.cli import output, progress
from tests.support.terminal import lines_of


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    return made


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Iterator[pytest.CaptureFixture[str]]:
    with output.telling():
        yield capsys


def epochs(clock: Clock, seconds: float, count: int, *, done: int = 0, total: int | None = None) -> None:
    total = count if total is None else total
    with events.progress("epoch", total, done=done, told=True) as advance:
        for number in range(done + 1, count + 1):
            clock.now += seconds
            advance(text=f"loss {number}")


def test_work_that_is_told_has_its_first_step_and_its_last_in_a_log(
    clock: Clock, shown: pytest.CaptureFixture[str]
) -> None:
    epochs(clock, 0.001, 50)
    assert shown.readouterr().err == "epoch 1/50: loss 1; 0 s left\nepoch 50/50: loss 50\n"
    epochs(clock, 1, 1)
    assert shown.readouterr().err == "epoch 1/1: loss 1\n"


def test_a_log_gets_a_line_for_each_step_that_takes_long_with_the_time_left(
    clock: Clock, shown: pytest.CaptureFixture[str]
) -> None:
    epochs(clock, 1800, 4)
    assert shown.readouterr().err.splitlines() == [
        "epoch 1/4: loss 1; 1 h 30 min left",
        "epoch 2/4: loss 2; 1 h 0 min left",
        "epoch 3/4: loss 3; 30 min left",
        "epoch 4/4: loss 4",
    ]


def test_a_log_gets_no_more_than_a_line_in_ten_seconds(
    clock: Clock, shown: pytest.CaptureFixture[str]
) -> None:
    epochs(clock, 1, 1000)
    lines = shown.readouterr().err.splitlines()
    assert len(lines) == 1 + 99 + 1
    assert lines[:2] == ["epoch 1/1,000: loss 1; 17 min left", "epoch 11/1,000: loss 11; 16 min left"]


def test_steps_that_were_done_before_take_no_time(clock: Clock, shown: pytest.CaptureFixture[str]) -> None:
    epochs(clock, 20, 45, done=40, total=50)
    first, *_, last = shown.readouterr().err.splitlines()
    assert first == "epoch 41/50: loss 41; 3 min left"
    # it ended early: nothing got better
    assert last == "epoch 45/50: loss 45; 2 min left"


def test_other_work_has_lines_in_a_log_only_where_it_takes_long(
    clock: Clock, shown: pytest.CaptureFixture[str]
) -> None:
    for seconds, lines in ((0.9, 0), (1.1, 1)):
        for _ in events.tracked(range(10), "crop", None):
            clock.now += seconds
        assert len(shown.readouterr().err.splitlines()) == lines
    for _ in events.tracked(range(3), "crop", 3):
        clock.now += 45
    assert shown.readouterr().err == "crop 1/3; 2 min left\ncrop 2/3; 45 s left\ncrop 3/3\n"


def test_work_within_work_is_in_a_log_only_where_both_are_told(
    clock: Clock, shown: pytest.CaptureFixture[str]
) -> None:
    for outer in (True, False):
        with events.progress("trainings", 2, told=outer) as advance:
            epochs(clock, 1, 1)
            for _ in events.tracked(range(3), "steps", 3):
                clock.now += 60
            advance(text="seed0")
    lines = ["trainings 0/2, epoch 1/1: loss 1", "trainings 1/2: seed0; 3 min left"]
    assert shown.readouterr().err.splitlines() == [*lines, "trainings 1/2: seed0; 3 min left"]


def test_a_log_has_no_control_characters(clock: Clock, shown: pytest.CaptureFixture[str]) -> None:
    with events.progress("a\x1b[2J", 1, told=True) as advance:
        advance(text="\x1b[31m\n")
    assert shown.readouterr().err == "a\\x1b[2J 1/1: \\x1b[31m\\n\n"


def test_a_terminal_shows_steps_of_an_epoch_only_where_they_take_long(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")
    with output.telling(), events.progress("epoch", 3) as advance:
        for label, seconds in (("short", 0.1), ("long", 0.6)):
            for _ in events.tracked(range(4), label, 4):
                clock.now += seconds
            advance(text="loss 1.203, 54.1%; val 1.310, 50.2%; rate 3e-4; 410 pictures/s")
    text = terminal.getvalue()
    assert "long" in text
    assert "short" not in text
    # no figure is cut where the terminal is narrow
    (line,) = [line for line in lines_of(text.encode()) if line.startswith("epoch")][-1:]
    assert "2/3" in line
    assert "…" not in text
