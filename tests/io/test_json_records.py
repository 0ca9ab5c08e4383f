import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emoprune.errors import InvalidRecord
from emoprune.io.json_records import decode


@dataclass(frozen=True)
class Inner:
    name: str
    sides: tuple[int, int] = (1, 1)


@dataclass(frozen=True)
class Outer:
    kind: Literal["cat", "dog"]
    weight: float
    alive: bool
    parts: tuple[Inner, ...]
    by_name: Mapping[str, Inner]
    note: str | None = None
    rest: Mapping[str, Any] = field(default_factory=dict)


INNERS = st.builds(Inner, st.text(), st.tuples(st.integers(), st.integers()))
OUTERS = st.builds(
    Outer,
    st.sampled_from(("cat", "dog")),
    st.floats(allow_nan=False),
    st.booleans(),
    st.lists(INNERS, max_size=3).map(tuple),
    st.dictionaries(st.text(), INNERS, max_size=3),
    st.none() | st.text(),
    st.dictionaries(st.text(), st.none() | st.integers() | st.lists(st.text())),
)
GOOD: dict[str, Any] = {
    "kind": "cat",
    "weight": 4.5,
    "alive": True,
    "parts": [{"name": "tail", "sides": [1, 2]}],
    "by_name": {"paw": {"name": "left"}},
}


@given(OUTERS)
@settings(max_examples=80, deadline=None)
def test_a_record_survives_json(record: Outer) -> None:
    assert decode(Outer, json.loads(json.dumps(dataclasses.asdict(record)))) == record


def test_fields_left_out_take_their_defaults() -> None:
    found = decode(Outer, GOOD)
    assert (found.note, found.rest, found.by_name["paw"].sides) == (None, {}, (1, 1))


def test_unknown_keys_are_passed_over() -> None:
    assert decode(Outer, {**GOOD, "new": 1}) == decode(Outer, GOOD)


def test_whole_numbers_are_floats_too_but_not_the_reverse() -> None:
    found = decode(Outer, {**GOOD, "weight": 4})
    assert found.weight == 4.0
    assert type(found.weight) is float
    with pytest.raises(InvalidRecord, match=r"sides\[0\] cannot be 1\.0"):
        decode(Inner, {"name": "a", "sides": [1.0, 2]})


@pytest.mark.parametrize("name", ["kind", "weight", "alive", "parts", "by_name"])
def test_a_field_without_default_may_not_be_missing(name: str) -> None:
    with pytest.raises(InvalidRecord, match=f"lacks {name}"):
        decode(Outer, {key: value for key, value in GOOD.items() if key != name})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"kind": "cow"}, "kind"),
        ({"kind": ["cat"]}, "kind"),
        ({"kind": None}, "kind"),
        ({"weight": "4.5"}, "weight"),
        ({"weight": True}, "weight"),
        ({"weight": None}, "weight"),
        ({"weight": 10**400}, "weight"),
        ({"alive": 1}, "alive"),
        ({"alive": "yes"}, "alive"),
        ({"parts": {}}, "parts"),
        ({"parts": "tail"}, "parts"),
        ({"parts": [5]}, "parts[0]"),
        ({"parts": [GOOD["parts"][0], {"name": 5}]}, "parts[1].name"),
        ({"parts": [{"name": "a", "sides": [1]}]}, "parts[0].sides"),
        ({"parts": [{"name": "a", "sides": [1, 2, 3]}]}, "parts[0].sides"),
        ({"parts": [{"name": "a", "sides": [1, True]}]}, "parts[0].sides[1]"),
        ({"by_name": []}, "by_name"),
        ({"by_name": {"paw": {"name": []}}}, "by_name.paw.name"),
        ({"note": 5}, "note"),
        ({"rest": []}, "rest"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_value_is_named_by_its_path(change: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRecord) as caught:
        decode(Outer, {**GOOD, **change})
    assert caught.value.fact.startswith(f"{named} cannot be ")


def test_a_missing_field_deep_inside_is_named_by_its_path() -> None:
    with pytest.raises(InvalidRecord, match=r"lacks card\.parts\[0\]\.name"):
        decode(Outer, {**GOOD, "parts": [{}]}, path="card")


def test_a_long_value_is_shown_short_and_on_one_line() -> None:
    with pytest.raises(InvalidRecord) as caught:
        decode(str, ["line\n" * 1000], path="name")
    assert len(caught.value.fact) < 80
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [None, [], "text", 5, True])
def test_what_is_no_object_is_no_record(value: object) -> None:
    with pytest.raises(InvalidRecord):
        decode(Outer, value, path="card")
