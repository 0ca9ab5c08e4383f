"""Evaluation of networks that classify, and of those that reconstruct, which are trained and pruned too."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch import Tensor

from emoprune.choices import Part
from emoprune.cli.main import main
from emoprune.data.datasets import open_data
from emoprune.data.loader import batches
from emoprune.data.splits import partition
from emoprune.errors import BadData, OutputFault, UsageFault
from emoprune.evaluation.evaluate import evaluate
from emoprune.evaluation.model import load, samples
from emoprune.evaluation.types import Metrics, ReconstructionMetrics
from emoprune.io.pictures.images import read_photo
from emoprune.networks import checkpoint as checkpoints
from tests.support.command_line import SMALL, Runner, opened
from tests.support.feature_tables import draw_table
from tests.support.training import CONV1, trained

CPU = torch.device("cpu")
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


def evaluated(model: Path, data: Path | str, **options: Any) -> Metrics:
    found = evaluate(load(str(model), CPU), open_data(data), **options)
    assert isinstance(found, Metrics)
    return found


def logits_and_labels(model: Path, faces: Path, part: str) -> tuple[Tensor, list[int]]:
    """Logits of one part, or of all, without `evaluate`."""
    checkpoint, net = opened(model)
    data = open_data(faces)
    every = tuple(range(len(data.catalog.names)))
    indices = every if part == "all" else partition(data.catalog, checkpoint.split)[part]
    found = samples(data, checkpoint.preprocess, checkpoint.spec.input)
    with torch.inference_mode():
        inputs = batches(found, torch.tensor(indices), checkpoint.preprocess, CPU)
        logits = torch.cat([net(batch) for batch in inputs])
    return logits, [data.catalog.labels[index] for index in indices]


@pytest.mark.parametrize("part", ["test", "train", "all"])
def test_evaluate_agrees_with_scikit_learn(model: Path, faces: Path, part: Part) -> None:
    found = evaluated(model, faces, part=part)
    logits, labels = logits_and_labels(model, faces, part)
    predicted = logits.argmax(1).numpy()
    assert (found.split, found.n) == (part, len(labels))
    assert found.confusion == tuple(map(tuple, metrics.confusion_matrix(labels, predicted).tolist()))
    assert found.accuracy == pytest.approx(metrics.accuracy_score(labels, predicted))
    probabilities = logits.double().softmax(1).numpy()
    assert found.log_loss == pytest.approx(metrics.log_loss(labels, probabilities), rel=1e-5)
    macro = metrics.f1_score(labels, predicted, average="macro", zero_division=0)
    assert found.macro_f1 == pytest.approx(macro)


def test_evaluate_counts_the_file_of_a_network_in_memory(model: Path, faces: Path, tmp_path: Path) -> None:
    whole = checkpoints.read(str(model))
    whole.save(str(tmp_path / "kept.st"), keep_paths=True)
    made = dataclasses.replace(whole, place="")
    made.save(str(tmp_path / "made.st"))
    for name, network in (("kept.st", checkpoints.read(str(tmp_path / "kept.st"))), ("made.st", made)):
        found = evaluate(network, open_data(str(faces)), part="all")
        data = (tmp_path / name).read_bytes()
        assert isinstance(found, Metrics)
        assert (found.bytes, found.model_fingerprint) == (len(data), hashlib.sha256(data).hexdigest())


def test_evaluate_counts_the_file_and_its_network(model: Path, faces: Path) -> None:
    found, data = evaluated(model, faces), model.read_bytes()
    assert (found.bytes, found.model_fingerprint) == (len(data), hashlib.sha256(data).hexdigest())
    # conv1 of 24x24 gray: 16 kernels of 5x5 at 20x20 places, 1600 features, 24 units, 3 classes
    assert found.parameters == 16 * 26 + 1601 * 24 + 25 * 3
    assert found.macs == 16 * 25 * 400 + 1600 * 24 + 24 * 3
    assert found.units == 16 + 24


def test_evaluate_takes_the_test_part_by_default(model: Path, faces: Path) -> None:
    assert evaluated(model, faces) == evaluated(model, faces, part="test")


def test_evaluate_takes_the_val_part_where_there_is_no_test_part(
    emoprune: Runner, faces_here: Callable[..., Path]
) -> None:
    faces = faces_here("faces", {"train/happy": 4, "train/sad": 4, "val/happy": 2, "val/sad": 3})
    emoprune.done("train", "faces", "m.st", *SMALL)
    found = evaluated(Path("m.st"), faces)
    assert (found.split, found.n) == ("val", 5)
    with pytest.raises(BadData, match="no test part, the model was trained with train/val"):
        evaluated(Path("m.st"), faces, part="test")


def test_evaluate_knows_a_copy_of_the_data(model: Path, faces: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(faces, tmp_path / "copy")
    moved = evaluated(model, copied)
    assert dataclasses.replace(moved, data=str(faces)) == evaluated(model, faces)


def test_evaluate_refuses_parts_of_other_data(model: Path, small: Path) -> None:
    for part in (None, "train"):
        with pytest.raises(BadData, match=r"fingerprint.*`part=all`"):
            evaluated(model, small, part=part)
    assert evaluated(model, small, part="all").n == 30


def test_evaluate_keeps_the_places_of_classes_without_samples(
    model: Path, faces_here: Callable[..., Path]
) -> None:
    found = evaluated(model, faces_here("faces", {"surprise": 4, "angry": 2}), part="all")
    assert found.classes == ("angry", "happy", "surprise")
    assert [sum(row) for row in found.confusion] == [2, 0, 4]
    assert found.per_class["happy"].recall is None


def test_evaluate_names_an_unknown_class(model: Path, faces_here: Callable[..., Path]) -> None:
    with pytest.raises(BadData, match="class sad is not one of the model's"):
        evaluated(model, faces_here("faces", {"happy": 2, "sad": 2}), part="all")


def test_evaluate_refuses_data_of_another_kind(
    model: Path, table_model: Path, faces: Path, table: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadData, match="the network takes photos"):
        evaluated(model, table, part="all")
    with pytest.raises(BadData, match="make one with emoprune features"):
        evaluated(table_model, faces, part="all")
    (tmp_path / "t.csv").write_text("name,label,x,y\na,happy,1,2\nb,angry,3,4\n")
    with pytest.raises(BadData, match="has 2 features, and the network takes 64"):
        evaluated(table_model, tmp_path / "t.csv", part="all")


def test_evaluate_gives_an_onnx_file_the_metrics_of_its_checkpoint(
    model: Path, onnx_model: Path, faces: Path
) -> None:
    exported, original = (evaluated(path, faces, latency=True) for path in (onnx_model, model))
    assert exported.log_loss == pytest.approx(original.log_loss, abs=1e-5)
    assert exported.bytes == onnx_model.stat().st_size
    assert exported.latency_ms is not None
    assert exported.latency is not None
    first, second = exported.latency
    assert (first.batch, second.batch, first.threads) == (1, 32, torch.get_num_threads())
    assert exported.latency_ms == first.p50_ms > 0
    own = (
        *("model", "model_fingerprint", "bytes", "log_loss", "calibration_error", "latency_ms", "latency"),
        *("reliability", "intervals"),
    )
    changes: dict[str, Any] = {name: getattr(original, name) for name in own}
    assert dataclasses.replace(exported, **changes) == original


@pytest.mark.parametrize("part", ["test", "all"])
def test_evaluate_gives_a_checkpoint_the_metrics_of_its_file(model: Path, faces: Path, part: Part) -> None:
    data, settings = open_data(faces), {"seed": 3}
    of_file = evaluated(model, faces, part=part, label="whole", settings=settings)
    found = evaluate(checkpoints.read(str(model)), data, part=part, label="whole", settings=settings)
    assert (of_file.model, of_file.data, of_file.split) == (str(model), str(faces), part)
    assert (of_file.label, of_file.settings) == ("whole", settings)
    assert found == dataclasses.replace(of_file, model="checkpoint")


def test_evaluate_measures_the_error_of_a_network_that_reconstructs(compressed: Compressed) -> None:
    table, network = compressed(0)
    found = evaluate(checkpoints.read(str(network)), open_data(table), latency=True)
    assert isinstance(found, ReconstructionMetrics)
    assert list(found.per_output.values()) == pytest.approx(errors(network, table, "test").tolist(), rel=1e-3)
    assert found.latency_ms is not None


def test_training_a_reconstruction_reads_and_writes_features_and_label(compressed: Compressed) -> None:
    _, network = compressed(0)
    found = checkpoints.read(str(network))
    assert (found.spec.input, found.spec.classes, found.spec.hidden) == ((11,), 11, (10,))
    assert found.classes == (*(f"x{column}" for column in range(10)), "label")
    assert found.preprocess.label
    assert all(epoch.train_accuracy is None for epoch in found.training)
    assert found.training[-1].train_loss < found.training[0].train_loss / 10


@pytest.mark.parametrize("part", ["train", "test"])
def test_evaluate_agrees_with_numpy_on_a_reconstruction(
    emoprune: Runner, compressed: Compressed, part: str
) -> None:
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


def test_evaluate_is_near_the_last_training_loss(emoprune: Runner, compressed: Compressed) -> None:
    table, network = compressed(1)
    record = emoprune.done("eval", network, table, "--split", "train").record
    # the curve's is that of the step before the last
    assert record["loss"] == pytest.approx(checkpoints.read(str(network)).training[-1].train_loss, rel=0.1)


ANY_ERROR = ("--max-error", "1000")


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_refitting_a_reconstruction_loses_less_than_adding(
    emoprune: Runner, compressed: Compressed, seed: int
) -> None:
    table, network = compressed(seed)
    for units in range(9, 2, -1):
        losses = {}
        for merge in ("lstsq", "sum"):
            options = ("--method", "progressive", "--units", units, "--merge", merge, *ANY_ERROR)
            emoprune.done("prune", network, *options, "-o", "less.st", "--force")
            record = emoprune.done("eval", "less.st", table, "--split", "train").record
            assert record["units"] == units
            assert record["loss"] == pytest.approx(errors("less.st", table, "train").mean(), rel=1e-4)
            losses[merge] = record["loss"]
        assert losses["lstsq"] < losses["sum"]


def test_refitting_a_reconstruction_loses_more_with_fewer_units(
    emoprune: Runner, compressed: Compressed
) -> None:
    table, network = compressed(0)
    losses = []
    for units in (9, 6, 3, 1):
        options = ("--method", "reconstruct", "--units", units, *ANY_ERROR)
        emoprune.done("prune", network, *options, "-o", "less.st", "--force")
        losses.append(emoprune.done("eval", "less.st", table, "--split", "train").record["loss"])
    assert losses == sorted(losses)


def test_a_budget_of_loss_is_of_squared_error(emoprune: Runner, compressed: Compressed) -> None:
    table, network = compressed(0)
    before = errors(network, table, "train").mean()
    options = ("--method", "progressive", "--max-loss-increase", "0.01")
    emoprune.done("prune", network, *options, "-o", "less.st")
    after = errors("less.st", table, "train").mean()
    assert checkpoints.read("less.st").units < 10
    assert before < after <= before + 0.01


def test_pruning_a_reconstruction_has_no_accuracy_to_drop(emoprune: Runner, compressed: Compressed) -> None:
    _, network = compressed(0)
    options = ("--method", "progressive", "--max-drop", "3", "-o", "less.st")
    says = ("no accuracy", "--max-loss-increase")
    emoprune.check_refused("prune", network, *options, code=2, says=says)


def test_the_published_rule_and_the_angles_work_as_on_any_table(
    emoprune: Runner, compressed: Compressed
) -> None:
    table, network = compressed(0)
    (record,) = emoprune.done("angles", network).lines
    assert (record["layer"], record["units"], record["center"]) == ("classifier.hidden1", 10, "half")
    assert emoprune.done("angles", network, "--data", table).lines == [record]
    emoprune.done("prune", network, "--angle", "60", "--merge", "sum", "-o", "less.st", *ANY_ERROR)
    assert checkpoints.read("less.st").units < 10


def test_a_pruned_network_is_trained_on_and_loses_less(emoprune: Runner, compressed: Compressed) -> None:
    table, network = compressed(0)
    options = ("--method", "progressive", "--units", "4", *ANY_ERROR)
    emoprune.done("prune", network, *options, "-o", "less.st")
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


def test_evaluate_refuses_the_onnx_file_of_a_reconstruction(emoprune: Runner, compressed: Compressed) -> None:
    table, network = compressed(0)
    record = emoprune.done("export", network, "ae.onnx").record
    assert record["real_samples"] > 0
    emoprune.check_refused("eval", "ae.onnx", table, says=("scales its input", "checkpoint"))


def test_a_reconstruction_refuses_pictures(emoprune: Runner, compressed: Compressed, small: Path) -> None:
    _, network = compressed(0)
    emoprune.check_refused("train", small, "m.st", "--arch", "autoencoder", code=2, says=("autoencoder",))
    emoprune.check_refused("eval", network, small, "--split", "all", says=(f"{small}: ", "feature table"))


def test_report_says_that_it_reads_another_schema(
    emoprune: Runner, compressed: Compressed, in_folder: Path
) -> None:
    table, network = compressed(0)
    line = emoprune.done("eval", network, table).raw
    emoprune.check_refused("report", stdin=line, says=("emoprune.reconstruction/1", "emoprune.metrics/1"))


@pytest.fixture
def parted(faces_here: Callable[..., Path]) -> Path:
    """Drawn faces in three parts, in each its own; m.st learned from them, n.st from train/ alone."""
    parts = {"train": 8, "val": 4, "test": 4}
    counts = {f"{part}/{label}": parts[part] for part in parts for label in ("happy", "sad")}
    folder = faces_here("faces", counts)
    for part in ("val", "test"):
        for photo in (folder / part).rglob("*.jpg"):
            # drawn alike in all parts
            read_photo(photo).rotate(90 if part == "val" else 180).save(photo)
    trained("faces", **CONV1).save("m.st")
    trained("faces/:train", **CONV1).save("n.st")
    return folder


def test_evaluate_takes_a_named_part_of_its_own_data_as_that_part(parted: Path) -> None:
    for part in ("val", "test", "train"):
        whole = evaluated(Path("m.st"), parted, part=part)
        assert evaluated(Path("m.st"), f"{parted}/:{part}") == dataclasses.replace(whole, data=f"{parted}/")
        assert evaluated(Path("m.st"), f"{parted}:{part}", part=part) == whole
    with pytest.raises(UsageFault, match="faces:val: is the val part, and `part=test` asks for another"):
        evaluated(Path("m.st"), f"{parted}:val", part="test")


def test_evaluate_scores_a_named_part_of_other_data_whole(parted: Path) -> None:
    found = evaluated(Path("n.st"), f"{parted}:val")
    alone = evaluated(Path("n.st"), parted / "val", part="all")
    assert found == dataclasses.replace(alone, data=f"{parted}:val")
    assert (found.split, found.n, found.seen, found.test_looks) == ("all", 8, 0, None)
    # its own data is split by its own rule
    assert evaluated(Path("n.st"), f"{parted}:train").split == "test"
    # wherever it was trained, a test part is one
    assert [evaluated(Path(name), f"{parted}:test").test_looks for name in ("n.st", "m.st")] == [0, 1]


def test_evaluate_warns_of_samples_that_were_trained_on(
    parted: Path, tmp_path: Path, told: pytest.LogCaptureFixture
) -> None:
    assert evaluated(Path("m.st"), parted, part="train").seen == 16
    assert told.messages == []
    found = evaluated(Path("m.st"), parted, part="all")
    rest = f"{evaluated(Path('m.st'), parted).accuracy:.1%}"
    # 16 of train, and 8 of val, by which the epoch was chosen
    assert (found.n, found.seen) == (32, 24)
    says = (
        f"24 of 32 samples are in its train or val part, or copies of those; accuracy on the other 8: {rest}"
    )
    assert told.messages == [f"{parted}: {says}"]
    told.clear()
    other = tmp_path / "other"
    for part in ("train", "test"):
        shutil.copytree(parted / part / "sad", other / "sad" / f"of {part}")
    found = evaluated(Path("m.st"), other, part="all")
    assert (found.n, found.seen) == (12, 8)
    says = f"{other}: 8 of 12 samples were trained on; accuracy on the other 4: "
    assert told.messages[-1].startswith(says)


def test_evaluate_warns_of_copies_in_the_test_part(parted: Path, told: pytest.LogCaptureFixture) -> None:
    photo = next((parted / "train" / "sad").iterdir())
    shutil.copy(photo, parted / "test" / "sad" / "copy.jpg")
    trained("faces", **CONV1).save("c.st")
    told.clear()
    assert evaluated(Path("c.st"), parted).seen == 1
    says = "faces: 1 of 9 samples were trained on; accuracy on the other 8"
    assert any(says in text for text in told.messages)


def test_evaluate_of_an_older_checkpoint_knows_the_parts_of_its_data_alone(
    parted: Path, told: pytest.LogCaptureFixture
) -> None:
    dataclasses.replace(checkpoints.read("m.st"), trained=None).save("old.st")
    assert evaluated(Path("old.st"), parted, part="all").seen == 24
    told.clear()
    assert evaluated(Path("old.st"), parted).seen == 0
    assert told.messages == []
    assert evaluated(Path("old.st"), parted / "val", part="all").seen is None
    says = "old.st does not say what it was trained on: samples of"
    assert [text.startswith(says) for text in told.messages] == [True]


def test_evaluate_counts_the_looks_at_a_test_part(
    model: Path, faces: Path, onnx_model: Path, state: Path, told: pytest.LogCaptureFixture
) -> None:
    assert [evaluated(model, faces, part=part).test_looks for part in ("train", "all")] == [None, None]
    assert evaluated(model, faces).test_looks == 0
    assert evaluated(onnx_model, faces).test_looks == 1
    again = evaluate(checkpoints.read(str(model)), open_data(faces))
    assert again.test_looks == 2
    assert [text for text in told.messages if "looked at" in text] == [
        f"{faces}: its test part was looked at 1 time before, for 1 network",
        f"{faces}: its test part was looked at 2 times before, for 2 networks of 1 training, "
        "1 time for this same one",
    ]
    assert len((state / "emoprune" / "test-looks.jsonl").read_text().splitlines()) == 3


def test_evaluate_goes_on_where_looks_cannot_be_counted(
    model: Path, faces: Path, state: Path, told: pytest.LogCaptureFixture
) -> None:
    (state / "emoprune").write_text("a file in the place of the folder")
    assert evaluated(model, faces).n == 12
    (said,) = (text for text in told.messages if "look" in text)
    assert said.startswith("this look at the test part is not counted: ")


def test_evaluate_of_one_sample_has_no_value_for_what_is_undefined(
    model: Path, faces: Path, tmp_path: Path
) -> None:
    (tmp_path / "one" / "happy").mkdir(parents=True)
    shutil.copy(next((faces / "happy").iterdir()), tmp_path / "one" / "happy")
    found = evaluated(model, tmp_path / "one", part="all")
    assert (found.n, found.intervals, found.auc, found.matthews_correlation) == (1, None, None, None)
    assert found.kappa in (None, 0)
    assert (found.chance, found.majority, found.balanced_accuracy) == (1 / 3, 1, found.accuracy)


def test_evaluate_refuses_outputs_before_it_looks(
    model: Path, faces: Path, tmp_path: Path, state: Path
) -> None:
    (tmp_path / "p.csv").write_text("mine")
    with pytest.raises(OutputFault, match="exists already"):
        evaluated(model, faces, predictions=tmp_path / "p.csv")
    with pytest.raises(BadData, match="does not match `group_by="):
        evaluated(model, faces, predictions=tmp_path / "q.csv", group_by="^z")
    assert [path.name for path in tmp_path.iterdir()] == ["p.csv"]
    assert not (state / "emoprune").exists()


@pytest.mark.parametrize("asked", [{"group_by": "^[^_]+"}, {"predictions": "p.csv"}])
def test_evaluate_refuses_what_a_reconstruction_has_not(
    compressed: Compressed, in_folder: Path, asked: dict[str, str]
) -> None:
    table, network = compressed(0)
    with pytest.raises(UsageFault, match="reconstructs its input"):
        evaluate(checkpoints.read(str(network)), open_data(table), **asked)  # type: ignore[arg-type]
    assert list(in_folder.iterdir()) == []
