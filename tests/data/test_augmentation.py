import pytest
from hypothesis import given
from hypothesis import strategies as st

from emoprune.data.augmentation import AUGMENTATIONS, parse_augmentations
from emoprune.errors import UsageFault

names = st.sampled_from(sorted(AUGMENTATIONS))


def test_parse_augmentations_of_nothing_is_empty() -> None:
    assert parse_augmentations([]) == {}


@given(names)
def test_parse_augmentations_takes_the_default_strength(name: str) -> None:
    kind = AUGMENTATIONS[name]
    assert parse_augmentations([name]) == {name: kind.default}
    assert 0 < kind.default <= kind.up_to


@given(names, st.floats(0, 1, exclude_min=True))
def test_parse_augmentations_takes_a_strength_within_the_range(name: str, share: float) -> None:
    kind = AUGMENTATIONS[name]
    strength = share * kind.up_to
    assert parse_augmentations([f"{name}:{strength!r}"]) == {name: strength}


@given(names)
def test_parse_augmentations_takes_the_upper_end_but_not_the_lower(name: str) -> None:
    kind = AUGMENTATIONS[name]
    assert parse_augmentations([f"{name}:{kind.up_to}"]) == {name: kind.up_to}
    with pytest.raises(UsageFault, match=name):
        parse_augmentations([f"{name}:0"])


@given(names, st.floats(allow_nan=True, allow_infinity=True))
def test_parse_augmentations_refuses_a_strength_outside_the_range(name: str, strength: float) -> None:
    kind = AUGMENTATIONS[name]
    if 0 < strength <= kind.up_to:
        return
    with pytest.raises(UsageFault, match="strength"):
        parse_augmentations([f"{name}:{strength}"])


@pytest.mark.parametrize("text", ["rotate:much", "flip:0.5:1", "shift:1;5", "crop:50%"])
def test_parse_augmentations_refuses_a_strength_that_is_not_a_number(text: str) -> None:
    with pytest.raises(UsageFault, match="strength"):
        parse_augmentations([text])


@pytest.mark.parametrize("text", ["", "mirror", "Flip", " flip", ":0.5", "flip=1", "flip,"])
def test_parse_augmentations_lists_the_known_names(text: str) -> None:
    with pytest.raises(UsageFault) as caught:
        parse_augmentations([text])
    assert all(name in caught.value.remedy for name in AUGMENTATIONS)


def test_parse_augmentations_splits_at_commas() -> None:
    assert parse_augmentations(["rotate:5,flip", "crop"]) == parse_augmentations(["rotate:5", "flip", "crop"])


def test_parse_augmentations_keeps_several() -> None:
    assert parse_augmentations(["rotate:5", "flip"]) == {"rotate": 5, "flip": AUGMENTATIONS["flip"].default}
