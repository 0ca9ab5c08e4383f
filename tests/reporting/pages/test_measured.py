"""How it was measured: what the records say, and no more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from emoprune.reporting.pages import measured as pages_measured
from emoprune.reporting.types import Runs
from tests.support.answers import answers
from tests.support.sweeps import measured, swept


def test_tables_have_a_row_for_each_part_and_each_network() -> None:
    runs = (*swept(split="test", test_looks=4), measured("other", 0.5, test_looks=None, seen=None))
    images, networks = pages_measured.tables(Runs(runs))
    assert images.rows == (
        ("faces", "d" * 64, "test", "210", "13", "4", "0"),
        ("faces", "d" * 64, "val", "210", "1", None, None),
    )
    assert len(networks.rows) == 14
    assert networks.rows[0] == ("whole network.st", "whole networ", "whole network", "macs 1, seed 0")
    (answered,) = pages_measured.tables(Runs(predictions=(answers("m", "aab"),)))
    assert answered.rows == (("m", "model of m", "data", "3"),)
    assert [*pages_measured.tables(Runs())] == []


@pytest.mark.parametrize(
    ("looks", "says"), [((4, 4), "4"), ((0, 3), "up to 3"), ((None, 3), "up to 3"), ((None, None), None)]
)
def test_looks_of_several_networks_are_their_most(looks: tuple[int | None, ...], says: str | None) -> None:
    found = tuple(measured(f"m{place}", 0.5, test_looks=many) for place, many in enumerate(looks))
    assert next(pages_measured.tables(Runs(found))).rows[0][5] == says


def test_parts_name_the_data_where_all_networks_share_them() -> None:
    runs = swept(data="my/faces/")
    assert pages_measured.parts(Runs(runs)) == "13 networks on faces, part val"
    other = replace(runs[0], split="test")
    assert pages_measured.parts(Runs((*runs, other))) == "14 networks"
    assert pages_measured.parts(Runs()) == ""
