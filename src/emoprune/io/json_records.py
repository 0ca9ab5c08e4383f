"""JSON values as records: dataclasses, tuples and mappings, checked against their types by msgspec."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from typing import Any, TypeVar

import msgspec

from emoprune.errors import InvalidRecord

T = TypeVar("T")

DAMAGED = "write the file again"
EXACT = 2**53
"""Floats do not hold every whole number from here on."""


def loads(text: str) -> Any:
    """json.loads, but ValueError also for what it lets pass: NaN, infinities, 1e999, and a key twice."""
    return decoder().decode(text)


def decoder() -> json.JSONDecoder:
    """What `loads` decodes with."""
    return json.JSONDecoder(
        parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_without_repeats
    )


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text} is too large for a float")
    return number


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found


def decode(kind: type[T], value: object, *, path: str = "") -> T:
    """`value`, as json.loads gives it, as an instance of `kind`; InvalidRecord names the field at fault.

    A bool is not a number, a float not an int, and a whole number that a float would round not a float.
    Fields without a default must be there. Unknown keys are ignored, so newer files still open.
    """
    try:
        made = msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise InvalidRecord(_fact(str(error), path), DAMAGED) from None
    except UnicodeEncodeError:
        # msgspec compares keys and choices as UTF-8
        raise InvalidRecord("has a key or a choice that is not UTF-8", DAMAGED) from None
    _check_exact(made, value, path)
    return made


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
    if dataclasses.is_dataclass(made):
        for field in dataclasses.fields(made):
            if field.name in value:
                place = f"{path}.{field.name}" if path else field.name
                _check_exact(getattr(made, field.name), value[field.name], place)
    elif isinstance(made, tuple):
        for index, (part, item) in enumerate(zip(made, value, strict=True)):
            _check_exact(part, item, f"{path}[{index}]")
    elif isinstance(made, float) and isinstance(value, int) and abs(value) >= EXACT:
        raise InvalidRecord(f"{path}: a float would round {value}", DAMAGED)
