"""How values of a search are written, and the settings that they stand for."""

from __future__ import annotations

import pytest

from emoprune.errors import UsageFault
from emoprune.search.config import FIXABLE, SEARCHABLE, check_names, parse_fixed, trial_settings
from emoprune.search.space import Space, Value
from emoprune.training.config import SETTINGS, train_config


@pytest.mark.parametrize(
    ("values", "settings"),
    [
        ({"lr": 1, "epochs": 3, "arch": "mlp"}, {"lr": 1.0, "epochs": 3, "arch": "mlp"}),
        ({"lr": "1e-3", "epochs": "5", "size": 16}, {"lr": 0.001, "epochs": 5, "size": "16"}),
        ({"hidden": 8, "channels": "3+5"}, {"hidden": (8,), "channels": (3, 5)}),
        ({"hidden": "8", "layers": 3}, {"hidden": (8, 8, 8)}),
        ({"augment": "flip+rotate:10"}, {"augment": ("flip,rotate:10",)}),
        ({"augment": "none", "gray": "yes"}, {"augment": ("none",), "gray": True}),
        ({"gray": "no", "mean": "0.5,0.4,0.3"}, {"gray": False, "mean": "0.5,0.4,0.3"}),
    ],
)
def test_trial_settings_are_those_that_values_stand_for(
    values: dict[str, Value], settings: dict[str, object]
) -> None:
    found = trial_settings(values)
    assert (found, list(map(type, found.values()))) == (settings, list(map(type, settings.values())))
    train_config(**found)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"epochs": "many"}, "`epochs=many` is not a whole number"),
        ({"epochs": "2.5"}, "`epochs=2.5` is not a whole number"),
        ({"lr": "fast"}, "`lr=fast` is not a number"),
        ({"hidden": "20+many"}, "`hidden=many`"),
        ({"gray": "perhaps"}, "write yes or no"),
        ({"hidden": 4, "layers": 0}, "layers=0"),
        ({"hidden": "4+8", "layers": 2}, "give one of them"),
    ],
)
def test_trial_settings_refuses_other_values(values: dict[str, Value], says: str) -> None:
    with pytest.raises(UsageFault) as caught:
        trial_settings(values)
    assert says in str(caught.value)


def test_what_varies_is_a_setting_and_fixed_for_no_trial_alone() -> None:
    assert FIXABLE.keys() - SETTINGS.keys() == {"layers"}
    assert FIXABLE.keys() - SEARCHABLE.keys() == {"arch_args", "classes", "gray", "mean", "std"}
    assert (FIXABLE["hidden"], FIXABLE["lr"], FIXABLE["size"], FIXABLE["optimizer"]) == (int, float, str, str)


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (("epoch=5",), "`fixed=epoch`: unknown; did you mean epochs?"),
        (("seed=5",), "unknown"),
        (("epochs",), "has no value"),
        (("epochs=5", "epochs=6"), "given twice"),
    ],
)
def test_parse_fixed_refuses_what_is_not_a_setting_with_a_value(texts: tuple[str, ...], says: str) -> None:
    with pytest.raises(UsageFault) as caught:
        parse_fixed(texts)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("spaces", "fixed", "says"),
    [
        ((), {}, "no `space` is given"),
        (("lr", "lr"), {}, "`space=lr` is given twice"),
        (("lr",), {"lr": "1"}, "both searched and `fixed`"),
        (("layers",), {"lr": "1"}, "add `space=hidden=...`"),
    ],
)
def test_check_names_refuses_names_that_contradict_each_other(
    spaces: tuple[str, ...], fixed: dict[str, str], says: str
) -> None:
    with pytest.raises(UsageFault) as caught:
        check_names([Space(name, "linear", 0, 1) for name in spaces], fixed)
    assert says in str(caught.value)
