import inspect

import pytest

from emoprune import errors
from emoprune.errors import BadData, BadImage, EmopruneError, UsageFault, at

TREE = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, EmopruneError)]


def test_a_fault_prints_as_place_fact_and_remedy() -> None:
    assert (
        str(EmopruneError("it is empty", "copy it again", place="a.st")) == "a.st: it is empty; copy it again"
    )


def test_a_fault_without_place_prints_fact_and_remedy() -> None:
    assert str(EmopruneError("it is empty", "copy it again")) == "it is empty; copy it again"


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_every_fault_is_the_inputs_but_for_the_command_lines(kind: type[EmopruneError]) -> None:
    assert kind("fact", "remedy").exit_code == (2 if issubclass(kind, UsageFault) else 1)


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_every_fault_keeps_its_fact_remedy_and_place(kind: type[EmopruneError]) -> None:
    error = kind("fact", "remedy", place="here")
    assert (error.fact, error.remedy, error.place) == ("fact", "remedy", "here")
    assert error.args == ("fact", "remedy")


def test_a_bad_image_is_bad_data() -> None:
    assert issubclass(BadImage, BadData)


def test_at_gives_a_place_to_a_fault_without_one() -> None:
    with pytest.raises(BadData, match=r"^faces: fact; remedy$"), at("faces"):
        raise BadData("fact", "remedy")


def test_at_keeps_the_innermost_place() -> None:
    with pytest.raises(BadData) as caught, at("outer"), at("inner"):
        raise BadData("fact", "remedy")
    assert caught.value.place == "inner"
    with pytest.raises(BadData) as caught, at("outer"):
        raise BadData("fact", "remedy", place="own")
    assert caught.value.place == "own"


def test_at_passes_other_errors_on() -> None:
    error = ValueError("a bug")
    with pytest.raises(ValueError, match=r"^a bug$") as caught, at("here"):
        raise error
    assert caught.value is error


def test_at_raises_the_same_error_with_its_cause() -> None:
    cause = OSError("disk")
    error = BadData("fact", "remedy")
    with pytest.raises(BadData) as caught, at("here"):
        raise error from cause
    assert caught.value is error
    assert caught.value.__cause__ is cause
