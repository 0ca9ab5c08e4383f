"""What a run of the engine says: a table of readers, and every finding with the command that repeats it."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.fuzz.engine import ACCEPTED, FINDINGS, REFUSED, Finding, Tally

COLUMNS = (ACCEPTED, REFUSED, *FINDINGS)
NAME = 14


def table(tallies: Mapping[str, Tally]) -> str:
    """A row per reader, in 80 columns."""
    heads = [f"{'reader':{NAME}}", f"{'inputs':>7}", *(f" {name:>{max(6, len(name))}}" for name in COLUMNS)]
    lines = ["".join(heads)]
    for name, tally in tallies.items():
        cells = [f" {tally.counts[kind]:>{max(6, len(kind))}}" for kind in COLUMNS]
        lines.append(f"{name:{NAME}}{tally.counts.total():>7}{''.join(cells)}")
        if tally.stopped:
            lines.append("  no more inputs: too many of them hang")
    return "\n".join(lines)


def costs(tallies: Mapping[str, Tally]) -> str:
    """What the inputs of each reader took."""
    lines = [f"{'reader':{NAME}}{'ms an input':>14}{'slowest, s':>14}{'most memory, MB':>18}"]
    for name, tally in tallies.items():
        mean = 1000 * tally.seconds / max(1, tally.counts.total())
        lines.append(f"{name:{NAME}}{mean:>14.2f}{tally.slowest:>14.2f}{tally.largest / 1e6:>18.0f}")
    return "\n".join(lines)


def listed(finding: Finding, path: Path) -> str:
    """A finding in words, and how to repeat it."""
    kind, what, place = finding.verdict
    command = f"python -m tests.fuzz --reader {shlex.quote(finding.reader)} --input {shlex.quote(str(path))}"
    head = f"{finding.reader}: {kind}, {finding.count} inputs, the shortest {len(finding.data)} bytes"
    return "\n".join(
        [head, *textwrap.wrap(f"{what} at {place}", 78, initial_indent="  "), f"  {command}", ""]
    )


def saved(findings: Sequence[Finding], folder: Path) -> list[str]:
    """Write the shortest input of each finding into a folder, and list them all."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for index, finding in enumerate(findings, 1):
        name = re.sub(r"\W+", "-", f"{finding.reader} {finding.verdict.kind} {index}")
        path = folder / name
        path.write_bytes(finding.data)
        lines.append(listed(finding, path))
    return lines
