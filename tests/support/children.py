"""Processes that tests start: waited for as long as they live, and ended with the test."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

PAUSE_S = 0.01


@contextmanager
def child(argv: Sequence[str], **more: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process with `more` of Popen; it and what it has started are gone afterwards."""
    with subprocess.Popen(argv, start_new_session=True, **more) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def wait_until(so: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Wait until something is so; a busy machine takes its time, but an ended process makes it no more."""
    while not so():
        assert process.poll() is None, f"it has ended with {process.returncode}"
        time.sleep(PAUSE_S)
