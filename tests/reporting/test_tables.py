"""Values as cells, tables as Markdown and CSV."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable

from emoprune.evaluation.confidence import Estimate
from emoprune.reporting.tables import (
    PERCENT,
    Format,
    Prose,
    Table,
    cell,
    flat_estimate,
    from_rows,
    shortened,
    telling,
    to_csv,
    to_lines,
    to_markdown,
    transposed,
)


def test_estimate_writes_a_mean_with_half_its_interval_where_it_has_one() -> None:
    several = Estimate(3, 0.6, 0.352, 0.848)
    assert PERCENT.estimate(several) == "60.0 ± 24.8%"
    assert Format(".2f", suffix="°").estimate(Estimate(2, 12.5, 12.0, 13.0)) == "12.50 ± 0.50°"
    assert PERCENT.estimate(Estimate(1, 0.6)) == "60.0%"
    assert PERCENT.estimate(Estimate(3, 0.9, 0.753, 1.0)) == "90.0 (75.3 to 100.0%)"
    assert PERCENT.estimate(None) is None
    assert flat_estimate("loss", several) == {"loss": 0.6, "loss_low": 0.352, "loss_high": 0.848}
    assert flat_estimate("loss", Estimate(1, 0.6)) == {"loss": 0.6, "loss_low": None, "loss_high": None}
    assert set(flat_estimate("loss", None).values()) == {None}


def test_from_rows_has_every_column_that_some_row_has() -> None:
    made = from_rows("x", [{"a": 1}, {"a": 2, "b": 3}])
    assert (made.columns, made.rows) == (("a", "b"), ((1, None), (2, 3)))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((None, "-"), (True, "True"), (0, "0"), (1234567, "1,234,567"), (-1234, "-1,234"), ("a", "a")),
        *((0.0, "0"), (0.123456, "0.1235"), (12345.678, "1.235e+04"), (1e-9, "1e-09")),
    ],
)
def test_cell_writes_values_for_people(value: object, text: str) -> None:
    assert cell(value) == text


def test_to_csv_leaves_a_cell_empty_without_a_value() -> None:
    assert to_csv(Table("t", ("a", "b"), (("x,y", None), ('"', 0.1)))) == 'a,b\n"x,y",\n"""",0.1\n'


@pytest.mark.parametrize(
    ("name", "written"),
    [
        *(("happy_face, 3 < 4 & more: *", None), ("runs/m.st (test) #2", None)),
        *(("a|b", r"a\|b"), (r"a\|b", r"a\\\|b"), ("a\nb", r"a\\nb"), ("`a`", r"\`a\`"), ("$x$", r"\$x\$")),
        *(
            ("<b>", r"\<b>"),
            ("</td>", r"\</td>"),
            ("<!--", r"\<!--"),
            ("&lt;", r"\&lt;"),
            ("&#60;", r"\&#60;"),
        ),
        *(("[x](y)", r"\[x](y)"), ("![x](y)", r"!\[x](y)"), ("http://y", r"http\://y"), ("www.y", r"www\.y")),
    ],
)
def test_to_markdown_writes_names_as_text(name: str, written: str | None) -> None:
    made = to_markdown(Table(name, (name, "b"), ((name, 1234),)))
    shown = written or name
    assert made == f"### {shown}\n\n| {shown} | b |\n| :-- | --: |\n| {shown} | 1,234 |\n"


def test_to_lines_lays_a_table_out_as_rich_does() -> None:
    rows = (("a", 1, None), ("漢字", 1234567, "x y"), ("e\u0301", 0.5, "é" * 9), ("👩‍👩‍👧", "", "-"))
    made = Table("Title", ("name", "n", "a long heading"), rows, left=1)
    reference = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for index, column in enumerate(made.columns):
        reference.add_column(column, justify="right" if index else "left", no_wrap=True)
    for row in made.rows:
        reference.add_row(*map(cell, row))
    console = Console(file=io.StringIO(), width=1000, color_system=None)
    console.print("Title", reference, sep="\n")
    lines = list(to_lines(made))
    assert "".join(f"{line}\n" for line, _ in lines) == console.file.getvalue()  # type: ignore[attr-defined]
    assert [line.split() for line, style in lines if style] == [
        ["Title"],
        ["name", "n", "a", "long", "heading"],
    ]


