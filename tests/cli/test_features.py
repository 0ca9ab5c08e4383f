"""emoprune features: pixels and deep features as tables, and a whole pipeline on one."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from torchvision import models

from tests.support.command_line import Runner, tree

DEEP = ("--kind", "deep", "--arch", "squeezenet1_1", "--size", "64")


def read_csv(text: str) -> tuple[list[str], list[list[str]]]:
    header, *lines = list(csv.reader(io.StringIO(text)))
    return header, lines


def test_pixels_are_the_resized_gray_picture_in_0_to_1(
    emoprune: Runner, small: Path, in_folder: Path
) -> None:
    emoprune.done("features", small, "pixels.csv", "--size", "5x7", "--gray")
    header, lines = read_csv((in_folder / "pixels.csv").read_text())
    assert header == ["name", "label", *(f"pixels_{index}" for index in range(1, 36))]
    assert len(lines) == 30
    name, label, *cells = lines[12]
    assert name.split("/")[0] == label
    with Image.open(small / name) as photo:
        expected = np.asarray(photo.convert("RGB").convert("L").resize((7, 5), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(np.array(cells, float), expected.ravel() / 255, rtol=0, atol=1e-6)


def test_color_pixels_come_plane_by_plane(emoprune: Runner, small: Path) -> None:
    summary = emoprune.done("features", small, "pixels.st", "--size", "4").record
    assert (summary["samples"], summary["features"]) == (30, 3 * 4 * 4)
    assert summary["classes"] == ["angry", "happy", "surprise"]


def test_csv_and_safetensors_hold_the_same_numbers(emoprune: Runner, small: Path, in_folder: Path) -> None:
    for name in ("table.csv", "table.st"):
        emoprune.done("features", small, name, "--size", "6", "--gray")
    header, lines = read_csv((in_folder / "table.csv").read_text())
    data = (in_folder / "table.st").read_bytes()
    values = safetensors.torch.load(data)["features"]
    assert torch.equal(torch.tensor([[float(cell) for cell in line[2:]] for line in lines]), values)
    metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    card = json.loads(metadata["emoprune"])
    assert card["names"] == [line[0] for line in lines]
    assert card["labels"] == [line[1] for line in lines]
    assert card["columns"] == header[2:]


def test_a_dash_is_csv_on_stdout_and_nothing_else(emoprune: Runner, small: Path) -> None:
    header, lines = read_csv(emoprune.done("features", small, "-", "--size", "4", "--gray").out)
    assert (len(header), len(lines)) == (18, 30)


def test_the_same_command_writes_the_same_bytes(emoprune: Runner, small: Path, in_folder: Path) -> None:
    for name in ("a.st", "b.st"):
        emoprune.done("features", small, name, *DEEP, "--weights", "none")
    assert (in_folder / "a.st").read_bytes() == (in_folder / "b.st").read_bytes()


def test_deep_features_are_what_the_output_layer_reads(
    emoprune: Runner, small: Path, in_folder: Path
) -> None:
    torch.manual_seed(3)
    net = models.squeezenet1_1(weights=None).eval()
    torch.save(net.state_dict(), in_folder / "weights.pth")
    emoprune.done(
        *("features", small, "deep.csv", *DEEP, "--weights", "weights.pth"),
        *("--mean", "0.4,0.5,0.6", "--std", "0.2"),
    )
    header, lines = read_csv((in_folder / "deep.csv").read_text())
    assert header[2:] == [f"deep_{index}" for index in range(1, 513)]
    with Image.open(small / lines[0][0]) as photo:
        pixels = np.asarray(photo.convert("RGB").resize((64, 64), Image.Resampling.BILINEAR))
    planes = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None] / 255
    batch = (planes - torch.tensor([0.4, 0.5, 0.6])[:, None, None]) / 0.2
    with torch.inference_mode():
        expected = net.features(batch).mean((2, 3))[0]
    torch.testing.assert_close(
        torch.tensor([float(cell) for cell in lines[0][2:]]), expected, rtol=1e-4, atol=1e-5
    )


def test_a_table_carries_the_whole_pipeline(emoprune: Runner, faces: Path, in_folder: Path) -> None:
    emoprune.done("features", faces, "deep.st", *DEEP, "--weights", "none")
    emoprune.done(
        *("train", "deep.st", "m.st", "--arch", "mlp", "--hidden", "16", "--epochs", "20", "--lr", "0.01")
    )
    angles = emoprune.done("angles", "m.st").record
    pruned = emoprune.done("prune", "m.st", "--angle", "40").record
    assert (angles["units"], pruned["units"]["before"]) == (16, 16)
    assert pruned["units"]["after"] < 16
    emoprune.done("export", "m.distinct.st", "m.onnx")
    scores = [emoprune.done("eval", name, "deep.st").record for name in ("m.distinct.st", "m.onnx")]
    assert scores[0]["n"] == 12
    for key in ("accuracy", "confusion", "units", "parameters", "macs"):
        assert scores[0][key] == scores[1][key]


def test_a_table_can_be_piped_into_train(emoprune: Runner, small: Path) -> None:
    table = emoprune.done("features", small, "-", "--size", "6", "--gray").raw
    summary = emoprune.done("train", "-", "m.st", "--arch", "mlp", "--epochs", "2", stdin=table).record
    assert (summary["input"], summary["parts"]) == ("-", {"train": 24, "test": 6})


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (["faces", "table.txt"], 2, ("table.txt", ".csv")),
        (["faces", "table"], 2, ("table", ".st")),
        (["faces", "t.st", "--kind", "lpg"], 2, ("--kind", "lpg", "lpq")),
        (["faces", "t.st", "--kind", "lpq,hog"], 2, ("'hog'", "phog")),
        (["faces", "t.st", "--kind", "lpq,"], 2, ("''", "pixels")),
        (["faces", "t.st", "--kind", "lpq,phog,lpq"], 2, ("lpq is there twice",)),
        (["faces", "t.st", "--kind", "lpq", "--arch", "resnet18"], 2, ("--arch", "--kind deep")),
        (["faces", "t.st", "--kind", "lpq", "--pca", "24"], 2, ("faces: --pca 24", "24 training samples")),
        (["faces", "t.st", "--kind", "deep", "--arch", "conv1"], 2, ("conv1",)),
        (["faces", "t.st", "--kind", "deep", "--arch", "resnet19"], 2, ("resnet19", "resnet18")),
        (["faces", "t.st", "--size", "big"], 2, ("--size big",)),
        (["faces", "t.st", "--kind", "deep", "--weights", "none", "--std", "0"], 2, ("--std 0",)),
        (["faces", "t.st", *DEEP, "--weights", "none", "--mean", "1,2"], 2, ("--mean", "2 numbers")),
        (["faces", "t.st", *DEEP, "--weights", "no.pth"], 1, ("no.pth: no such file",)),
        (["faces", "t.st", *DEEP[:-1], "8", "--weights", "none"], 2, ("8x8", "squeezenet1_1")),
        (["nowhere", "t.st"], 1, ("nowhere", "no such folder")),
        (["a.csv", "t.st"], 1, ("a.csv",)),
        (["faces", "nowhere/t.st"], 1, ("nowhere", "mkdir")),
    ],
)
def test_what_cannot_be_done_is_refused(
    emoprune: Runner, small: Path, in_folder: Path, argv: list[str], code: int, says: tuple[str, ...]
) -> None:
    (in_folder / "faces").symlink_to(small)
    (in_folder / "a.csv").write_text("name,label,x\n")
    emoprune.check_refused("features", *argv, code=code, says=says)


def test_features_that_overflow_are_not_taken_for_missing_values(
    emoprune: Runner, small: Path, in_folder: Path
) -> None:
    net = models.squeezenet1_1(weights=None)
    with torch.no_grad():
        net.features[0].bias.fill_(3e38)
    torch.save(net.state_dict(), in_folder / "w.pth")
    says = ("w.pth: gives features that are not finite",)
    emoprune.check_refused("features", small, "t.csv", *DEEP, "--weights", "w.pth", says=says)


def test_an_existing_table_is_replaced_with_force_alone(
    emoprune: Runner, small: Path, in_folder: Path
) -> None:
    (in_folder / "t.csv").write_text("mine")
    emoprune.check_refused("features", small, "t.csv", "--size", "4", says=("t.csv", "--force"))
    emoprune.done("features", small, "t.csv", "--size", "4", "--force")
    assert (in_folder / "t.csv").read_text().startswith("name,label,")
    assert set(tree(in_folder)) == {"t.csv"}
