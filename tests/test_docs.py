"""The documents: what they name exists, and the command lines they show are real ones."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import typer

from emoprune.cli.main import app
from emoprune.synthetic_faces import draw_scene

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
README_LINES = 150
PHOTOS, FILMS = 20, 10
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
OPTION = re.compile(r"--[a-z][a-z-]*")
# where the options of recipes and benchmarks are spelled
SCRIPTS = [*ROOT.glob("recipes/*.sh"), *ROOT.glob("benchmarks/*.py")]

page = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)


def options_by_command() -> dict[str, set[str]]:
    """Every option of every command of emoprune."""
    group = typer.main.get_command(app)
    commands = getattr(group, "commands", {})
    return {
        name: {text for each in command.params for text in (*each.opts, *each.secondary_opts)} | {"--help"}
        for name, command in commands.items()
    }


OPTIONS = options_by_command()


def blocks(path: Path, *languages: str) -> list[str]:
    """The fenced blocks of a page in one of the languages."""
    return [text for _, language, text in BLOCK.findall(path.read_text()) if language in languages]


def spans(path: Path) -> list[str]:
    """What stands in backticks outside of blocks."""
    return re.findall(r"`([^`\n]+)`", BLOCK.sub("", path.read_text()))


def command_lines(path: Path) -> Iterator[list[str]]:
    """Every call of emoprune in the blocks and backticks of a page, as words after the program's name."""
    shown = "\n".join(blocks(path, "console")).replace("\\\n", " ").splitlines()
    lines = [line.removeprefix("$ ") for line in shown if line.startswith("$ ")]
    for line in [*lines, *(span for span in spans(path) if span.startswith("emoprune "))]:
        for part in line.split(" | "):
            words = shlex.split(part, comments=True)
            if words[0] == "emoprune":
                yield words[1:]


def anchors(path: Path) -> set[str]:
    """The places of a page that a link can name."""
    titles = re.findall(r"^#+ (.+)$", BLOCK.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@page
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", path.read_text())):
        if re.match(r"https?:", target):
            continue
        name, _, anchor = target.partition("#")
        found = (path.parent / name).resolve() if name else path
        assert found.is_file(), target
        assert not anchor or anchor in anchors(found), target


@page
def test_files_in_backticks_exist(path: Path) -> None:
    for span in spans(path):
        word = span.split()[0]
        if re.match(r"(src|recipes|benchmarks|docs|tests|completions)/", word):
            assert (ROOT / word).exists(), span
        elif re.match(r"emoprune/(?!\d)", word):
            assert (ROOT / "src" / word).exists(), span


@page
def test_modules_in_backticks_exist(path: Path) -> None:
    for span in spans(path):
        name = span.removeprefix("python -m ").split()[0]
        if name == "benchmarks.NAME" or not re.fullmatch(r"(emoprune|benchmarks)(\.\w+)+", name):
            continue
        top = ROOT if name.startswith("benchmarks") else ROOT / "src"
        place, attribute = top.joinpath(*name.split(".")), ""
        if not (place.is_dir() or place.with_suffix(".py").is_file()):
            place, attribute = place.parent, place.name
        module = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        assert module.is_file(), span
        assert attribute in module.read_text(), span


@page
def test_command_lines_name_commands_and_options_that_exist(path: Path) -> None:
    for words in command_lines(path):
        name, *rest = words
        if name == "COMMAND":
            continue
        assert name in OPTIONS, words
        given = {word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)}
        assert given <= OPTIONS[name], words


@page
def test_options_in_backticks_exist(path: Path) -> None:
    known = set[str]().union(*OPTIONS.values())
    known |= {option for script in SCRIPTS for option in OPTION.findall(script.read_text())}
    for span in spans(path):
        assert set(OPTION.findall(span)) <= known, span


def test_readme_is_short_and_names_every_page() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= README_LINES
    assert all(f"docs/{path.name}" in text for path in PAGES[1:])


def test_results_of_the_readme_stand_in_the_benchmarks() -> None:
    results = (ROOT / "README.md").read_text().partition("## Results\n")[2].partition("\n## ")[0]
    rows = [line for line in results.splitlines() if line.startswith("| ")]
    page = (ROOT / "docs" / "benchmarks.md").read_text().splitlines()
    assert len(rows) > 2
    assert set(rows) <= set(page)


def test_architecture_has_the_packages_and_the_layers() -> None:
    page = ROOT / "docs" / "architecture.md"
    tree, layers, *_ = blocks(page, "")
    packages = {path.parent.name for path in (ROOT / "src" / "emoprune").glob("*/__init__.py")}
    assert packages <= {word.rstrip("/") for word in tree.split() if word.endswith("/")}
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert layers.splitlines() == contracts[0]["layers"]


def test_examples_of_the_architecture_are_lines_of_the_code() -> None:
    for block in blocks(ROOT / "docs" / "architecture.md", "python", "toml"):
        first, *lines = block.strip().splitlines()
        source = (ROOT / first.removeprefix("# ")).read_text()
        code = {line.strip() for line in source.splitlines()}
        assert {line.strip() for line in lines if line.strip() not in ("", "...")} <= code, first


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder but for raw/, drawn faces by class whose names begin with a film."""
    monkeypatch.chdir(tmp_path)
    for number, emotion in enumerate(("angry", "happy", "surprise")):
        (tmp_path / "raw" / emotion).mkdir(parents=True)
        for index in range(PHOTOS):
            scene = draw_scene(emotion, generator=np.random.default_rng((number, index)))
            scene.save(tmp_path / "raw" / emotion / f"film{index % FILMS}_{emotion}{index}.png")
    return tmp_path / "raw"


def test_code_of_the_python_page_runs(raw: Path) -> None:
    page = ROOT / "docs" / "python.md"
    names: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(page, "python"):
        line = page.read_text().partition(block)[0].count("\n")
        # blank lines in front, so that a traceback has the lines of the page
        exec(compile("\n" * line + block, str(page), "exec"), names)
