"""emoprune search in several processes, and in one that is killed."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command_line import PROGRAM, Runner, clean_environment
from tests.support.searching import GRID, lines, searched, settings

LONGER = ("--set", "arch=mlp", "--set", "epochs=60", "--space", "lr=log:1e-3:1e-1", "--set", "hidden=8")
ARGV = (*LONGER, "--trials", "8", "-o", "runs.json", "--keep-best", "best.st")


def started(cwd: Path, *argv: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*PROGRAM, *map(str, argv)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=cwd,
        env=clean_environment(),
    )


def wait_for(so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not so():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize(("how", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_a_search_that_was_ended_goes_on_as_if_it_had_not_been(
    emoprune: Runner, table: Path, in_folder: Path, how: signal.Signals, code: int
) -> None:
    log = in_folder / "runs.json"
    process = started(in_folder, "search", table, *ARGV)
    try:
        wait_for(lambda: log.exists() and log.read_text().count("\n") >= 2)
        process.send_signal(how)
        process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code
    before = log.read_bytes()
    assert 2 <= before.count(b"\n") < 8
    rest = searched(emoprune, table, *ARGV)
    assert len(rest.lines) <= 8 - before.count(b"\n")
    after, kept = log.read_bytes(), (in_folder / "best.st").read_bytes()
    assert after.startswith(before)
    for path in in_folder.iterdir():
        path.unlink()
    searched(emoprune, table, *ARGV)
    assert log.read_bytes() == after
    assert (in_folder / "best.st").read_bytes() == kept


def test_two_processes_share_a_grid(table: Path, in_folder: Path) -> None:
    argv = ("search", table, *GRID, "--set", "batch_size=4", "-o", "runs.json")
    both = [started(in_folder, *argv) for _ in range(2)]
    ends = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], ends
    printed = sorted(line for out, _ in ends for line in out.splitlines())
    assert len(printed) == 6
    found = lines(in_folder / "runs.json")
    assert sorted((in_folder / "runs.json").read_bytes().splitlines()) == printed
    assert sorted(settings(line, "trial") for line in found) == [(number,) for number in range(6)]
    assert len({settings(line, "lr", "hidden") for line in found}) == 6
    # whoever was first to end waited for the other
    commands = {err.splitlines()[-1] for _, err in ends}
    assert len(commands) == 1
