"""Settings: the fields of config dataclasses, each declared once with its meaning and its limits.

The options of a command, what a search may vary and the checks of the Python API all follow from them.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import numbers
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from emoprune.errors import UsageFault

KEY = "setting"


@dataclass(frozen=True)
class Setting:
    """What a setting means (`help`), and which values it takes.

    Numbers lie in `low` to `high`, both included; texts are among `names`, where there are any. Completion
    offers those or the `offered`, which are not the only ones. `metavar` stands for the value in help,
    `default_text` for a default that depends on other settings. `option` is how the command line calls it
    where that is not its name: "--gray/--color". Several values of a list that is `joined` are one text of a
    command line, with commas between them.
    """

    help: str
    metavar: str | None = None
    low: float | None = None
    high: float | None = None
    names: Collection[str] = ()
    offered: Collection[str] = ()
    default_text: str | None = None
    option: str | None = None
    joined: bool = False

    @property
    def fraction(self) -> bool:
        """Whether it is a fraction of a whole: 0 to 1."""
        return self.metavar == "FRACTION" and (self.high or 1) <= 1


def setting(default: Any, help: str, **more: Any) -> Any:
    """A field of a config dataclass; `more` are the fields of Setting."""
    return dataclasses.field(default=default, metadata={KEY: Setting(help, **more)})


def like(config: type, name: str, **more: Any) -> Any:
    """A field declared as `name` of another config dataclass is, but for `more`."""
    (field,) = (field for field in dataclasses.fields(config) if field.name == name)
    return dataclasses.field(
        default=field.default, metadata={KEY: dataclasses.replace(field.metadata[KEY], **more)}
    )


def settings_of(config: type) -> dict[str, Setting]:
    """The settings of a config dataclass by name, without its other fields."""
    return {field.name: field.metadata[KEY] for field in dataclasses.fields(config) if KEY in field.metadata}


def check_limits(config: Any) -> None:
    """Raise UsageFault for a setting of another type or outside its limits; for __post_init__ of a config."""
    hints = get_type_hints(type(config))
    for name, entry in settings_of(type(config)).items():
        check_setting(name, getattr(config, name), entry, hints[name])


def check_setting(name: str, value: Any, entry: Setting, hint: Any) -> None:
    """Raise UsageFault for a value that is not of the type `hint`, or outside the limits of its setting."""
    kinds = [hint] if get_origin(hint) is Literal else [hint, *get_args(hint)]
    several = get_origin(hint) is tuple
    if several and not isinstance(value, tuple | list):
        raise UsageFault(f"`{name}={value}` is not a list", "give a list")
    names = entry.names or _choices(hint)
    for each in value if several else (value,):
        if not any(_fits(each, kind) for kind in kinds):
            raise UsageFault(f"`{name}={each}` is not {_TYPES[_type_of(kinds)]}", _remedy(each, kinds))
        _check(name, each, entry, names)


_TYPES: dict[type, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def _type_of(kinds: Iterable[Any]) -> type:
    """The type that values have: of several the first, a word of a Literal is a text."""
    return next((kind for kind in kinds if kind in _TYPES), str)


def _remedy(value: Any, kinds: Iterable[Any]) -> str:
    if _type_of(kinds) is str and isinstance(value, int | float):
        return f'write "{value}"'
    return "give one"


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value is of one part of a type; numpy's numbers are numbers."""
    if kind is bool or isinstance(value, bool):
        return kind is bool and isinstance(value, bool)
    if kind in (int, float):
        return isinstance(value, numbers.Integral if kind is int else numbers.Real)
    if get_origin(kind) is Literal:
        return isinstance(value, str)
    return isinstance(kind, type) and get_origin(kind) is None and isinstance(value, kind)


def _choices(hint: Any) -> tuple[str, ...]:
    """The words of a Literal, also of one that may be None."""
    words = [get_args(part) for part in (hint, *get_args(hint)) if get_origin(part) is Literal]
    return words[0] if words else ()


def _check(name: str, value: Any, entry: Setting, names: Collection[str]) -> None:
    if isinstance(value, str) and names and value not in names:
        raise UsageFault(f"`{name}={value}` is unknown", nearest(value, names))
    if value is None or isinstance(value, bool | str):
        return
    low, high = (math.inf if bound is None else bound for bound in (entry.low, entry.high))
    if not math.isfinite(value) or (entry.low is not None and value < low) or value > high:
        limits = f"{entry.low:g} or more" if entry.high is None else f"{entry.low or 0:g} to {entry.high:g}"
        raise UsageFault(f"`{name}={value}` is out of range", f"give {limits}")


def nearest(name: str, known: Iterable[str]) -> str:
    """The remedy for an unknown name: those that are spelled nearly so, else all."""
    known = list(known)
    near = difflib.get_close_matches(name, known)
    return f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(known)}"
