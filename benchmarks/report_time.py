"""Time and memory of `emoprune report` for more and more lines of metrics, in processes of its own.

    python -m benchmarks.report_time [--lines 1000 10000 100000] [--labels 8] [--against SRC]
    python -m benchmarks.report_time --files 500 --repeats 5

The lines are evaluations of seven classes, of random numbers, with --labels different labels and a setting;
0 labels means one of its own for every line. With --files each line is a file of a folder. SRC is the src/ of
another checkout: both take turns. Times are medians of what is beyond starting Python; on a busy machine
believe that of the processor. It fails where report imports torch.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
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


REPORT = """
import sys
from emoprune.cli.main import main
code = main(sys.argv[1:])
sys.exit("torch was imported" if "torch" in sys.modules else code)
"""

TIMED = """
import resource, subprocess, sys, time
start = time.perf_counter()
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
seconds, used = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
print(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss)
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


def measured(
    source: Path, program: str, argv: Sequence[str] = (), *, repeats: int
) -> tuple[float, float, float]:
    """Median seconds, also of the processor, and MB of a program with the emoprune of `source`, a src/."""
    found = []
    for _ in range(repeats):
        ended = subprocess.run(
            [sys.executable, "-c", TIMED, sys.executable, "-c", program, *argv],
            env={**os.environ, "PYTHONPATH": str(source)},
            stdout=subprocess.PIPE,
            check=True,
        )
        found.append(tuple(map(float, ended.stdout.split())))
    seconds, processor, kilobytes = map(median, zip(*found, strict=True))
    return seconds, processor, kilobytes / 1024


def arguments() -> argparse.Namespace:
    """The command line."""
    options = parser(__doc__)
    options.add_argument("--lines", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    options.add_argument("--files", type=int, nargs="+", help="instead of --lines: files of one line each")
    options.add_argument("--repeats", type=int, default=1)
    options.add_argument("--labels", type=int, default=8, help="different labels; 0: every line its own")
    options.add_argument("--against", type=Path, metavar="SRC", help="the src/ of another checkout")
    options.add_argument("--only", nargs="+", choices=FORMS, default=list(FORMS), metavar="FORMAT")
    return options.parse_args()


def write(place: Path, lines: Iterable[dict[str, Any]], *, apart: bool) -> None:
    """The lines in one file or, apart, in a folder of files."""
    texts = (json.dumps(each) + "\n" for each in lines)
    if not apart:
        with place.open("w") as stream:
            stream.writelines(texts)
        return
    place.mkdir()
    for number, text in enumerate(texts):
        (place / f"run{number:06}.json").write_text(text)


def run() -> None:
    """Measure and print the table."""
    args = arguments()
    where = machine()
    sources = [Path(emoprune.__file__).parents[1], *([args.against] if args.against else [])]
    draw, rows, apart = random.Random(0), [], bool(args.files)
    *starts, _ = measured(sources[0], "pass", repeats=max(5, args.repeats))
    with tempfile.TemporaryDirectory(prefix="emoprune-benchmark-") as folder:
        for count in args.files or args.lines:
            place = Path(folder) / f"{count}.jsonl"
            labels = [f"label {number % (args.labels or count)}" for number in range(count)]
            write(place, (line(number, label, draw) for number, label in enumerate(labels)), apart=apart)
            for form in args.only:
                argv = ["report", str(place), *FORMS[form]]
                found = [measured(source, REPORT, argv, repeats=args.repeats) for source in sources]
                cells = [
                    text
                    for *spent, size in found
                    for text in (
                        *(f"{each - start:.2f} s" for each, start in zip(spent, starts, strict=True)),
                        f"{size:,.0f} MB",
                    )
                ]
                rows.append([form, f"{count:,}", *cells])
                progress(f"{form}, {count:,} {'files' if apart else 'lines'}: {', '.join(cells)}")
    names = ["time", "processor", "memory"]
    sides = [*names, *(f"{name} before" for name in names if args.against)]
    print(markdown(["format", "files" if apart else "lines", *sides], rows), end="\n\n")
    print(f"Beyond starting Python, which takes {starts[0]:.2f} s.", where)


if __name__ == "__main__":
    run()
