"""Torch-Pruning's networks as checkpoints: they compute the same, at the budget."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from emoprune.choices import Ranking
from emoprune.errors import Unavailable, UsageFault
from emoprune.networks import build, checkpoint
from emoprune.networks.costs import profiling
from emoprune.sweeping import rivals


@pytest.mark.parametrize(("name", "ranking"), [("conv2", "uniform"), ("resnet18", "global")])
def test_a_checkpoint_holds_what_torch_pruning_made(
    zoo: Callable[[str], Path], name: str, ranking: Ranking
) -> None:
    original = checkpoint.read(str(zoo(name)))
    made = rivals.pruned_checkpoint(original, 0.6, ranking=ranking)
    again = checkpoint.from_bytes(checkpoint.to_bytes(made))
    before, after = (build.restore(each.spec, each.tensors) for each in (original, again))
    macs = [profiling.macs(net, original.spec.input) for net in (before, after)]
    assert 0 < macs[1] <= 0.6 * macs[0]
    assert after(torch.zeros(2, *original.spec.input)).shape == (2, 3)
    assert again.history[-1].parameters["method"] == f"Torch-Pruning, {ranking}"
    assert original.tensors.keys() == again.tensors.keys()


def test_a_budget_that_it_does_not_meet_is_refused(zoo: Callable[[str], Path]) -> None:
    original = checkpoint.read(str(zoo("conv2")))
    with pytest.raises(UsageFault, match=r"`macs=0\.001` cannot be met by Torch-Pruning"):
        rivals.pruned_checkpoint(original, 0.001, ranking="global")


def test_a_network_that_a_checkpoint_cannot_hold_is_refused(
    zoo: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = checkpoint.read(str(zoo("conv2")))
    other = {name: tensor + 1 for name, tensor in original.tensors.items()}
    net = build.restore(original.spec, other)
    with pytest.raises(UsageFault, match="a checkpoint cannot hold Torch-Pruning's network"):
        rivals.check_same(net, original)

    def fail(*given: object, **more: object) -> None:
        raise KeyError("unknown")

    monkeypatch.setattr(rivals, "pruned_net", fail)
    with pytest.raises(UsageFault, match="Torch-Pruning ends with KeyError"):
        rivals.pruned_checkpoint(original, 0.5, ranking="global")


def test_without_torch_pruning_a_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    rivals.check_installed()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(Unavailable, match=r"pip install .emoprune.rivals.."):
        rivals.check_installed()
