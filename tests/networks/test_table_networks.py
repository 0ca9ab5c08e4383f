"""Networks on feature tables: what they compute, by hand."""

from __future__ import annotations

import csv
import io
import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from emoprune.choices import Scale
from emoprune.data.splits import partition
from emoprune.errors import BadData
from emoprune.networks.build import build, restore
from emoprune.networks.table_networks import Scaling, SupportVectorMachine, fitted_scaling
from emoprune.networks.types import Spec
from tests.support.command_line import Runner, opened
from tests.support.feature_tables import read_table
from tests.support.records import workbook


def machine(classes: int, decisions: Tensor) -> SupportVectorMachine:
    """A machine whose pairs decide as in `decisions` (pairs,) whatever it is shown."""
    net = SupportVectorMachine(Spec("svm", classes, (2,), (4,)))
    with torch.no_grad():
        net.classifier.weight.zero_()
        net.classifier.bias.copy_(decisions)
    return net


def votes(classes: int, decisions: list[float]) -> np.ndarray:
    """The votes of each class and a share of one for how decided they were, pair by pair."""
    won, sure = np.zeros(classes), np.zeros(classes)
    for (first, second), decision in zip(combinations(range(classes), 2), decisions, strict=True):
        won[first if decision > 0 else second] += 1
        sure[first] += decision
        sure[second] -= decision
    scores: np.ndarray = won + sure / (3 * (np.abs(sure) + 1))
    return scores


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_scores_are_votes_and_less_than_half_a_vote_for_confidence(classes: int) -> None:
    generator = torch.Generator().manual_seed(classes)
    for _ in range(10):
        decisions = 5 * torch.randn(classes * (classes - 1) // 2, generator=generator)
        scores = machine(classes, decisions)(torch.zeros(1, 2))[0]
        np.testing.assert_allclose(scores.numpy(), votes(classes, decisions.tolist()), atol=1e-6)


def test_the_kernel_is_that_of_a_literal_double_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    net = SupportVectorMachine(Spec("svm", 2, (3,), (5,)))
    with torch.no_grad():
        net.vectors.copy_(torch.randn(5, 3, generator=generator))
        net.classifier.weight.copy_(torch.randn(1, 5, generator=generator))
        net.classifier.bias.fill_(0.3)
        net.gamma.fill_(0.7)
    rows = torch.randn(6, 3, generator=generator)
    vectors, weight = net.vectors.numpy(), net.classifier.weight.detach().numpy()[0]
    wanted = []
    for row in rows.numpy():
        decision = 0.3
        for vector, share in zip(vectors, weight, strict=True):
            decision += share * np.exp(-0.7 * np.sum((row - vector) ** 2))
        wanted.append(votes(2, [decision]))
    with torch.no_grad():
        np.testing.assert_allclose(net(rows).numpy(), np.array(wanted), atol=1e-5)


def test_a_machine_has_nothing_that_training_by_gradient_would_change() -> None:
    net = build(Spec("svm", 4, (3,), (5,)))
    assert not any(parameter.requires_grad for parameter in net.parameters())


def test_the_compression_network_has_linear_outputs_as_many_as_inputs() -> None:
    spec = Spec("autoencoder", 11, (11,), (10,))
    net = build(spec)
    head = [type(layer).__name__ for layer in net.get_submodule("classifier").children()]
    assert head == ["Linear", "Sigmoid", "Linear"]
    assert net(torch.zeros(3, 11)).shape == (3, 11)


def test_a_perceptron_reads_the_pixels_of_a_picture_as_one_row() -> None:
    net = build(Spec("mlp", 7, (1, 48, 48), (1000, 1000), "relu"))
    assert net.get_submodule("classifier.hidden1").weight.shape == (1000, 2304)
    rows = torch.rand(2, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        x = rows.reshape(2, 2304)
        for layer in ("hidden1", "hidden2", "output"):
            dense = net.get_submodule(f"classifier.{layer}")
            x = x @ dense.weight.T + dense.bias  # type: ignore[operator]  # a dense layer
            x = x.clamp(min=0) if layer != "output" else x
        torch.testing.assert_close(net(rows), x)


@pytest.mark.parametrize("arch", ["svm", "autoencoder"])
def test_what_is_restored_computes_the_same(arch: str) -> None:
    spec = Spec(arch, 3, (3,), (4,))
    net = build(spec)
    with torch.no_grad():
        for value in net.state_dict().values():
            value.add_(0.25)
    again = restore(spec, {name: value.clone() for name, value in net.state_dict().items()})
    rows = torch.rand(5, 3, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(again(rows), net.eval()(rows))


def fitted(rows: Tensor, scale: Scale) -> Scaling:
    return fitted_scaling(rows, scale, columns=[f"f{index}" for index in range(rows.shape[1])])


def random_rows(n: int, columns: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    spread = 10 ** (4 * torch.rand(columns, generator=generator) - 2)
    return torch.randn(n, columns, generator=generator) * spread + 3 * spread


rows_of = st.builds(random_rows, st.integers(3, 50), st.integers(1, 6), st.integers(0, 10**6))


@settings(deadline=None, max_examples=40)
@given(rows_of)
def test_minmax_maps_every_columns_range_to_0_and_1(rows: Tensor) -> None:
    scaled = fitted(rows, "minmax")(rows)
    torch.testing.assert_close(scaled.amin(0), torch.zeros(rows.shape[1]), atol=1e-5, rtol=0)
    torch.testing.assert_close(scaled.amax(0), torch.ones(rows.shape[1]), atol=1e-5, rtol=0)


@settings(deadline=None, max_examples=40)
@given(rows_of)
def test_standard_gives_every_column_mean_0_and_deviation_1(rows: Tensor) -> None:
    scaled = fitted(rows, "standard")(rows).double()
    torch.testing.assert_close(scaled.mean(0), torch.zeros(rows.shape[1]).double(), atol=1e-4, rtol=0)
    deviation = scaled.std(0, correction=0)
    torch.testing.assert_close(deviation, torch.ones(rows.shape[1]).double(), atol=1e-3, rtol=0)


def test_none_leaves_columns_as_they_are() -> None:
    rows = random_rows(9, 4, 0)
    assert torch.equal(fitted(rows, "none")(rows), rows)


@settings(deadline=None, max_examples=60)
@given(st.integers(-10_000, 10_000), st.integers(1, 40), st.sampled_from(["minmax", "standard"]))
def test_a_constant_column_becomes_0(tenths: int, n: int, scale: Scale) -> None:
    # most tenths are no binary fraction, so their mean is off by a rounding error
    rows = torch.stack([torch.full((n,), tenths / 10), torch.arange(n) * 1.0], 1)
    scaled = fitted(rows, scale)(rows)
    assert float(scaled[:, 0].abs().max()) <= 1e-3
    assert bool(torch.isfinite(scaled).all())


@pytest.mark.parametrize("scale", ["minmax", "standard"])
def test_a_column_constant_in_training_does_not_blow_up_elsewhere(scale: Scale) -> None:
    layer = fitted(torch.full((10, 1), 0.1), scale)
    assert float(layer(torch.tensor([[0.2]])).abs()) <= 1


def test_other_rows_are_scaled_by_the_training_rows_figures() -> None:
    layer = fitted(torch.tensor([[0.0, 10.0], [2.0, 30.0]]), "minmax")
    assert layer(torch.tensor([[4.0, 0.0]])).tolist() == [[2.0, -0.5]]


def test_the_figures_are_buffers_that_no_training_changes() -> None:
    layer = fitted(random_rows(9, 4, 0), "standard")
    assert set(layer.state_dict()) == {"fill", "shift", "scale"}
    assert not list(layer.parameters())


def with_gaps(rows: Tensor, seed: int) -> Tensor:
    """Some values missing, but of the first row."""
    gaps = torch.rand(rows.shape, generator=torch.Generator().manual_seed(seed)) < 0.3
    gaps[0] = False
    return rows.masked_fill(gaps, torch.nan)


def alone(rows: Tensor) -> list[Tensor]:
    """Every column by itself, without what is missing."""
    return [column[~column.isnan()] for column in rows.unbind(1)]


@settings(deadline=None, max_examples=40)
@given(rows_of, st.integers(0, 10**6), st.sampled_from(["minmax", "standard", "none"]))
def test_missing_values_are_filled_with_the_training_mean_of_their_column(
    rows: Tensor, seed: int, scale: Scale
) -> None:
    rows = with_gaps(rows, seed)
    means = torch.stack([column.double().mean() for column in alone(rows)]).float()
    layer = fitted(rows, scale)
    assert torch.equal(layer(rows), layer(torch.where(rows.isnan(), means, rows)))


@settings(deadline=None, max_examples=40)
@given(rows_of, st.integers(0, 10**6), st.sampled_from(["minmax", "standard"]))
def test_scaling_is_fitted_to_the_values_that_are_there(rows: Tensor, seed: int, scale: Scale) -> None:
    rows = with_gaps(rows, seed)
    layer = fitted(rows, scale)
    for index, column in enumerate(alone(rows)):
        single = fitted(column[:, None], scale)
        torch.testing.assert_close(layer.shift[index], single.shift[0])
        torch.testing.assert_close(layer.scale[index], single.scale[0])


def test_a_column_without_a_training_value_is_named() -> None:
    rows = torch.tensor([[1.0, torch.nan], [2.0, torch.nan]])
    with pytest.raises(BadData, match="column f1 has no value in the training part; remove it"):
        fitted(rows, "none")


def test_the_mean_of_large_values_is_no_infinity() -> None:
    layer = fitted(torch.full((4, 1), 3e38), "minmax")
    assert layer.fill.tolist() == pytest.approx([3e38])


NOTE = "missing values: "
MLP = ("--arch", "mlp", "--hidden", "8", "--epochs", "3")


def sheet(*, gaps: float = 0.1, samples: int = 42) -> list[list[object]]:
    """A sheet like the published one, of noise around a mean for each class."""
    generator = np.random.default_rng(0)
    rows: list[list[object]] = [["", "label", "LPQ\nfeatures", "", "PHOG features", ""]]
    for index in range(samples):
        label = index % 3 + 1
        cells = [float(value) for value in generator.normal(label, 0.5, 4)]
        missing = generator.random(4) < gaps
        rows.append(
            [
                f"Film{index % 10}_{index:04d}.mat",
                label,
                *("NaN" if gone else cell for cell, gone in zip(cells, missing, strict=True)),
            ]
        )
    return rows


def as_csv(rows: list[list[object]]) -> str:
    stream = io.StringIO()
    csv.writer(stream).writerows(rows)
    return stream.getvalue()


@pytest.fixture
def gappy(in_folder: Path) -> Path:
    path = in_folder / "sheet.xlsx"
    path.write_bytes(workbook(sheet()))
    return path


def test_the_spreadsheet_of_sfew_passes_every_command(emoprune: Runner, gappy: Path) -> None:
    trained = emoprune.done("train", gappy, "m.st", *MLP, "--group-by", "^[^_]+")
    assert trained.record["classes"] == ["angry", "disgust", "fear"]
    runs = [
        trained,
        emoprune.done("eval", "m.st", gappy),
        emoprune.done("angles", "m.st", "--data", gappy),
        emoprune.done("prune", "m.st", "--data", gappy, "--amount", "0.25", "-o", "small.st"),
        emoprune.done("export", "small.st", "small.onnx", "--data", gappy),
        emoprune.done("eval", "small.onnx", gappy),
    ]
    for run in runs:
        (note,) = [line for line in run.err.splitlines() if NOTE in line]
        assert "the mean of its column over the training part" in note
    both = [
        emoprune.done("eval", name, gappy, "--split", "all").record for name in ("small.st", "small.onnx")
    ]
    assert both[0]["confusion"] == both[1]["confusion"]
    assert both[0]["log_loss"] == pytest.approx(both[1]["log_loss"], abs=1e-6)


def test_films_of_sfew_stay_on_one_side(emoprune: Runner, gappy: Path) -> None:
    emoprune.done("train", gappy, "m.st", *MLP, "--group-by", "^[^_]+")
    catalog = read_table(gappy).catalog
    parts = partition(catalog, opened(Path("m.st"))[0].split)
    films = [{catalog.names[index].split("_")[0] for index in indices} for indices in parts.values()]
    assert not films[0] & films[1]


def test_sfew_as_csv_gives_the_same_network(emoprune: Runner, gappy: Path, in_folder: Path) -> None:
    (in_folder / "sheet.csv").write_text(as_csv(sheet()), newline="")
    for place, name in ((gappy, "a.st"), ("sheet.csv", "b.st")):
        emoprune.done("train", place, name, *MLP)
    ours, theirs = (opened(in_folder / name)[0] for name in ("a.st", "b.st"))
    assert ours.split.fingerprint == theirs.split.fingerprint
    assert all(torch.equal(ours.tensors[name], theirs.tensors[name]) for name in ours.tensors)


def test_what_fills_is_the_mean_of_the_training_part_alone(emoprune: Runner, gappy: Path) -> None:
    emoprune.done("train", gappy, "m.st", *MLP, "--scale", "none")
    checkpoint, _ = opened(Path("m.st"))
    table = read_table(gappy)
    rows = table.values.numpy()[list(partition(table.catalog, checkpoint.split)["train"])]
    expected = [row[~np.isnan(row)].astype(float).mean() for row in rows.T]
    np.testing.assert_allclose(checkpoint.tensors["scaling.fill"].numpy(), expected, rtol=1e-6)


def test_a_table_without_missing_values_gets_no_note(emoprune: Runner, in_folder: Path) -> None:
    (in_folder / "sheet.xlsx").write_bytes(workbook(sheet(gaps=0)))
    assert NOTE not in emoprune.done("train", "sheet.xlsx", "m.st", *MLP).err


def test_a_column_without_a_training_value_is_named_missing(emoprune: Runner, in_folder: Path) -> None:
    rows = [f"train/{index},{'ab'[index % 2]},{index},\n" for index in range(6)]
    rows += [f"test/{index},{'ab'[index % 2]},{index},1\n" for index in range(4)]
    (in_folder / "t.csv").write_text("name,label,x,y\n" + "".join(rows))
    says = ("t.csv: column y has no value in the training part; ",)
    emoprune.check_refused("train", "t.csv", "m.st", *MLP, says=says)


@pytest.mark.parametrize("name", ["lpq.xlsx", "lpq.csv"])
def test_a_wrong_spreadsheet_is_refused(emoprune: Runner, in_folder: Path, name: str) -> None:
    rows = sheet()
    rows[5][1] = 9
    text = as_csv(rows).encode()
    (in_folder / name).write_bytes(workbook(rows) if name.endswith(".xlsx") else text)
    emoprune.check_refused("train", name, "m.st", *MLP, says=(f"{name}: line ", "label is '9'"))


def older(data: bytes) -> bytes:
    """A checkpoint as the version before missing values wrote it."""
    tensors = safetensors.torch.load(data)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    card: dict[str, Any] = json.loads(header["__metadata__"]["emoprune"])
    del tensors["net.scaling.fill"], card["preprocess"]["fills"]
    return safetensors.torch.save(tensors, {"emoprune": json.dumps(card)})


def test_a_checkpoint_of_an_older_version_computes_the_same(
    emoprune: Runner, table: Path, table_model: Path, in_folder: Path
) -> None:
    (in_folder / "old.st").write_bytes(older(table_model.read_bytes()))
    emoprune.done("prune", "old.st", "--amount", "0.25", "--max-error", "1", "-o", "small.st")
    emoprune.done("export", "small.st", "small.onnx", "--data", table)
    widths = ("--hidden", "12", "--hidden", "8")
    adopt = ("--arch", "mlp", *widths, "--epochs", "0", "--weights", "old.st")
    emoprune.done("train", table, "again.st", *adopt)
    scores = [emoprune.done("eval", name, table).record for name in ("old.st", table_model)]
    for key in ("confusion", "log_loss", "parameters", "macs"):
        assert scores[0][key] == scores[1][key]


def test_what_an_older_checkpoint_cannot_fill_is_refused(
    emoprune: Runner, table: Path, table_model: Path, in_folder: Path
) -> None:
    (in_folder / "old.st").write_bytes(older(table_model.read_bytes()))
    emoprune.done("export", "old.st", "old.onnx", "--data", table)
    head, first, *rest = table.read_text().splitlines()
    (in_folder / "gap.csv").write_text("\n".join([head, first.rpartition(",")[0] + ",", *rest]))
    for name in ("old.st", "old.onnx"):
        says = ("gap.csv: missing values: 1", "older version", "train it again")
        emoprune.check_refused("eval", name, "gap.csv", "--split", "all", says=says)
    assert emoprune.done("eval", table_model, "gap.csv", "--split", "all").record["n"] == 60
