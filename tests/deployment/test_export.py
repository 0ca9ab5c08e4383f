"""ONNX files that compute what their checkpoints compute."""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from torch import Tensor

from emoprune.data.datasets import open_data
from emoprune.data.types import SplitRule
from emoprune.deployment.config import ExportConfig
from emoprune.deployment.export import export
from emoprune.errors import BadData, OutputFault, ToleranceExceeded, UsageFault
from emoprune.evaluation.evaluate import evaluate
from emoprune.evaluation.model import load
from emoprune.evaluation.types import Metrics
from emoprune.io.onnx_engine import Engine
from emoprune.networks import build
from emoprune.networks import checkpoint as checkpoints
from emoprune.networks.graph import channel_graph
from emoprune.networks.sources.user_networks import trusting
from emoprune.networks.types import Checkpoint, Spec
from emoprune.pruning import surgery
from emoprune.pruning.prune import plan, prune
from emoprune.pruning.types import PruneConfig
from emoprune.training.config import TrainConfig, train_config
from emoprune.training.train import train
from tests.conftest import draw_faces
from tests.support.checkpoints import read
from tests.support.command_line import opened
from tests.support.layers import picture


def session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])


def test_export_only_checks_without_a_path(
    model: Path, onnx_model: Path, faces: Path, in_folder: Path
) -> None:
    summary = export(checkpoints.read(str(model)), None, data=open_data(faces))
    assert (summary.output, summary.real_samples) == (None, 60)
    assert (summary.bytes, summary.input_bytes) == (onnx_model.stat().st_size, model.stat().st_size)
    assert not list(in_folder.iterdir())


@pytest.mark.parametrize("count", [1, 3, 17])
def test_export_keeps_the_logits_of_any_batch(model: Path, onnx_model: Path, count: int) -> None:
    _, net = opened(Path(model))
    batch = torch.randn(count, 1, 24, 24, generator=torch.Generator().manual_seed(count))
    (logits,) = session(onnx_model).run(["logits"], {"images": batch.numpy()})
    with torch.inference_mode():
        expected = net(batch).numpy()
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4)


def test_export_writes_what_the_file_is_and_nothing_of_the_machine(
    model: Path, onnx_model: Path, faces: Path, tmp_path: Path
) -> None:
    loaded = onnx.load(onnx_model)
    card = json.loads({entry.key: entry.value for entry in loaded.metadata_props}["emoprune"])
    assert card["classes"] == ["angry", "happy", "surprise"]
    assert card["preprocess"]["size"] == [24, 24]
    assert card["checkpoint"] == hashlib.sha256(model.read_bytes()).hexdigest()
    assert loaded.doc_string == "conv1. Classifies pictures of faces. Outputs: angry, happy, surprise."
    # fixtures give absolute paths to every command
    pruned = prune(read(model), plan(read(model), PruneConfig(angle=30, data=str(faces)))).checkpoint
    pruned.save(tmp_path / "pruned.st")
    export(pruned, tmp_path / "pruned.onnx")
    here = (Path.home(), Path.cwd(), tmp_path, faces.parent, Path(torch.__file__).parents[1])
    for path in (model, onnx_model, tmp_path / "pruned.st", tmp_path / "pruned.onnx"):
        data = path.read_bytes()
        assert not any(bytes(part) in data for part in here)
        assert not re.search(rb"/home|/tmp|/Users|site-packages", data)
    size = sum(len(entry.value) for entry in onnx.load(tmp_path / "pruned.onnx").metadata_props)
    assert size < 2000


def test_export_takes_networks_of_tables(table_model: Path, table: Path, tmp_path: Path) -> None:
    checkpoint = checkpoints.read(str(table_model))
    summary = export(checkpoint, tmp_path / "m.onnx", data=str(table))
    assert (summary.output, summary.real_samples) == (str(tmp_path / "m.onnx"), 60)
    assert session(tmp_path / "m.onnx").get_inputs()[0].name == "features"
    one = evaluate(checkpoint, open_data(table))
    other = evaluate(load(str(tmp_path / "m.onnx"), torch.device("cpu")), open_data(table))
    assert isinstance(one, Metrics)
    assert isinstance(other, Metrics)
    assert (one.confusion, one.parameters) == (other.confusion, other.parameters)


