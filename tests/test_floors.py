"""The floors of the house: who may import whom, and what holds of every file."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import re
import sys
import tomllib
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import get_args

import pytest
import torchvision

from emoprune import records
from emoprune.cli import sections
from emoprune.core import choosing, compensation, convnets, heads, tablenets
from emoprune.core.architectures import ARCHITECTURES
from emoprune.core.methods import METHODS
from emoprune.records import PruningStep, Runs, choices
from tests.runs import course, curve, run

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "emoprune"
FILES = sorted(SOURCE.rglob("*.py"))
ROOMS = ("errors", "records", "core", "store", "backends", "cli")
MAY_IMPORT = {
    "errors": {"errors"},
    "records": {"errors", "records"},
    "core": {"errors", "records", "core"},
    "store": {"errors", "records", "store"},
    "backends": {"errors", "records", "backends"},
    "cli": set(ROOMS),
}


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports anywhere in it, relative imports resolved."""
    package = ("emoprune", *path.relative_to(SOURCE).parts[:-1])
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", [path for path in FILES if room_of(path) in ROOMS], ids=name_of)
def test_a_room_imports_only_from_the_floors_below(path: Path) -> None:
    own = [module.split(".") for module in imported(path) if module.split(".")[0] == "emoprune"]
    used = {parts[1] for parts in own if len(parts) > 1}
    assert used - {"__version__"} <= MAY_IMPORT[room_of(path)]


def test_every_file_has_a_room() -> None:
    assert {room_of(path) for path in FILES} == {*ROOMS, "__init__", "__main__"}


