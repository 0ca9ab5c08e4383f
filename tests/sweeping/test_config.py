"""What a sweep is asked for, and the combinations that this comes to."""

from __future__ import annotations

from typing import Any

import pytest

from emoprune.errors import UsageFault
from emoprune.sweeping.config import Combination, SweepConfig


def names(**settings: Any) -> list[str]:
    return [each.name for each in SweepConfig(**settings).combinations()]


def layer_of(config: SweepConfig) -> str | None:
    first = config.combinations()[0]
    assert isinstance(first, Combination)
    return first.prune_config(config).layer


def test_every_method_meets_every_merge_and_every_amount() -> None:
    found = names(methods=("distinct", "reconstruct"), macs=(0.5, 0.25), merge=("sum", "lstsq"))
    assert found == [
        *("distinct.sum.macs0.5", "distinct.sum.macs0.25", "distinct.macs0.5", "distinct.macs0.25"),
        *("reconstruct.sum.macs0.5", "reconstruct.sum.macs0.25"),
        *("reconstruct.macs0.5", "reconstruct.macs0.25"),
    ]


def test_three_methods_and_four_budgets_are_usual_and_angles_are_of_one() -> None:
    usual = SweepConfig().combinations()
    assert [each.label for each in usual[::4]] == ["distinct", "importance", "reconstruct"]
    assert [each.amount.value for each in usual[:4]] == [0.75, 0.5, 0.25, 0.125]
    assert names(angles=(10, 30.5)) == ["distinct.angle10", "distinct.angle30.5"]


def test_a_method_without_merge_is_made_once_with_a_note(told: pytest.LogCaptureFixture) -> None:
    found = names(methods=("magnitude",), amounts=(0.5,), merge=("sum", "lstsq"))
    assert found == ["magnitude.amount0.5"]
    assert told.messages == ["`methods=magnitude` has no use for `merge`, and is made once"]


def test_budgets_are_of_all_layers_and_angles_of_those_that_prune_chooses() -> None:
    for settings, layer in (({"macs": (0.5,)}, "*"), ({"angles": (9.0,)}, None)):
        assert layer_of(SweepConfig(**settings)) == layer  # type: ignore[arg-type]
    assert layer_of(SweepConfig(layer="conv*")) == "conv*"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"methods": ("distinkt",)}, "`methods=distinkt` is unknown; did you mean distinct?"),
        ({"methods": ("distinct", "distinct")}, "`methods` has distinct twice; give each once"),
        ({"macs": (0.5, 0.25, 0.5)}, "`macs` has 0.5 twice; give each once"),
        ({"macs": (0,)}, "`macs=0` is out of range; give 0.001 to 1"),
        ({"macs": (1.5,)}, "`macs=1.5` is out of range; give 0.001 to 1"),
        ({"angles": (120.0,)}, "`angles=120.0` is out of range; give 0 to 90"),
        ({"macs": (0.5,), "angles": (10.0,)}, "`macs` and `angles` both set the amounts; give one of them"),
        ({"methods": ("reconstruct",), "angles": (10.0,)}, "`method=reconstruct` ignores angles"),
        ({"methods": ("magnitude",), "macs": (0.5,)}, "removes single weights, which does not lower `macs`"),
        ({"rivals": True, "params": (0.5,)}, "`rivals` prune to fractions of the multiply-accumulates"),
        ({"heal": 0}, "`heal=0` is out of range"),
    ],
)
def test_what_no_combination_can_have_is_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageFault) as caught:
        SweepConfig(**settings)
    assert says in str(caught.value)
