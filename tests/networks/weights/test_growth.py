"""More classes for a trained network: old rows stay, new ones are drawn, and it computes what it did."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from emoprune.networks import build, checkpoint
from emoprune.networks.types import Checkpoint
from emoprune.networks.weights.growth import grown
from emoprune.pruning.prune import plan, prune
from emoprune.pruning.types import PruneConfig

PRUNED = {
    "whole": None,
    "narrow": PruneConfig(method="random-units", amount=0.5, merge="sum", data="none", max_error=1000),
    "sparse": PruneConfig(method="magnitude", amount=0.9, data="none", max_error=1000),
}


@pytest.fixture(params=PRUNED)
def before(request: pytest.FixtureRequest, model: Path) -> Checkpoint:
    """A trained network of three classes, whole or pruned."""
    found, config = checkpoint.read(str(model)), PRUNED[request.param]
    return prune(found, plan(found, config)).checkpoint if config else found


def test_old_answers_are_the_same_and_new_rows_follow_from_the_seed(before: Checkpoint) -> None:
    after = grown(before, ("fear", "sad"), seed=3)
    assert after.classes == (*before.classes, "fear", "sad")
    images = torch.rand(5, *before.spec.input, generator=torch.Generator().manual_seed(0))
    nets = [build.restore(each.spec, each.tensors) for each in (before, after)]
    old, new = (net(images) for net in nets)
    assert new.shape == (5, 5)
    torch.testing.assert_close(new[:, :3], old)
    output = "classifier.output.weight"
    fresh = after.tensors[output][3:]
    assert torch.equal(fresh, grown(before, ("fear", "sad"), seed=3).tensors[output][3:])
    assert not torch.equal(fresh, grown(before, ("fear", "sad"), seed=4).tensors[output][3:])
    assert len({tuple(row) for row in fresh.tolist()}) == 2
    others = after.tensors.keys() - {output, "classifier.output.bias"}
    assert all(torch.equal(after.tensors[name], before.tensors[name]) for name in others)


def test_masks_let_new_rows_learn_and_hold_the_zeros_of_old_ones(before: Checkpoint) -> None:
    after = grown(before, ("fear",), seed=0)
    assert after.masks.keys() == before.masks.keys()
    for name, mask in before.masks.items():
        assert torch.equal(after.masks[name][: len(mask)], mask)
        assert bool(after.masks[name][len(mask) :].all())
        assert after.masks[name].shape == after.tensors[name].shape


def test_a_grown_network_is_written_and_read(before: Checkpoint) -> None:
    after = grown(before, ("fear",), seed=0)
    again = checkpoint.from_bytes(checkpoint.to_bytes(after))
    assert (again.spec, again.classes) == (after.spec, after.classes)