@pytest.mark.parametrize("path", [path for path in FILES if room_of(path) != "cli"], ids=name_of)
def test_only_the_command_line_knows_its_libraries_or_prints(path: Path) -> None:
    assert not {module.split(".")[0] for module in imported(path)} & {"typer", "click", "rich"}
    called = {
        node.func.id
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not called & {"print", "input"}


@pytest.mark.parametrize("path", [path for path in FILES if room_of(path) == "core"], ids=name_of)
def test_the_core_opens_no_file(path: Path) -> None:
    used = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
    assert not used & {"open", "Path"}
    assert not {module.split(".")[0] for module in imported(path)} & {"os", "sys", "io", "shutil", "tempfile"}


@pytest.mark.parametrize(
    "path", [*FILES, *sorted((ROOT / "tests").rglob("*.py"))], ids=lambda path: str(path.relative_to(ROOT))
)
def test_no_file_passes_300_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300


def public_dataclasses() -> list[type]:
    modules = [
        importlib.import_module(f"emoprune.records.{path.stem}")
        for path in FILES
        if room_of(path) == "records"
    ]
    found = {value for module in modules for value in vars(module).values() if inspect.isclass(value)}
    return sorted((kind for kind in found if dataclasses.is_dataclass(kind)), key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", public_dataclasses())
def test_every_record_is_frozen(kind: type) -> None:
    parameters = kind.__dataclass_params__  # type: ignore[attr-defined]  # what dataclass leaves behind
    assert parameters.frozen
    # the graph's are imported from where they are: no checkpoint holds them
    assert (kind.__name__ in records.__all__) == (kind.__module__ != "emoprune.records.channels")


CHOICES: dict[str, tuple[object, Collection[str]]] = {
    "Merge": (choices.Merge, compensation.MERGES),
    "Select": (choices.Select, choosing.CHOICES),
    "Activation": (choices.Activation, heads.MODULES),
}


@pytest.mark.parametrize("name", CHOICES)
def test_what_an_option_offers_is_what_its_table_does(name: str) -> None:
    offered, table = CHOICES[name]
    assert set(get_args(offered)) == set(table)


def tables_by_choice() -> Iterator[tuple[str, str, list[object]]]:
    """Every dict that is annotated to have a choice as its keys: the file, the choice, the keys."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            # an empty one is yet to be filled
            if not (isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Dict) and node.value.keys):
                continue
            choice = re.match(r"dict\[(\w+),", ast.unparse(node.annotation))
            if choice and hasattr(choices, choice[1]):
                keys = [ast.literal_eval(key) for key in node.value.keys if key is not None]
                yield name_of(path), choice[1], keys


def test_every_table_of_a_choice_is_complete() -> None:
    found = list(tables_by_choice())
    assert {choice for _, choice, _ in found} >= {"Merge", "Select", "Activation", "Section"}
    for file, choice, keys in found:
        assert sorted(map(str, keys)) == sorted(get_args(getattr(choices, choice))), file


def test_report_shows_every_section() -> None:
    found = Runs((run("a", 0.5),), (curve("a", (0.5, None)),), (course("a", PruningStep(9)),))
    for view in (sections.one_by_one(found), sections.by_label(found)):
        assert tuple(view.parts) == get_args(choices.Section)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_there(name: str) -> None:
    entry = METHODS[name]
    for place in (entry.course, entry.within):
        if place is not None:
            module, _, function = place.partition(":")
            assert callable(getattr(importlib.import_module(module), function))
    assert entry.meaning


def test_every_architecture_of_torchvision_is_offered_and_every_one_of_ours() -> None:
    known = set(torchvision.models.list_models(module=torchvision.models))
    ours = {*convnets.CONVNETS, *tablenets.TABLENETS}
    assert set(ARCHITECTURES) == known | ours
    assert {name for name, entry in ARCHITECTURES.items() if entry.own} == ours


def test_every_dependency_says_why() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    block = text.partition("\ndependencies = [\n")[2].partition("\n]")[0]
    lines = [line for line in block.splitlines() if line.strip()]
    assert len(lines) == len(tomllib.loads(text)["project"]["dependencies"])
    extras = text.partition("\n[project.optional-dependencies]\n")[2].partition("\n[")[0]
    lines += [line for line in extras.splitlines() if line.startswith("  ")]
    for line in lines:
        assert re.fullmatch(r'  "[^"]+",\s+# \S.{9,}', line), line


def declared(lines: Iterable[str]) -> set[str]:
    """The packages that such lines of pyproject.toml name."""
    return {re.split(r"[<>=\[ ]", line)[0].lower().replace("-", "_") for line in lines}


def test_every_third_party_import_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [lines for name, lines in project["optional-dependencies"].items() if name != "dev"]
    names = declared(project["dependencies"]).union(*map(declared, extras))
    known_as = {"sklearn": "scikit_learn", "PIL": "pillow"}
    used = {module.split(".")[0] for path in FILES for module in imported(path)}
    foreign = {name for name in used if name != "emoprune" and name not in sys.stdlib_module_names}
    assert {known_as.get(name, name) for name in foreign} <= names


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_what_an_extra_brings_is_imported_only_where_it_is_used(path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [lines for name, lines in project["optional-dependencies"].items() if name != "dev"]
    optional = set[str]().union(*map(declared, extras)) - declared(project["dependencies"])
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = (
                [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            )
            assert not {module.split(".")[0] for module in modules} & optional


def travelling() -> list[Path]:
    """Every text file that belongs to the project."""
    names = ("src", "tests", "recipes", "completions", "benchmarks", ".ci")
    loose = [
        path for path in ROOT.iterdir() if path.is_file() and path.suffix in ("", ".md", ".toml", ".yaml")
    ]
    found = [path for name in names for path in (ROOT / name).rglob("*") if path.is_file()]
    return sorted(
        path for path in [*found, *loose] if "__pycache__" not in path.parts and path.suffix != ".pyc"
    )


def test_no_file_knows_a_place_outside_the_checkout() -> None:
    # spelled apart, so that this file does not find itself
    outside = re.compile(r"\.\./" + "shared" + r"|(?<![\w.])/(?:" + "work" + "|" + "home" + r")/")
    found = {path.relative_to(ROOT).as_posix() for path in travelling() if outside.search(_text(path))}
    assert found <= {".ci/run"}


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace")
