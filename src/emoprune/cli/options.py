"""Options that several commands share, spelled once."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emoprune.choices import Center, DeviceName, Kind, SplitBy
from emoprune.networks.registry import ARCHITECTURES, USUAL_TORCHVISION

if TYPE_CHECKING:
    pass

Json = Annotated[bool, typer.Option("--json", help="Print JSON lines, also on a terminal.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an output that exists.")]
Seed = Annotated[
    int,
    typer.Option("--seed", min=0, max=2**32 - 1, metavar="N", help="What every random choice follows from."),
]
Device = Annotated[
    DeviceName, typer.Option("--device", help="Where to compute; auto takes CUDA where there is one.")
]
LayerGlob = Annotated[
    str,
    typer.Option(
        "--layer",
        metavar="GLOB",
        help="Only layers whose name matches, of any kind that has units to remove.",
    ),
]
CenterOption = Annotated[
    Center | None,
    typer.Option(
        "--center",
        help="What activations are measured from: half (minus 0.5), range (the layer's range scaled to "
        "-0.5..0.5), mean (each unit's own), none.  [default: half for sigmoid, else range]",
        show_default=False,
    ),
]

LookAt = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="DATA|none",
        help="Measure the statistics anew on its training part, or on all of it if the model was trained on "
        "other data; none: look at no image.",
        show_default=False,
    ),
]
Limit = Annotated[
    int,
    typer.Option("--samples", min=2, metavar="N", help="How many training images are looked at, if any."),
]

Size = Annotated[
    str | None,
    typer.Option(
        "--size", metavar="PX|HxW", help="Input size.  [default: the architecture's own]", show_default=False
    ),
]
Gray = Annotated[
    bool, typer.Option("--gray/--color", help="Gray pictures; torchvision networks see them three times.")
]
Mean = Annotated[
    str | None,
    typer.Option(
        "--mean",
        metavar="X[,Y,Z]",
        help="Subtracted per channel after scaling to 0..1.  [default: ImageNet's for torchvision, else 0.5]",
        show_default=False,
    ),
]
Std = Annotated[
    str | None,
    typer.Option(
        "--std",
        metavar="X[,Y,Z]",
        help="Divided by per channel.  [default: ImageNet's for torchvision, else 0.5]",
        show_default=False,
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="imagenet|none|PATH",
        help="What to start from: torchvision's ImageNet weights (fetched), nothing, or a .safetensors, .st "
        "or .pth file.  [default: imagenet for torchvision's architectures, else none]",
        show_default=False,
    ),
]

Split = Annotated[
    str | None,
    typer.Option(
        "--split",
        metavar="80/20|75/10/15|346/329",
        help="Train/test or train/val/test, in percent or counts.  [default: the data's own train/, "
        "val/, test/ folders, else 80/20]",
        show_default=False,
    ),
]
GroupBy = Annotated[
    str | None,
    typer.Option(
        "--group-by",
        metavar="REGEX",
        help="Keep files on one side whose names' match is the same: '^[^_]+' for film_0001.jpg.",
    ),
]
SplitByOption = Annotated[
    SplitBy | None,
    typer.Option(
        "--split-by",
        help="Keep near-duplicates on one side: pictures that are copies of one another but for re-encoding, "
        "resizing or light, by the hashes in crops.csv or computed. With --group-by as well both hold.",
        show_default=False,
    ),
]


def one_of(names: Collection[str]) -> Callable[[str | None], str | None]:
    """A callback that refuses what is not in `names`."""

    def check(value: str | None) -> str | None:
        if value is not None and value not in names:
            import difflib

            near = difflib.get_close_matches(value, names)
            hint = f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(names)}"
            raise typer.BadParameter(f"{value!r} is unknown; {hint}")
        return value

    return check


def list_of(names: Collection[str]) -> Callable[[str], str]:
    """A callback that refuses a list, joined by commas, with what is not in `names` or the same twice."""
    known = one_of(names)

    def check(value: str) -> str:
        parts = value.split(",")
        for part in parts:
            known(part)
            if parts.count(part) > 1:
                raise typer.BadParameter(f"{part} is there twice; give each once")
        return value

    return check


def completing_list(names: Collection[str]) -> Callable[[str], list[str]]:
    """Shell completion of the last name of a list that is joined by commas."""

    def complete(incomplete: str) -> list[str]:
        before, comma, last = incomplete.rpartition(",")
        rest = [name for name in names if name not in before.split(",")]
        return [before + comma + name for name in completing(rest)(last)]

    return complete


def label(meaning: str) -> Any:
    """What a command's --label is: a text, of which `meaning` tells what it is said of."""
    return typer.Option(metavar="TEXT", callback=_said, help=meaning, show_default=False)


def _said(value: str | None) -> str | None:
    """The label, refused without text before any work is done under it."""
    if value is not None and not value.strip():
        raise typer.BadParameter("an empty label; give it a text, or leave it out")
    return value


def fraction(meaning: str, *names: str) -> Any:
    """An option, named after its parameter unless by `names`, that takes what lies in 0 to 1."""
    return typer.Option(*names, metavar="FRACTION", parser=_fraction, help=meaning)


def _fraction(text: str) -> float:
    """The number, or a hint at the fraction that a percentage would be."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if 0 <= value <= 1:
        return value
    hint = f"did you mean {value / 100:g}?" if 1 < value <= 100 else "give a number from 0 to 1"
    raise typer.BadParameter(f"{text} is not a fraction; {hint}")


def completing(names: Collection[str]) -> Callable[[str], list[str]]:
    """Shell completion from `names`."""
    return lambda incomplete: [name for name in names if name.startswith(incomplete)]


def _ours(kind: Kind) -> str:
    names = [name for name, entry in ARCHITECTURES.items() if entry.own and entry.takes[-1] == kind]
    return ", ".join(names)


Arch = Annotated[
    str,
    typer.Option(
        "--arch",
        metavar="NAME",
        callback=one_of(ARCHITECTURES),
        autocompletion=completing(ARCHITECTURES),
        help=f"{_ours('image')} (convolutions, then dense layers); {_ours('table')} (for feature tables); "
        "or any torchvision classifier by name.",
    ),
]
TORCHVISION = [name for name, entry in ARCHITECTURES.items() if not entry.own]
TorchvisionArch = Annotated[
    str | None,
    typer.Option(
        "--arch",
        metavar="NAME",
        callback=one_of(TORCHVISION),
        autocompletion=completing(TORCHVISION),
        help=f"Any torchvision classifier by name.  [default: {USUAL_TORCHVISION}]",
        show_default=False,
    ),
]
