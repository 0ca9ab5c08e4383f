"""Words that are numbers, and words that only look like it."""

import pytest

from emoprune.errors import UsageFault
from emoprune.io.key_values import keyed, number_or_text


@pytest.mark.parametrize(
    ("text", "value"), [("20", 20), ("-3", -3), ("1e-3", 0.001), (".5", 0.5), ("2.", 2.0), ("+1.5E2", 150.0)]
)
def test_number_or_text_reads_decimal_notation(text: str, value: float) -> None:
    assert number_or_text(text) == value
    assert type(number_or_text(text)) is type(value)


@pytest.mark.parametrize("text", ["", "nan", "inf", "1_000", "0x10", "1e", "e1", "1 ", "20+20", "٣"])
def test_number_or_text_keeps_other_text(text: str) -> None:
    assert number_or_text(text) == text


def test_keyed_splits_at_the_first_equals_sign() -> None:
    assert keyed("--set", ["a=1", "b=c=d", " e= f"]) == {"a": "1", "b": "c=d", " e": " f"}
    assert keyed("--set", ["a="], empty=True) == {"a": ""}


@pytest.mark.parametrize(
    ("texts", "empty", "says"),
    [
        (["a=1", "b"], True, "--set b has no value; give KEY=VALUE"),
        (["a="], False, "--set a= has no value; give KEY=VALUE"),
        (["a=1", "a=1"], False, "--set a is given twice; give it once"),
    ],
)
def test_keyed_refuses_a_key_without_a_value_or_with_two(texts: list[str], empty: bool, says: str) -> None:
    with pytest.raises(UsageFault) as caught:
        keyed("--set", texts, empty=empty)
    assert str(caught.value) == says
