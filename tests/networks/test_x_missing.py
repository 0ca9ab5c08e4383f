"""Tables with missing values, through every command that takes one."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from emoprune.data import feature_tables
from emoprune.data.splits import partition
from tests.support.command_line import Runner, opened
from tests.support.records import workbook

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


def test_the_sheet_goes_through_every_command(emoprune: Runner, gappy: Path) -> None:
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


def test_films_of_the_sheet_stay_on_one_side(emoprune: Runner, gappy: Path) -> None:
    emoprune.done("train", gappy, "m.st", *MLP, "--group-by", "^[^_]+")
    catalogue = feature_tables.read(str(gappy)).catalogue
    parts = partition(catalogue, opened(Path("m.st"))[0].split)
    films = [{catalogue.names[index].split("_")[0] for index in indices} for indices in parts.values()]
    assert not films[0] & films[1]


def test_the_same_sheet_as_csv_gives_the_same_network(emoprune: Runner, gappy: Path, in_folder: Path) -> None:
    (in_folder / "sheet.csv").write_text(as_csv(sheet()), newline="")
    for place, name in ((gappy, "a.st"), ("sheet.csv", "b.st")):
        emoprune.done("train", place, name, *MLP)
    ours, theirs = (opened(in_folder / name)[0] for name in ("a.st", "b.st"))
    assert ours.split.fingerprint == theirs.split.fingerprint
    assert all(torch.equal(ours.tensors[name], theirs.tensors[name]) for name in ours.tensors)


def test_what_fills_is_the_mean_of_the_training_part_alone(emoprune: Runner, gappy: Path) -> None:
    emoprune.done("train", gappy, "m.st", *MLP, "--scale", "none")
    checkpoint, _ = opened(Path("m.st"))
    table = feature_tables.read(str(gappy))
    rows = table.values.numpy()[list(partition(table.catalogue, checkpoint.split)["train"])]
    expected = [row[~np.isnan(row)].astype(float).mean() for row in rows.T]
    np.testing.assert_allclose(checkpoint.tensors["scaling.fill"].numpy(), expected, rtol=1e-6)


def test_a_table_without_gaps_is_told_nothing(emoprune: Runner, in_folder: Path) -> None:
    (in_folder / "sheet.xlsx").write_bytes(workbook(sheet(gaps=0)))
    assert NOTE not in emoprune.done("train", "sheet.xlsx", "m.st", *MLP).err


def test_a_column_without_a_training_value_is_named(emoprune: Runner, in_folder: Path) -> None:
    rows = [f"train/{index},{'ab'[index % 2]},{index},\n" for index in range(6)]
    rows += [f"test/{index},{'ab'[index % 2]},{index},1\n" for index in range(4)]
    (in_folder / "t.csv").write_text("name,label,x,y\n" + "".join(rows))
    says = ("t.csv: column y has no value in the training part; ",)
    emoprune.check_refused("train", "t.csv", "m.st", *MLP, says=says)


@pytest.mark.parametrize("name", ["lpq.xlsx", "lpq.csv"])
def test_a_sheet_with_a_fault_is_refused(emoprune: Runner, in_folder: Path, name: str) -> None:
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


def test_a_checkpoint_of_an_older_version_does_what_it_did(
    emoprune: Runner, table: Path, table_model: Path, in_folder: Path
) -> None:
    (in_folder / "old.st").write_bytes(older(table_model.read_bytes()))
    emoprune.done("prune", "old.st", "--amount", "0.25", "-o", "small.st")
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
        says = ("gap.csv: missing values: 1", "older version", "train it anew")
        emoprune.check_refused("eval", name, "gap.csv", "--split", "all", says=says)
    assert emoprune.done("eval", table_model, "gap.csv", "--split", "all").record["n"] == 60
