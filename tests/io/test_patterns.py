import re
import subprocess

import pytest

from emoprune.io import patterns

NAMES = ["film1_2.jpg", "", "\udcff_é_1", "a\nb_3", "x" * 255]


@pytest.mark.parametrize("pattern", [r"^[^_]+", r"_", r"(\w)_", r"(a)|b", r"\Z"])
def test_matches_of_a_single_choice_are_those_of_re(pattern: str) -> None:
    assert patterns.matches(pattern, NAMES) == expected(pattern)


@pytest.mark.parametrize("pattern", [r"^\w+_\w+", r"(?:x|f)(ilm|x+)", r"é|\udcff|\n", "(_)+(é)?"])
def test_matches_of_another_process_are_those_of_re(pattern: str) -> None:
    assert patterns.matches(pattern, NAMES) == expected(pattern)


def expected(pattern: str) -> list[str | None]:
    found = [re.search(pattern, name) for name in NAMES]
    return [each and (each.group(1) if each.re.groups else each.group()) for each in found]


@pytest.mark.parametrize("pattern", ["(a|a)" * 40 + "$", r"(a*)\1$"])
def test_matches_ends_what_takes_too_long(pattern: str) -> None:
    with pytest.raises(TimeoutError):
        patterns.matches(pattern, ["a" * 20_001 + "!"])


def test_matches_blames_no_pattern_for_a_process_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "__file__", "no such file")
    with pytest.raises(subprocess.CalledProcessError):
        patterns.matches("a+b+", ["ab"])


@pytest.mark.parametrize(("pattern", "error"), [("(", re.error), ("a{" + "9" * 30 + "}", OverflowError)])
def test_matches_refuses_what_is_not_a_regular_expression(pattern: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        patterns.matches(pattern, NAMES)


def test_matches_does_not_warn_of_a_nested_set(recwarn: pytest.WarningsRecorder) -> None:
    assert patterns.matches("[[a]", ["a"]) == ["a"]
    assert not recwarn.list
