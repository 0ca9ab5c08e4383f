from pathlib import Path

import numpy as np
import pytest

from emoprune.faces.detector import give_back


def resident() -> int:
    """Pages of this process in memory."""
    status = Path("/proc/self/statm")
    if not status.is_file():
        pytest.skip("no /proc on this system")
    return int(status.read_text().split()[1])


def test_memory_freed_between_small_pieces_goes_back() -> None:
    # too small for glibc to map each by itself, and every other kept so that none is at the end
    held = [np.ones(12_000) for _ in range(2000)]
    freed = held[::2]
    held = held[1::2]
    before = resident()
    freed.clear()
    give_back()
    assert before - resident() > 1000 * 12_000 * 8 // 4096 // 2
    assert len(held) == 1000
