"""The support vector machine is scikit-learn's, in a network's tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.svm import SVC
from torch import Tensor, nn

from emoprune.choices import Scale
from emoprune.cli.main import main
from emoprune.data.datasets import open_data
from emoprune.data.splits import partition
from emoprune.data.types import Table
from emoprune.networks import checkpoint as checkpoints
from emoprune.networks.build import restore
from emoprune.networks.svm import fitted_svm
from emoprune.networks.table_networks import fitted_scaling
from emoprune.networks.types import Spec
from tests.support.command_line import Runner, opened, tree
from tests.support.feature_tables import draw_table


def rows(classes: int, n: int = 90, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Overlapping clouds, columns of very different scales, labels of uneven counts in mixed order."""
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.rand(n, generator=generator).square() * classes).long()
    labels[:classes] = torch.arange(classes).flip(0)
    centers = torch.randn(classes, 5, generator=generator)
    values = centers[labels] + 1.2 * torch.randn(n, 5, generator=generator)
    return values * torch.tensor([1.0, 0.01, 30.0, 2.0, 1.0]) + 3, labels


def machine(
    classes: int, values: Tensor, labels: Tensor, scale: Scale, *, penalty: float
) -> tuple[Spec, nn.Module]:
    scaling = fitted_scaling(values, scale, columns="abcde")
    return fitted_svm(Spec("svm", classes, (5,)), values, labels, scaling, penalty=penalty)


def scaled(net: nn.Module, values: Tensor) -> np.ndarray:
    """Rows as the machine scales them: libsvm stops early, so the least rounding of a row may show."""
    array: np.ndarray = net.get_submodule("scaling")(values).numpy()
    return array


def reference(net: nn.Module, values: Tensor, labels: Tensor, penalty: float) -> SVC:
    wanted = SVC(C=penalty, decision_function_shape="ovr", break_ties=True)
    return wanted.fit(scaled(net, values), labels.numpy())


SCALES: list[Scale] = ["minmax", "standard", "none"]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("penalty", [0.3, 1.0, 20.0])
@pytest.mark.parametrize("classes", [3, 7])
def test_scores_are_scikit_learns_decision_function(classes: int, penalty: float, scale: Scale) -> None:
    values, labels = rows(classes)
    _, net = machine(classes, values, labels, scale, penalty=penalty)
    wanted, own = reference(net, values, labels, penalty), scaled(net, values)
    with torch.no_grad():
        found = net(values).numpy()
    expected = wanted.decision_function(own)
    # a pair that is all but undecided may fall to either side by rounding, and votes are whole
    pairs = SVC(C=penalty, decision_function_shape="ovo").fit(own, labels.numpy())
    clear = np.abs(pairs.decision_function(own)).min(1) > 1e-4
    assert clear.mean() > 0.9
    np.testing.assert_allclose(found[clear], expected[clear], rtol=0, atol=1e-4)
    np.testing.assert_array_equal(found[clear].argmax(1), wanted.predict(own)[clear])


@pytest.mark.parametrize("scale", SCALES)
def test_of_two_classes_predictions_and_their_order_are_scikit_learns(scale: Scale) -> None:
    values, labels = rows(2)
    _, net = machine(2, values, labels, scale, penalty=1.0)
    wanted, own = reference(net, values, labels, 1.0), scaled(net, values)
    decision = wanted.decision_function(own)
    clear = np.abs(decision) > 1e-4
    with torch.no_grad():
        found = net(values).numpy()
    np.testing.assert_array_equal(found.argmax(1)[clear], wanted.predict(own)[clear])
    ranked = (found[:, 1] - found[:, 0])[np.argsort(decision)]
    assert np.diff(ranked).min() > -1e-4, "the surer of the second class, the higher it scores"


def test_rows_that_it_was_not_fitted_to_are_told_apart_as_scikit_learn_does() -> None:
    values, labels = rows(3)
    fresh, _ = rows(3, n=200, seed=5)
    _, net = machine(3, values, labels, "minmax", penalty=1.0)
    wanted = reference(net, values, labels, 1.0)
    with torch.no_grad():
        agree = net(fresh).argmax(1).numpy() == wanted.predict(scaled(net, fresh))
    assert agree.mean() >= 0.99


