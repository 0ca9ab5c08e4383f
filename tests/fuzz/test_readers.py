"""Every reader returns or refuses in one line, whatever it is given (`make fuzz` gives it more)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz import engine, report, seeds
from tests.fuzz.engine import ACCEPTED, Seeds, Tally, Task, Worker
from tests.fuzz.readers import READERS

COUNT = 300

REFUSED = {"checkpoint": 2, "prune": 1, "weights .st": 1, "settings": 4, "command line": 17}
"""Seeds that are refused on purpose: networks without layers to prune, wrong options."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Seeds:
    return seeds.made(tmp_path_factory.mktemp("seeds"))


@pytest.fixture(scope="module")
def worker(made: Seeds, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """One process for all readers: they are imported once, and die with their inputs."""
    room = tmp_path_factory.mktemp("fuzz")
    worker = Worker(room / "worker", engine.store(made, room))
    yield worker
    worker.close()


@pytest.mark.parametrize("name", READERS)
def test_a_reader_takes_what_the_program_makes(worker: Worker, made: Seeds, name: str) -> None:
    task = Task(name, given=tuple(made[READERS[name].seeds]))
    others = [each.verdict for each in worker.results(task) if each.verdict.kind != ACCEPTED]
    assert len(others) == REFUSED.get(name, 0), others
    assert {each.kind for each in others} <= {engine.REFUSED}


@pytest.mark.parametrize("name", READERS)
def test_a_reader_returns_or_refuses_in_one_line_whatever_it_is_given(
    worker: Worker, made: Seeds, name: str, tmp_path: Path
) -> None:
    tally = Tally()
    for task in engine.tasks_of(name, READERS[name], made, COUNT):
        engine.give(worker, task, tally)
    assert not tally.found, "\n".join(["", *report.saved(list(tally.found.values()), tmp_path)])
