"""Features of a frozen backbone: computed once, of pictures as they are and of changed copies."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from emoprune.data.augmentation import parse_augmentations
from emoprune.data.image_dataset import standardize, unit_scale
from emoprune.data.loader import TensorSamples
from emoprune.data.randomness import generator_at
from emoprune.data.types import Preprocess
from emoprune.data.warping import augment
from emoprune.errors import BadCheckpoint, BadData, TooLarge
from emoprune.networks.build import build, features
from emoprune.networks.graph import channel_graph
from emoprune.networks.statistics.activation_statistics import Collector, collect
from emoprune.networks.types import Spec
from emoprune.training.config import TrainConfig
from emoprune.training.feature_bank import VIEWS, Backbone, FeatureBank, feature_bank
from tests.support.training import CONV1, trained

PHOTO = Preprocess(kind="image", size=(16, 16), color="gray", mean=(0.5,), std=(0.25,))
PARTS = {"train": torch.tensor([5, 0, 3, 8, 2, 9]), "val": torch.tensor([1, 4])}
CPU = torch.device("cpu")


def photos() -> TensorSamples:
    raw = torch.randint(0, 256, (10, 1, 16, 16), generator=generator_at(0))
    return TensorSamples(raw.to(torch.uint8), torch.arange(10) % 3)


def network(seed: int = 1) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build(Spec("conv2", 3, (1, 16, 16), (6,))).eval()


def collector() -> Collector:
    graph = channel_graph(network(), (1, 16, 16))
    return Collector(graph, graph.layers)


def made(seen: Collector | None = None, *, key: str = "k", limit: int = 10**9, **given: Any) -> FeatureBank:
    backbone = Backbone(network(), PHOTO, CPU, None, key)
    config = TrainConfig(**given)
    return feature_bank(backbone, photos(), PARTS, config, limit=limit, seen=seen or collector())[0]


def test_values_are_the_features_of_train_and_then_val() -> None:
    bank = made()
    indices = torch.cat([*PARTS.values()])
    with torch.no_grad():
        wanted = features(network(), standardize(unit_scale(photos().values[indices]), PHOTO))
    torch.testing.assert_close(bank.values, wanted)
    assert bank.labels.tolist() == photos().labels[indices].tolist()
    assert bank.views is None
    assert torch.equal(bank.draw(torch.tensor([2, 0]), generator_at(0)), bank.batch(torch.tensor([2, 0])))


def test_views_are_the_features_of_changed_copies_of_train() -> None:
    bank = made(augment=("flip", "rotate:20"), views=3, seed=4)
    assert bank.views is not None
    assert bank.views.shape[:2] == (6, 3)
    pictures = unit_scale(photos().values[PARTS["train"]])
    strengths = parse_augmentations(("flip", "rotate:20"))
    for view in range(3):
        changed = augment(pictures, strengths, generator=generator_at(4, VIEWS, 0, view))
        with torch.no_grad():
            torch.testing.assert_close(bank.views[:, view], features(network(), standardize(changed, PHOTO)))


def test_draw_takes_any_view_of_the_sample_that_is_asked_for() -> None:
    bank = made(augment=("rotate:20",), views=4)
    assert bank.views is not None
    drawn = set()
    for epoch in range(40):
        found = bank.draw(torch.tensor([3, 1]), generator_at(0, epoch))
        for row, index in zip(found, (3, 1), strict=True):
            (view,) = [view for view in range(4) if torch.equal(row, bank.views[index, view])]
            drawn.add((index, view))
    assert drawn == {(index, view) for index in (3, 1) for view in range(4)}


@pytest.mark.parametrize("given", [{"views": 1, "augment": ("flip",)}, {"views": 5}])
def test_one_view_or_no_change_makes_none(given: dict[str, Any]) -> None:
    assert made(**given).views is None


def test_statistics_are_those_of_a_pass_over_train() -> None:
    seen = collector()
    made(seen, augment=("flip",))
    graph = channel_graph(network(), (1, 16, 16))
    inputs = [standardize(unit_scale(photos().values[PARTS["train"]]), PHOTO)]
    wanted = collect(network(), graph, graph.layers, inputs)
    # what the head reads is seen with the head
    assert seen.statistics.keys() == {"features.0"}
    for name in seen.statistics:
        torch.testing.assert_close(seen.statistics[name].covariance, wanted.statistics[name].covariance)


def test_a_second_run_reads_the_files_of_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {"cache_dir": str(tmp_path), "augment": ("flip", "rotate:20"), "views": 2}
    seen, again = collector(), collector()
    first = made(seen, **given)
    assert len(os.listdir(tmp_path)) == 3
    passed = list[int]()
    plain = features

    def counted(net: nn.Module, inputs: Tensor) -> Tensor:
        passed.append(len(inputs))
        return plain(net, inputs)

    monkeypatch.setattr("emoprune.training.feature_bank.features", counted)
    second = made(again, **given, lr=0.5, hidden=(3,), epochs=7)
    assert passed == [1], "the width of the features alone"
    assert torch.equal(first.values, second.values)
    assert first.views is not None
    assert second.views is not None
    assert torch.equal(first.views, second.views)
    first_sums, second_sums = seen.tensors(), again.tensors()
    assert first_sums.keys() == second_sums.keys()
    assert all(torch.equal(value, second_sums[name]) for name, value in first_sums.items())


def test_files_are_of_one_network_and_of_one_kind_of_change(tmp_path: Path) -> None:
    given: dict[str, Any] = {"cache_dir": str(tmp_path), "augment": ("flip",), "views": 2}
    made(**given)
    for more in ({"key": "other"}, {"augment": ("rotate:5",)}, {"views": 3}, {"seed": 1}):
        before = len(os.listdir(tmp_path))
        made(**{**given, **more})
        assert len(os.listdir(tmp_path)) > before, more


def test_damaged_files_are_refused_by_name(tmp_path: Path) -> None:
    given: dict[str, Any] = {"cache_dir": str(tmp_path)}
    made(**given)
    (values,) = tmp_path.glob("features-*.npy")
    (known,) = tmp_path.glob("statistics-*.st")
    whole = values.read_bytes()
    values.write_bytes(whole[:-1])
    with pytest.raises(BadData, match="damaged, or not a file of this cache"):
        made(**given)
    values.write_bytes(whole)
    known.write_bytes(b"nothing")
    with pytest.raises(BadCheckpoint) as caught:
        made(**given)
    assert caught.value.place == str(known)


def test_a_bank_that_does_not_fit_in_memory_asks_for_a_folder(tmp_path: Path) -> None:
    given: dict[str, Any] = {"augment": ("flip",), "views": 2, "limit": 100}
    with pytest.raises(TooLarge, match="give `cache_dir`, fewer `views`, or more `memory`"):
        made(**given)
    assert made(**given, cache_dir=str(tmp_path)).views is not None


def test_a_training_with_a_cache_gives_the_bytes_of_one_without(small: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {**CONV1, "freeze": "backbone", "split": "60/20/20"}
    given["augment"] = ("flip", "rotate:10")
    paths = [tmp_path / f"{number}.st" for number in range(3)]
    for path in paths:
        cache = None if path is paths[0] else str(tmp_path / "cache")
        trained(small, **given, cache_dir=cache).save(path)
    assert len({path.read_bytes() for path in paths}) == 1
    assert {path.suffix for path in (tmp_path / "cache").iterdir()} == {".npy", ".st"}


def test_files_are_of_one_border_between_train_and_val(tmp_path: Path) -> None:
    """The same pictures in the same order, of which other ones are trained on."""
    everything, found = torch.arange(10), list[Collector]()
    for border in (6, 3):
        parts = {"train": everything[:border], "val": everything[border:]}
        for cache in (str(tmp_path), None):
            seen = collector()
            backbone = Backbone(network(), PHOTO, CPU, None, "k")
            feature_bank(backbone, photos(), parts, TrainConfig(cache_dir=cache), limit=10**9, seen=seen)
            found.append(seen)
    for kept, fresh in (found[:2], found[2:]):
        sums = fresh.tensors()
        assert all(torch.equal(value, sums[name]) for name, value in kept.tensors().items())


def test_files_are_of_one_computation_though_weights_are_the_same(tmp_path: Path) -> None:
    class Doubled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features, self.classifier = network().get_submodule("features"), nn.Linear(1, 1)

        def forward(self, images: Tensor) -> Tensor:
            read: Tensor = self.classifier(2 * self.features(images))
            return read

    made(cache_dir=str(tmp_path))
    before = len(list(tmp_path.iterdir()))
    backbone = Backbone(Doubled(), PHOTO, CPU, None, "k")
    config = TrainConfig(cache_dir=str(tmp_path))
    feature_bank(
        backbone,
        photos(),
        PARTS,
        config,
        limit=10**9,
        seen=Collector(channel_graph(network(), (1, 16, 16)), ()),
    )
    assert len(list(tmp_path.iterdir())) > before