# the exporter takes its time for hundreds of layers, and there is no smaller one of this kind
@pytest.mark.parametrize(
    ("arch", "side"),
    [("inception_resnet_v1", 75), ("timm/resnet10t", 32), ("tests.support.own_networks:small", 12)],
)
def test_export_takes_what_is_left_of_networks_of_others(arch: str, side: int, tmp_path: Path) -> None:
    if arch.startswith("timm/"):
        pytest.importorskip("timm")
    spec = trusting(Spec(arch, 3, (3, side, side)), arch)
    net = build.build(spec)
    graph = channel_graph(build.blueprint(spec), spec.input)
    alive = torch.arange(graph.units) % 3 > 0
    tensors = surgery.cut(net.state_dict(), graph, alive)
    small = replace(spec, widths=surgery.widths(graph, tensors, alive))
    split, kept = SplitRule("80/20", 0, None, "0" * 64), ("a", "b", "c")
    Checkpoint(small, kept, picture(spec), split, tensors=tensors).save(tmp_path / "m.st")
    again = checkpoints.read(str(tmp_path / "m.st"), arch)
    assert again.spec.widths == small.widths
    x = torch.randn(2, *spec.input)
    with torch.inference_mode():
        assert torch.equal(again.module()(x), build.restore(small, tensors)(x))
    assert export(again, tmp_path / "m.onnx").difference_random <= 1e-5


