"""emoprune inspect: streams, tables and refusals of the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import safetensors.numpy

from emoprune.networks import checkpoint as checkpoints
from tests.support.command_line import Runner, tree
from tests.support.records import checkpoint
from tests.support.terminal import bytes_on_terminal, lines_of

QUICK = "--no-macs"


def test_in_a_pipe_it_prints_one_record(emoprune: Runner, model: Path) -> None:
    record = emoprune.done("inspect", model).record
    assert record["schema"] == "emoprune.inspection/1"
    assert (record["model"], record["kind"], record["ours"]) == (str(model), "checkpoint", True)
    assert (record["arch"], record["task"], record["input"]) == ("conv1", "classify", [1, 24, 24])
    assert (
        record["macs"]
        == emoprune.done("prune", model, "--amount", "0.2", "--dry-run").record["macs"]["before"]
    )
    assert [entry["command"] for entry in record["lineage"]] == ["train"]
    assert record["split"]["counts"] == {"train": 48, "test": 12}
    assert record["epochs"] == 8
    assert tree(emoprune.folder) == {}


def test_standard_input_is_a_file_of_either_kind(emoprune: Runner, model: Path, onnx_model: Path) -> None:
    for path in (model, onnx_model):
        piped = emoprune.done("inspect", "-", QUICK, stdin=path.read_bytes()).record
        assert {**piped, "model": str(path)} == emoprune.done("inspect", path, QUICK).record


def test_formats_are_chosen(emoprune: Runner, model: Path) -> None:
    assert "Size by layer" in emoprune.done("inspect", model, QUICK, "--format", "table").out
    shown = emoprune.done("inspect", model, QUICK, "--format", "json")
    assert shown.lines == emoprune.done("inspect", model, QUICK, "--json").lines
    emoprune.check_refused("inspect", model, "--format", "table", "--json", code=2, says=("--json", "table"))


@pytest.mark.parametrize("kind", ["checkpoint", "onnx", "foreign"])
def test_on_a_terminal_no_line_is_wider_than_it(
    model: Path, onnx_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    path = model if kind == "checkpoint" else onnx_model
    if kind == "foreign":
        made = onnx.load(onnx_model)
        del made.metadata_props[:]
        path = tmp_path / "other.onnx"
        onnx.save(made, path)
    lines = lines_of(bytes_on_terminal(monkeypatch, "inspect", path, QUICK, columns=80))
    text = "\n".join(lines)
    # but for the name of the file
    assert max(map(len, lines)) <= 80
    assert "Size by layer" in text
    said = {
        "checkpoint": (
            "Lineage",
            "Layers that can be pruned",
            "epochs 8",
            "test 12",
            "angry, happy, surprise",
        ),
        "onnx": ("Lineage", "Inputs and outputs", "logits", "ONNX 18"),
        "foreign": ("not of emoprune", "Operators", "Gemm"),
    }[kind]
    for words in said:
        assert words in text
    assert ("Operators" in text) == (kind == "foreign")


def test_pruning_and_licenses_are_told(emoprune: Runner, small: Path) -> None:
    quick = ("--arch", "conv1", "--size", "16", "--gray", "--hidden", "6", "--epochs", "1")
    emoprune.done("train", small, "m.st", *quick, "--data-license", "CC BY 4.0", "--seed", "3")
    emoprune.done(
        "prune", "m.st", "-o", "p.st", "--method", "reconstruct", "--amount", "0.4", "--max-error", "9"
    )
    text = emoprune.done("inspect", "p.st", QUICK, "--format", "table").out
    for words in ("before pruning", "1 train", "seed 3", "2 prune", "amount 0.4", "CC BY 4.0"):
        assert words in text
    # what is a default is not said
    assert "label smoothing" not in text


def test_names_cannot_steer_the_terminal(emoprune: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    made = checkpoint(classes=("angry", "happy\x1b[2J\nkind  fake"))
    (emoprune.folder / "m.st").write_bytes(checkpoints.to_bytes(made))
    shown = lines_of(bytes_on_terminal(monkeypatch, "inspect", "m.st", QUICK, columns=80))
    assert any(r"happy\x1b[2J\nkind  fake" in line for line in shown)
    record = emoprune.done("inspect", "m.st", QUICK).record
    assert record["classes"][1] == "happy\x1b[2J\nkind  fake"


def test_what_is_not_a_network_is_refused_in_one_line(emoprune: Runner, table: Path, small: Path) -> None:
    weights = {"w": np.zeros(3, np.float32)}
    (emoprune.folder / "weights.st").write_bytes(safetensors.numpy.save(weights))
    (emoprune.folder / "pointer.onnx").write_bytes(
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"
    )
    emoprune.check_refused("inspect", "missing.st", says=("missing.st", "no such file"))
    emoprune.check_refused("inspect", small, says=("is a folder",))
    emoprune.check_refused("inspect", table, says=("not a safetensors file",))
    emoprune.check_refused("inspect", "weights.st", says=("not of emoprune",))
    emoprune.check_refused("inspect", "pointer.onnx", says=("Git LFS pointer", "git lfs pull"))
    emoprune.check_refused("inspect", "-", says=("standard input", "empty"))
    emoprune.check_refused("inspect", "", code=2)
