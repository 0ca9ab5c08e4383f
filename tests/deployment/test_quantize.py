"""Smaller files that answer as well, or none."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from onnx import ModelProto

from emoprune.data.datasets import open_data
from emoprune.deployment import quantize
from emoprune.deployment.config import ExportConfig
from emoprune.deployment.export import export
from emoprune.errors import ToleranceExceeded, UsageFault
from emoprune.evaluation.evaluate import evaluate
from emoprune.evaluation.model import load
from emoprune.evaluation.types import Metrics
from emoprune.io import onnx_files, onnx_quantization
from tests.support.checkpoints import read

INT8 = ExportConfig(quantize="int8", max_drop=5)


def test_int8_is_told_beside_float32_and_answers_as_it_says(model: Path, faces: Path, tmp_path: Path) -> None:
    summary = export(
        read(model), tmp_path / "m.onnx", ExportConfig(quantize="int8", max_drop=5, input="uint8")
    )
    found = summary.quantized
    assert found is not None
    assert (summary.quantize, summary.bytes) == ("int8", (tmp_path / "m.onnx").stat().st_size)
    assert found.smaller == found.whole_bytes / summary.bytes > 2
    assert 0 < found.faster_low <= found.faster <= found.faster_high
    assert (found.judged, found.kept_float) == (48, ())
    assert found.accuracy is not None
    assert found.whole_accuracy is not None
    assert found.drop == pytest.approx(100 * (found.whole_accuracy - found.accuracy))
    scored = evaluate(load(str(tmp_path / "m.onnx"), torch.device("cpu")), open_data(faces), part="train")
    assert isinstance(scored, Metrics)
    assert scored.accuracy == pytest.approx(found.accuracy)


def silenced(names: Collection[str]) -> Any:
    """`to_int8` that makes layers of these names answer nothing, unless they are left out."""
    real = onnx_quantization.to_int8

    def made(model: ModelProto, batches: Any, *, but: Collection[str] = ()) -> ModelProto:
        broken = ModelProto()
        broken.CopyFrom(model)
        for node in broken.graph.node:
            if node.name in set(names) - set(but):
                # all classes alike
                for tensor in broken.graph.initializer:
                    if tensor.name in node.input[1:]:
                        zeros = 0 * onnx.numpy_helper.to_array(tensor)
                        tensor.CopyFrom(onnx.numpy_helper.from_array(zeros, tensor.name))
        return real(broken, batches, but=but)

    return made


def layers(model: Path) -> list[str]:
    net = read(model).module()
    graph = onnx_quantization.prepared(onnx_files.traced(net, torch.zeros(2, 1, 24, 24), opset=18))
    return [node.name for node in graph.graph.node if node.op_type in onnx_quantization.QUANTIZED]


def test_the_layer_that_loses_the_most_stays_float32(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = layers(model)[0]
    monkeypatch.setattr(onnx_quantization, "to_int8", silenced({first}))
    found = export(read(model), None, INT8).quantized
    assert found is not None
    assert found.kept_float == (first,)


def test_what_loses_too_much_is_not_written(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_quantization, "to_int8", silenced(layers(model)))
    with pytest.raises(ToleranceExceeded, match=r"int8` costs .* points of accuracy on 48 images.*nothing"):
        export(read(model), tmp_path / "m.onnx", INT8)
    assert not list(tmp_path.iterdir())


def test_what_is_neither_smaller_nor_faster_is_not_written(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_quantization, "to_fp16", lambda graph: graph)
    monkeypatch.setattr(quantize, "turns_ms", lambda *given: [(1.0, 1.5)] * 20)
    with pytest.raises(ToleranceExceeded, match=r"neither smaller .* nor faster \(0\.67 times\)"):
        export(read(model), None, ExportConfig(quantize="fp16"))


def test_pictures_without_labels_are_compared_by_answers(model: Path, faces: Path) -> None:
    found = export(read(model), None, ExportConfig(quantize="fp16"), data=str(faces / "happy")).quantized
    assert found is not None
    assert (found.accuracy, found.judged) == (None, 20)
    assert found.drop <= 5


def test_int8_needs_an_opset_with_a_scale_for_each_channel(model: Path) -> None:
    with pytest.raises(UsageFault, match=r"opset=12.*give `opset=13`"):
        export(read(model), None, ExportConfig(quantize="int8", opset=12))


def test_quantize_needs_images(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantize, "training_data_of", lambda *given, **more: "the training data is not here")
    with pytest.raises(UsageFault, match=r"the training data is not here; give `data`"):
        export(read(model), tmp_path / "m.onnx", INT8)