def test_cell_shows_foreign_names_on_one_short_line() -> None:
    assert cell("a\x1b[2J\nb\u202ec") == r"a\x1b[2J\nb\u202ec"
    assert cell("x" * 300 + "y") == "x" * 100 + "…" + "x" * 98 + "y"


SHORT = "xxxxxxxx…xxxxxxx"
WORDS = "worse by 3.1 points (2.3 to 4.0; p < 0.001)"


def broken(made: Table, width: int) -> list[str]:
    return [line.rstrip() for line, _ in to_lines(made, width=width)]


def test_to_lines_breaks_texts_and_no_number_where_a_terminal_is_narrow() -> None:
    made = Table(
        "A title of five words", ("run", "verdict", "n"), (("a.st", WORDS, 1234567),), 2, breaks=True
    )
    assert broken(made, 200) == broken(made, 63) == [line.rstrip() for line, _ in to_lines(made)]
    assert broken(made, 40) == [
        "A title of five words",
        "",
        " run   verdict                        n",
        " ──────────────────────────────────────",
        " a.st  worse by 3.1 points    1,234,567",
        "       (2.3 to 4.0; p <",
        "       0.001)",
        "",
    ]
    # where breaking is not enough lines are whole, and where it is not allowed texts are shortened
    assert broken(made, 30)[2:] == broken(made, 200)[2:]
    plain = Table("", made.columns, made.rows, 2)
    assert broken(plain, 40)[3] == " a.st  worse by… 0.001)  1,234,567"


def test_to_lines_breaks_names_without_spaces_and_of_wide_letters() -> None:
    made = Table("", ("name", "n"), (("x" * 50, 1), ("漢字" * 10, 23)), breaks=True)
    lines = broken(made, 30)
    assert max(cell_len(line) for line in lines) <= 30
    joined = "".join(line.split()[0] for line in lines if line.split())
    assert "x" * 50 in joined
    assert "漢字" * 10 in joined


def test_warnings_and_notes_stand_below_a_table() -> None:
    made = Table("T", ("a",), ((1,),), warnings=("`x` was <b>seen</b>\n",), notes=("ten of 20",))
    assert list(to_lines(made))[-4:] == [
        (r"  warning: `x` was <b>seen</b>\n", "bold red"),
        ("", ""),
        ("  ten of 20", ""),
        ("", ""),
    ]
    assert to_markdown(made).endswith(
        "| 1 |\n\n> **Warning:** \\`x\\` was \\<b>seen\\</b>\\\\n\n\nten of 20\n"
    )
    long = Table("T", ("a",), ((1,),), warnings=("a word " * 30,))
    assert max(len(line) for line in broken(long, 60)) <= 60


def test_a_sentence_may_be_longer_than_a_name() -> None:
    assert cell(Prose("x" * 300)) == "x" * 300
    assert len(cell(Prose("x" * 5000))) == 1200


def test_to_lines_folds_a_table_that_is_too_wide() -> None:
    made = Table(
        "Title",
        ("name", "first", "second", "third"),
        (("a", 1, 22, 333), ("b", 4, 55, "x" * 30)),
        notes=("below",),
    )
    assert broken(made, 24) == [
        *(
            "Title",
            "",
            " name  first  second",
            f" {'─' * 19}",
            " a         1      22",
            " b         4      55",
        ),
        *("", "", f" name  {'third':>16}", f" {'─' * 22}", f" a     {333:>16}", f" b     {SHORT}"),
        *("", "  below", ""),
    ]
    assert broken(made, 100) == [line.rstrip() for line, _ in to_lines(made)]
    # the longest row fits as it is, but for the space behind it
    fitting = max(len(line.rstrip()) for line, _ in to_lines(made))
    assert broken(made, fitting) == broken(made, 100)
    assert max(len(line) for line, _ in to_lines(made, width=fitting)) == fitting
    # a shortened text is enough where little is missing
    assert any("…" in line for line in broken(made, fitting - 1))
    assert len(broken(made, 30)) > len(broken(made, 100))
    # nothing is lost where no column fits
    assert [text for line in broken(made, 1) for text in line.split() if text in made.columns] == [
        *("name", "first", "name", "second", "name", "third")
    ]


