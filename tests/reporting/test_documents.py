"""Documents: the form that a suffix asks for, and the sentences above the tables."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import emoprune as ep
from emoprune.choices import DocumentForm
from emoprune.errors import BadMetrics, OutputFault, UsageFault
from emoprune.reporting import documents
from emoprune.reporting.documents import Document, Heading, form_of
from emoprune.reporting.records_io import to_record
from emoprune.reporting.sections import report
from emoprune.reporting.types import ReportConfig, Runs
from tests.support.runs import curve
from tests.support.sweeps import measured, swept

FORMS = {".html": "html", ".tex": "tex", ".md": "markdown", ".csv": "csv", ".json": "json"}


@pytest.fixture
def runs_file(in_folder: Path) -> Path:
    lines = [json.dumps(to_record(run)) for run in swept()[:3]]
    path = in_folder / "runs.json"
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize(("suffix", "form"), FORMS.items())
def test_form_of_is_that_of_the_suffix(suffix: str, form: DocumentForm) -> None:
    assert form_of(f"a.b/x{suffix}") == form_of(f"X{suffix.upper()}") == form


@pytest.mark.parametrize("path", ["out", "out.txt", "a.html/out", ".html"])
def test_form_of_refuses_another_suffix_with_the_list(path: str) -> None:
    with pytest.raises(UsageFault, match=re.escape("choose from .html, .tex, .md, .csv, .json")):
        form_of(path)


def test_sentences_stand_above_the_tables_of_latex_and_markdown() -> None:
    runs = Runs((measured("a_1", 0.9, macs=100), measured("b", 0.9, macs=50, data_fingerprint="e")))
    made = Document(report(runs), runs, ("summary",), Heading("About *this*"))
    text = made.text("markdown")
    assert text.startswith(
        "# About *this*\n\n> **Warning:** Not all were measured on the same part of the same data.\n"
    )
    assert (text.count("### "), "\u2068" in text) == (1, False)
    assert "Warning: Not all were measured" in made.text("tex")


def test_text_of_csv_and_json_is_raw() -> None:
    runs = Runs(swept()[:2], (curve("a", (0.5, 0.25)),))
    made = Document(report(runs), runs, ("curves",))
    assert made.text("csv").splitlines()[0].startswith("label,model,epochs")
    assert len(json.loads(made.text("json"))["models"]) == 2
    with pytest.raises(BadMetrics, match="no steps"):
        Document(report(runs), runs, ("steps",)).text("json")


@pytest.mark.parametrize("suffix", FORMS)
def test_report_of_the_api_writes_a_file_and_returns_the_report(runs_file: Path, suffix: str) -> None:
    output = runs_file.with_name(f"out{suffix}")
    made = ep.report(runs_file, output, sections=["summary"])
    assert [*made.sections] == ["summary", "classes", "confusion"]
    first = output.read_bytes()
    with pytest.raises(OutputFault, match="exists already"):
        ep.report([runs_file], output)
    ep.report([runs_file], output, sections=["summary"], force=True)
    assert output.read_bytes() == first


@pytest.mark.parametrize(("form", "second"), [("html", "&amp;"), ("tex", "\\&"), ("markdown", "&")])
def test_a_note_stands_below_the_title_in_paragraphs(form: DocumentForm, second: str) -> None:
    runs = Runs((measured("a", 0.5),))
    heading = Heading("Above", " One\n line\n \n\nA & B\n")
    text = Document(report(runs), runs, heading=heading).text(form)
    shown = ["Above", "One line", f"A {second} B", "49.5"]
    assert re.search(".+".join(map(re.escape, shown)), text, re.DOTALL)
    assert "One line A" not in text


def test_report_of_the_api_refuses_before_it_reads(in_folder: Path) -> None:
    for arguments in (
        *({"output": "x.pdf"}, {"title": "T"}, {"output": "x.csv", "title": "T"}, {"margin": 2}),
        *({"note": "N"}, {"output": "x.json", "note": "N"}),
    ):
        with pytest.raises(UsageFault):
            ep.report("missing.json", **arguments)
    with pytest.raises(BadMetrics, match="no comparison"):
        documents.document([_one(in_folder)], ReportConfig(), sections=("verdicts",))


def _one(folder: Path) -> str:
    (folder / "one.json").write_text(json.dumps(to_record(measured("a", 0.5))))
    return str(folder / "one.json")
