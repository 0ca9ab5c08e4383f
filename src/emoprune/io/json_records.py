"""From JSON values to records, checked field by field against the records' own types."""

from __future__ import annotations

import dataclasses
import json
import types
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from emoprune.errors import InvalidRecord

T = TypeVar("T")

DAMAGED = "write the file anew"


def loads(text: str) -> Any:
    """json.loads, but ValueError also for NaN and the infinities, which are no JSON and no figures."""
    return json.loads(text, parse_constant=refuse_constant)


def refuse_constant(name: str) -> None:
    """What json calls for NaN and the infinities."""
    raise ValueError(f"{name} is no JSON")


def decode(kind: type[T], value: object, *, path: str = "") -> T:
    """`value`, as json.loads gives it, as an instance of `kind`; InvalidRecord names the field at fault.

    Knows dataclasses, tuples, mappings with string keys, Literal, optional types and the JSON scalars.
    Fields of a dataclass that have no default must be there; unknown keys are passed over, so that a newer
    program's additions do not lock an older one out.
    """
    return _decode(kind, value, path)  # type: ignore[no-any-return]  # `kind` may be a typing construct


def _decode(kind: Any, value: Any, path: str) -> Any:
    decoder = DECODERS.get(get_origin(kind))
    if decoder is not None:
        return decoder(get_args(kind), value, path)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _record(kind, value, path)
    return _scalar(kind, value, path)


def _optional(arguments: tuple[Any, ...], value: Any, path: str) -> Any:
    if value is None:
        return None
    (kind,) = (argument for argument in arguments if argument is not types.NoneType)
    return _decode(kind, value, path)


def _tuple(arguments: tuple[Any, ...], value: Any, path: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        _refuse(value, path)
    kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else list(arguments)
    if len(kinds) != len(value):
        _refuse(value, path)
    return tuple(
        _decode(kind, item, f"{path}[{i}]") for i, (kind, item) in enumerate(zip(kinds, value, strict=True))
    )


def _literal(arguments: tuple[Any, ...], value: Any, path: str) -> Any:
    return value if value in arguments else _refuse(value, path)


def _mapping(arguments: tuple[Any, ...], value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        _refuse(value, path)
    return {key: _decode(arguments[1], item, f"{path}.{key}") for key, item in value.items()}


def _record(kind: type[Any], value: Any, path: str) -> Any:
    if not isinstance(value, dict):
        _refuse(value, path)
    arguments, hints = {}, get_type_hints(kind)
    for field in dataclasses.fields(kind):
        place = f"{path}.{field.name}" if path else field.name
        if field.name in value:
            arguments[field.name] = _decode(hints[field.name], value[field.name], place)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise InvalidRecord(f"lacks {place}", DAMAGED)
    return kind(**arguments)


def _scalar(kind: Any, value: Any, path: str) -> Any:
    if kind is Any:
        return value
    if kind is float and type(value) is int and abs(value) < 2**53:
        return float(value)
    if type(value) is not kind:
        _refuse(value, path)
    return value


def _refuse(value: Any, path: str) -> Any:
    text = repr(value)
    raise InvalidRecord(f"{path} cannot be {text if len(text) <= 40 else text[:37] + '...'}", DAMAGED)


DECODERS: dict[Any, Callable[[tuple[Any, ...], Any, str], Any]] = {
    Union: _optional,
    types.UnionType: _optional,
    Literal: _literal,
    tuple: _tuple,
    Mapping: _mapping,
}
