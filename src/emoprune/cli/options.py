"""Options that several commands share, spelled once."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import types
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

import typer

from emoprune.choices import Center, DeviceName
from emoprune.cli import output
from emoprune.settings import Setting, nearest, settings_of

Command = TypeVar("Command", bound=Callable[..., None])

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
    int, typer.Option("--samples", min=2, metavar="N", help="How many training images are looked at, if any.")
]


def one_of(names: Collection[str]) -> Callable[[str | None], str | None]:
    """A callback that refuses what is not in `names`."""

    def check(value: str | None) -> str | None:
        if value is not None and value not in names:
            raise typer.BadParameter(f"{value!r} is unknown; {nearest(value, names)}")
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
    """The --label of a command, a text; `meaning` is its help."""
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


@dataclass(frozen=True)
class Given:
    """What a command line says of the settings: the value of each, and which of them were written down."""

    values: Mapping[str, Any]
    written: frozenset[str]

    def of(self, config: type) -> dict[str, Any]:
        """The values of the settings of one config dataclass."""
        return {name: value for name, value in self.values.items() if name in settings_of(config)}


def with_settings(*configs: type, without: Collection[str] = ()) -> Callable[[Command], Command]:
    """Let a command take the settings of config dataclasses as options, in place of its parameter `given`.

    It gets them as a `Given`. Settings in `without` are not options of this command.
    """

    def decorate(command: Command) -> Command:
        hints = {name: hint for config in configs for name, hint in get_type_hints(config).items()}
        fields = {field.name: field for config in configs for field in dataclasses.fields(config)}
        entries = {
            name: entry
            for config in configs
            for name, entry in settings_of(config).items()
            if name not in without
        }
        ours = [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=_default(fields[name]), annotation=annotation
            )
            for name, entry in entries.items()
            for annotation in [_option(name, entry, hints[name])]
        ]
        own = {
            name: parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hint)
            for name, parameter in inspect.signature(command).parameters.items()
            for hint in [get_type_hints(command, include_extras=True)[name]]
        }
        parameters = []
        for name, parameter in own.items():
            parameters += ours if name == "given" else [parameter]
        takes_context = "context" in own
        if not takes_context:
            kind = inspect.Parameter.KEYWORD_ONLY
            parameters.insert(0, inspect.Parameter("context", kind, annotation=typer.Context))

        @functools.wraps(command)
        def wrapped(**values: Any) -> None:
            context = values["context"] if takes_context else values.pop("context")
            mine = {name: _as_tuple(values.pop(name), hints[name]) for name in entries}
            command(**values, given=Given(mine, _written(context) & mine.keys()))

        setattr(wrapped, "__signature__", inspect.Signature(parameters))  # noqa: B010  # no type has it
        wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        del wrapped.__wrapped__  # its annotations are not these
        return cast(Command, wrapped)

    return decorate


def _written(context: typer.Context) -> frozenset[str]:
    """Names of the parameters that were written on the command line."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return frozenset(name for name, source in sources.items() if source and source.name == "COMMANDLINE")


def _as_tuple(value: Any, hint: Any) -> Any:
    """What was given several times, as the setting has it."""
    return tuple(value or ()) if get_origin(hint) is tuple else value


def _default(field: dataclasses.Field[Any]) -> Any:
    return None if field.default == () else field.default


def _option(name: str, entry: Setting, hint: Any) -> Any:
    """The annotation of a setting as typer reads it."""
    repeated = get_origin(hint) is tuple
    kind = types.GenericAlias(list, get_args(hint)[:1]) | None if repeated else hint
    numeric = {int, float} & {hint, *get_args(hint)}
    help_text = entry.help + (f"  [default: {entry.default_text}]" if entry.default_text else "")
    more: dict[str, Any] = {
        "help": output.as_options(help_text),
        "metavar": entry.metavar,
        "show_default": entry.default_text is None,
    }
    if entry.fraction:
        more["parser"] = _fraction
    elif numeric:
        more |= {"min": entry.low, "max": entry.high}
    if entry.names:
        # a Literal would be refused by typer, which suggests no name near it
        kind = str if get_origin(hint) is Literal else kind
        more["callback"] = one_of(entry.names)
    if entry.names or entry.offered:
        more["autocompletion"] = completing(entry.names or entry.offered)
    if get_args(hint) and type(None) in get_args(hint) and entry.default_text is None:
        more["show_default"] = False
    return Annotated[kind, typer.Option(entry.option or f"--{name.replace('_', '-')}", **more)]
