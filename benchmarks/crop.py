"""Cropping against facenet-pytorch's own MTCNN: the same faces, time, memory.

    python -m benchmarks.crop DATA [DATA ...] [--only faces speed command memory] [--limit N] [--repeats 7]

DATA are folders of photos. The sections:

faces    each box of facenet-pytorch must overlap one of ours by more than 0.999, and we must have no other
         box; otherwise the exit code is 1
speed    photos already decoded, one thread; the two take turns, and the ratio is that of the median rounds
command  emoprune crop on copies of the photos against the loop that users would write, as processes, in turn
memory   the peak of a process, with its imports, over --photos photos of 60 sizes, and for one of 48
         megapixels
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.common import interleaved, machine, markdown, parser, progress, workplace
from emoprune.faces.detector import Detector
from emoprune.faces.types import Face
from emoprune.io.pictures.image_files import list_files
from emoprune.io.pictures.images import read_photo

SECTIONS = ("faces", "speed", "command", "memory")
SAME = 0.999
LANDMARK_PIXELS = 0.01
TIMES_FASTER = 1.8
SIZES = 60
SETTLED = 500
"""Photos after which memory should not grow."""
LARGE = (8000, 6000)
LIMIT_MB = 1000

PLAIN_LOOP = """
import sys
from pathlib import Path
from PIL import Image
from facenet_pytorch import MTCNN

mtcnn = MTCNN(image_size=224)
raw, faces = map(Path, sys.argv[1:])
for path in sorted(path for path in raw.rglob("*") if path.is_file()):
    mtcnn(Image.open(path), save_path=str(faces / path.relative_to(raw)))
"""


def facenet() -> Any:
    """facenet-pytorch's detector; imported here to keep it out of the processes whose memory is measured."""
    from facenet_pytorch import MTCNN

    return MTCNN(keep_all=True)


def same_faces(paths: Sequence[Path]) -> tuple[list[list[str]], bool]:
    """A row of counts and largest differences, and whether all faces are the same."""
    peer, ours = facenet(), Detector(torch.device("cpu"))
    counts, alike = [0, 0], 0
    farthest = [0.0, 0.0]
    for number, path in enumerate(paths, 1):
        image = read_photo(path)
        boxes, _, landmarks = peer.detect(image, landmarks=True)
        faces = ours.detect(image)
        counts[0] += 0 if boxes is None else len(boxes)
        counts[1] += len(faces)
        for box, points in zip(boxes, landmarks, strict=True) if boxes is not None else ():
            face = max(faces, key=partial(overlap_of, box), default=None)
            if face is None or overlap_of(box, face) <= SAME:
                progress(f"{path}: no box of ours at {np.round(box.astype(float), 1).tolist()}")
                continue
            alike += 1
            apart = (np.subtract(corners(face), box), np.subtract(face.landmarks, points))
            farthest = [max(past, float(abs(now).max())) for past, now in zip(farthest, apart, strict=True)]
        if number % 100 == 0:
            progress(f"{number} of {len(paths)} photos")
    equal = counts[0] == counts[1] == alike and farthest[1] <= LANDMARK_PIXELS
    row = [len(paths), *counts, alike, f"{farthest[0]:.1e}", f"{farthest[1]:.1e}"]
    return [[str(value) for value in row]], equal


def corners(face: Face) -> list[float]:
    """x1, y1, x2, y2."""
    return [face.box.x1, face.box.y1, face.box.x2, face.box.y2]


def overlap_of(box: Sequence[float], face: Face) -> float:
    """Intersection over union."""
    x1, y1, x2, y2 = box
    other = face.box
    common = max(min(x2, other.x2) - max(x1, other.x1), 0) * max(min(y2, other.y2) - max(y1, other.y1), 0)
    return float(common / ((x2 - x1) * (y2 - y1) + other.area - common))


def speed(paths: Sequence[Path], repeats: int) -> list[list[str]]:
    """Milliseconds per photo of both detectors."""
    images = [read_photo(path) for path in paths]
    peer, ours = facenet(), Detector(torch.device("cpu"))
    seconds = interleaved(
        {
            "facenet-pytorch": lambda: [peer.detect(image) for image in images],
            "emoprune": lambda: [ours.detect(image) for image in images],
        },
        repeats,
    )
    return _times(seconds, len(images))


def command(paths: Sequence[Path], repeats: int, jobs: int, place: Path) -> list[list[str]]:
    """Milliseconds per photo of whole processes, from start to end."""
    raw = place / "raw"
    for number, path in enumerate(paths):
        target = raw / path.parent.name / f"{number:05d}{path.suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    run = partial(subprocess.run, check=True, capture_output=True)
    faces = place / "faces"
    ours = [sys.executable, "-m", "emoprune", "crop", str(raw), str(faces), "--jobs", str(jobs), "--force"]
    plain = [sys.executable, "-c", PLAIN_LOOP, str(raw), str(place / "plain")]
    seconds = interleaved({"plain loop": lambda: run(plain), "emoprune crop": lambda: run(ours)}, repeats)
    return _times(seconds, len(paths))


