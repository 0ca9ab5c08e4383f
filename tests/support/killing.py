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
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest import mock

from emoprune.cli.main import main
from emoprune.faces import crop_photo  # noqa: F401  # once, for all the forks
from emoprune.faces.output_folder import CropFolder
from emoprune.faces.types import CropRow


def forked(work: Callable[[], int]) -> int:
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os._exit(work())
    return pid


def crop(raw: str, faces: Path, jobs: str, stop_after: int | None = None) -> int:
    """Crop in a process of its own, which stops itself when so many photos are done, if any are told."""

    def work() -> int:
        if stop_after is not None:
            stop_itself(stop_after)
        return main(["crop", raw, str(faces), "--size", "32", "--jobs", jobs])

    return forked(work)


def stop_itself(photos: int) -> None:
    """Let this process stop (SIGSTOP) when `photos` are done and the next would be."""
    add, begun = CropFolder.add, 0

    def counted(folder: CropFolder, rows: Sequence[CropRow], pictures: Sequence[bytes]) -> list[CropRow]:
        nonlocal begun
        if begun == photos:
            os.kill(os.getpid(), signal.SIGSTOP)
        begun += 1
        return add(folder, rows, pictures)

    mock.patch.object(CropFolder, "add", counted).start()


def done(pid: int) -> bool:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes().hex() if path.is_file() else "folder"
        for path in sorted(folder.rglob("*"))
    }


def photos_done(folder: Path) -> int:
    journal = folder / ".crop" / "journal.jsonl"
    return len(journal.read_text().splitlines()) if journal.is_file() else 0


def wait_for_workers(group: int) -> None:
    """Wait until the workers of a process that was killed have ended, which they do on their own."""
    while True:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)


def kill(raw: str, faces: Path, jobs: str, photos: int, pause: float | None) -> dict[str, bool | int]:
    """Kill a run when `photos` are done: at a standstill, or `pause` seconds on, wherever it is by then."""
    pid = crop(raw, faces, jobs, stop_after=photos)
    stopped = os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1])
    so_far = photos_done(faces)
    if pause is not None:
        os.kill(pid, signal.SIGCONT)
        time.sleep(pause)
    os.kill(pid, signal.SIGKILL)
    was_killed = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    wait_for_workers(pid)
    return {
        "midway": stopped and so_far == photos,
        "killed": was_killed,
        "ran on": pause is not None,
    }


def run(raw: str, room: Path, kills: int, jobs: str) -> None:
    assert done(crop(raw, room / "undisturbed", "1"))
    wanted = contents(room / "undisturbed")
    photos = sum(path.is_file() for path in Path(raw).rglob("*"))
    moments = random.Random(0)
    seen = []
    for number in range(kills):
        faces = room / f"killed-{number}"
        pause = moments.uniform(0, 0.05) if number % 2 else None
        what = kill(raw, faces, jobs, moments.randrange(photos), pause)
        assert done(crop(raw, faces, "1"))
        seen.append({**what, "same": contents(faces) == wanted})
    print(json.dumps({"files": len(wanted), "runs": seen}))  # noqa: T201


if __name__ == "__main__":
    run(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