def test_telling_leaves_out_columns_that_say_nothing() -> None:
    columns = ("name", "empty", "runs", "change", "95% interval", "dash", "95% interval", "change")
    rows = (
        ("a", None, 3, None, None, "-", "1 to 2", None),
        ("b", "", 3, "0.0 pt", "0.0 to 0.0 pt", "-", None, "0.0%"),
    )
    made = telling(Table("T", columns, rows, notes=("below",)))
    wanted = (("a", 3, "1 to 2"), ("b", 3, None))
    assert (made.columns, made.rows) == (("name", "runs", "95% interval"), wanted)
    assert made.notes == ("below",)
    assert telling(made) == made


@pytest.mark.parametrize(
    ("change", "interval"),
    [("+0.1 pt", "0.0 to 0.0 pt"), ("0.0 pt", "-1.0 to +1.0 pt"), ("0.0 pt", "0.0 to +0.1 pt")],
)
def test_telling_keeps_a_change_with_its_interval_where_one_is_not_zero(change: str, interval: str) -> None:
    rows = (("a", change, interval), ("b", "0.0 pt", "0.0 to 0.0 pt"))
    made = Table("T", ("name", "change", "95% interval"), rows)
    assert telling(made) == made


def test_telling_keeps_names_and_tables_without_rows() -> None:
    assert telling(Table("T", ("name", "n"), ())) == Table("T", ("name", "n"), ())
    assert telling(Table("T", ("", "n"), (("", 1),))).columns == ("", "n")


def test_transposed_has_columns_as_rows() -> None:
    made = transposed(Table("T", ("class", "a", "b"), (("x", 1, 2), ("y", 3, None), ("z", 5, 6))), "model")
    assert (made.columns, made.rows) == (("model", "x", "y", "z"), (("a", 1, 3, 5), ("b", 2, None, 6)))


LETTERS = st.characters(codec="utf-8", categories=["L", "N", "P"])


@given(st.lists(st.text(LETTERS, max_size=60)), st.integers(16, 40))
def test_shortened_names_fit_and_differ_where_they_did(names: list[str], most: int) -> None:
    short = shortened(names, most)
    assert all(cell_len(text) <= most for text in short)
    kept = [text for name, text in zip(names, short, strict=True) if cell_len(name) <= most]
    assert kept == [name for name in names if cell_len(name) <= most]
    assert len(set(short)) == len(set(names))


def test_shortened_names_keep_both_ends() -> None:
    assert shortened(["short", "a" + "x" * 40 + "z"], 16) == ["short", "axxxxxxx…xxxxxxz"]
    taken = "axxxxx…yyyyyz #1"
    same = [f"a{'x' * 40}{number}{'y' * 40}z" for number in (1, 2, 1)]
    assert shortened(same, 16) == ["axxxxx…yyyyyz #1", "axxxxx…yyyyyz #2", "axxxxx…yyyyyz #1"]
    assert shortened([taken, *same[:2]], 16) == [taken, "axxxxx…yyyyyz #2", "axxxxx…yyyyyz #3"]


def test_to_lines_keeps_what_belongs_together_when_it_folds() -> None:
    made = Table("", ("name", "accuracy", "95% interval", "paper", "n"), (("a", "1" * 12, "2", "3", "4"),))
    heads = [line.split() for line in broken(made, 42) if line.startswith(" name")]
    assert heads == [["name", "accuracy", "95%", "interval", "paper"], ["name", "n"]]
    # nothing is kept together that does not fit
    heads = [line.split() for line in broken(made, 30) if line.startswith(" name")]
    assert heads == [["name", "accuracy"], ["name", "95%", "interval", "paper", "n"]]
