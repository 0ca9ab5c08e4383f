"""A terminal for command lines that run inside the test: its bytes, and the lines that stay on it."""

from __future__ import annotations

import os
import pty
import re
import sys
import threading
from typing import IO

import pytest

from emoprune.cli.main import main

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
UP = re.compile(r"\x1b\[(\d*)A")
ERASE = "\x1b[2K"
PARTS = re.compile(rf"{CONTROL.pattern}|[\r\n]|[^\r\n\x1b]+")


def bytes_on_terminal(
    monkeypatch: pytest.MonkeyPatch, *argv: object, columns: int, out: IO[str] | None = None
) -> bytes:
    """What a command line that must succeed shows; with `out`, only stderr is the terminal."""
    ours, theirs = pty.openpty()
    chunks: list[bytes] = []

    def listen() -> None:
        while True:
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # how Linux says that the other end of a terminal is closed
                return
            chunks.append(chunk)

    # a terminal holds no more than a few thousand characters that nobody has read
    listener = threading.Thread(target=listen)
    listener.start()
    with os.fdopen(theirs, "w") as terminal, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out or terminal)
        patch.setattr(sys, "stderr", terminal)
        for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
            patch.delenv(name, raising=False)
        patch.setenv("COLUMNS", str(columns))
        patch.setenv("TERM", "xterm-256color")
        code = main([str(part) for part in argv])
    listener.join()
    os.close(ours)
    shown = b"".join(chunks)
    assert code == 0, shown.decode()
    return shown


def lines_of(shown: bytes) -> list[str]:
    """The lines that stay on a terminal that is wide enough: what is drawn over or erased is gone."""
    lines, row, column = [""], 0, 0
    for part in PARTS.findall(shown.decode()):
        if part == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif part == "\r":
            column = 0
        elif UP.fullmatch(part):
            row -= int(UP.fullmatch(part)[1] or 1)  # type: ignore[index]  # it has just matched
        elif part == ERASE:
            lines[row] = ""
        elif not CONTROL.fullmatch(part):
            kept = lines[row].ljust(column)
            lines[row] = kept[:column] + part + kept[column + len(part) :]
            column += len(part)
    return [line.rstrip() for line in (lines if lines[-1] else lines[:-1])]
