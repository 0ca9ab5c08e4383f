"""The number format of training steps."""

from __future__ import annotations

import pytest
import torch

from emoprune.choices import Precision
from emoprune.training.steps import precision
from emoprune.training.steps.precision import LEAST_MACS, resolved

CPU = torch.device("cpu")


@pytest.mark.parametrize("faster", [True, False])
def test_auto_is_bf16_for_large_networks_where_it_is_measured_faster(
    faster: bool, monkeypatch: pytest.MonkeyPatch, told: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(precision, "bf16_is_faster", lambda device: faster)
    assert resolved("auto", macs=LEAST_MACS, device=CPU) == ("bf16" if faster else "fp32")
    assert ("`precision=fp32`" in told.text) is faster
    assert resolved("auto", macs=LEAST_MACS - 1, device=CPU) == "fp32"


@pytest.mark.parametrize("name", ["fp32", "bf16", "fp16"])
def test_a_precision_that_is_asked_for_is_taken(name: Precision) -> None:
    assert resolved(name, macs=0, device=CPU) == name


def test_the_measurement_leaves_generators_as_they_were() -> None:
    before = torch.random.get_rng_state()
    precision.bf16_is_faster.cache_clear()
    assert precision.bf16_is_faster(CPU) in (True, False)
    assert torch.equal(torch.random.get_rng_state(), before)
