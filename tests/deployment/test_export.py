"""emoprune export: one ONNX file that computes what the checkpoint computes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from emoprune.data.datasets import open_data
from emoprune.deployment.export import export
from emoprune.networks import checkpoint
from tests.support.command_line import SMALL, Runner, opened, tree


def session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])


def test_export_only_checks_without_a_path(
    model: Path, onnx_model: Path, faces: Path, in_folder: Path
) -> None:
    summary = export(checkpoint.read(str(model)), None, data=open_data(faces))
    assert (summary.output, summary.real_samples) == (None, 60)
    assert (summary.bytes, summary.input_bytes) == (onnx_model.stat().st_size, model.stat().st_size)
    assert not list(in_folder.iterdir())


@pytest.mark.parametrize("count", [1, 3, 17])
def test_any_batch_gives_the_logits_of_the_checkpoint(model: Path, onnx_model: Path, count: int) -> None:
    _, net = opened(Path(model))
    batch = torch.randn(count, 1, 24, 24, generator=torch.Generator().manual_seed(count))
    (logits,) = session(onnx_model).run(["logits"], {"images": batch.numpy()})
    with torch.inference_mode():
        expected = net(batch).numpy()
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4)


def test_export_summarizes_what_it_checked(emoprune: Runner, model: Path, in_folder: Path) -> None:
    result = emoprune.done("export", model, "m.onnx")
    record = result.record
    assert record["schema"] == "emoprune.export/1"
    assert record["bytes"] == (in_folder / "m.onnx").stat().st_size
    assert 0 <= record["difference_random"] <= record["tolerance"] == 1e-4
    assert 0 <= record["difference_real"] <= 1e-4
    assert record["real_samples"] == 60, "every face, since there are fewer than 64"
    assert result.err == ""
    assert set(tree(in_folder)) == {"m.onnx"}


def test_the_file_says_where_it_comes_from_but_not_from_which_machine(onnx_model: Path) -> None:
    loaded = onnx.load(onnx_model)
    card = json.loads({entry.key: entry.value for entry in loaded.metadata_props}["emoprune"])
    assert card["classes"] == ["angry", "happy", "surprise"]
    assert card["preprocess"]["size"] == [24, 24]
    assert b"site-packages" not in onnx_model.read_bytes()
    assert str(Path(__file__).parents[2]).encode() not in onnx_model.read_bytes()


def test_the_same_command_writes_the_same_bytes(emoprune: Runner, model: Path, onnx_model: Path) -> None:
    assert emoprune.done("export", model, "-").raw == onnx_model.read_bytes()


def test_a_pruned_network_of_a_table_is_exported(
    emoprune: Runner, table_model: Path, table: Path, in_folder: Path
) -> None:
    emoprune.done("prune", table_model, "--angle", "60", "-o", "small.st")
    emoprune.done("export", "small.st", "small.onnx")
    assert session(in_folder / "small.onnx").get_inputs()[0].name == "features"
    one, other = (emoprune.done("eval", name, table).record for name in ("small.st", "small.onnx"))
    assert one["confusion"] == other["confusion"]
    assert one["parameters"] == other["parameters"]


def test_export_checks_on_random_batches_where_the_training_data_is_gone(
    emoprune: Runner, faces_here: Callable[..., Path], small: Path, in_folder: Path
) -> None:
    faces_here("faces", {"happy": 4, "sad": 4})
    emoprune.done("train", "faces", "m.st", *SMALL, "--split", "50/50")
    (in_folder / "faces").rename(in_folder / "elsewhere")
    result = emoprune.done("export", "m.st", "m.onnx")
    assert (result.record["difference_real"], result.record["real_samples"]) == (None, 0)
    assert result.err.startswith("note: ")
    assert "--data" in result.err
    given = emoprune.done("export", "m.st", "n.onnx", "--data", small)
    assert given.record["real_samples"] == 30
    assert given.err == ""


def replaced_by_text(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("text")


CHANGES: dict[str, Callable[[Path], object]] = {
    "emptied": lambda folder: shutil.rmtree(folder / "happy"),
    "a file now": replaced_by_text,
    "a broken picture": lambda folder: next((folder / "sad").iterdir()).write_bytes(b"no picture"),
    "a class more": lambda folder: shutil.copytree(folder / "sad", folder / "zany"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_where_the_training_data_was_something_else_now_is_no_fault(
    emoprune: Runner, faces_here: Callable[..., Path], change: str
) -> None:
    folder = faces_here("faces", {"happy": 4, "sad": 4})
    emoprune.done("train", "faces", "m.st", *SMALL, "--split", "50/50")
    CHANGES[change](folder)
    result = emoprune.done("export", "m.st", "m.onnx")
    assert (result.record["difference_real"], result.record["real_samples"]) == (None, 0)
    assert result.err.startswith("note: checked on random batches only: faces")
    assert result.err.count("\n") == 1


def test_a_checkpoint_from_stdin_is_exported(emoprune: Runner, model: Path, onnx_model: Path) -> None:
    emoprune.done("export", "-", "m.onnx", stdin=model.read_bytes())
    assert Path("m.onnx").read_bytes() == onnx_model.read_bytes()


def test_what_differs_too_much_is_not_written(
    emoprune: Runner, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emoprune.io.onnx_files.largest_difference", lambda *_: 0.25)
    emoprune.check_refused("export", model, "m.onnx", says=("m.onnx: ", "0.25", "0.0001", "--tolerance"))


def test_a_nan_never_passes(emoprune: Runner, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(_: object, batch: torch.Tensor) -> torch.Tensor:
        return torch.full((len(batch), 3), torch.nan)

    monkeypatch.setattr("emoprune.io.onnx_files.Engine.logits", nothing)
    emoprune.check_refused("export", model, "m.onnx", "--tolerance", "1e6", says=("m.onnx: ",))


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (["m.onnx", "--tolerance", "-1"], 2, ("--tolerance",)),
        (["nowhere/m.onnx"], 1, ("mkdir -p nowhere",)),
        (["there.onnx"], 1, ("there.onnx: exists", "--force")),
        (["m.onnx", "--data", "nowhere"], 1, ("nowhere: no such",)),
    ],
)
def test_what_cannot_be_done_is_refused(
    emoprune: Runner, model: Path, in_folder: Path, argv: list[str], code: int, says: tuple[str, ...]
) -> None:
    (in_folder / "there.onnx").write_text("mine")
    emoprune.check_refused("export", model, *argv, code=code, says=says)


def test_samples_that_do_not_fit_are_refused(emoprune: Runner, model: Path, table: Path) -> None:
    emoprune.check_refused("export", model, "m.onnx", "--data", table, says=(f"{table}: ", "photos"))


def test_an_existing_file_is_replaced_with_force(
    emoprune: Runner, model: Path, onnx_model: Path, in_folder: Path
) -> None:
    (in_folder / "m.onnx").write_text("mine")
    emoprune.done("export", model, "m.onnx", "--force")
    assert (in_folder / "m.onnx").read_bytes() == onnx_model.read_bytes()


def test_a_name_that_eval_would_not_know_is_refused(emoprune: Runner, model: Path) -> None:
    emoprune.check_refused("export", model, "m.st", code=2, says=("m.st", ".onnx"))
