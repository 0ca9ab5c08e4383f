"""Papers' numbers from CSV: what is read and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from emoprune.errors import BadData
from emoprune.reporting import paper_values
from emoprune.reporting.types import PaperValue

HEADER = "label,measure,value,where\n"


def read(folder: Path, text: str) -> list[PaperValue]:
    (folder / "p.csv").write_text(text)
    return paper_values.read(str(folder / "p.csv"))


def test_read_takes_every_measure(tmp_path: Path) -> None:
    text = HEADER + (
        '"whole, random split",accuracy,12.5%,Table 4\n'
        "small,Macro F1,0.25,\n"
        "small, units ,1e2,Fig. 1\n"
        "\n"
        "small,MACS,3,\n"
        "small,precision Happy face,41%,Table 5\n"
        "small,f1 happy,0,\n"
        '"sum, 9 units",Loss,1.62,Figure 3\n'
        '"sum, 9 units",accuracy,34.5%,\n'
        '"one, 1 unit",smallest angle,12.5,\n'
        '"wide, 1,024 units",least importance,0.25,\n'
    )
    assert read(tmp_path, text) == [
        PaperValue("whole, random split", "accuracy", 0.125, "Table 4"),
        PaperValue("small", "macro F1", 0.25, ""),
        PaperValue("small", "units", 100, "Fig. 1"),
        PaperValue("small", "MACs", 3, ""),
        PaperValue("small", "precision", 0.41, "Table 5", "Happy face"),
        PaperValue("small", "F1", 0, "", "happy"),
        PaperValue("sum, 9 units", "loss", 1.62, "Figure 3"),
        PaperValue("sum, 9 units", "accuracy", 0.345, ""),
        PaperValue("one, 1 unit", "smallest angle", 12.5, ""),
        PaperValue("wide, 1,024 units", "least importance", 0.25, ""),
    ]


def test_read_takes_a_file_from_a_spreadsheet(tmp_path: Path) -> None:
    assert len(read(tmp_path, "\ufeffLabel,Measure,Value,Where\r\na,accuracy,0.5,x\r\n")) == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "line 1 is not label,measure,value,where"),
        ("label,measure,value\na,accuracy,0.5\n", "line 1 is not"),
        (HEADER, "has no rows"),
        (HEADER + "a,accuracy,0.5\n", "line 2 has 3 cells, not 4"),
        (HEADER + "a,accuracy,0.5,T\nwhole, random,accuracy,0.5,T\n", "line 3 has 5 cells.*quotes"),
        (HEADER + ",accuracy,0.5,T\n", "line 2 has no label"),
        (
            HEADER + "a,acuracy,0.5,T\n",
            "line 2: measure 'acuracy' is unknown; choose from accuracy,",
        ),
        (HEADER + "a,precision,0.5,T\n", "line 2: measure 'precision'.*precision CLASS"),
        (HEADER + "a,accuracy,high,T\n", "line 2: accuracy cannot be 'high'; give a number"),
        (HEADER + "a,accuracy,,T\n", "line 2: accuracy cannot be ''"),
        (HEADER + "a,accuracy,nan,T\n", "line 2: accuracy cannot be 'nan'"),
        (HEADER + "a,units,-3,T\n", "line 2: units cannot be '-3'"),
        (
            HEADER + "a,accuracy,34.5,T\n",
            "line 2: accuracy cannot be '34.5'; write fractions as 34.5% or 0.345",
        ),
        (HEADER + "sum,loss,1.5,T\n", "line 2: loss of 'sum'.*number of units; write .* LABEL, N units"),
        (HEADER + '"sum, nine units",smallest angle,1.5,T\n', "line 2: smallest angle of 'sum, nine units'"),
        (HEADER + '"sum, 9 units",loss,50%,T\n', "line 2: loss cannot be '50%'; give a number without %"),
        (
            HEADER + '"sum, 9 units",angle,5,T\n',
            "measure 'angle' is unknown;.*loss, smallest angle, least imp",
        ),
        (HEADER + "a,recall happy,120%,T\n", "line 2: recall cannot be '120%'; write fractions"),
        (HEADER + "a,units,50%,T\n", "line 2: units cannot be '50%'; give a number without %"),
        (HEADER + "a,accuracy,0.5,T\n\na,Accuracy,0.6,T\n", "line 4: Accuracy of 'a' again; keep one"),
        (HEADER + 'a,"accuracy,0.5,T\n', "not a CSV table"),
        (HEADER + "\0", "zero bytes"),
    ],
)
def test_read_refuses_a_bad_file_with_line_fact_and_remedy(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(BadData, match=says) as caught:
        read(tmp_path, text)
    assert caught.value.place == str(tmp_path / "p.csv")


def test_read_names_a_missing_file() -> None:
    with pytest.raises(BadData, match=r"no\.csv: no such file"):
        paper_values.read("no.csv")
