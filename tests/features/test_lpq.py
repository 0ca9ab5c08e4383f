"""LPQ against a literal implementation of its definition, and against values by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from emoprune.errors import BadData
from emoprune.features.lpq import decorrelation, frequency_responses, lpq, lpq_codes
from tests.support import descriptor_reference
from tests.support.descriptor_pictures import Gray, drawn_pictures, noise, real_pictures


def check_against_reference(image: Gray) -> None:
    picture = descriptor_reference.picture(image)
    assert lpq_codes(image).tolist() == descriptor_reference.lpq_codes(picture)
    np.testing.assert_allclose(lpq(image), descriptor_reference.lpq(picture), rtol=0, atol=1e-15)


@pytest.mark.parametrize("shape", [(7, 7), (30, 41), (9, 60)])
def test_codes_of_noise_are_those_of_the_definition(shape: tuple[int, int]) -> None:
    check_against_reference(noise(*shape))


def test_codes_of_drawn_faces_are_those_of_the_definition(faces: Path) -> None:
    for image in drawn_pictures(faces):
        check_against_reference(image)


def test_codes_of_real_faces_are_those_of_the_definition(shared_data: Path) -> None:
    for image in real_pictures(shared_data):
        check_against_reference(image)


def test_responses_are_the_transform_of_each_window() -> None:
    image = noise(9, 11)
    found = frequency_responses(image)
    assert found.shape == (8, 3, 5)
    expected = [
        [descriptor_reference.lpq_parts(descriptor_reference.picture(image), x, y) for x in range(3, 8)]
        for y in range(3, 6)
    ]
    np.testing.assert_allclose(found.transpose(1, 2, 0), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("frequency", range(4))
@pytest.mark.parametrize(
    ("phase_deg", "real", "imaginary"), [(40, 1, -1), (130, -1, -1), (220, -1, 1), (310, 1, 1)]
)
def test_a_cosine_answers_at_its_own_frequency_in_the_quadrant_of_its_phase(
    frequency: int, phase_deg: float, real: int, imaginary: int
) -> None:
    right, down = descriptor_reference.FREQUENCIES[frequency]
    y, x = np.mgrid[-3:4, -3:4]
    phase = math.radians(phase_deg)
    image = 0.5 + 0.5 * np.cos(2 * np.pi * (right * x + down * y) + phase)
    found = frequency_responses(image)[:, 0, 0]
    # 49 pixels, of which half the amplitude 0.5 turns this way; f(x - y) turns against the phase
    expected = np.zeros(8)
    expected[2 * frequency : 2 * frequency + 2] = 12.25 * math.cos(phase), -12.25 * math.sin(phase)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert np.sign(found[2 * frequency : 2 * frequency + 2]).tolist() == [real, imaginary]


def test_components_are_independent_and_the_strongest_comes_first() -> None:
    rows = decorrelation()
    np.testing.assert_allclose(rows @ rows.T, np.eye(8), rtol=0, atol=1e-12)
    covariance = rows @ np.array(descriptor_reference.lpq_covariance()) @ rows.T
    strengths = np.diag(covariance)
    # up to the millionths that keep equal ones apart
    np.testing.assert_allclose(covariance, np.diag(strengths), rtol=0, atol=1e-4 * strengths[0])
    assert (np.diff(strengths) < 1e-4).all()


def test_the_signs_of_components_follow_the_convention() -> None:
    for row in decorrelation():
        notable = row[np.abs(row) > np.abs(row).max() / 10]
        assert notable[0] > 0
    np.testing.assert_allclose(decorrelation(), descriptor_reference.lpq_axes(), rtol=0, atol=1e-8)


def test_a_constant_picture_has_one_code() -> None:
    for level in (0.0, 0.3, 1.0):
        found = lpq(np.full((20, 30), level))
        assert (found[255], found.sum()) == (1, 1)


def test_an_even_slope_has_the_code_of_its_one_response() -> None:
    # getting brighter to the right leaves Im F(u1) = 14 slope (sin 1s + 2 sin 2s + 3 sin 3s) > 0 alone,
    # s = 2 pi / 7; of the components that read it, the first takes it with +, numbers 1, 5 and 6 with -
    slope = np.tile(np.linspace(0, 1, 15), (9, 1))
    response = frequency_responses(slope)[:, 1, 4]
    expected = 14 / 14 * sum(d * math.sin(2 * math.pi * d / 7) for d in (1, 2, 3))
    np.testing.assert_allclose(response, [0, expected, *[0] * 6], rtol=0, atol=1e-12)
    assert set(lpq_codes(slope).ravel().tolist()) == {255 - 2**1 - 2**5 - 2**6}
    assert set(lpq_codes(1 - slope).ravel().tolist()) == {255 - 2**0}


def test_the_histogram_counts_the_codes() -> None:
    image = noise(9, 8, seed=4)
    codes = lpq_codes(image).ravel().tolist()
    assert len(codes) == 6
    assert {code: share for code, share in enumerate(lpq(image).tolist()) if share} == {
        code: pytest.approx(codes.count(code) / 6) for code in codes
    }


def test_brightness_and_contrast_change_no_code_and_a_negative_changes_every_bit() -> None:
    image = noise(20, 20) / 255
    np.testing.assert_array_equal(lpq_codes(0.3 * image + 0.5), lpq_codes(image))
    np.testing.assert_array_equal(lpq_codes(1 - image), 255 - lpq_codes(image))


@pytest.mark.parametrize("shape", [(6, 40), (40, 6), (1, 1)])
def test_a_picture_smaller_than_the_window_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(BadData, match=f"{shape[0]}x{shape[1]} pixels.*7x7.*`size` of 7"):
        lpq(noise(*shape))
