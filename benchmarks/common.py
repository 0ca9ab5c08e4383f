"""Shared by the benchmarks: pictures, timing, Markdown."""

from __future__ import annotations

import argparse
import os
import platform
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image

PICTURE_SIDE = 48
CLASSES = 7


def parser(docstring: str | None) -> argparse.ArgumentParser:
    """A parser whose help is the docstring of its module, unchanged."""
    return argparse.ArgumentParser(
        description=docstring, formatter_class=argparse.RawDescriptionHelpFormatter
    )


@contextmanager
def workplace(given: Path | None) -> Iterator[Path]:
    """The folder for files: the given one, made if needed, or a temporary one."""
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="emoprune-benchmark-") as scratch:
        yield Path(scratch)


def sampled_data(data: Path, target: Path, *, images: int, seed: int) -> None:
    """Copy `data` to `target`: all of val/, and `images` of train/, each class in proportion."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(data / "val", target / "val")
    shuffle = random.Random(seed).shuffle
    paths: list[Path] = []
    for folder in sorted(path for path in (data / "train").iterdir() if path.is_dir()):
        found = sorted(path for path in folder.iterdir() if path.is_file())
        shuffle(found)
        paths += found
    # classes follow one another, so evenly spread steps take each in proportion, and random images of it
    chosen = [paths[index * len(paths) // images] for index in range(min(images, len(paths)))]
    for path in chosen if images < len(paths) else paths:
        place = target / "train" / path.parent.name / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)


def noise_data(target: Path, *, images: int) -> None:
    """A folder of noise pictures by class, for networks whose answers do not matter."""
    shutil.rmtree(target, ignore_errors=True)
    generator = np.random.default_rng(0)
    for index in range(images):
        folder = target / f"class{index % CLASSES}"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 256, (PICTURE_SIDE, PICTURE_SIDE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")


def interleaved(tasks: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Seconds of every repeat of every task, after one round that does not count.

    Tasks take turns, so other load on the machine affects all of them alike.
    """
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for round_ in range(repeats + 1):
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            if round_:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def median_ratio(first: Sequence[float], second: Sequence[float]) -> float:
    """Time of `first` as a multiple of `second`: the median over the rounds."""
    return statistics.median(a / b for a, b in zip(first, second, strict=True))


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """A Markdown table: the first `left` columns are text, the rest are numbers."""
    rule = [":--" if index < left else "--:" for index in range(len(headings))]
    return "\n".join(f"| {' | '.join(line)} |" for line in (headings, rule, *rows))


def machine() -> str:
    """The machine and its load, in one line."""
    load = f", load {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    return (
        f"{os.cpu_count()} CPU cores ({platform.machine()}), {torch.get_num_threads()} torch threads, "
        f"Python {platform.python_version()}, torch {torch.__version__}{load}"
    )


def progress(text: str) -> None:
    """Report on stderr how far a long run is."""
    sys.stderr.write(f"{text}\n")
