"""Time and memory of `emoprune report` for more and more lines of metrics, in processes of its own.

    python -m benchmarks.report_time [--lines 1000 10000 100000] [--labels 8] [--against SRC]

The lines are evaluations of seven classes, of random numbers, with --labels different labels and a setting;
0 labels means one of its own for every line. SRC is the src/ of another checkout: both take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import emoprune
from benchmarks.common import CLASSES, machine, markdown, parser, progress

FORMS = {
    "JSON": (),
    "JSON by label": ("--by-label",),
    "table": ("--format", "table"),
    "Markdown": ("--format", "markdown"),
    "CSV": ("--format", "csv"),
}


TIMED = """
import resource, subprocess, sys, time
start = time.perf_counter()
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
"""In a process without torch: a new one begins with the memory of the one that starts it."""


def line(number: int, label: str, draw: random.Random) -> dict[str, Any]:
    """One evaluation as `emoprune eval` prints it."""
    names = [f"class{index}" for index in range(CLASSES)]
    confusion = [[draw.randrange(50) for _ in names] for _ in names]
    n = sum(map(sum, confusion))
    accuracy = sum(confusion[index][index] for index in range(CLASSES)) / n
    scores = {
        name: {"precision": draw.random(), "recall": draw.random(), "f1": draw.random(), "support": sum(row)}
        for name, row in zip(names, confusion, strict=True)
    }
    return {
        **{"schema": "emoprune.metrics/1", "model": f"run{number}.st", "model_fingerprint": f"{number:064x}"},
        **{"data": "faces", "data_fingerprint": "f" * 64, "split": "test", "n": n, "classes": names},
        **{"accuracy": accuracy, "accuracy_interval": [max(0, accuracy - 0.1), min(1, accuracy + 0.1)]},
        **{"macro_f1": draw.random(), "per_class": scores, "confusion": confusion},
        **{"log_loss": 2 * draw.random(), "calibration_error": draw.random()},
        **{"parameters": 10_000, "nonzero_parameters": 10_000, "macs": 10**6, "bytes": 10**5, "units": 100},
        **{"label": label, "settings": {"seed": number}},
    }


def measured(source: Path, argv: list[str]) -> tuple[float, float]:
    """Seconds and MB of a command line of the checkout whose src/ is `source`."""
    ended = subprocess.run(
        [sys.executable, "-c", TIMED, sys.executable, "-m", "emoprune", *argv],
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        check=True,
    )
    seconds, kilobytes = map(float, ended.stdout.split())
    return seconds, kilobytes / 1024


def arguments() -> argparse.Namespace:
    """The command line."""
    options = parser(__doc__)
    options.add_argument("--lines", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    options.add_argument("--labels", type=int, default=8, help="different labels; 0: every line its own")
    options.add_argument("--against", type=Path, metavar="SRC", help="the src/ of another checkout")
    options.add_argument("--only", nargs="+", choices=FORMS, default=list(FORMS), metavar="FORMAT")
    return options.parse_args()


def run() -> None:
    """Measure and print the table."""
    args = arguments()
    where = machine()
    sources = [Path(emoprune.__file__).parents[1], *([args.against] if args.against else [])]
    draw, rows = random.Random(0), []
    with tempfile.TemporaryDirectory(prefix="emoprune-benchmark-") as folder:
        place = Path(folder) / "runs.jsonl"
        for count in args.lines:
            with place.open("w") as stream:
                for number in range(count):
                    label = f"label {number % (args.labels or count)}"
                    stream.write(json.dumps(line(number, label, draw)) + "\n")
            for form in args.only:
                found = [measured(source, ["report", str(place), *FORMS[form]]) for source in sources]
                cells = [text for each in found for text in (f"{each[0]:.1f} s", f"{each[1]:,.0f} MB")]
                rows.append([form, f"{count:,}", *cells])
                progress(f"{form}, {count:,} lines: {', '.join(cells)}")
    sides = ["time", "memory", *(["time before", "memory before"] if args.against else [])]
    print(markdown(["format", "lines", *sides], rows), end="\n\n")
    print(where)


if __name__ == "__main__":
    run()
