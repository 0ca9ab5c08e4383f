"""The files of a training: refused before it, written after it, and named apart for several of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from emoprune.errors import OutputFault, UsageFault
from emoprune.networks.types import Epoch
from emoprune.training.config import TrainConfig
from emoprune.training.outputs import Outputs

CURVE = (Epoch(1, 0.5, 0.25), Epoch(2, 0.25, 0.5))


def test_each_of_several_trainings_has_names_of_its_own_and_the_first_what_all_share() -> None:
    all_of_them = Outputs(
        model="a/m.x.st", save_init="i", save_config="c", save_split="s", curve="k", label="l", log_dir="log"
    )
    first, second = (all_of_them.named(name, first=name == "seed0") for name in ("seed0", "seed1"))
    assert first.paths == ["a/m.x.seed0.st", "c", "i.seed0", "s"]
    assert second.paths == ["a/m.x.seed1.st", "i.seed1"]
    assert second.log is not None
    assert Path(second.log.curve) == Path("log/seed1/curve.csv")
    with pytest.raises(UsageFault, match="standard output is one"):
        Outputs(model="m.st", save_init="-").named("seed0", first=True)


@pytest.mark.parametrize("suffix", [".state", ".done"])
def test_what_an_interrupted_training_has_written_may_be_replaced_when_it_goes_on(
    tmp_path: Path, suffix: str
) -> None:
    outputs = Outputs(model=str(tmp_path / "m.st"), save_init=str(tmp_path / "i.st"), resume=True)
    (tmp_path / "i.st").touch()
    with pytest.raises(OutputFault, match=r"i\.st: exists already"):
        outputs.check(TrainConfig())
    (tmp_path / f"m.st{suffix}").touch()
    outputs.check(TrainConfig())


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Outputs(model="-", resume=True), "standard output has none"),
        (lambda: Outputs(model="m.st", label="x"), "give `curve=FILE`"),
        (lambda: Outputs(model="m.st", save_init="m.st"), "two files at once"),
        (lambda: Outputs(model="log/curve.csv", log_dir="log"), "two files at once"),
    ],
)
def test_outputs_that_contradict_each_other_are_refused(make: Callable[[], Outputs], says: str) -> None:
    with pytest.raises(UsageFault, match=says):
        make().check(TrainConfig())


def test_learning_curves_are_lines_of_one_file(tmp_path: Path) -> None:
    outputs = Outputs(model="m.st", curve=str(tmp_path / "c.json"), label="mine")
    outputs.write_curves({"a.st": CURVE, "b.st": CURVE[:1]})
    lines = [json.loads(line) for line in (tmp_path / "c.json").read_text().splitlines()]
    assert [(line["schema"], line["model"], line["label"]) for line in lines] == [
        ("emoprune.training/1", "a.st", "mine"),
        ("emoprune.training/1", "b.st", "mine"),
    ]
    assert [len(line["training"]) for line in lines] == [2, 1]
