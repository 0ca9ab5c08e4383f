"""The memory that this process may still take."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

CONTROL_GROUPS = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),
)
"""Limit, usage, and what the system can reclaim of it: of a container, in versions 2 and 1."""


def available_bytes(groups: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that are free on this machine and within the limit of its container."""
    import psutil  # only work that may not fit asks

    free = [int(psutil.virtual_memory().available)]
    for limit, usage, reclaimable in CONTROL_GROUPS:
        # absent on other systems and without a limit, which reads "max"
        with suppress(OSError, ValueError, KeyError):
            bound = int((groups / limit).read_text())
            stat = (groups / limit).with_name("memory.stat").read_text().split()
            used = int((groups / usage).read_text())
            free.append(bound - used + int(dict(zip(stat[::2], stat[1::2], strict=True))[reclaimable]))
    return max(0, min(free))
