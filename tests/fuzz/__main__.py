"""Fuzz the readers: python -m tests.fuzz [--count 20000] [--jobs N] [--reader NAME ...] [--input FILE]

Prints a table and ends with 1 if there is a finding. The shortest input of each finding is saved in the
folder --found, with the command that repeats it.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from emoprune.io.process_pool import cores
from tests.fuzz import engine, report, seeds
from tests.fuzz.engine import Task, Worker
from tests.fuzz.readers import READERS


def main() -> int:
    """Run the command line; 1 if there is a finding."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="inputs of each reader")
    parser.add_argument("--jobs", type=int, default=cores(), help="processes")
    parser.add_argument("--reader", action="append", choices=READERS, help="only this one; may be repeated")
    parser.add_argument("--input", type=Path, help="only this file, to repeat a finding")
    parser.add_argument("--found", type=Path, default=Path("build/fuzz"), help="folder for findings")
    args = parser.parse_args()
    readers = {name: READERS[name] for name in args.reader or READERS}
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="emoprune-fuzz-") as scratch:
        room = Path(scratch)
        if args.input is not None:
            return repeated(args.reader[0], args.input.read_bytes(), room)
        made = seeds.made(room)
        tell(f"{len(readers)} readers, {args.count:,} inputs each, {args.jobs} processes")
        tallies = engine.run(readers, made, room, count=args.count, jobs=args.jobs, tell=tell)
    found = [finding for tally in tallies.values() for finding in tally.found.values()]
    shutil.rmtree(args.found, ignore_errors=True)
    lines = report.saved(found, args.found)
    seconds = time.monotonic() - started
    write("\n".join([*lines, report.costs(tallies), "", report.table(tallies), ""]))
    write(f"{len(found)} findings in {seconds / 60:.1f} minutes\n")
    return 1 if found else 0


def repeated(name: str, data: bytes, room: Path) -> int:
    """What becomes of one input."""
    worker = Worker(room / "worker")
    (result,) = worker.results(Task(name, given=(data,)))
    worker.close()
    write(f"{' '.join(filter(None, result.verdict))}\n{result.seconds:.2f} s, {result.growth / 1e6:.0f} MB\n")
    return 1 if result.verdict.kind in engine.FINDINGS else 0


def tell(text: str) -> None:
    """How far it is, on stderr."""
    sys.stderr.write(f"{text}\n")


def write(text: str) -> None:
    """On stdout."""
    sys.stdout.write(text)


if __name__ == "__main__":
    sys.exit(main())
