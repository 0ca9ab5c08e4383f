"""emoprune export: streams, options and refusals of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command_line import Runner, tree
from tests.support.terminal import bytes_on_terminal, lines_of


def test_export_summarizes_what_it_checked(emoprune: Runner, model: Path, in_folder: Path) -> None:
    result = emoprune.done("export", model, "m.onnx")
    record = result.record
    assert list(record)[:5] == ["schema", "input", "output", "input_type", "bytes"]
    assert (record["schema"], record["input"], record["output"]) == (
        *("emoprune.export/3", str(model)),
        "m.onnx",
    )
    assert record["bytes"] == (in_folder / "m.onnx").stat().st_size
    assert 0 <= record["difference_random"] <= record["tolerance"] == 1e-4
    assert 0 <= record["difference_real"] <= 1e-4
    assert record["real_samples"] == 60, "every face, since there are fewer than 64"
    assert result.err == ""
    assert set(tree(in_folder)) == {"m.onnx"}


def test_export_shows_the_bytes_of_both_files(
    monkeypatch: pytest.MonkeyPatch, model: Path, in_folder: Path
) -> None:
    lines = lines_of(bytes_on_terminal(monkeypatch, "export", model, "m.onnx", columns=120))
    shown = {" ".join(line.split()) for line in lines}
    assert f"file (bytes) {(in_folder / 'm.onnx').stat().st_size:,}" in shown
    assert f"input file (bytes) {model.stat().st_size:,}" in shown


def test_export_reads_and_writes_standard_streams(emoprune: Runner, model: Path, onnx_model: Path) -> None:
    assert emoprune.done("export", "-", "-", stdin=model.read_bytes()).raw == onnx_model.read_bytes()


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (["m.onnx", "--tolerance", "-1"], 2, ("--tolerance",)),
        (["m.onnx", "--opset", "10"], 2, ("--opset", "greater than or equal to 11")),
        (["m.onnx", "--tolerance", "0"], 1, ("m.onnx: its logits differ", "give a larger --tolerance")),
        (["nowhere/m.onnx"], 1, ("mkdir -p nowhere",)),
        (["there.onnx"], 1, ("there.onnx: exists", "--force")),
        (["m.onnx", "--data", "nowhere"], 1, ("nowhere: no such",)),
        (["m.st"], 2, ("m.st: does not end in .onnx",)),
    ],
)
def test_export_refuses_what_cannot_be_done(
    emoprune: Runner, model: Path, in_folder: Path, argv: list[str], code: int, says: tuple[str, ...]
) -> None:
    (in_folder / "there.onnx").write_text("mine")
    emoprune.check_refused("export", model, *argv, code=code, says=says)
