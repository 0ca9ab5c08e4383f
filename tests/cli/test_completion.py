"""Completion scripts: the files are what the program prints, and they complete in real shells."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from emoprune.networks.registry import ARCHITECTURES
from tests.support.command_line import clean_environment

ROOT = Path(__file__).parents[2]
FILES = {"bash": "emoprune.bash", "zsh": "_emoprune", "fish": "emoprune.fish"}
RANDOM = ("reconstruct", "random-units", "random")
ENTRY = "from emoprune.cli.main import run; run()"


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the console script, to stand first in PATH."""
    folder = tmp_path_factory.mktemp("bin")
    script = folder / "emoprune"
    script.write_text(f"#!{sys.executable}\n{ENTRY}\n")
    script.chmod(0o755)
    return folder


def answer(program: Path, environment: Mapping[str, str]) -> str:
    """What the console script prints in an environment."""
    ended = subprocess.run(
        [program / "emoprune"],
        env=clean_environment(environment),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stderr == ""
    return ended.stdout


@pytest.mark.parametrize("shell", FILES)
def test_the_file_is_what_the_program_prints(program: Path, shell: str) -> None:
    fresh = answer(program, {"_EMOPRUNE_COMPLETE": f"source_{shell}"})
    assert (ROOT / "completions" / FILES[shell]).read_text() == fresh.lstrip("\n")


def in_bash(program: Path, words: str, cwd: Path) -> list[str]:
    """What bash would offer for the last of `words`."""
    parts = words.split(" ")
    quoted = " ".join(f"'{part}'" for part in parts)
    script = f"""
        PATH="{program}:$PATH"
        source "{ROOT / "completions" / FILES["bash"]}"
        complete -p emoprune >&2
        COMP_WORDS=({quoted})
        COMP_CWORD={len(parts) - 1}
        _emoprune_completion emoprune
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    ended = subprocess.run(
        ["bash", "--norc", "-c", script],
        env=clean_environment(),
        capture_output=True,
        text=True,
        cwd=cwd,
        check=True,
    )
    assert "-F _emoprune_completion emoprune" in ended.stderr
    return ended.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("emoprune pr", {"prune", "predict"}),
        ("emoprune e", {"eval", "export"}),
        ("emoprune search d --preset wright2019-f", {"wright2019-ff"}),
        ("emoprune search d --space lr_", {"lr_every=", "lr_factor=", "lr_decay="}),
        ("emoprune search d --space la", {"label_smoothing=", "layers="}),
        ("emoprune search d --set gr", {"gray="}),
        ("emoprune zz", set()),
        ("emoprune prune m.st --mer", {"--merge"}),
        ("emoprune prune m.st --merge ", {"sum", "lstsq"}),
        ("emoprune prune m.st --method d", {"distinct"}),
        ("emoprune crop raw faces --select c", {"confident", "center"}),
        ("emoprune train a b --arch resnet", {name for name in ARCHITECTURES if name.startswith("resnet")}),
        ("emoprune features a b --arch conv", {name for name in ARCHITECTURES if name.startswith("convn")}),
        ("emoprune features a b --kind p", {"pixels", "phog"}),
        ("emoprune features a b --kind lpq,p", {"lpq,pixels", "lpq,phog"}),
        ("emoprune sweep a b --methods distinct,r", {f"distinct,{name}" for name in RANDOM}),
    ],
)
def test_bash_completes(program: Path, in_folder: Path, words: str, offered: set[str]) -> None:
    assert set(in_bash(program, words, in_folder)) == offered


def test_zsh_is_offered_what_begins_so(program: Path) -> None:
    asked = {"_EMOPRUNE_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "emoprune pru"}
    said = answer(program, asked)
    assert said.startswith('_arguments \'*: :(("prune"')
    assert "train" not in said


def test_fish_is_offered_what_begins_so(program: Path) -> None:
    asked = {
        "_EMOPRUNE_COMPLETE": "complete_fish",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "_TYPER_COMPLETE_ARGS": "emoprune pru",
    }
    (line,) = answer(program, asked).splitlines()
    assert line.split("\t")[0] == "prune"


@pytest.mark.parametrize(("shell", "flag"), [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")])
def test_the_script_is_sound(shell: str, flag: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell}")
    ended = subprocess.run(
        [shell, flag, str(ROOT / "completions" / FILES[shell])], capture_output=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_zsh_finds_its_function_by_the_first_line() -> None:
    assert (ROOT / "completions" / FILES["zsh"]).read_text().startswith("#compdef emoprune\n")
