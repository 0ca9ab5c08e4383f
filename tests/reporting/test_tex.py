"""Tables for LaTeX: names are text, rows are whole, captions and labels are there."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emoprune.reporting.tables import table
from emoprune.reporting.tex import escaped, to_tex

WRITES = {
    r"\textbackslash{}": "\\", r"\textasciitilde{}": "~", r"\textasciicircum{}": "^", r"\textless{}": "<",
    r"\textgreater{}": ">", r"\textbar{}": "|", r"\textquotedbl{}": '"', r"\textasciigrave{}": "`",
    r"\textquotesingle{}": "'", "-{}": "-", "{[}": "[", "{]}": "]", "{*}": "*",
    r"\&": "&", r"\%": "%", r"\$": "$", r"\#": "#", r"\_": "_", r"\{": "{", r"\}": "}",
}  # fmt: skip
"""What LaTeX writes for the commands and groups that may be there, by its manual."""
TOKEN = re.compile("|".join(map(re.escape, sorted(WRITES, key=len, reverse=True))))


def written(text: str) -> str:
    """What LaTeX makes of an escaped text; it must hold no other command."""
    rest = TOKEN.sub("", text)
    assert not set(rest) & set("\\&%$#_{}~^<>|\"`'-[]*"), text
    return TOKEN.sub(lambda found: WRITES[found[0]], text)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60))
def test_escaped_writes_the_same_text(text: str) -> None:
    assert written(escaped(text)) == text


@pytest.mark.parametrize("text", ["--- --", "?`!`", "``''", "a\\\\[1em]", "\\input{/etc/passwd}", "$x_1$"])
def test_escaped_leaves_no_ligature_and_no_command(text: str) -> None:
    assert written(escaped(text)) == text


def test_escaped_makes_what_is_unseen_visible() -> None:
    assert escaped("a\nb\x1b\u202e") == r"a\textbackslash{}nb\textbackslash{}x1b\textbackslash{}u202e"


def test_to_tex_has_a_table_with_caption_and_label_for_each() -> None:
    made = table("A_1", ("name", "n"), [("x & y", 12), ("  part", -0.5), ("none", None)])
    text = to_tex({"summary": [made, made], "steps": [made]}, title="T & U", sentences=["50% right."])
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 3
    assert re.findall(r"\\label\{(.*?)\}", text) == ["tab:summary", "tab:summary-2", "tab:steps"]
    assert text.count(r"\caption{A\_1}") == 3
    for part in (r"\section*{T \& U}", r"50\% right.", r"x \& y & 12 \\", r"\quad part & $-$0.5 \\"):
        assert part in text
    assert r"none & -- \\" in text
    body = text.partition(r"\toprule")[2].partition(r"\bottomrule")[0].strip().splitlines()
    assert [row.count(" & ") for row in body if row != r"\midrule"] == [1, 1, 1, 1]


@pytest.mark.parametrize(("label", "beyond"), [("Zoë", False), ("\u05e9\u05de\u05d7", True), ("喜", True)])
def test_to_tex_says_what_letters_beyond_latin_need(label: str, beyond: bool) -> None:
    text = to_tex({"summary": [table("T", ("a",), [(label,)])]})
    assert ("fontspec" in text) == beyond
    assert label in text


def test_to_tex_writes_warnings_and_notes_below_a_table() -> None:
    made = table("T", ("a",), [("b",)], notes=("All are in JSON.",))
    assert "All are in JSON." in to_tex({"summary": [made]})
