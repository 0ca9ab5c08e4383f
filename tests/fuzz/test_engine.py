"""The engine finds each kind of fault, and inputs follow from the name of their reader."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.fuzz import engine, faults
from tests.fuzz.engine import Task, Worker
from tests.fuzz.readers import READERS

INPUT = b"\x1b[2J"


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "STILL_S", 2)


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    made = Worker(tmp_path_factory.mktemp("faults") / "worker", table="tests.fuzz.faults")
    yield made
    made.close()


@pytest.mark.parametrize(
    ("name", "kind"), [(read.__name__, kind) for kind, reads in faults.FAULTS.items() for read in reads]
)
def test_results_find_each_kind_of_fault(worker: Worker, name: str, kind: str) -> None:
    found = list(worker.results(Task(name, given=(INPUT, INPUT))))
    assert [each.verdict.kind for each in found] == [kind, kind]
    if kind in engine.FINDINGS:
        assert [each.data for each in found] == [INPUT, INPUT]
        again = engine.repeated(worker, engine.Finding(name, found[0].verdict, b"x" * 20 + INPUT))
        assert again.verdict.key == found[0].verdict.key
        assert len(again.data) < 20 + len(INPUT) or kind in (engine.SLOW, engine.MEMORY)


def test_a_reader_of_which_too_many_inputs_hang_is_given_no_more() -> None:
    tally = engine.Tally()
    while not tally.stopped:
        tally.add("x", engine.Result(engine.Verdict(engine.SLOW)))
    assert tally.counts[engine.SLOW] == engine.MOST_SLOW


def test_inputs_are_the_same_for_one_reader_and_chunk_only() -> None:
    seeds = {
        "boxes": [b"source,x1,y1,x2,y2\na.jpg,1,2,3,4\n"],
        "lines": [json.dumps(["eval", "m.st"]).encode()],
    }
    for name in ("failures.csv", "command line"):
        one, again, other = (
            list(engine.inputs(READERS[name], seeds, Task(name, chunk, 40))) for chunk in (0, 0, 1)
        )
        assert one == again
        assert len(one) == len(other) == 40
        assert len(set(one) & set(other)) < 20
