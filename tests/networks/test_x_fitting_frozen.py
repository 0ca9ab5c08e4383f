"""What is frozen stays as it is while the head learns, with or without its features computed once."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor, nn

from emoprune.networks.heads import freeze_all_but_head, head_of
from emoprune.training.loop import TensorSamples, batches, precompute
from tests.training.test_loop import CPU, PHOTO, RECIPE, clouds, conv1, photos, state_of, trained


class Frozen(nn.Module):
    """A backbone with batch norm and dropout, and a head with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5))
        self.classifier = nn.Sequential(nn.Dropout(0.5), nn.Linear(8, 3))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(x))
        return logits


def test_frozen_parameters_and_batch_norm_statistics_stay_and_the_head_moves() -> None:
    net = Frozen()
    freeze_all_but_head(net)
    before = state_of(net)
    trained(net, clouds(), RECIPE, val=12)
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"classifier.1.weight", "classifier.1.bias"}


def test_batch_norm_learns_where_it_is_not_frozen() -> None:
    net = Frozen()
    before = state_of(net)
    trained(net, clouds(), RECIPE)
    assert not torch.equal(net.state_dict()["features.1.running_mean"], before["features.1.running_mean"])


@pytest.mark.parametrize("frozen", [True, False])
def test_dropout_drops_in_what_is_trained_only(frozen: bool) -> None:
    net = Frozen()
    if frozen:
        freeze_all_but_head(net)
    dropped: dict[str, bool] = {}
    for name in ("features.3", "classifier.0"):

        def note(module: nn.Module, inputs: tuple[Tensor], output: Tensor, name: str = name) -> None:
            dropped[name] = dropped.get(name, False) or not torch.equal(inputs[0], output)

        net.get_submodule(name).register_forward_hook(note)
    trained(net, clouds(), RECIPE)
    assert dropped == {"features.3": not frozen, "classifier.0": True}


def test_batch_norm_trains_where_one_sample_would_be_left_over() -> None:
    curve = trained(Frozen(), clouds(33), dataclasses.replace(RECIPE, batch_size=16))
    assert all(math.isfinite(epoch.train_loss) for epoch in curve)


def test_the_head_alone_on_precomputed_features_learns_what_it_learns_behind_a_frozen_backbone() -> None:
    samples, recipe = photos(), dataclasses.replace(RECIPE, keep="best")
    whole, parted = conv1(), conv1()
    freeze_all_but_head(whole)
    curve = trained(whole, samples, recipe, val=6)
    everything = torch.arange(len(samples.labels))
    rows = torch.cat(list(precompute(parted, batches(samples, everything, PHOTO, CPU))))
    with torch.no_grad():
        wanted = parted.get_submodule("features")((samples.values / 255 - 0.5) / 0.5)
    torch.testing.assert_close(rows, wanted)
    assert not rows.requires_grad
    head = trained(head_of(parted), TensorSamples(rows, samples.labels), recipe, val=6)
    for mine, theirs in zip(curve, head, strict=True):
        assert dataclasses.astuple(mine) == pytest.approx(dataclasses.astuple(theirs), rel=1e-4)
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(parted.state_dict()[name], value, atol=1e-5, rtol=1e-4)
