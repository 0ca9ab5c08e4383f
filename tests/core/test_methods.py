"""Every selection method is found by name without torch and does what its function does."""

import subprocess
import sys

import pytest
import torch

from emoprune.core import selection
from emoprune.core.methods import METHODS, Method
from emoprune.records import HiddenLayer, LayerView, Removal, UnitStatistics


def test_tables_of_choices_are_known_before_torch_is_imported() -> None:
    tables = "methods, architectures, augmentations"
    code = f"import sys; from emoprune.core import {tables}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_names_a_function_of_the_selection_module(name: str) -> None:
    module, _, function = METHODS[name].function.partition(":")
    assert module == selection.__name__
    assert callable(getattr(selection, function))
    assert METHODS[name].meaning


def test_a_method_hands_the_view_to_its_function_and_its_answer_back() -> None:
    activations = torch.rand(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    activations[:, 2] = activations[:, 0]
    statistics = UnitStatistics(
        20, activations.T @ activations, activations.sum(0), activations.amin(0), activations.amax(0)
    )
    layer = HiddenLayer("hidden1", "sigmoid", ("output",))
    view = LayerView(layer, statistics, torch.rand(3, 4), None, {"output": (torch.rand(2, 3), None)})
    asked = selection.Selection(angle_deg=15.0, centre="half", merge="sum")
    answer = METHODS["distinct"](view, asked)
    assert isinstance(answer, Removal)
    assert answer == selection.distinct(view, asked)
    assert answer.similar == (2,)


def test_a_method_of_a_missing_module_fails_when_it_is_called_not_when_it_is_made() -> None:
    method = Method("emoprune.core.nowhere:nothing", "a slip of the pen")
    with pytest.raises(ModuleNotFoundError):
        method(None, None)  # type: ignore[arg-type]  # it must fail before it looks at either