def _times(seconds: dict[str, list[float]], photos: int) -> list[list[str]]:
    middles = {name: statistics.median(found) for name, found in seconds.items()}
    slowest = next(iter(middles.values()))
    return [
        [name, f"{1000 * middle / photos:.1f}", f"{photos / middle:.1f}", f"{slowest / middle:.2f}"]
        for name, middle in middles.items()
    ]


def memory(paths: Sequence[Path], photos: int) -> list[list[str]]:
    """Peak megabytes of a process with the detector."""
    marks = sorted({1, SIZES, min(SETTLED, photos), photos})
    rows = [
        [f"{SIZES} sizes, after {mark} photos", f"{peak:.0f}"]
        for mark, peak in zip(marks, _alone(_many_sizes, paths[:SIZES], marks), strict=True)
    ]
    before, after = _alone(_one_large, paths[0])
    name = f"{LARGE[0]}x{LARGE[1]} pixels"
    return [*rows, [f"{name}, before", f"{before:.0f}"], [f"{name}, after", f"{after:.0f}"]]


def _alone(task: Callable[..., list[float]], *args: object) -> list[float]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(task, *args).result()


def _many_sizes(paths: Sequence[Path], marks: Sequence[int]) -> list[float]:
    """The peak after each number of photos in `marks`."""
    detector = Detector(torch.device("cpu"))
    draw = np.random.default_rng(0)
    sizes = draw.integers(200, 900, (SIZES, 2)).tolist()
    images = [read_photo(path) for path in itertools.islice(itertools.cycle(paths), 10)]
    peaks = []
    for number in range(1, marks[-1] + 1):
        detector.detect(images[number % len(images)].resize(sizes[number % SIZES]))
        if number in marks:
            peaks.append(peak_mb())
    return peaks


def _one_large(path: Path) -> list[float]:
    """The peak with the large photo in memory, and after detection."""
    detector = Detector(torch.device("cpu"))
    photo = Image.new("RGB", LARGE)
    with Image.open(path) as small:
        # in parts: resized at once, the photo would be in memory twice
        for top in range(0, LARGE[1], 500):
            scale = small.height / LARGE[1]
            part = (0, top * scale, small.width, (top + 500) * scale)
            photo.paste(
                small.convert("RGB").resize((LARGE[0], 500), Image.Resampling.BICUBIC, part), (0, top)
            )
    before = peak_mb()
    detector.detect(photo)
    return [before, peak_mb()]


def peak_mb() -> float:
    """Peak memory of this process, in millions of bytes."""
    status = Path("/proc/self/status")
    if status.is_file():
        # getrusage's number includes the peak of the parent process
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def arguments() -> argparse.Namespace:
    """The command line."""
    options = parser(__doc__)
    options.add_argument("data", type=Path, nargs="+", help="folders of photos")
    options.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS, help="(default: all)")
    options.add_argument("--limit", type=int, help="photos to use, evenly spread (default: all)")
    options.add_argument("--repeats", type=int, default=7, help="rounds that count")
    options.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes of emoprune crop")
    options.add_argument("--photos", type=int, default=1000, help="photos of many sizes")
    options.add_argument("--work", type=Path, help="folder for photos and faces (default: temporary)")
    return options.parse_args()


def chosen(args: argparse.Namespace) -> list[Path]:
    """Up to --limit photos of all folders, evenly spread."""
    paths = [folder / name for folder in args.data for name in list_files(folder).pictures]
    if not paths:
        raise SystemExit("no photos found")
    count = min(args.limit or len(paths), len(paths))
    return [paths[index * len(paths) // count] for index in range(count)]


def tables(args: argparse.Namespace) -> Iterator[tuple[str, bool]]:
    """The table of each section in --only, and whether its check passed."""
    paths = chosen(args)
    timed = ["ms per photo", "photos/s", "times faster"]
    if "faces" in args.only:
        rows, equal = same_faces(paths)
        headings = ["photos", "faces of facenet-pytorch", "ours", "same", "box, px", "landmarks, px"]
        yield markdown(headings, rows), equal
    if "speed" in args.only:
        target = f"one thread, {args.repeats} rounds; target {TIMES_FASTER}"
        yield markdown([target, *timed], speed(paths, args.repeats)), True
    if "command" in args.only:
        with workplace(args.work) as place:
            rows = command(paths, args.repeats, args.jobs, place)
        yield markdown([f"whole processes, {args.jobs} jobs", *timed], rows), True
    if "memory" in args.only:
        yield markdown([f"memory; target {LIMIT_MB}", "peak, MB"], memory(paths, args.photos)), True


def run() -> None:
    """Measure and print the tables."""
    args = arguments()
    torch.set_num_threads(1)
    where = machine()
    good = True
    for table, equal in tables(args):
        print(table, end="\n\n", flush=True)
        good &= equal
    print(where)
    if not good:
        raise SystemExit(1)


if __name__ == "__main__":
    run()
