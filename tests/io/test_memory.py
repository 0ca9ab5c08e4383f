"""Memory that may still be taken."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from emoprune.io.memory import available_bytes

FREE = 8_000


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=FREE))


def groups(root: Path, names: tuple[str, str, str], limit: str) -> Path:
    for name, text in zip(
        names, (limit, "5000", "anon 4000\ninactive_file 700\ntotal_inactive_file 700\n"), strict=True
    ):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    "names",
    [
        ("memory.max", "memory.current", "memory.stat"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
    ],
)
@pytest.mark.parametrize(
    ("limit", "free"), [("6000", 1_700), ("4000", 0), ("99999999999", FREE), ("max", FREE)]
)
def test_available_bytes_are_those_of_the_machine_or_its_container(
    tmp_path: Path, names: tuple[str, str, str], limit: str, free: int
) -> None:
    assert available_bytes(groups(tmp_path, names, limit)) == free


def test_available_bytes_are_those_of_the_machine_without_a_container(tmp_path: Path) -> None:
    assert available_bytes(tmp_path) == FREE
