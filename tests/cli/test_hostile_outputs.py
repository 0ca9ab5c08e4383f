"""Commands that write into a folder that an attacker has prepared: nothing outside of it changes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import pytest

from emoprune.cli.main import BUG, main
from tests.conftest import draw_faces
from tests.support import hostile
from tests.support.command_line import Runner, scores
from tests.support.feature_tables import draw_table

MLP = ("--set", "arch=mlp", "--set", "epochs=1", "--trials", "1", "--space", "lr=0.01,0.1")
COMMANDS: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    "train": (
        ("train", "table.csv", "out/model.st", "--arch", "mlp", "--epochs", "1", "--curve", "out/curve.json"),
        ("model.st", "curve.json"),
    ),
    "prune": (("prune", "model.st", "-o", "out/small.st", "--angle", "60", "--data", "none"), ("small.st",)),
    "eval": (("eval", "model.st", "table.csv", "--predictions", "out/p.csv"), ("p.csv",)),
    "features": (("features", "faces", "out/f.csv", "--size", "8", "--gray"), ("f.csv",)),
    "features .st": (("features", "faces", "out/f.st", "--size", "8", "--gray"), ("f.st",)),
    "report": (
        ("report", "runs.json", "--figures", "out", "--figure", "confusion"),
        ("confusion-small.svg", "confusion-small.png", "confusion-small.csv"),
    ),
    "report page": (("report", "runs.json", "-o", "out/page.html"), ("page.html",)),
    "search": (
        ("search", "table.csv", *MLP, "--storage", "out/s", "-o", "out/t.json", "--keep-best", "out/best.st"),
        ("s", "t.json", "best.st", "s.mutex", "s.worker-0", "s.lock"),
    ),
    "sweep": (
        ("sweep", "model.st", "table.csv", "--amounts", "0.5", "-o", "out/s.jsonl", "--save", "out"),
        ("s.jsonl", "model.reconstruct.amount0.5.st"),
    ),
    "search .db": (("search", "table.csv", *MLP, "--storage", "sqlite:///out/s.db"), ("s.db", "s.db.mutex")),
    "predict": (
        ("predict", "photos.st", "faces", "--no-crop", "--draw", "out"),
        ("angry/film0_angry000.jpg", "happy"),
    ),
    "export": (("export", "model.st", "out/model.onnx"), ("model.onnx", "model.onnx.data")),
}
"""A command line for each way to write, and names that it may make in the folder `out`."""

LINKS: tuple[hostile.Plant, ...] = (hostile.link_to_file, hostile.link_to_nothing, hostile.hard_link)
PLANTS: tuple[hostile.Plant, ...] = (*LINKS, hostile.pipe, hostile.folder)


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the commands read."""
    room = tmp_path_factory.mktemp("ready")
    table = draw_table(room / "table.csv", samples=24, classes="ab", columns=4)
    draw_faces(room / "faces", ("angry", "happy"), 4, side=24)
    (room / "runs.json").write_text(json.dumps(scores("m", label="small")) + "\n")
    assert main(["train", str(table), str(room / "model.st"), "--arch", "mlp", "--epochs", "1"]) == 0
    small = ("--arch", "conv1", "--size", "12", "--gray", "--hidden", "4", "--epochs", "1")
    assert main(["train", str(room / "faces"), str(room / "photos.st"), *small]) == 0
    return room


@pytest.fixture
def room(ready: Path, in_folder: Path) -> Path:
    """A working folder with the inputs, an empty folder for outputs, and one of somebody else."""
    shutil.copytree(ready, in_folder, dirs_exist_ok=True)
    hostile.outside(in_folder)
    (in_folder / "out").mkdir()
    return in_folder


def changes_by(
    emoprune: Runner, room: Path, argv: Sequence[str], plants: Mapping[str, hostile.Plant]
) -> list[str]:
    """What a command does outside of its folder after something was planted there at some names."""
    for name, plant in plants.items():
        plant(room / "out" / name, room / "outside")
    before = hostile.state(room / "outside")
    codes: list[int] = []
    wrong = hostile.problem_of(lambda: codes.append(emoprune(*argv).code))
    found = hostile.changes(before, hostile.state(room / "outside"))
    found += [wrong] if wrong else []
    return [*found, *(["a traceback"] if BUG in codes else [])]


def check(emoprune: Runner, room: Path, command: str, name: str, plant: hostile.Plant, *more: str) -> None:
    argv = [*COMMANDS[command][0], *more]
    found = changes_by(emoprune, room, argv, {name: plant})
    assert not found, "\n".join(["", *(line.replace(str(room), "") for line in found)])


FAST = [name for name in COMMANDS if name != "export"]
NAMES = [(command, name) for command in COMMANDS for name in COMMANDS[command][1]]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_writes_where_nothing_is_planted(emoprune: Runner, room: Path, command: str) -> None:
    argv, names = COMMANDS[command]
    assert changes_by(emoprune, room, argv, {}) == []
    assert (room / "out" / names[0]).is_file()


@pytest.mark.parametrize("command", FAST)
@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_a_command_follows_no_temporary_file_that_was_there(
    emoprune: Runner, room: Path, command: str, plant: hostile.Plant
) -> None:
    check(emoprune, room, command, hostile.TEMPORARY, plant)


@pytest.mark.parametrize("plant", LINKS, ids=lambda plant: plant.__name__)
def test_export_follows_no_temporary_file_that_was_there(
    emoprune: Runner, room: Path, plant: hostile.Plant
) -> None:
    check(emoprune, room, "export", hostile.TEMPORARY, plant)


@pytest.mark.parametrize(("command", "name"), [each for each in NAMES if each[0] != "export"])
@pytest.mark.parametrize("plant", LINKS, ids=lambda plant: plant.__name__)
def test_a_command_changes_nothing_outside_by_a_link_in_the_place_of_its_output(
    emoprune: Runner, room: Path, command: str, name: str, plant: hostile.Plant
) -> None:
    check(emoprune, room, command, name, plant)


@pytest.mark.parametrize(
    ("command", "name"), [each for each in NAMES if not each[0].startswith(("export", "search"))]
)
def test_a_forced_command_leaves_the_other_name_of_its_output_alone(
    emoprune: Runner, room: Path, command: str, name: str
) -> None:
    check(emoprune, room, command, name, hostile.hard_link, "--force")


def test_a_search_that_continues_follows_no_link_beside_its_storage(emoprune: Runner, room: Path) -> None:
    argv = [*COMMANDS["search"][0], "--trials", "2"]
    assert emoprune(*COMMANDS["search"][0]).code == 0
    names = ("s.mutex", "s.worker-0", "s.lock", hostile.TEMPORARY)
    found = changes_by(emoprune, room, argv, dict.fromkeys(names, partial(hostile.link_to_file)))
    assert not found, found
