"""What people see of emoprune prune, angles and train on terminals, wide and narrow."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from emoprune.cli.main import main
from tests.support.checkpoints import OFFLINE, read, some, units
from tests.support.command_line import Runner
from tests.support.terminal import bytes_on_terminal, lines_of

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
        rows = [line for line in tables if line.strip().startswith(f"{name} ")]
        # a layer that loses nothing is counted below the others
        assert len(rows) == 1 or (rows == [] and count == units("o.st")[name])
        assert all(f"{count} > {units('o.st')[name]}" in row for row in rows)
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
    # nine amounts under the merge that was chosen
    assert [len(row) for row in rows] == [11]
    assert max(map(len, lines)) <= 80


def test_layers_that_rounding_keeps_whole_have_no_figure_and_one_is_named(
    screen: Screen, emoprune: Runner, zoo: Zoo
) -> None:
    found = units(zoo("conv2"))
    argv = (
        "prune",
        zoo("conv2"),
        "--method",
        "reconstruct",
        "--sensitivity",
        "--round-to",
        max(found.values()),
    )
    rows = {cells[0]: cells[1:] for line in screen(*argv) if (cells := line.split()) and cells[0] in found}
    assert rows == {name: [str(count), *["-"] * 9] for name, count in found.items()}
    told = emoprune.done(*argv)
    assert (told.raw, "3 layers can lose none" in told.err) == (b"", True)


@pytest.mark.parametrize("merge", ["sum", "lstsq"])
def test_the_ladder_is_that_of_the_chosen_merge(
    screen: Screen, emoprune: Runner, zoo: Zoo, merge: str
) -> None:
    argv = ("prune", zoo("conv2"), "--method", "reconstruct", "--sensitivity", "--merge", merge)
    (row,) = [line.split()[2:] for line in screen(*argv) if line.strip().startswith("classifier.hidden1 ")]
    steps = [step for step in emoprune.done(*argv).lines if step["layer"] == "classifier.hidden1"]
    for shown, step in zip(row, steps, strict=True):
        assert len(shown) <= 3
        assert float(shown) == pytest.approx(step[f"error_{merge}"], rel=0.05, abs=0.005)


def test_work_within_work_leaves_one_line(screen: Screen, zoo: Zoo, small: Path) -> None:
    options = ("--method", "reconstruct", "--data", small, "--dry-run", "--max-drop", "50")
    labels = [
        line.split()[0] for line in screen("prune", zoo("conv2"), *options) if "/" in line and ":" in line
    ]
    assert labels == ["statistics", "select", "search", "re-solve"]
    ladder = screen("prune", zoo("conv2"), "--method", "reconstruct", "--sensitivity")
    assert [line.split()[1:2] for line in ladder if "3/3" in line] != []
    assert not [line for line in ladder if "select" in line]


@pytest.mark.parametrize("command", ["prune", "angles"])
def test_no_layer_of_a_deep_network_is_cut(screen: Screen, zoo: Zoo, command: str) -> None:
    options = (*some("distinct"), *OFFLINE, "--dry-run") if command == "prune" else ()
    lines = screen(command, zoo("shufflenet_v2_x0_5"), *options, columns=60)
    assert CUT not in "".join(lines)
    names = units(zoo("shufflenet_v2_x0_5"))
    shown = [name for name in names if any(line.strip().startswith(f"{name} ") for line in lines)]
    if command == "prune":
        # those that lose nothing are folded into one line
        emoprune_says = screen(command, zoo("shufflenet_v2_x0_5"), *options, "--json")
        (record,) = [json.loads(line) for line in emoprune_says if line.startswith("{")]
        losing = [entry["layer"] for entry in record["layers"] if entry["removed"]]
        whole = len(names) - len(losing)
        assert any(line.strip().startswith(f"{whole} more layer") for line in lines)
        assert shown == losing
    else:
        assert shown == [*names]


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
    # no bar of no epochs
    assert "train 0/0" not in " ".join(lines)
    assert not any(line.startswith("train ") for line in lines)


def test_progress_is_shown_to_the_end_and_to_a_terminal_alone(
    screen: Screen, zoo: Zoo, small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ("prune", zoo("conv2"), *some("reconstruct"), "--data", small)
    assert not any(line.startswith("re-solve ") for line in screen(*argv, "--dry-run"))
    argv += ("-o", "o.st", "--force")
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
