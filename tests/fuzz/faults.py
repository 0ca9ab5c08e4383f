"""READERS with faults that the engine must find, one of each kind, and two without."""

from __future__ import annotations

import os
import time
from pathlib import Path
from threading import Thread

from emoprune import events
from emoprune.errors import BadData
from tests.fuzz.engine import LONGEST_S, Place, Reader

SHORT_S = 0.3


def accepts(place: Place) -> str:
    """A table of two lines."""
    (place.out / "made.txt").write_bytes(place.input.read_bytes())
    (place.out / "made.txt").unlink()
    return "a\tb\n1\t2\n"


def refuses(place: Place) -> None:
    """As a reader should."""
    raise BadData("not a picture", "give one", place=place.input.name)


def raises(place: Place) -> None:
    """A bug."""
    raise KeyError("x")


def ends(place: Place) -> None:
    """As a fault in a library of C ends the process."""
    os.abort()


def loops(place: Place) -> None:
    """Never done."""
    while True:
        pass


def wakes() -> None:
    while True:
        time.sleep(0.01)


def waits(place: Place) -> None:
    """Waits for somebody who never comes, while a thread wakes up now and then."""
    Thread(target=wakes, daemon=True).start()
    os.mkfifo(place.out / "pipe")
    (place.out / "pipe").read_bytes()


def grows(place: Place) -> None:
    """Takes memory, and refuses then."""
    assert len(bytearray(b"x") * 600_000_000) > 0
    refuses(place)


def writes(place: Place) -> None:
    """Follows a link out of the output, and says nothing of it."""
    (place.out / "link").symlink_to(place.out.parent / "outside" / "secret.txt")
    try:
        (place.out / "link").write_bytes(b"mine")
    except OSError:
        refuses(place)


def deletes(place: Place) -> None:
    """Removes a file beside its output."""
    (place.out.parent / "outside" / "secret.txt").unlink()


def touches(place: Place) -> None:
    """Changes a file beside its output without Python, as a library of C does."""
    os.posix_spawn("/bin/sh", ["sh", "-c", f"echo x >> {place.out.parent}/outside/secret.txt"], {})
    os.wait()


def says(place: Place) -> None:
    """Quotes its input, which the command line makes fit for a terminal."""
    raise BadData(f"{place.input.read_text()} is unknown", "correct it")


def notes(place: Place) -> None:
    """Notes its input, as above."""
    events.note(f"ignored {place.input.read_text()}")


def shows(place: Place) -> str:
    """Shows its input in a table."""
    return f"name\n{place.input.read_text()}\n"


def prints(place: Place) -> None:
    """Prints its input past the library."""
    os.write(2, place.input.read_bytes())


FAULTS = {
    "accepted": (accepts, notes),
    "refused": (refuses, says),
    "traceback": (raises, ends),
    "slow": (loops, waits),
    "memory": (grows,),
    "outside": (writes, deletes, touches),
    "escape": (shows, prints),
}
"""Readers by the verdict on each."""

READERS = {
    read.__name__: Reader(read=read, seeds="none", longest_s=SHORT_S if kind == "slow" else LONGEST_S)
    for kind, reads in FAULTS.items()
    for read in reads
}


def begin(given: Path) -> None:
    """These need nothing."""
