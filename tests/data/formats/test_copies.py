import pytest

from emoprune.data.formats.copies import warn_of_copies


@pytest.mark.parametrize(
    ("contents", "labels", "says"),
    [
        ("abc", ("x", "x", "y"), []),
        ("aba", ("x", "y", "X "), ["d: holds 1 picture more than once"]),
        (
            "aabaa",
            ("x", "y", "x", "x", "z"),
            ["d: holds 3 pictures more than once, 2 of them in another class"],
        ),
    ],
)
def test_warn_of_copies_counts_them_and_those_of_other_classes(
    contents: str, labels: tuple[str, ...], says: list[str], told: pytest.LogCaptureFixture
) -> None:
    warn_of_copies("d", contents, labels, kind="picture")
    assert told.messages == says
