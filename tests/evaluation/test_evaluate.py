"""Networks that reconstruct: trained, measured, pruned and refused where they have nothing to classify."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from emoprune.choices import Part
from emoprune.cli.main import main
from emoprune.data.datasets import open_data
from emoprune.data.splits import partition
from emoprune.evaluation.evaluate import evaluate
from emoprune.evaluation.model import load
from emoprune.evaluation.types import Metrics, ReconstructionMetrics
from emoprune.networks import checkpoint as checkpoints
from tests.support.command_line import Runner
from tests.support.feature_tables import draw_table

Compressed = Callable[[int], tuple[Path, Path]]


@pytest.fixture(scope="session")
def compressed(tmp_path_factory: pytest.TempPathFactory) -> Compressed:
    """A drawn table by seed, and the compression network of luan2020 trained on it; read only."""
    folder = tmp_path_factory.mktemp("compressed")

    def make(seed: int) -> tuple[Path, Path]:
        table, network = folder / f"{seed}.csv", folder / f"{seed}.st"
        if not network.exists():
            draw_table(table, seed=seed)
            argv = ["train", str(table), str(network), "--preset", "luan2020-autoencoder"]
            assert main([*argv, "--epochs", "300", "--seed", str(seed)]) == 0
        return table, network

    return make


def errors(network: str | Path, table: Path, part: str) -> np.ndarray:
    """Mean squared error of each output in numpy, straight from the tensors and the rows of the file."""
    checkpoint = checkpoints.read(str(network))
    state = {name: value.double().numpy() for name, value in checkpoint.tensors.items()}
    data = open_data(str(table))
    indices = list(partition(data.catalog, checkpoint.split)[part])
    header, *lines = [line.split(",") for line in table.read_text().splitlines()]
    classes = sorted({line[1] for line in lines})
    rows = np.array([[*map(float, line[2:]), classes.index(line[1])] for line in lines])[indices]
    assert len(header) == rows.shape[1] + 1
    scaled = (rows - state["scaling.shift"]) * state["scaling.scale"]
    hidden = scaled @ state["classifier.hidden1.weight"].T + state["classifier.hidden1.bias"]
    outputs = (
        1 / (1 + np.exp(-hidden)) @ state["classifier.output.weight"].T + state["classifier.output.bias"]
    )
    found: np.ndarray = ((outputs - scaled) ** 2).mean(0)
    return found


@pytest.mark.parametrize("part", ["test", "all"])
def test_evaluate_gives_a_checkpoint_the_metrics_of_its_file(model: Path, faces: Path, part: Part) -> None:
    data, settings = open_data(faces), {"seed": 3}
    loaded = load(str(model), torch.device("cpu"))
    of_file = evaluate(loaded, data, part=part, label="whole", settings=settings)
    found = evaluate(checkpoints.read(str(model)), data, part=part, label="whole", settings=settings)
    assert isinstance(of_file, Metrics)
    assert (of_file.model, of_file.data, of_file.split) == (str(model), str(faces), part)
    assert (of_file.label, of_file.settings) == ("whole", settings)
    assert found == dataclasses.replace(of_file, model="checkpoint")


def test_evaluate_measures_the_error_of_a_network_that_reconstructs(compressed: Compressed) -> None:
    table, network = compressed(0)
    found = evaluate(checkpoints.read(str(network)), open_data(table), latency=True)
    assert isinstance(found, ReconstructionMetrics)
    assert list(found.per_output.values()) == pytest.approx(errors(network, table, "test").tolist(), rel=1e-3)
    assert found.latency_ms is not None


def test_ten_features_and_the_label_go_in_and_eleven_numbers_come_out(compressed: Compressed) -> None:
    _, network = compressed(0)
    found = checkpoints.read(str(network))
    assert (found.spec.input, found.spec.classes, found.spec.hidden) == ((11,), 11, (10,))
    assert found.classes == (*(f"x{column}" for column in range(10)), "label")
    assert found.preprocess.label
    assert all(epoch.train_accuracy is None for epoch in found.training)
    assert found.training[-1].train_loss < found.training[0].train_loss / 10


@pytest.mark.parametrize("part", ["train", "test"])
def test_eval_measures_what_numpy_measures(emoprune: Runner, compressed: Compressed, part: str) -> None:
    table, network = compressed(0)
    record = emoprune.done("eval", network, table, "--split", part).record
    each = errors(network, table, part)
    assert record["schema"] == "emoprune.reconstruction/1"
    assert (record["split"], record["n"]) == (part, {"train": 72, "test": 18}[part])
    assert record["loss"] == pytest.approx(each.mean(), rel=1e-4)
    assert list(record["per_output"]) == [*(f"x{column}" for column in range(10)), "label"]
    assert list(record["per_output"].values()) == pytest.approx(each.tolist(), rel=1e-3, abs=1e-8)
    assert (record["parameters"], record["units"]) == (10 * 11 + 10 + 11 * 10 + 11, 10)
    assert record["bytes"] == network.stat().st_size


def test_the_last_training_loss_is_near_what_eval_measures(emoprune: Runner, compressed: Compressed) -> None:
    table, network = compressed(1)
    record = emoprune.done("eval", network, table, "--split", "train").record
    # the curve's is that of the step before the last
    assert record["loss"] == pytest.approx(checkpoints.read(str(network)).training[-1].train_loss, rel=0.1)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_solving_for_the_survivors_loses_less_than_adding_at_every_width(
    emoprune: Runner, compressed: Compressed, seed: int
) -> None:
    table, network = compressed(seed)
    for units in range(9, 2, -1):
        losses = {}
        for merge in ("lstsq", "sum"):
            options = ("--method", "progressive", "--units", units, "--merge", merge)
            emoprune.done("prune", network, *options, "-o", "less.st", "--force")
            record = emoprune.done("eval", "less.st", table, "--split", "train").record
            assert record["units"] == units
            assert record["loss"] == pytest.approx(errors("less.st", table, "train").mean(), rel=1e-4)
            losses[merge] = record["loss"]
        assert losses["lstsq"] < losses["sum"]


def test_fewer_units_lose_more_when_solved(emoprune: Runner, compressed: Compressed) -> None:
    table, network = compressed(0)
    losses = []
    for units in (9, 6, 3, 1):
        options = ("--method", "reconstruct", "--units", units)
        emoprune.done("prune", network, *options, "-o", "less.st", "--force")
        losses.append(emoprune.done("eval", "less.st", table, "--split", "train").record["loss"])
    assert losses == sorted(losses)


def test_a_budget_of_loss_is_one_of_squared_error(emoprune: Runner, compressed: Compressed) -> None:
    table, network = compressed(0)
    before = errors(network, table, "train").mean()
    options = ("--method", "progressive", "--max-loss-increase", "0.01")
    emoprune.done("prune", network, *options, "-o", "less.st")
    after = errors("less.st", table, "train").mean()
    assert checkpoints.read("less.st").units < 10
    assert before < after <= before + 0.01


def test_there_is_no_accuracy_to_drop(emoprune: Runner, compressed: Compressed) -> None:
    _, network = compressed(0)
    options = ("--method", "progressive", "--max-drop", "3", "-o", "less.st")
    says = ("autoencoder", "--max-loss-increase")
    emoprune.check_refused("prune", network, *options, code=2, says=says)


def test_the_published_rule_and_the_angles_work_as_on_any_table(
    emoprune: Runner, compressed: Compressed
) -> None:
    table, network = compressed(0)
    (record,) = emoprune.done("angles", network).lines
    assert (record["layer"], record["units"], record["center"]) == ("classifier.hidden1", 10, "half")
    assert emoprune.done("angles", network, "--data", table).lines == [record]
    emoprune.done("prune", network, "--angle", "60", "--merge", "sum", "-o", "less.st")
    assert checkpoints.read("less.st").units < 10


def test_a_pruned_network_is_trained_on_and_loses_less(emoprune: Runner, compressed: Compressed) -> None:
    table, network = compressed(0)
    emoprune.done("prune", network, "--method", "progressive", "--units", "4", "-o", "less.st")
    options = ("--lr", "0.01", "--epochs", "100", "--batch-size", "0")
    emoprune.done("train", table, "on.st", "--from", "less.st", *options)
    assert checkpoints.read("on.st").units == 4
    assert errors("on.st", table, "train").mean() < errors("less.st", table, "train").mean()


def test_with_a_validation_part_the_epoch_of_least_loss_is_kept(emoprune: Runner, in_folder: Path) -> None:
    table = draw_table(in_folder / "t.csv")
    options = ("--split", "60/20/20", "--lr", "0.8", "--epochs", "12")
    emoprune.done("train", table, "ae.st", "--preset", "luan2020-autoencoder", *options)
    curve = checkpoints.read("ae.st").training
    losses = [epoch.val_loss for epoch in curve if epoch.val_loss is not None]
    assert len(losses) == 12
    assert errors("ae.st", table, "val").mean() == pytest.approx(min(losses), rel=1e-3)


def test_its_onnx_file_is_written_but_not_evaluated(emoprune: Runner, compressed: Compressed) -> None:
    table, network = compressed(0)
    record = emoprune.done("export", network, "ae.onnx").record
    assert record["real_samples"] > 0
    emoprune.check_refused("eval", "ae.onnx", table, says=("scales its input", "checkpoint"))


def test_a_table_of_another_width_is_refused(
    emoprune: Runner, compressed: Compressed, in_folder: Path
) -> None:
    _, network = compressed(0)
    draw_table(in_folder / "wide.csv", columns=12)
    says = ("wide.csv: ", "12 features", "takes 10")
    emoprune.check_refused("eval", network, "wide.csv", "--split", "all", says=says)
    emoprune.check_refused("train", "wide.csv", "on.st", "--from", network, says=says)


def test_pictures_are_refused(emoprune: Runner, compressed: Compressed, small: Path) -> None:
    _, network = compressed(0)
    emoprune.check_refused("train", small, "m.st", "--arch", "autoencoder", code=2, says=("autoencoder",))
    emoprune.check_refused("eval", network, small, "--split", "all", says=(f"{small}: ", "feature table"))


def test_report_says_that_it_reads_another_schema(
    emoprune: Runner, compressed: Compressed, in_folder: Path
) -> None:
    table, network = compressed(0)
    line = emoprune.done("eval", network, table).raw
    emoprune.check_refused("report", stdin=line, says=("emoprune.reconstruction/1", "emoprune.metrics/1"))
