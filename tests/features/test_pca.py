"""Principal components: fitted to a part, the same every time, and refused where there are none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from emoprune.errors import UsageFault
from emoprune.features.pca import principal_components, require_samples

GENERATOR = np.random.default_rng(0)
VALUES = torch.from_numpy(GENERATOR.normal(size=(30, 6)) @ GENERATOR.normal(size=(6, 6)) + 5)
TRAIN = torch.arange(0, 30, 2)


def test_components_are_the_eigenvectors_of_the_fitted_rows_with_their_largest_entry_positive() -> None:
    found, explained = principal_components(VALUES, TRAIN, 3, kind="lpq")
    fitted = VALUES[TRAIN].numpy()
    strengths, axes = np.linalg.eigh(np.cov(fitted.T))
    axes = axes[:, ::-1][:, :3]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), range(3)])
    expected = (VALUES.numpy() - fitted.mean(axis=0)) @ axes
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-10)
    assert explained == pytest.approx(strengths[::-1][:3].sum() / strengths.sum())


def test_rows_outside_the_fitted_part_move_nothing_but_themselves() -> None:
    changed = VALUES.clone()
    changed[1::2] *= -7
    before, after = (principal_components(values, TRAIN, 4, kind="lpq")[0] for values in (VALUES, changed))
    assert torch.equal(before[TRAIN], after[TRAIN])
    assert not torch.allclose(before[1::2], after[1::2])


def test_few_samples_of_many_features_have_components() -> None:
    wide = torch.from_numpy(GENERATOR.normal(size=(5, 40)))
    found, explained = principal_components(wide, torch.arange(5), 4, kind="lpq")
    # all that there is: distances are as before
    torch.testing.assert_close(torch.cdist(found, found), torch.cdist(wide, wide))
    assert explained == pytest.approx(1)


def test_as_many_components_as_samples_are_refused() -> None:
    require_samples(4, fitted=5)
    with pytest.raises(UsageFault, match="`pca=5` is more than the 4 components of 5 training samples"):
        principal_components(VALUES, torch.arange(5), 5, kind="lpq")


def test_more_components_than_features_are_refused() -> None:
    with pytest.raises(UsageFault, match=r"`pca=7` .* lpq has features \(6\)"):
        principal_components(VALUES, TRAIN, 7, kind="lpq")


@pytest.mark.parametrize("directions", [0, 2])
def test_more_components_than_the_part_has_directions_are_refused(directions: int) -> None:
    # rank two of histograms that sum to one, or none at all; the other rows have all six
    flat = VALUES.clone()
    flat[TRAIN] = torch.rand(15, directions, dtype=torch.float64) @ VALUES[:directions] / 3 + 0.1
    with pytest.raises(UsageFault, match=f"`pca=3` .* {directions} directions that phog has"):
        principal_components(flat, TRAIN, 3, kind="phog")
