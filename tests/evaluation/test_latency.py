"""Times of batches: what is run, and the percentiles of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from emoprune.data.loader import TensorSamples
from emoprune.data.types import Preprocess
from emoprune.evaluation import latency
from emoprune.evaluation.latency import latencies
from emoprune.evaluation.model import Subset, load


@pytest.mark.parametrize("n", [5, 100])
def test_latencies_are_of_1_and_of_32_samples(
    table_model: Path, monkeypatch: pytest.MonkeyPatch, n: int
) -> None:
    ran: list[Tensor] = []

    def logits(batches: Iterator[Tensor]) -> Iterator[Tensor]:
        ran.extend(batches)
        yield torch.zeros(1)

    def times_ms(run: object) -> list[float]:
        assert callable(run)
        run()
        return [float(each) for each in range(100, 0, -1)]

    monkeypatch.setattr(latency, "times_ms", times_ms)
    model = dataclasses.replace(load(str(table_model), torch.device("cpu")), logits=logits, threads=3)
    samples = TensorSamples(torch.arange(n)[:, None].float(), torch.zeros(n))
    found = latencies(model, Subset(samples, torch.arange(n), Preprocess("table"), torch.device("cpu")))
    assert [batch[:, 0].tolist() for batch in ran] == [[0], [index % n for index in range(32)]]
    wanted = [float(np.percentile(range(1, 101), each)) for each in (50, 90, 99)]
    for batch, each in zip((1, 32), found, strict=True):
        assert (each.batch, each.threads, each.device, each.runs) == (batch, 3, "cpu", 100)
        assert [each.p50_ms, each.p90_ms, each.p99_ms] == pytest.approx(wanted)


def test_models_run_on_the_threads_of_torch(model: Path, onnx_model: Path) -> None:
    for path in (model, onnx_model):
        assert load(str(path), torch.device("cpu")).threads == torch.get_num_threads()
