"""Tables for LaTeX, with the lines of booktabs; what foreign names hold is text, not commands."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from emoprune.choices import Section
from emoprune.reporting.tables import Prose, Table, cell

ESCAPES = {
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}"},
    **{"`": r"\textasciigrave{}", "'": r"\textquotesingle{}", "-": "-{}", "…": r"\ldots{}"},
    # behind \\ these would belong to it
    **{"[": "{[}", "]": "{]}", "*": "{*}"},
}
SPECIAL = re.compile("[" + re.escape("".join(ESCAPES)) + "]")
MINUS = re.compile(r"(?<![\w.)}])-\{\}(?=[\d.])")
"""A hyphen in front of a number, escaped."""
HEAD = "% \\usepackage[T1]{fontenc} \\usepackage{textcomp, booktabs, graphicx} in the preamble"
BEYOND_T1 = re.compile("[^\\W\\d_\u0000-\u024f]")
FONT = "% for letters beyond Latin: lualatex, \\usepackage{fontspec} in place of fontenc, a font of them"


def to_tex(
    tables: Mapping[Section, Sequence[Table]], *, title: str | None = None, sentences: Iterable[str] = ()
) -> str:
    """What a document includes by input: the sentences, and a `table` with caption and label for each table.

    Labels are tab:SECTION, from the second table of a section on tab:SECTION-2. Tables wider than a line are
    made smaller.
    """
    parts = [HEAD] + ([] if title is None else [f"\\section*{{{escaped(Prose(title))}}}"])
    parts += [f"{escaped(Prose(text))}\n" for text in sentences]
    for section, found in tables.items():
        for number, made in enumerate(found, 1):
            parts.append(_table(made, f"tab:{section}" + f"-{number}" * (number > 1)))
    if any(map(BEYOND_T1.search, parts)):
        parts.insert(1, FONT)
    return "\n".join(parts) + "\n"


def escaped(value: object) -> str:
    """A value as people read it, for LaTeX."""
    return SPECIAL.sub(lambda found: ESCAPES[found[0]], cell(value))


def _table(made: Table, label: str) -> str:
    columns = "l" * made.left + "r" * (len(made.columns) - made.left)
    names, *rows = (
        " & ".join(_cell(value, number=place >= made.left) for place, value in enumerate(line)) + r" \\"
        for line in (made.columns, *made.rows)
    )
    body = [f"\\begin{{tabular}}{{{columns}}}", r"\toprule", names, r"\midrule", *rows, r"\bottomrule"]
    below = [f"\\par\\smallskip\\emph{{Warning: {escaped(Prose(text))}}}" for text in made.warnings]
    below += [f"\\par\\smallskip {escaped(Prose(text))}" for text in made.notes]
    return "\n".join(
        (
            *("\\begin{table}[htbp]", r"\centering", f"\\caption{{{escaped(Prose(made.title))}}}"),
            *(f"\\label{{{label}}}", r"\sbox0{%", *body, r"\end{tabular}}%"),
            # no wider than a line, and never larger than it is
            r"\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi",
            *below,
            "\\end{table}\n",
        )
    )


def _cell(value: object, *, number: bool) -> str:
    text = escaped(value)
    if not number:
        # spaces in front would be lost
        return re.sub("^ +", lambda found: r"\quad " * (len(found[0]) // 2), text)
    return "--" if text == "-{}" else MINUS.sub("$-$", text)
