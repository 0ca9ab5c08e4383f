"""What a network that reconstructs is fed with: the row, then the index of its class."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from emoprune.data.datasets import open_data
from emoprune.data.types import Preprocess, Table
from emoprune.errors import BadData
from emoprune.evaluation.model import labels_for, outputs, samples
from tests.support.feature_tables import draw_table

WITH_LABEL = Preprocess(kind="table", label=True)


@pytest.fixture
def drawn(tmp_path: Path) -> Table:
    """A table of four columns and three classes."""
    found = open_data(str(draw_table(tmp_path / "t.csv", columns=4, samples=12)))
    assert isinstance(found, Table)
    return found


def test_outputs_stand_for_the_columns_and_the_label(drawn: Table, small: Path) -> None:
    assert outputs(drawn, "reconstruct") == ("x0", "x1", "x2", "x3", "label")
    assert outputs(drawn, "classify") == ("a", "b", "c")
    assert outputs(open_data(str(small)), "classify") == ("angry", "happy", "surprise")


def test_the_label_goes_in_as_the_last_column(drawn: Table) -> None:
    found = samples(drawn, WITH_LABEL, (5,))
    rows = found.batch(torch.tensor([0, 4, 11]))
    assert torch.equal(rows[:, :4], drawn.values[[0, 4, 11]])
    assert rows[:, 4].tolist() == [0, 1, 2]
    assert rows.dtype == torch.float32


def test_labels_that_are_given_go_in_instead_of_its_own(drawn: Table) -> None:
    given = torch.full((12,), 7)
    found = samples(drawn, WITH_LABEL, (5,), given)
    assert found.batch(torch.arange(12))[:, 4].tolist() == [7] * 12
    assert torch.equal(found.labels, given)


def test_without_a_label_the_row_goes_in_as_it_is(drawn: Table) -> None:
    found = samples(drawn, Preprocess(kind="table"), (4,))
    assert torch.equal(found.batch(torch.arange(12)), drawn.values)


@pytest.mark.parametrize(("preprocess", "width", "takes"), [(WITH_LABEL, 4, 3), (WITH_LABEL, 6, 5)])
def test_a_width_is_told_without_the_label(
    drawn: Table, preprocess: Preprocess, width: int, takes: int
) -> None:
    with pytest.raises(BadData, match=f"has 4 features, and the network takes {takes}"):
        samples(drawn, preprocess, (width,))


def test_labels_are_places_among_the_models_classes(drawn: Table) -> None:
    own = torch.tensor(drawn.catalogue.labels)
    assert torch.equal(labels_for(drawn, ("a", "b", "c")), own)
    # the model may know more, in any order
    turned = labels_for(drawn, ("c", "x", "b", "a"))
    assert torch.equal(turned, torch.tensor([3, 2, 0])[own])


def test_a_network_that_classifies_nothing_takes_labels_as_they_are(drawn: Table) -> None:
    found = labels_for(drawn, outputs(drawn, "reconstruct"), "reconstruct")
    assert found.tolist() == list(drawn.catalogue.labels)
    with pytest.raises(BadData, match="class a is none of the model's"):
        labels_for(drawn, outputs(drawn, "reconstruct"), "classify")