def test_the_spec_counts_the_support_vectors_and_rebuilds_the_machine() -> None:
    values, labels = rows(3)
    spec, net = machine(3, values, labels, "minmax", penalty=1.0)
    wanted = reference(net, values, labels, 1.0)
    assert spec.hidden == (len(wanted.support_vectors_),)
    again = restore(spec, {name: value.clone() for name, value in net.state_dict().items()})
    with torch.no_grad():
        assert torch.equal(again(values), net(values))


def test_fitting_leaves_the_given_rows_as_they_were() -> None:
    values, labels = rows(3)
    before = values.clone()
    machine(3, values, labels, "standard", penalty=1.0)
    assert torch.equal(values, before)


def test_columns_that_never_vary_leave_a_machine_with_scores() -> None:
    values, labels = torch.full((12, 5), 3.0), torch.arange(12) % 3
    _, net = machine(3, values, labels, "minmax", penalty=1.0)
    with torch.no_grad():
        assert bool(net(values).isfinite().all())


@pytest.fixture(scope="session")
def machine_train_svm(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A machine fitted to `table`; read only."""
    path = tmp_path_factory.mktemp("machine") / "svm.st"
    assert main(["train", str(table), str(path), "--arch", "svm"]) == 0
    return path


def test_the_summary_has_no_layers_and_no_epochs(emoprune: Runner, table: Path, in_folder: Path) -> None:
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
    train = list(partition(data.catalog, checkpoint.split)["train"])
    labels = np.array(data.catalog.labels)
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


def test_the_same_command_writes_the_same_bytes(
    emoprune: Runner, table: Path, machine_train_svm: Path
) -> None:
    assert emoprune.done("train", table, "-", "--arch", "svm").raw == machine_train_svm.read_bytes()


def test_a_higher_penalty_is_another_machine(emoprune: Runner, table: Path, machine_train_svm: Path) -> None:
    emoprune.done("train", table, "other.st", "--arch", "svm", "--penalty", "100")
    one, other = checkpoints.read(str(machine_train_svm)), checkpoints.read("other.st")
    assert not torch.equal(one.tensors["classifier.bias"], other.tensors["classifier.bias"])


def test_its_onnx_file_does_the_same(emoprune: Runner, table: Path, machine_train_svm: Path) -> None:
    emoprune.done("export", machine_train_svm, "svm.onnx")
    one, other = (emoprune.done("eval", name, table).record for name in (machine_train_svm, "svm.onnx"))
    for key in ("accuracy", "confusion", "n", "classes", "parameters", "macs", "units"):
        assert one[key] == other[key], key
    assert one["log_loss"] == pytest.approx(other["log_loss"], abs=1e-4)


@pytest.mark.parametrize(
    "options",
    [(), ("--angle", "30"), ("--method", "magnitude", "--amount", "0.5"), ("--data", "none")],
    ids=" ".join,
)
def test_it_has_nothing_to_prune(emoprune: Runner, machine_train_svm: Path, options: tuple[str, ...]) -> None:
    emoprune.check_refused(
        "prune", machine_train_svm, "-o", "less.st", *options, says=(f"{machine_train_svm}: ", "pruned")
    )


def test_it_has_no_angles(emoprune: Runner, machine_train_svm: Path, table: Path) -> None:
    emoprune.check_refused("angles", machine_train_svm, says=(f"{machine_train_svm}: ",))
    emoprune.check_refused("angles", machine_train_svm, "--data", table, says=(f"{machine_train_svm}: ",))


def test_an_svm_is_not_trained_further(emoprune: Runner, machine_train_svm: Path, table: Path) -> None:
    says = (str(machine_train_svm), "one go", "from scratch")
    emoprune.check_refused("train", table, "on.st", "--from", machine_train_svm, code=2, says=says)


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
def test_a_wrong_penalty_is_refused(emoprune: Runner, table: Path, penalty: str) -> None:
    emoprune.check_refused(
        "train", table, "svm.st", "--arch", "svm", "--penalty", penalty, code=2, says=("--penalty",)
    )


def test_its_first_state_is_its_last(emoprune: Runner, table: Path) -> None:
    emoprune.done("train", table, "svm.st", "--arch", "svm", "--save-init", "init.st")
    first, last = checkpoints.read("init.st"), checkpoints.read("svm.st")
    assert all(torch.equal(first.tensors[name], last.tensors[name]) for name in last.tensors)
