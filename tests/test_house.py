"""What holds of every file: closed choices are complete, dependencies have reasons."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import get_args

import pytest

from emoprune import choices

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "emoprune"
FILES = sorted(SOURCE.rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


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


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_every_third_party_import_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [lines for name, lines in project["optional-dependencies"].items() if name != "dev"]
    names = declared(project["dependencies"]).union(*map(declared, extras))
    known_as = {"sklearn": "scikit_learn", "PIL": "pillow", "google": "protobuf", "cv2": "opencv_python"}
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


def traveling() -> list[Path]:
    """Every text file that belongs to the project."""
    names = ("src", "tests", "recipes", "completions", "benchmarks", "docs", ".ci")
    # in a worktree .git is a file that names another place
    files = (path for path in ROOT.iterdir() if path.is_file() and path.name != ".git")
    loose = [path for path in files if path.suffix in ("", ".md", ".toml", ".yaml")]
    found = [path for name in names for path in (ROOT / name).rglob("*") if path.is_file()]
    return sorted(
        path for path in [*found, *loose] if "__pycache__" not in path.parts and path.suffix != ".pyc"
    )


def test_no_file_knows_a_place_outside_the_checkout() -> None:
    # spelled apart, so that this file does not find itself
    outside = re.compile(r"\.\./" + "shared" + r"|(?<![\w.])/(?:" + "work" + "|" + "home" + r")/")
    found = {
        path.relative_to(ROOT).as_posix()
        for path in traveling()
        if outside.search(path.read_bytes().decode("utf-8", "replace"))
    }
    assert found <= {".ci/run"}
