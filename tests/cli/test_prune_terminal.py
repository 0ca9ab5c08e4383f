"""What people see of emoprune prune, angles and train on terminals, wide and narrow."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from emoprune.cli.main import main
from tests.cli.pruning import OFFLINE, read, some, units
from tests.cli.terminal import bytes_on_terminal, lines_of

Zoo = Callable[[str], Path]
Screen = Callable[..., list[str]]
CUT = "…"


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch, in_folder: Path) -> Screen:
    """Runs a command line on a terminal, in an empty folder, and gives the lines that it leaves there."""

    def run(*argv: object, columns: int = 80, out: IO[str] | None = None) -> list[str]:
        return lines_of(bytes_on_terminal(monkeypatch, *argv, columns=columns, out=out))

    return run


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize(
    "options",
    [some("distinct"), some("reconstruct"), some("magnitude"), ("--method", "reconstruct", "--macs", "0.5")],
)
def test_the_certificate_fits_a_terminal(
    screen: Screen, zoo: Zoo, options: tuple[str, ...], columns: int
) -> None:
    lines = screen("prune", zoo("conv2"), *options, "-o", "o.st", columns=columns)
    messages = [line for line in lines if line.startswith(("note: ", "warning: "))]
    tables = [line for line in lines if line not in messages]
    assert max(map(len, tables)) <= 80
    assert CUT not in "".join(lines)
    for name, count in units(zoo("conv2")).items():
        (row,) = [line for line in tables if line.strip().startswith(f"{name} ")]
        assert f"{count} > {units('o.st')[name]}" in row
    assert tables[-1].strip() == "wrote o.st"
    assert any(line.startswith(f"Certificate ({options[1]}") for line in tables)


def test_a_dry_run_says_so_at_the_end(screen: Screen, zoo: Zoo) -> None:
    lines = screen("prune", zoo("conv2"), *some("reconstruct"), "--dry-run")
    assert lines[-1].strip() == "dry run: nothing written"


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_no_figure_of_the_ladder_is_cut(screen: Screen, zoo: Zoo, columns: int) -> None:
    lines = screen("prune", zoo("conv2"), "--method", "reconstruct", "--sensitivity", columns=columns)
    assert CUT not in "".join(lines)
    rows = [line.split() for line in lines if line.strip().startswith("features.3 ")]
    # nine amounts under either merge
    assert [len(row) for row in rows] == [11, 11]


@pytest.mark.parametrize("command", ["prune", "angles"])
def test_no_layer_of_a_deep_network_is_cut(screen: Screen, zoo: Zoo, command: str) -> None:
    options = (*some("distinct"), *OFFLINE, "--dry-run") if command == "prune" else ()
    lines = screen(command, zoo("shufflenet_v2_x0_5"), *options, columns=60)
    assert CUT not in "".join(lines)
    for name in units(zoo("shufflenet_v2_x0_5")):
        assert any(line.strip().startswith(f"{name} ") for line in lines)


def test_the_summary_of_a_training_run_is_not_cut(screen: Screen, small: Path) -> None:
    options = ("--arch", "mobilenet_v3_small", "--size", "32", "--weights", "none", "--epochs", "0")
    lines = screen("train", small, "m.st", *options)
    assert CUT not in "".join(lines)
    # twenty-seven layers are no reason to break the table of the rest
    assert max(len(line) for line in lines if not line.startswith(("note: ", "warning: "))) <= 80
    rows = {line.split()[0]: line for line in lines if line.strip()}
    for key in ("output", "arch", "classes", "parts", "layers"):
        assert key in rows
    assert len(read("m.st").layers) == 27


def test_progress_is_shown_to_the_end_and_to_a_terminal_alone(
    screen: Screen, zoo: Zoo, small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ("prune", zoo("conv2"), *some("reconstruct"), "--data", small, "--dry-run")
    lines = screen(*argv)
    for label in ("statistics", "images", "re-solve"):
        line = [line for line in lines if line.startswith(f"{label} ")][-1]
        done = re.search(r" (\d+)/(\d+) ", line)
        assert done is not None, line
        assert done[1] == done[2], line
    capsys.readouterr()
    assert main([str(part) for part in argv]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert len(out.splitlines()) == 1


def test_a_checkpoint_on_standard_output_leaves_the_table_to_stderr(
    screen: Screen, zoo: Zoo, in_folder: Path
) -> None:
    with (in_folder / "o.st").open("w") as out:
        lines = screen("prune", zoo("conv2"), *some("reconstruct"), "-o", "-", out=out)
    assert sum(units("o.st").values()) == 36
    assert any(line.startswith("Certificate") for line in lines)


def test_json_can_be_asked_for_on_a_terminal(screen: Screen, zoo: Zoo) -> None:
    lines = screen("prune", zoo("conv2"), *some("importance"), "--dry-run", "--json")
    (record,) = [json.loads(line) for line in lines if line.startswith("{")]
    assert record["schema"] == "emoprune.prune/1"


def test_messages_are_kept_out_of_the_way_of_data(screen: Screen, zoo: Zoo, in_folder: Path) -> None:
    with (in_folder / "o.json").open("w") as out:
        lines = screen("prune", zoo("conv2"), *some("magnitude"), "--dry-run", out=out)
    assert json.loads((in_folder / "o.json").read_text())["method"] == "magnitude"
    assert all(line.startswith(("note: ", "warning: ")) for line in lines if line)
