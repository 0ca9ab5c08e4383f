"""Texts of the command line: options by themselves, and whole lines."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
from collections.abc import Callable, Sequence
from unittest import mock

import av  # noqa: F401  # once, for all processes; as are the others that a reader imports when it needs them
import numpy as np
import openpyxl  # noqa: F401
import sklearn.model_selection  # noqa: F401
import torchvision.models  # noqa: F401
from hypothesis.strategies import SearchStrategy

from emoprune.cli.main import main
from emoprune.data.augmentation import parse_augmentations
from emoprune.data.config import SplitConfig
from emoprune.data.formats.fer2013 import Pixels
from emoprune.data.splits import part_sizes, partition, split_rule
from emoprune.data.types import Catalog
from emoprune.errors import UsageFault
from emoprune.evaluation.types import check_settings
from emoprune.io.key_values import keyed, number_or_text
from emoprune.networks import inputs
from emoprune.search.config import SEARCHABLE, parse_fixed, trial_settings
from emoprune.search.space import grid_size, parse_space, points
from emoprune.training.config import train_config
from tests.fuzz import strategies
from tests.fuzz.engine import Place
from tests.fuzz.strategies import LONG

NAMES = [LONG, *(f"film{index // 2}_{index}" for index in range(1, 12))]
PIXELS = Pixels(
    Catalog.of("pixels.csv", NAMES, [("angry", "happy")[index % 2] for index in range(12)], "f"),
    np.zeros((12, 48, 48), np.uint8),
)


def _space(text: str) -> None:
    space = parse_space(text, SEARCHABLE)
    if grid_size([space]) < 10_000:
        list(points(space))


def _group_by(text: str) -> None:
    rule = split_rule(PIXELS, SplitConfig(split="50/50", group_by=text), 0)
    partition(PIXELS.catalog, rule)


def _split_text(text: str) -> None:
    part_sizes(text, len(NAMES))
    partition(PIXELS.catalog, split_rule(PIXELS, SplitConfig(split=text), 0))


def _inputs(size: str | None = None, mean: str | None = None, std: str | None = None) -> None:
    inputs.preprocess(PIXELS, "conv2", size, gray=False, mean=mean, std=std)


def _settings(text: str) -> None:
    check_settings({key: number_or_text(value) for key, value in keyed("--set", [text], empty=True).items()})


def _trained(text: str) -> None:
    """One setting of a training by its name."""
    name, _, value = text.partition("=")
    if name in SEARCHABLE:
        train_config(None, **trial_settings(parse_fixed([f"{name}={value}"])))


PARSERS: dict[str, tuple[Callable[[str], object], Sequence[str]]] = {
    "size": (lambda text: _inputs(size=text), ("224", "576x720", "4096X1")),
    "mean": (lambda text: _inputs(mean=text), ("0.5", "0.5,0.4,0.3")),
    "std": (lambda text: _inputs(std=text), ("0.5", "0.5,0.4,0.3")),
    "split": (_split_text, ("80/20", "50/25/25", "6/6")),
    "group_by": (_group_by, ("^[^_]+", "(film[0-9]+)", ".", "(a+)+$")),
    "augment": (lambda text: parse_augmentations([text]), ("flip", "rotate:15,crop", "none", "contrast:0.5")),
    "space": (
        _space,
        ("lr=log:1e-4:1e-1", "hidden=20,50+20", "epochs=int:1:9", "lr=1e-3:1e-1:3", "layers=1:4"),
    ),
    "fixed": (
        lambda text: trial_settings(parse_fixed([text])),
        ("epochs=5", "gray=yes", "hidden=20+50", "lr=0.1"),
    ),
    "setting": (_settings, ("hidden=200", "seed=3", "note=a b", "x=")),
    "trained": (_trained, ("lr=0.1", "hidden=20", "dropout=0.5", "optimizer=sgd", "batch_size=0")),
}
"""Texts of the command line: what reads them, and valid ones."""


def setting(place: Place) -> None:
    """As a command reads the text of an option."""
    kind, text = json.loads(place.input.read_bytes())
    PARSERS[kind][0](text)


LINES = [
    shlex.split(line)
    for line in (
        "crop raw tree --size 16 --margin 0.2 --select all --boxes b.csv --jobs 1",
        "crop none tree --every 2 --max-side 64 --pad clip --min-face 9 --json",
        "features t.csv f.csv --kind lpq,phog --pca 2 --size 24 --gray --seed 1",
        "train none.csv m.st --arch mlp --hidden 4 --epochs 1 --lr 0.1 --mean 0.5",
        "train none m.st --preset jain2020-conv2 --augment flip,rotate:9 --split 80/20 --force",
        "search none --space lr=log:1e-3:1e-1 --set epochs=1 --trials 2 --storage s -o o",
        "angles none.st --below 30 --above 150 --layer '*' --format csv --center mean",
        "prune none.st -o o.st --method reconstruct --macs 0.5 --round-to 8 --dry-run",
        "prune none.st --method distinct --angle 20 --merge sum --steps --label x",
        "sweep none.st none --methods distinct,random-units --macs 0.5,0.25 --merge sum -o o --resume",
        "eval none.st none.csv --split test --label x --set a=1 --latency --json",
        "eval none.onnx none --group-by ^[^_]+ --predictions p.csv --force",
        "report none.json --by-label --paper p.csv --figures f --figure steps --section summary",
        "report none.csv --baseline t.csv --margin 2 --section verdicts --format csv",
        "export none.st o.onnx --tolerance 1e-4 --data none --seed 3",
        "predict none.st none.jpg --no-crop --draw d --faces largest --jobs 1 --force",
        "predict none.onnx none --camera 0 --every 2 --json",
        "--version",
    )
]
"""A valid line of each command, and of some commands two."""
WORDS = [
    *dict.fromkeys(word for line in LINES for word in line),
    "--help",
    "--no-rescue",
    "--device",
    "cuda",
    "-",
]


def command_line(place: Place) -> str:
    """The program itself, with files that do not exist; its own bugs are raised here."""
    line = json.loads(place.input.read_bytes())
    if "demo" in line:
        # half a minute of work, and nothing to read
        return ""
    out, err = io.StringIO(), io.StringIO()
    nothing = mock.patch("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    with nothing, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(line)
    if code not in (0, 1, 2):
        frames = [text.strip() for text in err.getvalue().splitlines() if text.strip().startswith("File ")]
        raise AssertionError(f"exit code {code} at {frames[-1:]}: {err.getvalue().splitlines()[-2:-1]}")
    text = out.getvalue() + err.getvalue()
    if code:
        complaints = [
            text for text in err.getvalue().split("\n") if not text.startswith(("note: ", "warning: "))
        ]
        assert complaints[-1] == ""
        # without a command, the help is shown
        assert len(complaints) == 2 or not line, f"{len(complaints) - 1} lines of complaint"
        raise UsageFault(complaints[0], "")
    return text


def of_settings(seeds: Sequence[bytes]) -> SearchStrategy[bytes]:
    """Texts of every kind."""
    return strategies.texts({kind: valid for kind, (_, valid) in PARSERS.items()})


def of_lines(seeds: Sequence[bytes]) -> SearchStrategy[bytes]:
    """Lines of every command."""
    return strategies.command_lines(LINES, WORDS)


def own_seeds() -> dict[str, list[bytes]]:
    """Seeds that need no file: valid texts and command lines."""
    texts = [json.dumps([kind, text]).encode() for kind, (_, valid) in PARSERS.items() for text in valid]
    return {"settings": texts, "lines": [json.dumps(line).encode() for line in LINES]}
