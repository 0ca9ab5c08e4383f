"""emoprune demo: the whole pipeline on faces that it draws itself."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from emoprune import events
from emoprune.cli import options, output
from emoprune.errors import OutputFault

SCENES_PER_CLASS = 48
MARKER = ".emoprune-demo"
"""Marks a folder that the demo may overwrite; the first file that it writes."""

EXAMPLES = """\b
Examples:
  emoprune demo
  emoprune demo somewhere --seed 1"""


def command(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="The folder for its files.")] = "demo",
    seed: options.Seed = 0,
    force: options.Force = False,
) -> None:
    """Run the whole pipeline on faces that it draws.

    The commands are shown as you would type them.
    Needs no network and no photos, takes about half a minute, and keeps every file. Ends with the answers of
    the pruned network for scenes that it never saw.
    """
    from emoprune.io.files import real_path

    root = Path(folder)
    if root.exists() and not root.is_dir():
        raise OutputFault("is not a folder", "name a folder to make", place=folder)
    if root.exists() and any(root.iterdir()) and not (force and _is_demo(root)):
        remedy = "give --force to run it again" if _is_demo(root) else "name another folder"
        raise OutputFault("exists already", remedy, place=folder)
    Path(real_path(root)).mkdir(parents=True, exist_ok=True)
    (root / MARKER).touch()
    _draw(root / "raw", SCENES_PER_CLASS, seed)
    _draw(root / "new", 1, seed + 1)
    raw, faces, pixels, new, drawn = (
        str(root / name) for name in ("raw", "faces", "pixels.csv", "new", "drawn")
    )
    model, distinct, quarter, onnx = (
        str(root / name) for name in ("model.st", "model.distinct.st", "model.reconstruct.st", "model.onnx")
    )
    scores = {path: str(root / f"{Path(path).name}.json") for path in (model, distinct, quarter, onnx)}
    again = ["--force"] if force else []
    _run("crop", raw, faces, *again)
    _run("features", faces, pixels, "--kind", "pixels", "--size", "24", "--gray", *again)
    _run(
        *("train", faces, model, "--arch", "conv2", "--gray", "--hidden", "200", "--activation", "sigmoid"),
        *("--epochs", "40", "--augment", "flip", "--seed", str(seed), *again),
    )
    _run("angles", model, "--format", "table")
    _run("prune", model, "--method", "distinct", "--angle", "30", "--layer", "classifier.*", *again)
    _run("prune", model, "--method", "reconstruct", "--macs", "0.25", *again)
    _run("export", quarter, onnx, *again)
    for path, score in scores.items():
        _run("eval", path, faces, to=score)
    _run("report", *scores.values(), "--section", "summary", "--format", "table")
    _run("predict", onnx, new, "--draw", drawn, *again)
    output.write(
        f"\nThe pruned network is {onnx}; what it says of photos that it never saw is drawn in {drawn}. "
        f"All other files are in {folder}.\n"
    )


def _is_demo(root: Path) -> bool:
    return (root / MARKER).is_file()


def _draw(raw: Path, each: int, seed: int) -> None:
    """Draw so many scenes of each emotion."""
    import numpy as np

    from emoprune.io import files
    from emoprune.io.pictures import images
    from emoprune.synthetic_faces import EMOTIONS, draw_scene

    scenes = [(emotion, index) for emotion in EMOTIONS for index in range(each)]
    output.write(f"drawing {len(scenes)} scenes in {raw}\n")
    for number, (emotion, index) in enumerate(events.tracked(scenes, "draw", len(scenes))):
        generator = np.random.default_rng((seed, number))
        target = raw / emotion / f"{emotion}_{index:02d}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        files.write_bytes(target, images.jpeg_bytes(draw_scene(emotion, generator=generator)), force=True)


def _run(*argv: str, to: str | None = None) -> None:
    """Show a command line as a user would type it, and run it; a command that fails ends the demo."""
    from emoprune.cli.main import main

    line = " ".join(map(output.quoted, ["emoprune", *argv]))
    output.write(f"\n$ {line}{f' > {output.quoted(to)}' if to else ''}\n")
    if to is None:
        code = main(list(argv))
    else:
        with Path(to).open("w", encoding="utf-8") as stream, contextlib.redirect_stdout(stream):
            code = main(list(argv))
    if code:
        sys.exit(code)
