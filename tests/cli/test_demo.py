"""emoprune demo: the whole pipeline on a few drawn scenes."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from emoprune.cli import demo
from emoprune.synthetic_faces import EMOTIONS
from tests.support.command_line import Runner

STEPS = [
    "crop",
    "features",
    "train",
    "angles",
    "prune",
    "prune",
    "export",
    *["eval"] * 4,
    "report",
    "predict",
]
MODELS = ("model.st", "model.distinct.st", "model.reconstruct.st", "model.onnx")


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five scenes a class and one epoch: the same steps in seconds."""
    monkeypatch.setattr(demo, "SCENES_PER_CLASS", 5)
    run = demo._run

    def quicker(*argv: str, to: str | None = None) -> None:
        short = ("--epochs", "1", "--size", "24") if argv[0] == "train" else ()
        run(*argv, *short, to=to)

    monkeypatch.setattr(demo, "_run", quicker)


@pytest.mark.usefixtures("tiny")
def test_the_demo_leaves_every_file_and_ends_with_the_table(emoprune: Runner, in_folder: Path) -> None:
    result = emoprune.done("demo", "here")
    echoed = [shlex.split(line[2:]) for line in result.out.splitlines() if line.startswith("$ ")]
    assert [words[1] for words in echoed] == STEPS
    files = {path.name for path in (in_folder / "here").iterdir()}
    assert files == {
        *(
            "raw",
            "faces",
            "pixels.csv",
            "new",
            "drawn",
            *MODELS,
            *(f"{name}.json" for name in MODELS),
            demo.MARKER,
        ),
    }
    assert {path.name for path in (in_folder / "here" / "raw").iterdir()} == set(EMOTIONS)
    assert len(list((in_folder / "here" / "raw").glob("*/*.jpg"))) == 5 * len(EMOTIONS)
    table, _, answers = result.out.rpartition("$ emoprune report")[2].partition("$ emoprune predict")
    drawn = list((in_folder / "here" / "drawn").rglob("*.jpg"))
    assert 0 < len(drawn) <= len(EMOTIONS)
    assert answers.count('"schema": "emoprune.prediction/1"') >= len(drawn)
    for words in (*MODELS, "accuracy", "hidden units", "MACs"):
        assert words in table
    whole, distinct, quarter, exported = (
        json.loads((in_folder / "here" / f"{name}.json").read_text()) for name in MODELS
    )
    assert quarter["units"] == exported["units"] < whole["units"]
    assert distinct["units"] < whole["units"]
    assert quarter["macs"] <= whole["macs"] / 4
    assert exported["accuracy"] == quarter["accuracy"]
    assert result.out.rstrip().endswith("All other files are in here.")

    emoprune.check_refused("demo", "here", says=("here: exists", "--force"))


def test_force_is_handed_to_every_step_that_writes(
    emoprune: Runner, in_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[tuple[str, ...]] = []
    (in_folder / "demo").mkdir()
    (in_folder / "demo" / demo.MARKER).touch()
    monkeypatch.setattr(demo, "_draw", lambda raw, each, seed: None)
    monkeypatch.setattr(demo, "_run", lambda *argv, to=None: steps.append(argv))
    emoprune.done("demo", "--force", "--seed", "7")
    assert [argv[0] for argv in steps] == STEPS
    writing = {"crop", "features", "train", "prune", "export", "predict"}
    assert all(("--force" in argv) == (argv[0] in writing) for argv in steps)
    (train,) = (argv for argv in steps if argv[0] == "train")
    assert train[train.index("--seed") + 1] == "7"


def test_a_folder_that_is_not_a_demo_is_not_changed(emoprune: Runner, in_folder: Path) -> None:
    (in_folder / "mine").mkdir()
    (in_folder / "mine" / "thesis.txt").write_text("words")
    emoprune.check_refused("demo", "mine", "--force", says=("mine: ", "name another folder"))


@pytest.mark.usefixtures("tiny")
def test_a_step_that_fails_ends_the_demo_with_its_code(
    emoprune: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "_draw", lambda raw, each, seed: raw.mkdir(parents=True))
    result = emoprune("demo", "here")
    assert (result.code, len(result.complaints)) == (1, 1)
    assert result.complaints[0].startswith("emoprune: here/raw: ")


def test_a_folder_laid_out_like_the_demo_is_not_the_demo(emoprune: Runner, in_folder: Path) -> None:
    for name in ("raw", "faces"):
        (in_folder / "mine" / name).mkdir(parents=True)
    emoprune.check_refused("demo", "mine", "--force", says=("mine: ", "name another folder"))


def test_a_file_in_the_way_is_refused(emoprune: Runner, in_folder: Path) -> None:
    (in_folder / "demo").write_text("mine")
    emoprune.check_refused("demo", says=("demo: ",))


def test_a_place_that_does_not_exist_is_made(emoprune: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []
    monkeypatch.setattr(demo, "_draw", lambda raw, each, seed: made.append(raw))
    monkeypatch.setattr(demo, "_run", lambda *argv, to=None: None)
    emoprune.done("demo", "new/place")
    assert made == [Path("new/place/raw"), Path("new/place/new")]


@pytest.mark.usefixtures("tiny")
def test_ctrl_c_during_a_step_is_one_line(emoprune: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("emoprune.faces.crop_folder.crop_folder", interrupt)
    result = emoprune("demo", "here")
    assert (result.code, result.complaints) == (130, ["emoprune: interrupted"])


@pytest.mark.parametrize("name", ["\ud800", "a\0b"])
def test_a_name_that_no_folder_can_have_is_refused(emoprune: Runner, in_folder: Path, name: str) -> None:
    emoprune.check_refused("demo", name, says=("is not a name that a file can have",))
    assert not any(in_folder.iterdir())
