"""Sizes of layers from tensors alone."""

from __future__ import annotations

import numpy as np
import pytest

from emoprune.deployment.layer_sizes import nonzero, parameters_by_name, sizes
from emoprune.io.safetensors_files import RawTensor


def raw(*shape: int, dtype: str = "F32") -> RawTensor:
    return RawTensor(dtype, shape, bytes(4 * int(np.prod(shape))))


TENSORS = {
    "features.10.weight": raw(4, 3, 3, 3),
    "features.9.weight": raw(3, 1, 5, 5),
    "features.9.bias": raw(3),
    "bn.weight": raw(4),
    "bn.running_mean": raw(4),
    "bn.num_batches_tracked": raw(dtype="I64"),
    "encoder.in_proj_weight": raw(12, 4),
    "encoder.norm.weight": raw(4),
    "class_token": raw(1, 1, 4),
    "scaling.shift": raw(3),
    "last.weight": raw(2, 4),
}


def test_parameters_by_name_leaves_out_buffers_and_counts_numbers_as_numbers() -> None:
    found = parameters_by_name(TENSORS)
    assert set(TENSORS) - set(found) == {"bn.running_mean", "bn.num_batches_tracked", "scaling.shift"}
    assert found.index("features.9.weight") < found.index("features.10.weight")


def test_sizes_name_the_kind_of_each_layer() -> None:
    found = sizes(TENSORS, parameters_by_name(TENSORS), {"last": 8, "inner": 5})
    assert {each.layer: each.kind for each in found} == {
        "": "parameter",
        "bn": "batch norm",
        "encoder": "attention",
        "encoder.norm": "norm",
        "features.9": "conv",
        "features.10": "conv",
        "last": "dense",
        "inner": "attention",
    }
    by_name = {each.layer: each for each in found}
    assert (by_name["features.9"].parameters, by_name["features.9"].shape) == (78, (3, 1, 5, 5))
    assert (by_name["last"].macs, by_name["inner"].macs, by_name["bn"].macs) == (8, 5, 0)
    assert sum(each.share or 0 for each in found) == pytest.approx(1)


@pytest.mark.parametrize(("dtype", "kind"), [("F64", "<f8"), ("F32", "<f4"), ("F16", "<f2")])
def test_nonzero_counts_as_numpy_does(dtype: str, kind: str) -> None:
    values = np.array([0.0, -0.0, 1.5, -2.0, 6e-8], kind)
    assert nonzero(RawTensor(dtype, (5,), values.tobytes())) == np.count_nonzero(values) == 3
