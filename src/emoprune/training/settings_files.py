"""Settings of a training as TOML: presets, recipes, and the files of users."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from emoprune.choices import Kind
from emoprune.errors import BadSettings, at
from emoprune.io import files
from emoprune.settings import Setting

TABLE = "settings"
"""Where settings stand in a file, if not alone."""
TEXTS = ("source", "data", "ours", "preset", "recipe")
"""What a file says beside its settings."""
LARGEST = 2**20
"""Bytes of such a file."""
WIDEST_INTEGER = 2**63
COMMENT_WIDTH = 100


@dataclass(frozen=True, kw_only=True)
class SettingsFile:
    """Settings of a training by name, as a file has them, lists as tuples; nobody has checked them.

    `preset` and `recipe` are what they change. `data` is what the network reads. `source` says where a paper
    describes it, `ours` what the paper leaves open and we chose.
    """

    place: str
    settings: Mapping[str, Any]
    source: str = ""
    data: Kind | None = None
    ours: str = ""
    preset: str | None = None
    recipe: str | None = None


def read(path: str) -> SettingsFile:
    """The settings in a TOML file, "-" for standard input; BadSettings for one that is not TOML."""
    data = files.read_bytes(path, fault=BadSettings, most=LARGEST)
    with at(files.shown(path)):
        return parse(data, files.shown(path))


def parse(data: bytes, place: str) -> SettingsFile:
    """The settings in the bytes of a TOML file, alone or in its table `settings`; BadSettings."""
    # --help and completion read no file
    import tomllib

    try:
        found = tomllib.loads(data.decode())
    except UnicodeDecodeError:
        raise BadSettings("not UTF-8", "save it as UTF-8") from None
    # not all that tomllib raises is its own error: numbers of over 4,300 digits, deep nesting
    except (ValueError, RecursionError) as error:
        raise BadSettings(f"not TOML ({error})", "write lines as lr = 0.001") from None
    below = found.pop(TABLE, {})
    if not isinstance(below, dict):
        raise BadSettings(f"{TABLE} is not a table", f"write [{TABLE}] on a line of its own")
    texts = {name: found.pop(name) for name in TEXTS if name in found}
    for name, text in texts.items():
        if not isinstance(text, str) or (name == "data" and text not in get_args(Kind)):
            kinds = " or ".join(f'"{kind}"' for kind in get_args(Kind))
            raise BadSettings(f"{name} is not {kinds if name == 'data' else 'a text'}", "correct it")
    twice = sorted(found.keys() & below.keys())
    if twice:
        raise BadSettings(f"{twice[0]} is there twice", "give it once")
    return SettingsFile(place=place, settings=dict(_checked({**found, **below})), **texts)


def _checked(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        for each in value if isinstance(value, list) else (value,):
            if isinstance(each, int) and not -WIDEST_INTEGER <= each < WIDEST_INTEGER:
                raise BadSettings(f"{name} is a number of over 64 bits", "give a smaller one")
            if not isinstance(each, str | int | float):
                kind = "table" if isinstance(each, dict) else "list in a list"
                kind = kind if isinstance(each, dict | list) else "date or a time"
                raise BadSettings(f"{name} is a {kind}", "give a number, a text, true or false, or a list")
        yield name, tuple(value) if isinstance(value, list) else value


def to_toml(values: Mapping[str, Any], entries: Mapping[str, Setting]) -> bytes:
    """Values by name as TOML that `read` takes, each below what it means; those that are None are left out.

    BadSettings for a text that is not UTF-8.
    """
    import textwrap

    lines = list[str]()
    for name, value in values.items():
        if value is None:
            continue
        if name in entries:
            lines += ["", *(f"# {line}" for line in textwrap.wrap(entries[name].help, COMMENT_WIDTH))]
        lines.append(f"{name} = {_written(value)}")
    try:
        return ("\n".join(lines).lstrip("\n") + "\n").encode()
    except UnicodeEncodeError:
        raise BadSettings("a setting is a name that is not UTF-8", "rename that file") from None


def _written(value: bool | int | float | str | Sequence[Any]) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        # as in JSON, but for one character that TOML wants escaped, too
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, int | float):
        return repr(value)
    return f"[{', '.join(map(_written, value))}]"


class Shipped(Mapping[str, SettingsFile]):
    """The files of one folder beside this module by name, each read when it is needed."""

    def __init__(self, folder: Literal["presets", "recipes"], names: Sequence[str]) -> None:
        self._folder, self._names, self._read = folder, names, dict[str, SettingsFile]()

    def __getitem__(self, name: str) -> SettingsFile:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._read:
            from importlib import resources

            file = resources.files(__package__) / self._folder / f"{name}.toml"
            self._read[name] = parse(file.read_bytes(), name)
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names
