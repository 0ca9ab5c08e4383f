"""Kills emoprune crop at random moments and lets it finish; run by a test as a program of its own.

Arguments: a folder of photos, a folder to work in, how many kills, how many processes at work.
Prints what it saw as JSON.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from emoprune.cli import crop_photo  # noqa: F401  # once, for all the forks
from emoprune.cli.main import main


def forked(work: Callable[[], int]) -> int:
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os._exit(work())
    return pid


def crop(raw: str, faces: Path, jobs: str) -> int:
    return forked(lambda: main(["crop", raw, str(faces), "--size", "32", "--jobs", jobs]))


def done(pid: int) -> bool:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes().hex() if path.is_file() else "folder"
        for path in sorted(folder.rglob("*"))
    }


def photos_done(folder: Path) -> int:
    journal = folder / ".crop" / "journal.jsonl"
    return len(journal.read_text().splitlines()) if journal.is_file() else -1


def all_gone(group: int) -> bool:
    """Whether its workers end on their own when a process is killed."""
    for _ in range(300):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def kill(raw: str, faces: Path, jobs: str, photos: int, pause: float) -> dict[str, bool | int]:
    """Kill a run `pause` seconds after so many photos are done, if it has not ended by then."""
    pid = crop(raw, faces, jobs)
    status = (0, 0)
    while photos_done(faces) < photos and status == (0, 0):
        time.sleep(0.001)
        status = os.waitpid(pid, os.WNOHANG)
    if status == (0, 0):
        time.sleep(pause)
        os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)
    was_killed = os.waitstatus_to_exitcode(status[1]) == -signal.SIGKILL
    return {"killed": was_killed, "so far": photos_done(faces), "gone": all_gone(pid)}


def run(raw: str, room: Path, kills: int, jobs: str) -> None:
    assert done(crop(raw, room / "undisturbed", "1"))
    wanted = contents(room / "undisturbed")
    photos = sum(path.is_file() for path in Path(raw).rglob("*"))
    moments = random.Random(0)
    seen = []
    for number in range(kills):
        faces = room / f"killed-{number}"
        what = kill(raw, faces, jobs, moments.randint(0, photos), moments.uniform(0, 0.03))
        assert done(crop(raw, faces, "1"))
        seen.append({**what, "same": contents(faces) == wanted})
    print(json.dumps({"files": len(wanted), "runs": seen}))  # noqa: T201


if __name__ == "__main__":
    run(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
