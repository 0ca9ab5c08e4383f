"""Settings: the fields of config dataclasses, each declared once with its meaning and its limits.

The options of a command, what a search may vary and the checks of the Python API all follow from them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from emoprune.errors import UsageFault

KEY = "setting"


@dataclass(frozen=True)
class Setting:
    """What a setting means (`help`), and which values it takes.

    Numbers lie in `low` to `high`, both included; texts are among `names`, where there are any. `metavar`
    stands for the value in help, `default_text` for a default that depends on other settings. `option` is how
    the command line calls it where that is not its name: "--gray/--color".
    """

    help: str
    metavar: str | None = None
    low: float | None = None
    high: float | None = None
    names: Collection[str] = ()
    default_text: str | None = None
    option: str | None = None

    @property
    def fraction(self) -> bool:
        """Whether it is a fraction of a whole: 0 to 1."""
        return self.metavar == "FRACTION" and self.high in (None, 1)


def setting(default: Any, help: str, **more: Any) -> Any:
    """A field of a config dataclass; `more` are the fields of Setting."""
    return dataclasses.field(default=default, metadata={KEY: Setting(help, **more)})


def settings_of(config: type) -> dict[str, Setting]:
    """The settings of a config dataclass by name; fields that are no settings are left out."""
    return {field.name: field.metadata[KEY] for field in dataclasses.fields(config) if KEY in field.metadata}


def check_limits(config: Any) -> None:
    """Raise UsageFault for a setting outside its limits; for __post_init__ of a config dataclass."""
    for name, entry in settings_of(type(config)).items():
        value = getattr(config, name)
        for each in value if isinstance(value, tuple) else (value,):
            _check(name, each, entry)


def _check(name: str, value: Any, entry: Setting) -> None:
    if isinstance(value, str) and entry.names and value not in entry.names:
        raise UsageFault(f"`{name}={value}` is unknown", f"choose from {', '.join(entry.names)}")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    low, high = (math.inf if bound is None else bound for bound in (entry.low, entry.high))
    if math.isnan(value) or (entry.low is not None and value < low) or value > high:
        limits = f"{entry.low:g} or more" if entry.high is None else f"{entry.low or 0:g} to {entry.high:g}"
        raise UsageFault(f"`{name}={value}` is out of range", f"give {limits}")
