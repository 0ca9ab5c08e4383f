"""JSON values as records: dataclasses, tuples and mappings, checked against their types by msgspec."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from emoprune.errors import InvalidRecord

T = TypeVar("T")

DAMAGED = "write the file again"
EXACT = 2**53
"""Floats do not hold every whole number from here on."""

HUGE = 1e100
"""More than a network computes, and little enough for means and squares of it."""


class NotJson(ValueError):
    """What Python's json lets pass."""


def loads(text: str) -> Any:
    """json.loads, but NotJson, a ValueError, also for what it lets pass: NaN, infinities, and a key twice.

    1e999 becomes infinite, which `decode` refuses by the name of its field.
    """
    return decoder().decode(text)


def decoder() -> json.JSONDecoder:
    """What `loads` decodes with."""
    return json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_without_repeats)


def _refuse_constant(name: str) -> None:
    raise NotJson(f"{name} is not JSON")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise NotJson("a key is there twice")
    return found


def decode(kind: type[T], value: object, *, path: str = "") -> T:
    """`value`, as json.loads gives it, as an instance of `kind`; InvalidRecord names the field at fault.

    A bool is not a number, a float not an int, and a whole number that a float would round not a float. No
    float is HUGE, as 1e999 is. Fields without a default must be there. Unknown keys are ignored, so newer
    files still open.
    """
    try:
        made = msgspec.convert(value, kind)
        # most records have no such number, and it takes long to find the type of each
        if _has_extreme(value):
            _check_exact(made, value, path)
    except msgspec.ValidationError as error:
        raise InvalidRecord(_fact(str(error), path), DAMAGED) from None
    except UnicodeEncodeError:
        # msgspec compares keys and choices as UTF-8
        raise InvalidRecord("has a key or a choice that is not UTF-8", DAMAGED) from None
    except RecursionError:
        raise InvalidRecord("is nested too deeply", DAMAGED) from None
    return made


def _has_extreme(value: Any) -> bool:
    """Whether a number in it is larger than floats hold every whole number."""
    kind = type(value)
    if kind is dict:
        return any(map(_has_extreme, value.values()))
    if kind is list:
        return any(map(_has_extreme, value))
    return (kind is float or kind is int) and not -EXACT < value < EXACT


def _fact(message: str, path: str) -> str:
    """A message of msgspec, "Expected `int`, got `str` - at `$.spec.classes`", as a fact of ours."""
    what, _, place = message.rpartition(" - at ")
    what, place = (what, place) if what else (place, "$")
    place = (path + place.strip("`").removeprefix("$")).removeprefix(".")
    missing = re.fullmatch(r"Object missing required field `(\w+)`", what)
    if missing:
        return f"lacks {place}.{missing[1]}" if place else f"lacks {missing[1]}"
    what = " ".join(what.replace("`", "").split())
    what = what[:1].lower() + (what[1:] if len(what) <= 60 else f"{what[1:57]}...")
    return f"{place}: {what}" if place else what


def _check_exact(made: Any, value: Any, path: str) -> None:
    if isinstance(made, float):
        place = path.removeprefix(".")
        if not -HUGE <= made <= HUGE:
            raise InvalidRecord(f"{place}: {made:g} is out of range", DAMAGED)
        if isinstance(value, int) and abs(value) >= EXACT:
            raise InvalidRecord(f"{place}: a float would round {value}", DAMAGED)
    for name, part, item in _parts(made, value):
        _check_exact(part, item, path + name)


def _parts(made: Any, value: Any) -> Iterator[tuple[str, Any, Any]]:
    """The parts of a record and of the value that it was made from, each with its name."""
    if dataclasses.is_dataclass(made):
        names = (field.name for field in dataclasses.fields(made) if field.name in value)
        yield from ((f".{name}", getattr(made, name), value[name]) for name in names)
    elif isinstance(made, dict):
        yield from zip((f"[{key}]" for key in made), made.values(), value.values(), strict=True)
    elif isinstance(made, tuple | list):
        yield from zip((f"[{index}]" for index in range(len(made))), made, value, strict=True)
