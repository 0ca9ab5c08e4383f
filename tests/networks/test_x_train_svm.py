"""emoprune train --arch svm: fitted in one go, kept in a checkpoint, exported, and never pruned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.svm import SVC

from emoprune.cli.main import main
from emoprune.data.datasets import open_data
from emoprune.data.splits import partition
from emoprune.data.types import Table
from emoprune.networks import checkpoint as checkpoints
from tests.support.command_line import Runner, opened, tree
from tests.support.feature_tables import draw_table


@pytest.fixture(scope="session")
def machine(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A machine fitted to `table`; read only."""
    path = tmp_path_factory.mktemp("machine") / "svm.st"
    assert main(["train", str(table), str(path), "--arch", "svm"]) == 0
    return path


def test_the_summary_tells_of_no_layer_and_no_epoch(emoprune: Runner, table: Path, in_folder: Path) -> None:
    summary = emoprune.done("train", table, "svm.st", "--arch", "svm").record
    assert (summary["arch"], summary["layers"]) == ("svm", {})
    assert "training" not in summary
    assert set(tree(in_folder)) == {"svm.st"}
    found = checkpoints.read("svm.st")
    assert (found.layers, found.training, found.units) == ((), (), 0)


@pytest.mark.parametrize("penalty", ["0.5", "10"])
@pytest.mark.parametrize("classes", ["ab", "abc", "abcdefg"])
def test_a_checkpoint_predicts_what_scikit_learn_predicts(
    emoprune: Runner, in_folder: Path, classes: str, penalty: str
) -> None:
    draw_table(in_folder / "t.csv", classes=classes, columns=6, samples=140)
    emoprune.done("train", "t.csv", "svm.st", "--arch", "svm", "--penalty", penalty)
    checkpoint, net = opened(Path("svm.st"))
    data = open_data("t.csv")
    train = list(partition(data.catalogue, checkpoint.split)["train"])
    labels = np.array(data.catalogue.labels)
    assert isinstance(data, Table)
    values = data.values
    low, high = values[train].amin(0), values[train].amax(0)
    scaled = ((values - low) * (1 / (high - low))).numpy()
    wanted = SVC(C=float(penalty), break_ties=True).fit(scaled[train], labels[train])
    with torch.inference_mode():
        found = net(values).argmax(1).numpy()
    assert (found == wanted.predict(scaled)).all()
    record = emoprune.done("eval", "svm.st", "t.csv", "--split", "all").record
    assert record["accuracy"] == pytest.approx(np.mean(found == labels))
    assert record["classes"] == list(classes)


def test_the_same_command_writes_the_same_bytes(emoprune: Runner, table: Path, machine: Path) -> None:
    assert emoprune.done("train", table, "-", "--arch", "svm").raw == machine.read_bytes()


def test_a_higher_penalty_is_another_machine(emoprune: Runner, table: Path, machine: Path) -> None:
    emoprune.done("train", table, "other.st", "--arch", "svm", "--penalty", "100")
    one, other = checkpoints.read(str(machine)), checkpoints.read("other.st")
    assert not torch.equal(one.tensors["classifier.bias"], other.tensors["classifier.bias"])


def test_its_onnx_file_does_the_same(emoprune: Runner, table: Path, machine: Path) -> None:
    emoprune.done("export", machine, "svm.onnx")
    one, other = (emoprune.done("eval", name, table).record for name in (machine, "svm.onnx"))
    for key in ("accuracy", "confusion", "n", "classes", "parameters", "macs", "units"):
        assert one[key] == other[key], key
    assert one["log_loss"] == pytest.approx(other["log_loss"], abs=1e-4)


@pytest.mark.parametrize(
    "options",
    [(), ("--angle", "30"), ("--method", "magnitude", "--amount", "0.5"), ("--data", "none")],
    ids=" ".join,
)
def test_it_has_nothing_to_prune(emoprune: Runner, machine: Path, options: tuple[str, ...]) -> None:
    emoprune.check_refused("prune", machine, "-o", "less.st", *options, says=(f"{machine}: ", "pruned"))


def test_it_has_no_angles(emoprune: Runner, machine: Path, table: Path) -> None:
    emoprune.check_refused("angles", machine, says=(f"{machine}: ",))
    emoprune.check_refused("angles", machine, "--data", table, says=(f"{machine}: ",))


def test_it_is_not_gone_on_with(emoprune: Runner, machine: Path, table: Path) -> None:
    says = (str(machine), "one go", "anew")
    emoprune.check_refused("train", table, "on.st", "--from", machine, code=2, says=says)


def test_it_needs_a_table_and_no_backbone(emoprune: Runner, small: Path, table: Path) -> None:
    emoprune.check_refused("train", small, "svm.st", "--arch", "svm", code=2, says=("svm", "feature table"))
    says = ("svm", "--freeze")
    emoprune.check_refused(
        "train", table, "svm.st", "--arch", "svm", "--freeze", "backbone", code=2, says=says
    )
    emoprune.check_refused(
        "train", table, "svm.st", "--arch", "svm", "--weights", "imagenet", code=2, says=("svm", "--weights")
    )


@pytest.mark.parametrize("penalty", ["0", "-1", "nan", "much"])
def test_a_penalty_that_is_none_is_refused(emoprune: Runner, table: Path, penalty: str) -> None:
    emoprune.check_refused(
        "train", table, "svm.st", "--arch", "svm", "--penalty", penalty, code=2, says=("--penalty",)
    )


def test_its_first_state_is_its_last(emoprune: Runner, table: Path) -> None:
    emoprune.done("train", table, "svm.st", "--arch", "svm", "--save-init", "init.st")
    first, last = checkpoints.read("init.st"), checkpoints.read("svm.st")
    assert all(torch.equal(first.tensors[name], last.tensors[name]) for name in last.tensors)
