"""Events: told to whoever listens, and to nobody else."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emoprune import events
from emoprune.events import Advance, Work


def test_nothing_is_printed_unless_asked(capfd: pytest.CaptureFixture[str]) -> None:
    events.note("one")
    events.warn("two")
    assert list(events.tracked([1], "work", 1)) == [1]
    assert capfd.readouterr() == ("", "")


def test_notes_and_warnings_are_records_of_logging(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="emoprune"):
        events.note("one")
        events.warn("two")
    found = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert found == [("INFO", "one"), ("WARNING", "two")]


def test_what_is_told_once_is_told_again_only_outside(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="emoprune"):
        with events.once():
            for _ in range(3):
                events.note("one")
                events.warn("one")
        events.note("one")
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING", "INFO"]


def test_what_is_muted_is_told_to_nobody(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="emoprune"):
        with events.muted():
            events.warn("one")
        events.warn("two")
    assert caplog.messages == ["two"]


def test_what_is_gathered_is_told_later(caplog: pytest.LogCaptureFixture) -> None:
    # as in a process of its own, where nobody has asked for notes
    with events.gathered() as found:
        events.note("100% of {x}")
        events.warn("two")
    assert caplog.messages == []
    with caplog.at_level(logging.INFO, logger="emoprune"):
        events.tell(found)
    levels = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert levels == [("INFO", "100% of {x}"), ("WARNING", "two")]


def test_what_is_muted_is_not_gathered_around_it() -> None:
    with events.gathered() as found:
        with events.muted():
            events.warn("one")
        events.warn("two")
    assert [text for _, text in found] == ["two"]


@given(st.lists(st.integers(), max_size=20))
@settings(max_examples=20, deadline=None)
def test_tracked_hands_on_every_item_and_moves_on_by_its_steps(items: list[int]) -> None:
    moved = list[int]()

    @contextmanager
    def hook(work: Work) -> Iterator[Advance]:
        assert work == Work("count", len(items))
        yield lambda steps=1, text=None: moved.append(steps)

    with events.showing(hook):
        found = list(events.tracked(iter(items), "count", len(items), steps=lambda item: item))
    assert found == items
    assert moved == items


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 layers"), (1, "1 layer"), (2, "2 layers"), (1024, "1,024 layers")]
)
def test_one_is_singular(number: int, text: str) -> None:
    assert events.counted(number, "layer") == text


def test_listed_names_the_first_of_many_and_counts_the_rest() -> None:
    assert events.listed("abc", 3) == "a, b, c"
    assert events.listed(map(str, range(1004)), 2) == "0, 1 and 1,002 more"
