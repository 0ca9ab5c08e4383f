"""The options of emoprune train."""

from __future__ import annotations

from typing import Annotated

import typer

from emoprune.choices import Freeze, Keep
from emoprune.cli import options
from emoprune.data.augmentation import AUGMENTATIONS
from emoprune.training.config import OF_THE_NETWORK, Settings
from emoprune.training.presets import PRESETS


def given(context: typer.Context) -> frozenset[str]:
    """Names of the parameters that were written on the command line."""
    return frozenset(
        name
        for name in context.params
        if (source := context.get_parameter_source(name)) and source.name == "COMMANDLINE"
    )


def spelled_out(settings: Settings) -> str:
    """The options of a preset as one would write them, as they are after all others have counted."""
    names = [
        name
        for name in PRESETS[settings.preset or ""].settings
        if not (settings.earlier and name in OF_THE_NETWORK)
    ]
    return " ".join(word for name in names for word in words(name, getattr(settings, name)))


def where_from(preset: str) -> str:
    """Where a preset is described, and what is not."""
    entry = PRESETS[preset]
    return entry.source + (f"; left open there, and chosen here: {entry.ours}" if entry.ours else "")


def words(name: str, value: object) -> list[str]:
    """One setting as the words that ask for it; what is repeated for each of a tuple."""
    option = f"--{name.replace('_', '-')}"
    found = []
    for each in value if isinstance(value, tuple) else (value,):
        found += [option] if each is True else [option, str(each)]
    return found


def _take_defaults(context: typer.Context, name: str | None) -> str | None:
    """Let a preset stand in for the defaults of all other options."""
    if name is not None:
        options.one_of(PRESETS)(name)
        context.default_map = dict(PRESETS[name].settings)
    return name


Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A folder of faces by class, a CSV of faces as FER-2013's (emotion,pixels[,Usage]), or a "
        "feature table: .csv or .xlsx (name, label, features; or the sheet published with SFEW) or .st; - is "
        "CSV on standard input.",
    ),
]
Output = Annotated[
    str, typer.Argument(metavar="MODEL", help="The checkpoint to write, or - for standard output.")
]
PresetOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        is_eager=True,
        callback=_take_defaults,
        autocompletion=options.completing(PRESETS),
        help=f"All defaults as a paper has them: {', '.join(PRESETS)}. Other options still count.",
    ),
]
Earlier = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="MODEL",
        help="Go on training this checkpoint: widths stay narrow, zeros zero, its split where the data is "
        "the same.",
    ),
]
SaveInit = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Also write the network as it is before the first step."),
]
Curve = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help="Also write loss and accuracy per epoch, for emoprune report --figures."
    ),
]
Label = Annotated[str | None, options.label("What --curve is of, for emoprune report.")]
Overfit = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Sanity check: train on N samples of the training part, and say whether they are learned.",
    ),
]
FreezeOption = Annotated[
    Freeze, typer.Option(help="backbone: train the head alone, on features computed once.")
]
Hidden = Annotated[
    list[int] | None,
    typer.Option(
        min=1,
        metavar="UNITS",
        help="Width of a dense hidden layer between features and classes; may be repeated.  "
        "[default: the network's own: 200 for conv2, 20 for mlp]",
        show_default=False,
    ),
]
Channels = Annotated[
    list[int] | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Width of each convolution of a network of ours, in order; repeat it.  [default: its own]",
        show_default=False,
    ),
]
Dropout = Annotated[float, typer.Option(min=0, max=0.99, metavar="SHARE", help="After each hidden layer.")]
Epochs = Annotated[int, typer.Option(min=0, metavar="N", help="0 adopts finished weights as they are.")]
Momentum = Annotated[float, typer.Option(min=0, max=1, metavar="SHARE", help="Of sgd.")]
Decay = Annotated[float, typer.Option(min=0, metavar="RATE", help="L2 penalty; decoupled in adamw.")]
Factor = Annotated[
    float, typer.Option(min=0, max=1, metavar="SHARE", help="What is left of --lr after every epoch.")
]
LrDecay = Annotated[float, typer.Option(min=0, metavar="RATE", help="Divide --lr by 1 + RATE x steps taken.")]
Penalty = Annotated[
    float, typer.Option(min=1e-6, metavar="C", help="Of svm: how much a misclassified sample costs.")
]
Augment = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME[:STRENGTH]",
        autocompletion=options.completing(AUGMENTATIONS),
        help="May be repeated or joined by commas; none: none. "
        + "; ".join(f"{name}:{kind.default:g}: {kind.meaning}" for name, kind in AUGMENTATIONS.items())
        + ".",
    ),
]
KeepOption = Annotated[
    Keep | None,
    typer.Option(
        help="Which epoch: best is by validation accuracy.  [default: best with a val part, else last]",
        show_default=False,
    ),
]
