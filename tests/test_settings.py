"""Settings: what a config dataclass takes and what it refuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from emoprune.choices import Merge
from emoprune.errors import UsageFault
from emoprune.settings import check_limits, setting, settings_of


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings with limits."""

    count: int | None = setting(None, "A count.", low=1)
    share: float = setting(0.5, "A share.", metavar="FRACTION", low=0, high=1)
    widths: tuple[int, ...] = setting((), "Widths.", low=1)
    name: str = setting("a", "A name.", names=("a", "b"))
    whole: bool = setting(False, "A flag.")
    merge: Merge | None = setting(None, "A choice.")
    inner: int = 0

    def __post_init__(self) -> None:
        check_limits(self)


def test_settings_are_the_fields_that_were_declared_so() -> None:
    found = settings_of(Config)
    assert list(found) == ["count", "share", "widths", "name", "whole", "merge"]
    assert [name for name, entry in found.items() if entry.fraction] == ["share"]


@pytest.mark.parametrize(
    "values",
    [
        *({}, {"count": 1}, {"share": 0}, {"share": 1.0}, {"widths": (1, 9)}, {"name": "b"}, {"inner": -1}),
        *({"count": np.int64(3)}, {"share": np.float32(0.5)}, {"widths": [2]}),
        *({"whole": True}, {"merge": "sum"}),
    ],
)
def test_values_within_the_limits_are_taken(values: dict[str, Any]) -> None:
    assert Config(**values)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"count": 0}, "`count=0` is out of range; give 1 or more"),
        ({"share": 1.5}, "`share=1.5` is out of range; give 0 to 1"),
        ({"share": float("nan")}, "`share=nan` is out of range; give 0 to 1"),
        ({"widths": (3, 0)}, "`widths=0` is out of range; give 1 or more"),
        ({"name": "c"}, "`name=c` is unknown; choose from a, b"),
        ({"merge": "mean"}, "`merge=mean` is unknown; choose from sum, lstsq"),
        ({"count": np.int64(0)}, "`count=0` is out of range; give 1 or more"),
        ({"count": 1.5}, "`count=1.5` is not a whole number; give one"),
        ({"count": True}, "`count=True` is not a whole number; give one"),
        ({"share": "0.5"}, "`share=0.5` is not a number; give one"),
        ({"share": None}, "`share=None` is not a number; give one"),
        ({"widths": "12"}, "`widths=12` is not a list; give a list"),
        ({"widths": ("1",)}, "`widths=1` is not a whole number; give one"),
        ({"name": 3}, '`name=3` is not a text; write "3"'),
        ({"whole": 1}, "`whole=1` is not true or false; give one"),
        ({"merge": Merge}, "is not a text; give one"),
    ],
)
def test_values_outside_the_limits_are_refused_by_name(values: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageFault) as refused:
        Config(**values)
    assert str(refused.value).endswith(says)
