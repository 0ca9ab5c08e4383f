"""The support vector machine is scikit-learn's, in a network's tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.svm import SVC
from torch import Tensor, nn

from emoprune.choices import Scale
from emoprune.networks.build import restore
from emoprune.networks.svm import fitted_svm
from emoprune.networks.table_networks import fitted_scaling
from emoprune.networks.types import Spec


def rows(classes: int, n: int = 90, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Overlapping clouds, columns of very different scales, labels of uneven counts in mixed order."""
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.rand(n, generator=generator).square() * classes).long()
    labels[:classes] = torch.arange(classes).flip(0)
    centres = torch.randn(classes, 5, generator=generator)
    values = centres[labels] + 1.2 * torch.randn(n, 5, generator=generator)
    return values * torch.tensor([1.0, 0.01, 30.0, 2.0, 1.0]) + 3, labels


def machine(
    classes: int, values: Tensor, labels: Tensor, scale: Scale, *, penalty: float
) -> tuple[Spec, nn.Module]:
    scaling = fitted_scaling(values, scale, columns="abcde")
    return fitted_svm(Spec("svm", classes, (5,)), values, labels, scaling, penalty=penalty)


def scaled(net: nn.Module, values: Tensor) -> np.ndarray:
    """Rows as the machine scales them: libsvm stops early, so the least rounding of a row may show."""
    array: np.ndarray = net.get_submodule("scaling")(values).numpy()
    return array


def reference(net: nn.Module, values: Tensor, labels: Tensor, penalty: float) -> SVC:
    wanted = SVC(C=penalty, decision_function_shape="ovr", break_ties=True)
    return wanted.fit(scaled(net, values), labels.numpy())


SCALES: list[Scale] = ["minmax", "standard", "none"]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("penalty", [0.3, 1.0, 20.0])
@pytest.mark.parametrize("classes", [3, 7])
def test_scores_are_scikit_learns_decision_function(classes: int, penalty: float, scale: Scale) -> None:
    values, labels = rows(classes)
    _, net = machine(classes, values, labels, scale, penalty=penalty)
    wanted, own = reference(net, values, labels, penalty), scaled(net, values)
    with torch.no_grad():
        found = net(values).numpy()
    expected = wanted.decision_function(own)
    # a pair that is all but undecided may fall to either side by rounding, and votes are whole
    pairs = SVC(C=penalty, decision_function_shape="ovo").fit(own, labels.numpy())
    clear = np.abs(pairs.decision_function(own)).min(1) > 1e-4
    assert clear.mean() > 0.9
    np.testing.assert_allclose(found[clear], expected[clear], rtol=0, atol=1e-4)
    np.testing.assert_array_equal(found[clear].argmax(1), wanted.predict(own)[clear])


@pytest.mark.parametrize("scale", SCALES)
def test_of_two_classes_predictions_and_their_order_are_scikit_learns(scale: Scale) -> None:
    values, labels = rows(2)
    _, net = machine(2, values, labels, scale, penalty=1.0)
    wanted, own = reference(net, values, labels, 1.0), scaled(net, values)
    decision = wanted.decision_function(own)
    clear = np.abs(decision) > 1e-4
    with torch.no_grad():
        found = net(values).numpy()
    np.testing.assert_array_equal(found.argmax(1)[clear], wanted.predict(own)[clear])
    ranked = (found[:, 1] - found[:, 0])[np.argsort(decision)]
    assert np.diff(ranked).min() > -1e-4, "the surer of the second class, the higher it scores"


def test_rows_that_it_was_not_fitted_to_are_told_apart_as_scikit_learn_does() -> None:
    values, labels = rows(3)
    fresh, _ = rows(3, n=200, seed=5)
    _, net = machine(3, values, labels, "minmax", penalty=1.0)
    wanted = reference(net, values, labels, 1.0)
    with torch.no_grad():
        agree = net(fresh).argmax(1).numpy() == wanted.predict(scaled(net, fresh))
    assert agree.mean() >= 0.99


def test_the_spec_counts_the_support_vectors_and_rebuilds_the_machine() -> None:
    values, labels = rows(3)
    spec, net = machine(3, values, labels, "minmax", penalty=1.0)
    wanted = reference(net, values, labels, 1.0)
    assert spec.hidden == (len(wanted.support_vectors_),)
    again = restore(spec, {name: value.clone() for name, value in net.state_dict().items()})
    with torch.no_grad():
        assert torch.equal(again(values), net(values))


def test_fitting_leaves_the_given_rows_as_they_were() -> None:
    values, labels = rows(3)
    before = values.clone()
    machine(3, values, labels, "standard", penalty=1.0)
    assert torch.equal(values, before)


def test_columns_that_never_vary_leave_a_machine_with_scores() -> None:
    values, labels = torch.full((12, 5), 3.0), torch.arange(12) % 3
    _, net = machine(3, values, labels, "minmax", penalty=1.0)
    with torch.no_grad():
        assert bool(net(values).isfinite().all())
