import pytest
from hypothesis import given
from hypothesis import strategies as st

from emoprune.data.augmentation import AUGMENTATIONS, parse_augmentations
from emoprune.errors import UsageFault

names = st.sampled_from(sorted(AUGMENTATIONS))


def test_nothing_asked_is_nothing_chosen() -> None:
    assert parse_augmentations([]) == {}


@given(names)
def test_a_name_alone_has_its_default_which_is_allowed(name: str) -> None:
    kind = AUGMENTATIONS[name]
    assert parse_augmentations([name]) == {name: kind.default}
    assert kind.above < kind.default <= kind.up_to


@given(names, st.floats(0, 1, exclude_min=True))
def test_a_strength_within_the_range_is_taken_as_written(name: str, share: float) -> None:
    kind = AUGMENTATIONS[name]
    strength = kind.above + share * (kind.up_to - kind.above)
    assert parse_augmentations([f"{name}:{strength!r}"]) == {name: strength}


@given(names)
def test_the_upper_end_of_the_range_belongs_to_it_and_the_lower_does_not(name: str) -> None:
    kind = AUGMENTATIONS[name]
    assert parse_augmentations([f"{name}:{kind.up_to}"]) == {name: kind.up_to}
    with pytest.raises(UsageFault, match=name):
        parse_augmentations([f"{name}:{kind.above}"])


@given(names, st.floats(allow_nan=True, allow_infinity=True))
def test_a_strength_outside_the_range_is_a_usage_fault(name: str, strength: float) -> None:
    kind = AUGMENTATIONS[name]
    if kind.above < strength <= kind.up_to:
        return
    with pytest.raises(UsageFault, match="strength"):
        parse_augmentations([f"{name}:{strength}"])


@pytest.mark.parametrize("text", ["rotate:much", "flip:0.5:1", "shift:1;5", "crop:50%"])
def test_a_strength_that_is_no_number_is_a_usage_fault(text: str) -> None:
    with pytest.raises(UsageFault, match="strength"):
        parse_augmentations([text])


@pytest.mark.parametrize("text", ["", "mirror", "Flip", " flip", ":0.5", "flip=1", "flip,"])
def test_an_unknown_name_is_a_usage_fault_that_lists_the_known(text: str) -> None:
    with pytest.raises(UsageFault) as caught:
        parse_augmentations([text])
    assert all(name in caught.value.remedy for name in AUGMENTATIONS)


def test_a_list_with_commas_is_the_same_as_one_by_one() -> None:
    assert parse_augmentations(["rotate:5,flip", "crop"]) == parse_augmentations(["rotate:5", "flip", "crop"])


def test_several_are_kept_side_by_side() -> None:
    assert parse_augmentations(["rotate:5", "flip"]) == {"rotate": 5, "flip": AUGMENTATIONS["flip"].default}
