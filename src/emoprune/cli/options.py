"""Options that several commands share, spelled once."""

from __future__ import annotations

import inspect
import math
import types
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperCommand

from emoprune.choices import DeviceName
from emoprune.cli import output
from emoprune.errors import UsageFault
from emoprune.settings import Setting, nearest, settings_of
from emoprune.training.config import TrainConfig

Command = TypeVar("Command", bound=Callable[..., None])

Json = Annotated[bool, typer.Option("--json", help="Print JSON lines, also on a terminal.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an output that exists.")]
Arch = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="The network of the checkpoint: needed for a checkpoint of a network of your own.",
        show_default=False,
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Number of processes.  [default: one per core]", show_default=False
    ),
]
KeepPaths = Annotated[
    bool,
    typer.Option("--keep-paths", help="Keep absolute paths in the history, not only their last name."),
]


class FilledCommand(TyperCommand):
    """A command whose arguments and options are not empty: a path "" would be the working folder."""

    def invoke(self, ctx: Any) -> Any:
        """Run it; UsageFault for an empty word, which a shell makes of a variable that is not set."""
        for parameter in self.params:
            value = ctx.params.get(parameter.name or "")
            if "" in (value if isinstance(value, list | tuple) else (value,)):
                option = max(parameter.opts, key=len)
                name = option if option.startswith("-") else parameter.metavar or option
                raise UsageFault("is empty", "give it a name or a value", place=name)
        return super().invoke(ctx)


def grouped(groups: Mapping[str, Sequence[str]]) -> type[FilledCommand]:
    """A kind of command whose help has options by their names under these headings, then those in none."""
    listed = {name for names in groups.values() for name in names}

    class Grouped(FilledCommand):
        def format_options(self, ctx: Any, formatter: Any) -> None:
            parameters = {parameter.name: parameter for parameter in self.get_params(ctx)}
            rest = {"Arguments": list[str](), "Other options": list[str]()}
            for name, parameter in parameters.items():
                if name not in listed:
                    argument = parameter.param_type_name == "argument"
                    rest["Arguments" if argument else "Other options"].append(name)
            sections = {"Arguments": rest.pop("Arguments"), **groups, **rest}
            for heading, names in sections.items():
                with formatter.section(heading):
                    formatter.write_dl([parameters[name].get_help_record(ctx) for name in names])

    return Grouped


def one_of(names: Collection[str]) -> Callable[[str | None], str | None]:
    """A callback that refuses what is not in `names`."""

    def check(value: str | None) -> str | None:
        if value is not None and value not in names:
            raise typer.BadParameter(f"{value!r} is unknown; {nearest(value, names)}")
        return value

    return check


def each_of(names: Collection[str]) -> Callable[[list[str] | None], list[str] | None]:
    """A callback that refuses what is not in `names` of an option that may be repeated."""
    check_one = one_of(names)

    def check(values: list[str] | None) -> list[str] | None:
        for value in values or ():
            check_one(value)
        return values

    return check


def list_of(names: Collection[str]) -> Callable[[str | None], str | None]:
    """A callback that refuses a list, joined by commas, with what is not in `names` or the same twice."""
    return _list_of(one_of(names))


def _list_of(check_one: Callable[[str], object]) -> Callable[[str | None], str | None]:
    def check(value: str | None) -> str | None:
        parts = [] if value is None else value.split(",")
        for part in parts:
            check_one(part)
            if parts.count(part) > 1:
                raise typer.BadParameter(f"{part} is there twice; give each once")
        return value

    return check


def _check_number(text: str) -> None:
    try:
        float(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a number; write numbers with commas between them"
        ) from None


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
        entries = {
            name: (entry, getattr(config, name))
            for config in configs
            for name, entry in settings_of(config).items()
            if name not in without
        }
        settings = [
            _parameter(name, _annotation(name, entry, hints[name]), None if default == () else default)
            for name, (entry, default) in entries.items()
        ]
        parameters = [_parameter("context", typer.Context)]
        own_hints = get_type_hints(command, include_extras=True)
        for name, parameter in inspect.signature(command).parameters.items():
            own = _parameter(name, own_hints[name], parameter.default)
            parameters += settings if name == "given" else [own]

        def wrapped(context: typer.Context, **values: Any) -> None:
            sources = {name: context.get_parameter_source(name) for name in entries}
            written = {name for name, source in sources.items() if source and source.name == "COMMANDLINE"}
            mine = {
                name: _as_tuple(values.pop(name), entry, hints[name]) for name, (entry, _) in entries.items()
            }
            command(**values, given=Given(mine, frozenset(written)))

        setattr(wrapped, "__signature__", inspect.Signature(parameters))  # noqa: B010  # no type has it
        wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        wrapped.__doc__ = command.__doc__
        return cast(Command, wrapped)

    return decorate


def _parameter(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _as_tuple(value: Any, entry: Setting, hint: Any) -> Any:
    """What was given several times, or as a list in one text, as the setting has it."""
    if entry.joined:
        parts = [] if value is None else value.split(",")
        return tuple(map(float, parts)) if float in get_args(hint) else tuple(parts)
    return tuple(value or ()) if get_origin(hint) is tuple else value


def _annotation(name: str, entry: Setting, hint: Any) -> Any:
    """The type of a setting as typer reads it."""
    if entry.joined:
        return Annotated[str | None, _list_option(name, entry)]
    kind = types.GenericAlias(list, get_args(hint)[:1]) | None if get_origin(hint) is tuple else hint
    if entry.names and get_origin(hint) is Literal:
        # typer would refuse a Literal, and suggest no name near it
        kind = str
    return Annotated[kind, _option(name, entry, hint)]


def _option(name: str, entry: Setting, hint: Any) -> Any:
    more: dict[str, Any] = {"show_default": entry.default_text is None and type(None) not in get_args(hint)}
    if entry.fraction:
        more["parser"] = _fraction
    elif {int, float} & {hint, *get_args(hint)}:
        more |= {"min": entry.low, "max": entry.high}
    if entry.names:
        more["callback"] = one_of(entry.names)
    if entry.names or entry.offered:
        more["autocompletion"] = completing(entry.names or entry.offered)
    return _typer_option(name, entry, more)


def _list_option(name: str, entry: Setting) -> Any:
    """The option of a list in one text: of names, or of numbers."""
    more: dict[str, Any] = {"show_default": False, "callback": _list_of(_check_number)}
    if entry.names:
        more |= {"callback": list_of(entry.names), "autocompletion": completing_list(entry.names)}
    return _typer_option(name, entry, more)


def _typer_option(name: str, entry: Setting, more: Mapping[str, Any]) -> Any:
    text = entry.help + (f"  [default: {entry.default_text}]" if entry.default_text else "")
    spelling = entry.option or f"--{name.replace('_', '-')}"
    return typer.Option(spelling, help=output.as_options(text), metavar=entry.metavar, **more)


_COMMON = settings_of(TrainConfig)
Seed = Annotated[int, _option("seed", _COMMON["seed"], int)]
Device = Annotated[DeviceName, _option("device", _COMMON["device"], DeviceName)]
