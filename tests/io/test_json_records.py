import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emoprune.errors import InvalidRecord
from emoprune.io.json_records import decode, loads


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
    st.floats(-1e99, 1e99),
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
def test_decode_gives_back_what_json_wrote(record: Outer) -> None:
    assert decode(Outer, json.loads(json.dumps(dataclasses.asdict(record)))) == record


def test_decode_fills_in_defaults() -> None:
    found = decode(Outer, GOOD)
    assert (found.note, found.rest, found.by_name["paw"].sides) == (None, {}, (1, 1))


def test_decode_ignores_unknown_keys() -> None:
    assert decode(Outer, {**GOOD, "new": 1}) == decode(Outer, GOOD)


def test_decode_takes_whole_numbers_as_floats_but_not_the_reverse() -> None:
    found = decode(Outer, {**GOOD, "weight": 4})
    assert found.weight == 4.0
    assert type(found.weight) is float
    with pytest.raises(InvalidRecord, match=r"sides\[0\]: expected int, got float"):
        decode(Inner, {"name": "a", "sides": [1.0, 2]})


@pytest.mark.parametrize("name", ["kind", "weight", "alive", "parts", "by_name"])
def test_decode_refuses_a_missing_field(name: str) -> None:
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
        ({"weight": 2**53}, "weight"),
        ({"weight": -(2**53)}, "weight"),
        *(({"weight": huge}, "weight") for huge in (1e999, -1e999, 1e300)),
        ({"rest": {"a": [1e999]}}, "rest[a][0]"),
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
        ({"by_name": {"paw": {"name": []}}}, "by_name[...].name"),
        ({"note": 5}, "note"),
        ({"rest": []}, "rest"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_decode_names_the_path_of_a_wrong_value(change: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRecord) as caught:
        decode(Outer, {**GOOD, **change})
    assert caught.value.fact.startswith(f"{named}: ")


def test_decode_names_the_path_of_a_missing_field() -> None:
    with pytest.raises(InvalidRecord, match=r"lacks card\.parts\[0\]\.name"):
        decode(Outer, {**GOOD, "parts": [{}]}, path="card")


def test_decode_shortens_a_long_value_to_one_line() -> None:
    with pytest.raises(InvalidRecord) as caught:
        decode(Outer, {**GOOD, "kind": "line\n`x`" * 1000})
    assert caught.value.fact.startswith("kind: invalid enum value")
    assert len(caught.value.fact) < 80
    assert not {"\n", "`"} & set(str(caught.value))


def test_decode_refuses_a_value_nested_more_deeply_than_python_can_follow() -> None:
    deep: Any = 1
    for _ in range(2000):
        deep = [deep]
    with pytest.raises(InvalidRecord, match="nested"):
        decode(Outer, {**GOOD, "new": deep})


@pytest.mark.parametrize("value", [None, [], "text", 5, True])
def test_decode_refuses_what_is_not_an_object(value: object) -> None:
    with pytest.raises(InvalidRecord):
        decode(Outer, value, path="card")


@pytest.mark.parametrize("change", [{"kind": "\ud800"}, {"\ud800": 1}])
def test_decode_refuses_keys_and_choices_that_are_not_utf8(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidRecord, match="UTF-8"):
        decode(Outer, {**GOOD, **change})


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", '{"a": -Infinity}', "1" * 5000])
def test_loads_refuses_what_is_not_json(text: str) -> None:
    with pytest.raises(ValueError, match=r"JSON|digits"):
        loads(text)
