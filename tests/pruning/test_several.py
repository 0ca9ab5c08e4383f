"""Several prunings that share statistics and images: each is the one that it would be alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from emoprune.data.datasets import open_data
from emoprune.networks import checkpoint
from emoprune.pruning import prune, several
from emoprune.pruning.types import PruneConfig


@pytest.mark.parametrize("given", [True, False])
def test_each_plan_is_that_of_a_pruning_alone(model: Path, faces: Path, given: bool) -> None:
    original = checkpoint.read(str(model))
    data = open_data(str(faces)) if given else None
    asked: dict[str, Any] = {"layer": "*", "macs": 0.5, "max_error": 1e9}
    configs = [
        PruneConfig(method="reconstruct", **asked),
        PruneConfig(method="distinct", merge="sum", **asked),
        PruneConfig(method="distinct", angle=30),
        PruneConfig(method="magnitude", amount=0.5),
    ]
    shared = several.shared_run(original, configs, data)
    for config in configs:
        alone = prune.plan(original, config, data=data)
        again = several.plan_again(shared, config)
        assert again.removals == alone.removals
        assert again.refitted_on == alone.refitted_on
        before, after = (prune.prune(original, each).checkpoint for each in (alone, again))
        assert before.spec == after.spec
        assert all(torch.equal(tensor, after.tensors[name]) for name, tensor in before.tensors.items())
