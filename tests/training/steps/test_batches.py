"""Which samples a step reads, and how they are changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from emoprune.data.loader import TensorSamples
from emoprune.data.randomness import generator_at
from emoprune.data.types import Preprocess
from emoprune.training.config import TrainConfig
from emoprune.training.steps.batches import (
    Batch,
    BatchMaker,
    class_weights,
    epoch_order,
    training_batches,
)

CPU = torch.device("cpu")
PHOTO = Preprocess(kind="image", size=(12, 12), color="rgb", mean=(0.5, 0.4, 0.3), std=(0.5, 0.2, 0.1))
TABLE = Preprocess(kind="table")


def photos(n: int = 8) -> TensorSamples:
    raw = torch.randint(0, 256, (n, 3, 12, 12), generator=generator_at(0))
    return TensorSamples(raw.to(torch.uint8), torch.arange(n) % 4)


def rows(n: int = 8) -> TensorSamples:
    return TensorSamples(torch.randn(n, 5, generator=generator_at(0)), torch.arange(n) % 4)


def made(samples: TensorSamples, seed: int = 1, **given: Any) -> Batch:
    preprocess = PHOTO if samples.values.ndim == 4 else TABLE
    maker = BatchMaker(samples, preprocess, TrainConfig(**given), 4, CPU)
    return maker(torch.arange(len(samples.labels)), generator_at(seed))


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 70), st.integers(0, 80))
def test_chunks_cover_all_in_order_and_none_of_one_stands_at_the_end(n: int, batch_size: int) -> None:
    chunks = training_batches(torch.arange(n), batch_size)
    assert torch.cat(list(chunks)).tolist() == list(range(n))
    sizes = [len(chunk) for chunk in chunks]
    assert n == 1 or sizes[-1] > 1
    size = batch_size or n
    assert all(length == size for length in sizes[:-1])
    assert sizes[-1] <= size + 1


def test_epoch_order_reads_each_sample_once() -> None:
    train, labels = torch.arange(10, 40), torch.zeros(50).long()
    first, second = (epoch_order(train, labels, balance="none", generator=generator_at(0, e)) for e in (0, 1))
    assert sorted(first.tolist()) == sorted(second.tolist()) == train.tolist()
    assert first.tolist() != second.tolist()


def test_epoch_order_of_the_sampler_draws_classes_equally_often() -> None:
    labels = torch.tensor([0] * 900 + [1] * 90 + [2] * 10)
    order = epoch_order(torch.arange(1000), labels, balance="sampler", generator=generator_at(0))
    assert len(order) == 1000
    counts = labels[order].bincount()
    # three standard deviations of 1,000 draws in thirds
    assert all(abs(int(count) - 333) < 45 for count in counts)


def test_class_weights_are_those_of_scikit_learn() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    labels = torch.tensor([0] * 7 + [1] * 2 + [3] * 3)
    wanted = compute_class_weight("balanced", classes=np.array([0, 1, 3]), y=labels.numpy())
    found = class_weights(labels, 4)
    torch.testing.assert_close(found[[0, 1, 3]], torch.tensor(wanted).float())
    assert found[2] == 0
    assert float(found[labels].mean()) == pytest.approx(1)


def test_unchanged_pictures_become_input_as_elsewhere() -> None:
    samples = photos()
    batch = made(samples)
    pictures = samples.values.float() / 255
    assert batch.pictures is not None
    torch.testing.assert_close(batch.pictures, pictures)
    mean, std = (torch.tensor(each)[:, None, None] for each in (PHOTO.mean, PHOTO.std))
    torch.testing.assert_close(batch.inputs, (pictures - mean) / std)
    assert batch.targets.tolist() == samples.labels.tolist()


@pytest.mark.parametrize("given", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}])
def test_mixed_targets_are_fractions_that_follow_from_the_generator(given: dict[str, Any]) -> None:
    samples = photos()
    batch, again, other = made(samples, **given), made(samples, **given), made(samples, seed=2, **given)
    assert batch.targets.shape == (8, 4)
    torch.testing.assert_close(batch.targets.sum(1), torch.ones(8))
    assert torch.equal(batch.inputs, again.inputs)
    assert torch.equal(batch.targets, again.targets)
    assert not torch.equal(batch.targets, other.targets)


def test_mixup_adds_each_picture_and_the_one_before_in_the_fractions_of_the_targets() -> None:
    samples = photos()
    batch = made(samples, mixup=0.4)
    own = batch.targets.gather(1, samples.labels[:, None])[:, 0]
    pictures = samples.values.float() / 255
    wanted = own[:, None, None, None] * pictures + (1 - own)[:, None, None, None] * pictures.roll(1, 0)
    assert batch.pictures is not None
    torch.testing.assert_close(batch.pictures, wanted)


def test_cutmix_takes_each_pixel_from_one_of_two_pictures() -> None:
    samples = photos()
    batch = made(samples, cutmix=1.0)
    pictures = samples.values.float() / 255
    assert batch.pictures is not None
    own, other = ((batch.pictures - each).abs() < 1e-6 for each in (pictures, pictures.roll(1, 0)))
    assert bool((own | other).all())
    part = batch.targets.gather(1, samples.labels[:, None])[:, 0]
    torch.testing.assert_close(own.all(1).float().mean((1, 2)), part, atol=0.02, rtol=0)


def test_mixup_of_rows_mixes_rows() -> None:
    samples = rows()
    batch = made(samples, mixup=0.4)
    own = batch.targets.gather(1, samples.labels[:, None])
    torch.testing.assert_close(batch.inputs, own * samples.values + (1 - own) * samples.values.roll(1, 0))


@pytest.mark.parametrize("augment", ["flip", "trivial", "erase:1", "rotate,crop,trivial:0.5,erase"])
def test_changes_follow_from_the_generator_and_touch_no_other(augment: str) -> None:
    samples = photos()
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    found: list[Tensor] = [made(samples, seed, augment=(augment,)).inputs for seed in (1, 1, 2)]
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert torch.equal(torch.random.get_rng_state(), before)


def test_what_is_erased_is_the_mean_so_that_the_input_is_0() -> None:
    inputs = made(photos(), augment=("erase:1",)).inputs
    blank = (inputs.abs() < 1e-6).all(1)
    # RandomErasing blanks 2 to 33% of a picture
    assert all(0 < float(fraction) < 0.4 for fraction in blank.float().mean((1, 2)))
