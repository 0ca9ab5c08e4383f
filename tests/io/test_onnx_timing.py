"""Single layers as files of their own, and that they are timed."""

from __future__ import annotations

import math

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from emoprune.io.onnx_timing import LayerKind, engine_name, layer_model, layer_ms

PLAIN = LayerKind((9, 7), (3, 1), (2, 1), (1, 0), (1, 2))
LAYERS: list[tuple[LayerKind, int, int, nn.Module]] = [
    (PLAIN, 4, 6, nn.Conv2d(4, 6, (3, 1), (2, 1), (1, 0), (1, 2))),
    (LayerKind((9, 7), (3, 3), (1, 1), (1, 1), (1, 1), group=1), 1, 6, nn.Conv2d(6, 6, 3, 1, 1, groups=6)),
    (LayerKind((9, 7), (3, 3), (1, 1), (1, 1), (1, 1), group=2), 3, 6, nn.Conv2d(9, 6, 3, 1, 1, groups=3)),
    (LayerKind((1,)), 5, 3, nn.Linear(5, 3)),
    (LayerKind((8,)), 5, 3, nn.Linear(5, 3)),
]


@pytest.mark.parametrize(("kind", "inputs", "outputs", "layer"), LAYERS)
def test_layer_model_is_the_layer_of_torch(
    kind: LayerKind, inputs: int, outputs: int, layer: nn.Module
) -> None:
    for parameter in layer.parameters():
        nn.init.constant_(parameter, 0.01)
    session = onnxruntime.InferenceSession(
        layer_model(kind, inputs, outputs), providers=["CPUExecutionProvider"]
    )
    batch = torch.randn(session.get_inputs()[0].shape, generator=torch.Generator().manual_seed(0))
    (found,) = session.run(None, {"x": batch.numpy()})
    with torch.inference_mode():
        np.testing.assert_allclose(found, layer(batch), atol=1e-6)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("kind", "inputs", "outputs", "layer"), LAYERS[:1] + LAYERS[-1:])
def test_layer_ms_is_a_time(
    kind: LayerKind, inputs: int, outputs: int, layer: nn.Module, threads: int
) -> None:
    found = layer_ms(kind, inputs, outputs, threads=threads, others=1000)
    assert math.isfinite(found)
    assert found >= 0


def test_a_kind_is_named_by_all_that_its_time_depends_on() -> None:
    assert str(PLAIN) == "conv 9x7 kernel 3x1 stride 2x1 padding 1x0 dilation 1x2 group 0"
    assert str(LayerKind((8,))) == "dense 8"
    assert onnxruntime.__version__ in engine_name()
