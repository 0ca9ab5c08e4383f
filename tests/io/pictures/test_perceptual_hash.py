"""Perceptual hashes: held against the definition term by term, and what copies of a picture share."""

from __future__ import annotations

import io
import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from emoprune.io.pictures import perceptual_hash as hashing
from emoprune.io.pictures.perceptual_hash import NEAR_BITS, hamming, near_duplicates, perceptual_hash
from emoprune.synthetic_faces import EMOTIONS, draw_scene

HASHES = st.integers(0, 2**64 - 1).map("{:016x}".format)


def drawn(number: int, side: int = 96) -> Image.Image:
    emotion = EMOTIONS[number % len(EMOTIONS)]
    return draw_scene(emotion, generator=np.random.default_rng(number), size=(side, side))


def literal_hash(image: Image.Image) -> str:
    """The definition: every coefficient a sum over all pixels, the median from the sorted list."""
    gray = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.BILINEAR), dtype=float)
    coefficients = []
    for down in range(1, 9):
        for right in range(1, 9):
            wave = [
                [
                    math.cos(math.pi * (2 * y + 1) * down / 64) * math.cos(math.pi * (2 * x + 1) * right / 64)
                    for x in range(32)
                ]
                for y in range(32)
            ]
            coefficients.append(float((gray * np.array(wave)).sum()))
    middle = sum(sorted(coefficients)[31:33]) / 2
    digits = "".join("1" if value > middle else "0" for value in coefficients)
    return f"{int(digits, 2):016x}"


@pytest.mark.parametrize("number", range(8))
def test_perceptual_hash_follows_its_definition(number: int) -> None:
    assert perceptual_hash(drawn(number)) == literal_hash(drawn(number))


def test_perceptual_hashes_of_many_are_those_of_each() -> None:
    pictures = [drawn(number, side=32 + number) for number in range(2 * hashing.TOGETHER + 3)]
    pictures[5:9] = [Image.new("L", (9, 9)), pictures[0].convert("L"), pictures[1].convert("1"), pictures[2]]
    assert list(hashing.perceptual_hashes(pictures)) == [perceptual_hash(each) for each in pictures]
    assert list(hashing.perceptual_hashes([])) == []


@pytest.mark.parametrize("number", range(8))
def test_perceptual_hash_is_near_for_copies_and_far_for_others(number: int) -> None:
    image = drawn(number)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=60)
    copies = {
        "as JPEG": Image.open(stream),
        "smaller": image.resize((48, 48)),
        "larger": image.resize((200, 200), Image.Resampling.BICUBIC),
        "gray": image.convert("L"),
        "darker": image.point(lambda value: value * 0.8),
    }
    own = perceptual_hash(image)
    for name, copy in copies.items():
        assert hamming(own, perceptual_hash(copy)) <= NEAR_BITS, name
    for other in range(8):
        assert other == number or hamming(own, perceptual_hash(drawn(other))) > 2 * NEAR_BITS


def test_perceptual_hash_ignores_the_brightness_of_plain_pictures() -> None:
    flat = {perceptual_hash(Image.new("RGB", (48, 48), (level,) * 3)) for level in range(0, 256, 5)}
    assert flat == {"0" * 16}


@given(HASHES, HASHES)
def test_hamming_counts_the_bits_that_differ(first: str, second: str) -> None:
    bits = (f"{int(each, 16):064b}" for each in (first, second))
    assert hamming(first, second) == sum(a != b for a, b in zip(*bits, strict=True))


@st.composite
def crowds(draw: st.DrawFn) -> list[str]:
    """Hashes about a few centers, so that some are equal, some near and some joined by a chain."""
    centers = draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=3))
    found = []
    for _ in range(draw(st.integers(0, 24))):
        value = draw(st.sampled_from(centers))
        for bit in draw(st.lists(st.integers(0, 63), max_size=5)):
            value ^= 1 << bit
        found.append(f"{value:016x}")
    return found


def closure(hashes: list[str], within_bits: int) -> set[tuple[int, ...]]:
    """The groups by joining, pair after pair, whole sets."""
    sets = [{index} for index in range(len(hashes))]
    for i, j in combinations(range(len(hashes)), 2):
        if hamming(hashes[i], hashes[j]) <= within_bits:
            first, second = (next(each for each in sets if index in each) for index in (i, j))
            if first is not second:
                sets.remove(second)
                first |= second
    return {tuple(sorted(each)) for each in sets if len(each) > 1}


@pytest.mark.parametrize("at_once", [hashing.AT_ONCE, 8])
@given(hashes=crowds(), within_bits=st.integers(0, 8) | st.sampled_from([20, 63, 64]))
def test_near_duplicates_are_the_components_of_near_pairs(
    at_once: int, hashes: list[str], within_bits: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashing, "AT_ONCE", at_once)
        groups = near_duplicates(hashes, within_bits=within_bits)
    assert set(groups) == closure(hashes, within_bits)
    assert list(groups) == sorted(groups)


def test_near_duplicates_put_all_copies_in_one_group() -> None:
    hashes = ["00000000000000ff"] * 50_000 + ["ff00000000000000"]
    assert near_duplicates(hashes) == (tuple(range(50_000)),)