def test_export_replaces_a_file_only_with_force(model: Path, onnx_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_text("mine")
    with pytest.raises(OutputFault, match="exists"):
        export(checkpoints.read(str(model)), path)
    export(checkpoints.read(str(model)), path, force=True)
    assert path.read_bytes() == onnx_model.read_bytes()


def test_export_makes_a_file_that_takes_pictures_as_they_are(
    model: Path, faces: Path, tmp_path: Path
) -> None:
    summary = export(checkpoints.read(str(model)), tmp_path / "m.onnx", ExportConfig(input="uint8"))
    # the val part, or where there is none the training part
    assert (summary.pictures, summary.changed_pictures) == (48, 0)
    assert summary.difference_pictures is not None
    assert summary.difference_pictures < 0.001
    ran = session(tmp_path / "m.onnx")
    assert json.loads(ran.get_modelmeta().custom_metadata_map["classes"]) == ["angry", "happy", "surprise"]
    path = next((faces / "happy").iterdir())
    picture = np.asarray(Image.open(path).convert("RGB"))
    (probabilities,) = ran.run(["probabilities"], {"images": picture[None]})
    assert np.allclose(probabilities.sum(), 1)
    data = open_data(faces)
    found = evaluate(load(str(tmp_path / "m.onnx"), torch.device("cpu")), data)
    wanted = evaluate(checkpoints.read(str(model)), data)
    assert isinstance(found, Metrics)
    assert isinstance(wanted, Metrics)
    assert found.confusion == wanted.confusion
    assert found.log_loss == pytest.approx(wanted.log_loss, abs=1e-5)


def test_export_writes_no_file_that_sees_other_pictures(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probabilities = Engine.probabilities

    def of_mirrored(engine: Engine, batch: Tensor, outputs: int) -> Tensor:
        return probabilities(engine, 255 - batch, outputs)

    monkeypatch.setattr(Engine, "probabilities", of_mirrored)
    with pytest.raises(ToleranceExceeded, match=r"probabilities differ by .*picture \d+ of 48.*nothing"):
        export(checkpoints.read(str(model)), tmp_path / "m.onnx", ExportConfig(input="uint8"))
    assert not list(tmp_path.iterdir())


def test_export_of_pictures_refuses_a_network_of_tables(table_model: Path) -> None:
    with pytest.raises(UsageFault, match="the network takes tables"):
        export(checkpoints.read(str(table_model)), None, ExportConfig(input="uint8"))


def test_export_refuses_a_name_without_its_suffix(model: Path) -> None:
    with pytest.raises(UsageFault, match=r"m\.st: does not end in \.onnx"):
        export(checkpoints.read(str(model)), "m.st")


def test_export_refuses_data_of_another_kind(model: Path, table: Path) -> None:
    with pytest.raises(BadData, match="photos"):
        export(checkpoints.read(str(model)), None, data=str(table))


@pytest.mark.parametrize("difference", [0.25, math.nan])
def test_export_writes_nothing_that_differs(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, difference: float
) -> None:
    logits = Engine.logits
    monkeypatch.setattr(Engine, "logits", lambda *given: logits(*given) + difference)
    with pytest.raises(ToleranceExceeded, match=r"more than 0.002 \(random sample \d of 8: by "):
        export(checkpoints.read(str(model)), tmp_path / "m.onnx", ExportConfig(tolerance=0.002))
    assert not list(tmp_path.iterdir())


def test_export_names_the_real_sample_that_differs(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logits = Engine.logits

    def of_real_ones(engine: Engine, batch: Tensor, outputs: int) -> Tensor:
        # random batches have at most 5
        found = logits(engine, batch, outputs)
        found[7:8] += 0.25
        return found

    monkeypatch.setattr(Engine, "logits", of_real_ones)
    with pytest.raises(ToleranceExceeded, match=r"real sample 8 of 60: by 0\.25"):
        export(checkpoints.read(str(model)), None)


def grown(checkpoint: Checkpoint, factor: float) -> Checkpoint:
    """The same network with logits `factor` times as large."""
    names = ("classifier.output.weight", "classifier.output.bias")
    more = {name: factor * checkpoint.tensors[name] for name in names}
    return replace(checkpoint, tensors={**checkpoint.tensors, **more})


def test_export_measures_logits_by_their_own_size(table_model: Path) -> None:
    checkpoint = checkpoints.read(str(table_model))
    for factor in (1e-9, 1e9):
        summary = export(grown(checkpoint, factor), None)
        assert summary.difference_random < 1e-5
        assert (summary.difference_real or 0) < 1e-5


@pytest.fixture(scope="module")
def ff(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network of jain2020, section 2.1, whose logits are large, trained for a few epochs."""
    path = tmp_path_factory.mktemp("ff") / "ff.st"
    sheet = open_data(shared_data / "data" / "sfew" / "SFEW.xlsx")
    train(sheet, train_config("jain2020-ff", epochs=40)).checkpoint.save(path)
    return path


def test_export_takes_the_network_of_a_paper(ff: Path, shared_data: Path) -> None:
    summary = export(checkpoints.read(str(ff)), None, data=str(shared_data / "data" / "sfew" / "SFEW.xlsx"))
    assert summary.difference_random < 1e-5
    assert summary.real_samples == 64


def remove(folder: Path) -> None:
    shutil.rmtree(folder)


def replaced_by_text(folder: Path) -> None:
    remove(folder)
    folder.write_text("text")


CHANGES: dict[str, Callable[[Path], object]] = {
    "gone": remove,
    "emptied": lambda folder: shutil.rmtree(folder / "happy"),
    "a file now": replaced_by_text,
    "a broken picture": lambda folder: next((folder / "sad").iterdir()).write_bytes(b"no picture"),
    "a class more": lambda folder: shutil.copytree(folder / "sad", folder / "zany"),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Checkpoint, Path]:
    """A checkpoint, and a copy of the data that its history names."""
    folder = tmp_path_factory.mktemp("trained")
    draw_faces(folder / "faces", ("happy", "sad"), 4, side=32)
    config = TrainConfig(arch="conv1", size="16", gray=True, hidden=(12,), epochs=1, split="50/50")
    found = train(open_data(folder / "faces"), config)
    return found.checkpoint, folder / "faces"


@pytest.mark.parametrize("change", CHANGES)
def test_export_checks_on_random_batches_where_the_training_data_has_changed(
    trained: tuple[Checkpoint, Path], tmp_path: Path, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint, faces = trained
    folder = shutil.copytree(faces, tmp_path / "faces")
    (entry,) = checkpoint.history
    entry = replace(entry, parameters={**entry.parameters, "data": str(folder)})
    checkpoint = replace(checkpoint, history=(entry,))
    assert export(checkpoint, None).real_samples == 8
    CHANGES[change](folder)
    with caplog.at_level("INFO", "emoprune"):
        summary = export(checkpoint, None)
    assert (summary.difference_real, summary.real_samples) == (None, 0)
    (note,) = [record.getMessage() for record in caplog.records if record.name == "emoprune"]
    assert note.startswith("checked on random batches only: ")
    assert note.endswith("; give `data` for real ones")


def test_export_describes_classes_without_control_characters(model: Path, tmp_path: Path) -> None:
    evil = replace(read(model), classes=("\x1b[2Jhappy", "a\nb", "\u202egnp"))
    export(evil, tmp_path / "m.onnx")
    described = onnx.load(tmp_path / "m.onnx").doc_string
    assert described.endswith(r"Outputs: \x1b[2Jhappy, a\nb, \u202egnp.")
