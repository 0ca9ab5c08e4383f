"""The ledger of test parts: what it counts, several processes, and files that are broken."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import pytest

from emoprune.errors import BadData
from emoprune.evaluation.looks import Look, ledger_path, part_key, read_looks, record_look, tell_looks

KEY = part_key("data", (1, 2))


def look(model: str, test: str = KEY, descent: str | None = "first") -> Look:
    return Look(test, "data", model, descent)


def ledger() -> Path:
    found = ledger_path()
    assert found is not None
    return found


def test_part_key_is_of_the_data_and_the_samples() -> None:
    keys = [
        part_key("data", (1, 2)),
        part_key("data", (12,)),
        part_key("other", (1, 2)),
        part_key("data", (1, 3)),
    ]
    assert len(set(keys)) == 4


def test_record_look_returns_earlier_looks_at_the_same_part(state: Path) -> None:
    assert ledger() == state / "emoprune" / "test-looks.jsonl"
    other = part_key("data", (3,))
    assert record_look(look("a")) == ()
    assert record_look(look("b", other)) == ()
    assert record_look(look("b")) == (look("a"),)
    assert record_look(look("a")) == (look("a"), look("b"))
    assert read_looks(ledger()) == (look("a"), look("b", other), look("b"), look("a"))
    assert read_looks(ledger(), other) == (look("b", other),)


def test_record_look_loses_no_line_of_several_writers() -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda index: record_look(look(f"m{index}")), range(200)))
    assert sorted(each.model for each in read_looks(ledger())) == sorted(f"m{index}" for index in range(200))


@pytest.mark.parametrize(
    "line",
    [
        f'{{"test": "{KEY}", "data"',
        f"[{KEY}]",
        json.dumps({**asdict(look("a")), "schema": "emoprune.test-look/9"}),
        json.dumps({**asdict(look("a")), "model": 3}),
        "[" * 10_000 + KEY,
    ],
)
def test_read_looks_passes_over_broken_lines_with_a_note(told: pytest.LogCaptureFixture, line: str) -> None:
    record_look(look("a"))
    with ledger().open("a") as stream:
        # and no end of the line, as a full disk leaves it
        stream.write(line)
    assert record_look(look("b")) == (look("a"),)
    assert read_looks(ledger()) == (look("a"), look("b"))
    assert told.messages == [f"{ledger()}: 1 line of it cannot be read, and are passed over"] * 2


def test_record_look_is_a_note_where_the_ledger_cannot_be(
    state: Path, told: pytest.LogCaptureFixture
) -> None:
    ledger().mkdir(parents=True)
    assert record_look(look("a")) is None
    with pytest.raises(BadData):
        read_looks(ledger())
    ledger().rmdir()
    os.mkfifo(ledger())
    assert record_look(look("a")) is None
    ledger().unlink()
    ledger().symlink_to(state / "nowhere" / "ledger")
    assert record_look(look("a")) is None
    says = "this look at the test part is not counted: "
    assert [text.startswith(says) for text in told.messages] == [True] * 3


@pytest.mark.parametrize(
    ("earlier", "says"),
    [
        ((look("a"),), "1 time before, for this same network"),
        ((look("a"), look("a")), "2 times before, for this same network"),
        ((look("b"), look("b", descent="other")), "2 times before, for 1 network"),
        (
            (look("a"), look("b", descent=None), look("c")),
            "3 times before, for 3 networks of 2 trainings, 1 time for this same one",
        ),
        ((look("c", descent=None), look("b")), "2 times before, for 2 networks"),
    ],
)
def test_tell_looks_counts_looks_and_networks(
    told: pytest.LogCaptureFixture, earlier: tuple[Look, ...], says: str
) -> None:
    tell_looks((), look("a"), data="faces")
    tell_looks(earlier, look("a"), data="faces")
    assert told.messages == [f"faces: its test part was looked at {says}"]
