"""emoprune report: its options, streams and forms; the numbers are tested in tests/reporting."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from emoprune.cli.main import main
from emoprune.reporting.charts import FIGURES
from tests.support.answers import answers
from tests.support.command_line import Runner, scores, tree
from tests.support.terminal import bytes_on_terminal, lines_of

FIRST = scores("big.st")
SECOND = scores(
    "small.st", accuracy=0.65, macro_f1=0.7, parameters=500, nonzero_parameters=500, macs=30000, units=6
)
TRAINING = {
    "schema": "emoprune.training/1",
    "model": "m.st",
    "label": "a",
    "training": [{"index": 1, "train_loss": 1.0, "train_accuracy": 0.4}],
}
STEPS = {
    "schema": "emoprune.steps/1",
    "model": "m.st",
    "method": "progressive",
    "label": "a",
    "steps": [{"units": units, "loss": 0.1} for units in (9, 8)],
}
GOLDEN = """At 75% of the MACs, small.st has 65.0% of the images right, big.st 70.0%; whether a difference \
is chance was not tested (give predictions and a baseline).

> **Warning:** No network is shown to be better than always answering the most frequent class (60.0%).

### Summary

|  | big.st | small.st |
| :-- | --: | --: |
| part | test | test |
| samples | 10 | 10 |
| accuracy | 70.0% | 65.0% (-5.0 pt) |
|   95% interval | 40.0 to 90.0% | 40.0 to 90.0% |
|   chance, majority | 50.0%, 60.0% | 50.0%, 60.0% |
| balanced accuracy | 70.8% | 70.8% (0.0 pt) |
|   chance, majority | 50.0%, 50.0% | 50.0%, 50.0% |
| macro F1 | 0.650 | 0.700 (+0.050) |
| Cohen's kappa | 0.400 | 0.400 (0.000) |
| Matthews correlation | 0.408 | 0.408 (0.000) |
| log loss | 0.500 | 0.500 (0.000) |
| calibration error | 0.100 | 0.100 (0.000) |
| hidden units | 24 | 6 (-75.0%) |
| parameters | 2,000 | 500 (-75.0%) |
| non-zero | 1,990 | 500 (-74.9%) |
| MACs | 40,000 | 30,000 (-25.0%) |
| file (bytes) | 9,000 | 9,000 (0.0%) |
"""


def stream(*records: dict[str, Any], indent: int | None = None) -> bytes:
    return "".join(json.dumps(record, indent=indent) + "\n" for record in records).encode()


ALL = stream(STEPS, FIRST, TRAINING)


def test_report_is_json_in_a_pipe(emoprune: Runner) -> None:
    result = emoprune.done("report", stdin=stream(FIRST, SECOND))
    assert (result.record["schema"], result.record["comparable"]) == ("emoprune.report/1", True)
    assert [model["model"] for model in result.record["models"]] == ["big.st", "small.st"]
    assert result.err == ""


def test_report_writes_markdown_tables_and_csv(emoprune: Runner) -> None:
    argv = ("report", "--section", "summary", "--format")
    data = stream(FIRST, SECOND)
    assert emoprune.done(*argv, "markdown", stdin=data).out == GOLDEN
    table = emoprune.done(*argv, "table", stdin=data).out
    assert [" ".join(line.replace("|", " ").split()) for line in GOLDEN.splitlines()[8:]] == [
        " ".join(line.split()) for line in table.splitlines()[4:] if line.strip()
    ]
    rows = list(csv.DictReader(io.StringIO(emoprune.done("report", "--format", "csv", stdin=data).out)))
    assert [(row["model"], float(row["accuracy"])) for row in rows] == [("big.st", 0.7), ("small.st", 0.65)]


@pytest.mark.parametrize("suffix", ["html", "tex", "md", "csv", "json"])
def test_report_writes_what_the_suffix_says(emoprune: Runner, in_folder: Path, suffix: str) -> None:
    name, form = f"out.{suffix}", {"md": "markdown"}.get(suffix, suffix)
    result = emoprune.done("report", "-o", name, "--format", form, stdin=stream(FIRST, SECOND))
    written = (in_folder / name).read_text()
    assert (result.out, result.err.splitlines()[-1].startswith(f"note: wrote {name}: ")) == ("", True)
    begins = {"html": "<!DOCTYPE html>", "tex": "% ", "md": "At 75%", "csv": "model,", "json": '{"schema"'}
    assert written.startswith(begins[suffix])
    if suffix != "html":  # its last line has the name of the file
        assert emoprune.done("report", "--format", form, stdin=stream(FIRST, SECOND)).out == written
    emoprune.check_refused("report", "-o", name, says=(f"{name}: exists", "--force"), stdin=ALL)
    emoprune.done("report", "-o", name, "--force", stdin=stream(FIRST))
    assert (in_folder / name).read_text() != written


def test_a_page_has_title_sections_and_the_commands_that_repeat_it(emoprune: Runner, in_folder: Path) -> None:
    (in_folder / "my runs.json").write_bytes(ALL)
    argv = ("--by-label", "--section", "summary", "--section", "steps", "--title", "Faces & masks")
    emoprune.done("report", "my runs.json", *argv, "-o", "a.html")
    page = (in_folder / "a.html").read_text()
    assert "<h1><bdi>Faces &amp; masks</bdi></h1>" in page
    assert ("Steps by label" in page, "Precision" in page) == (True, False)
    assert "emoprune eval big.st faces --split test" in page
    line = "emoprune report &#39;my runs.json&#39; --by-label --section summary --section steps"
    assert f"{line} --title &#39;Faces &amp; masks&#39; --output a.html" in page


def test_by_label_and_paper_are_handed_to_the_report(emoprune: Runner, in_folder: Path) -> None:
    (in_folder / "p.csv").write_text("label,measure,value,where\na,accuracy,34.5%,Table 4\n")
    data = stream({**FIRST, "label": "a"})
    record = emoprune.done("report", "--by-label", "--paper", "p.csv", stdin=data).record
    assert record["schema"] == "emoprune.labels/1"
    assert record["labels"][0]["paper"][0]["value"] == 0.345
    emoprune.check_refused("report", "--paper", "p.csv", code=2, says=("--by-label",), stdin=data)
    (in_folder / "p.csv").write_text("label,measure,value,where\na,accuracy,high,T\n")
    argv = ("report", "--by-label", "--paper")
    emoprune.check_refused(*argv, "p.csv", stdin=data, says=("p.csv: line 2: ", "'high'"))
    emoprune.check_refused(*argv, "no.csv", stdin=data, says=("no.csv: no such file",))


def test_figures_are_drawn_and_the_report_is_printed_too(emoprune: Runner, in_folder: Path) -> None:
    printed = emoprune.done("report", stdin=ALL)
    drawn = emoprune.done("report", "--figures", "out", "--figure", "steps", stdin=ALL)
    assert drawn.out == printed.out
    assert set(tree(in_folder / "out")) == {f"steps.{suffix}" for suffix in ("csv", "png", "svg")}
    assert "note: out/steps: .svg, .png, .csv\n" in drawn.err
    says = ("out/steps.csv: exists", "--force")
    (in_folder / "out" / "steps.png").unlink()
    (in_folder / "out" / "steps.svg").unlink()
    emoprune.check_refused("report", "--figures", "out", stdin=ALL, says=says)


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (("--format", "xml"), 2, ("--format", "xml")),
        (("--section", "everything"), 2, ("--section", "everything")),
        (("--format", "csv", "--section", "summary", "--section", "steps"), 2, ("CSV is one", "--section")),
        (("-o", "out.pdf"), 2, ("'out.pdf'", ".html, .tex, .md, .csv, .json")),
        (("-o", "no/out.md"), 1, ("no: no such folder",)),
        (("-o", "out.md", "--format", "csv"), 2, ("--format csv and -o out.md", "give one")),
        (("-o", "out.md", "--json"), 2, ("--json and -o out.md",)),
        (("--json", "--format", "table"), 2, ("--json and --format table",)),
        (("--title", "T"), 2, ("--title", "--output FILE.html")),
        (("-o", "out.csv", "--title", "T"), 2, ("--title", "--output FILE.html")),
        (("--figure", "steps"), 2, ("--figures DIR",)),
        (("--figures", "out", "--figure", "pie"), 2, ("'pie'", "choose from accuracy-against-COST")),
        (("--figures", "out", "--figure", "before-after"), 1, ("before-after", "', before'")),
        (("--figures", "no/out"), 1, ("no: no such folder",)),
        (("no.json",), 1, ("no.json: no such file",)),
        ((".",), 1, (".: no file in it is of networks that a report shows",)),
        (("-", "-"), 2, ("standard input can be read once",)),
        (("--margin", "2"), 2, ("--margin is of a comparison; give --baseline",)),
        (("--margin", "-1"), 2, ("--margin",)),
        (("--section", "verdicts"), 1, ("no comparison; give --baseline",)),
    ],
)
def test_what_cannot_be_done_is_one_line(
    emoprune: Runner, argv: tuple[str, ...], code: int, says: tuple[str, ...]
) -> None:
    emoprune.check_refused("report", *argv, code=code, says=says, stdin=ALL)


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ("summary", ("no metrics", "emoprune eval")),
        ("steps", ("no steps", "prune --steps")),
    ],
)
def test_a_section_without_records_is_refused_before_a_figure_is_drawn(
    emoprune: Runner, section: str, says: tuple[str, ...]
) -> None:
    argv = ("report", "--figures", "out", "--section", section)
    emoprune.check_refused(*argv, stdin=stream(TRAINING), says=says)


@pytest.mark.parametrize("name", ["[bold]x.st", "über.st", "x" * 90 + ".st"])
def test_names_are_shown_as_they_are(emoprune: Runner, name: str) -> None:
    argv = ("report", "--format", "table", "--section", "summary")
    text = emoprune.done(*argv, stdin=stream(scores(name))).out
    assert name in text
    assert "\\" not in text


def test_models_of_different_samples_come_with_a_warning(emoprune: Runner) -> None:
    result = emoprune.done("report", stdin=stream(FIRST, {**SECOND, "split": "all"}))
    assert result.err == "warning: not all were measured on the same part of the same data\n"
    assert result.record["comparable"] is False


def test_files_and_stdin_come_in_the_order_given(emoprune: Runner, in_folder: Path) -> None:
    (in_folder / "a.json").write_bytes(stream(FIRST, indent=2))
    (in_folder / "b.json").write_bytes(stream(SECOND, scores("third.st")))
    record = emoprune.done("report", "b.json", "-", "a.json", stdin=stream(scores("piped.st"))).record
    assert [model["model"] for model in record["models"]] == ["small.st", "third.st", "piped.st", "big.st"]


def test_report_reads_what_eval_and_prune_print(emoprune: Runner, model: Path, faces: Path) -> None:
    printed = emoprune.done("eval", model, faces)
    (found,) = emoprune.done("report", stdin=printed.raw).record["models"]
    assert found["accuracy"] == printed.record["accuracy"]
    emoprune.check_refused("prune", model, "--label", "norms", code=2, says=("give --steps",))
    printed = emoprune.done("prune", model, "--method", "importance", "--steps", "--label", "norms")
    (steps,) = emoprune.done("report", stdin=printed.raw).record["steps"]
    assert steps == {key: value for key, value in printed.record.items() if key != "schema"}
    rows = emoprune.done("report", "--by-label", stdin=printed.raw * 2).record["steps"]
    assert [(row["units"], row["runs"]) for row in rows] == [(entry["units"], 2) for entry in steps["steps"]]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", ("no metrics",)),
        (stream(FIRST) + b'{"schema": "emoprune.metr\n' + stream(SECOND), ("line 2", "not JSON")),
        (stream({"schema": "emoprune.export/2"}), ("line 1", "emoprune.export/2")),
        (stream({**FIRST, "n": "ten"}), ("line 1", "n: expected int")),
        (b"\xff\xfe\x00binary", ("UTF-16 text, not measurements",)),
    ],
)
def test_a_stream_that_is_not_metrics_is_refused_whole(
    emoprune: Runner, in_folder: Path, data: bytes, says: tuple[str, ...]
) -> None:
    emoprune.check_refused("report", stdin=data, says=("standard input", *says))
    (in_folder / "m.json").write_bytes(data)
    emoprune.check_refused("report", "m.json", "--format", "csv", says=("m.json", *says))


def test_report_does_not_wait_for_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal())
    assert main(["report"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("emoprune: no files")
    assert err.count("\n") == 1


def test_help_names_every_figure(emoprune: Runner) -> None:
    text = emoprune.done("report", "--help").out
    for name in FIGURES:
        assert f"  {name} " in text
    assert max(map(len, text.partition("Examples:")[2].splitlines())) <= 80


@pytest.fixture
def compared(in_folder: Path) -> Path:
    """A folder with a baseline, a worse run and metrics."""
    (in_folder / "runs").mkdir()
    for name, wrong in (("big", 0), ("small", 20)):
        (in_folder / "runs" / f"{name}.csv").write_bytes(
            answers(f"{name}.st", "b" * wrong + "a" * (60 - wrong)).to_bytes()
        )
    (in_folder / "runs" / "small.json").write_bytes(stream(SECOND))
    return in_folder / "runs"


ARGV = ("report", "--baseline", "runs/big.csv", "runs")
# where only one model has images alone, Tango's interval is Wilson's: of 20 of 60, 22.7% to 45.9%
SAID = "worse by 33.3 points (22.7 to 45.9; p < 0.001); lower recall of a (-33.3 points)"


def test_report_says_whether_predictions_differ_by_chance(emoprune: Runner, compared: Path) -> None:
    result = emoprune.done(*ARGV)
    assert result.err == "note: big.st is the baseline, and not compared with itself\n"
    assert [row["verdict"] for row in result.record["verdicts"]] == [SAID]
    assert len(result.record["flipped"][0]["images"]) == 20
    assert [model["model"] for model in result.record["models"]] == ["small.st"]
    rows = csv.DictReader(io.StringIO(emoprune.done(*ARGV, "--section", "flipped", "--format", "csv").out))
    assert [row["name"] for row in rows] == [f"{number:05d}.jpg" for number in range(20)]
    assert f"| small.st | {SAID} |\n" in emoprune.done(*ARGV, "--format", "markdown").out


def test_the_same_predictions_give_the_same_bytes(emoprune: Runner, compared: Path) -> None:
    for form in ("json", "markdown", "table"):
        first = emoprune.done(*ARGV, "--format", form)
        assert emoprune.done(*ARGV, "--format", form) == first


def test_predictions_come_through_standard_input(emoprune: Runner, compared: Path) -> None:
    data = (compared / "small.csv").read_bytes()
    for argv in (("--baseline", "runs/big.csv"), ("--baseline", "runs/big.csv", "-")):
        assert emoprune.done("report", *argv, stdin=data).record["verdicts"][0]["verdict"] == SAID
    found = emoprune.done("report", "--baseline", "-", "runs/big.csv", stdin=data).record["verdicts"][0]
    assert (found["run"], found["difference"]) == ("big.st", pytest.approx(1 / 3))
    emoprune.check_refused("report", "--baseline", "-", code=2, says=("standard input can be read once",))


def test_predictions_without_a_baseline_are_listed(emoprune: Runner, compared: Path) -> None:
    result = emoprune.done("report", "runs", "--section", "predictions", "--format", "csv")
    assert result.out.splitlines()[0] == "run,images,groups,accuracy,chance,majority"
    assert result.err == (
        "note: predictions are only listed; --baseline names the file to compare them with\n"
    )


def test_predictions_of_other_data_are_refused_unless_forced(emoprune: Runner, compared: Path) -> None:
    (compared / "small.csv").write_bytes(answers("small.st", "a" * 60, data="others").to_bytes())
    says = ("emoprune: small.st: its data are others, and those of big.st are data;", "or give --force to")
    emoprune.check_refused(*ARGV, says=says)
    assert "warning: small.st: its data are others" in emoprune.done(*ARGV, "--force").err


@pytest.mark.parametrize("columns", [80, 100])
def test_verdicts_fit_a_terminal(
    emoprune: Runner, monkeypatch: pytest.MonkeyPatch, compared: Path, columns: int
) -> None:
    lines = lines_of(bytes_on_terminal(monkeypatch, *ARGV, "--margin", "2", columns=columns))
    assert max(map(len, lines)) <= columns
    assert "  All are in JSON, and in the section flipped as CSV." in lines


def test_a_flattered_run_is_warned_of_in_red_and_in_every_form(
    emoprune: Runner, monkeypatch: pytest.MonkeyPatch, in_folder: Path
) -> None:
    (in_folder / "m.json").write_bytes(stream({**FIRST, "test_looks": 2}))
    warning = "big.st: its test part was looked at before, 2 times"
    assert emoprune.done("report", "m.json").record["warnings"] == [warning]
    assert f"> **Warning:** {warning}\n" in emoprune.done("report", "m.json", "--format", "markdown").out
    assert f"  warning: {warning}\n" in emoprune.done("report", "m.json", "--format", "table").out
    shown = bytes_on_terminal(monkeypatch, "report", "m.json", columns=80)
    assert f"\x1b[1;31m  warning: {warning}".encode() in shown


def test_many_models_fit_into_eighty_columns(in_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = [f"a-long-name-of-a-model-{number}.st" for number in range(7)]
    (in_folder / "runs.json").write_text("".join(json.dumps(scores(model)) + "\n" for model in models))
    argv = ("report", "runs.json", "--section", "summary")
    shown = lines_of(bytes_on_terminal(monkeypatch, *argv, columns=80))
    assert max(map(len, shown)) <= 80
    # each has a row, in every piece of the folded table
    assert [word for line in shown for word in line.split() if word in models] == models * 2
    assert sum(line.count(" 70.0%") for line in shown) == 7


@pytest.mark.parametrize("argv", [(), ("--by-label",), ("--by-label", "--paper", "p.csv")])
@pytest.mark.parametrize("classes", [2, 7, 20])
def test_nothing_wraps_in_eighty_columns(
    in_folder: Path, monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...], classes: int
) -> None:
    labels = ["whole", "reconstruct, 0.25 of the MACs", "distinct", "magnitude", "random", "l" * 199 + "x"]
    names = [f"surprise{number:02}" for number in range(classes)]
    score = {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 9}
    of = {
        "classes": names,
        "per_class": dict.fromkeys(names, score),
        "confusion": [[9 if row == column else 1 for column in names] for row in names],
        "n": classes * (classes + 8),
    }
    found = [
        {
            **FIRST,
            **of,
            "label": label,
            "settings": {"seed": seed},
            "accuracy": 0.8 + seed / 10,
            "units": seed,
        }
        for label in labels
        for seed in (0, 1)
    ]
    (in_folder / "runs.json").write_bytes(stream(*found))
    (in_folder / "p.csv").write_text("label,measure,value,where\nwhole,accuracy,34.5%,Table 4\n")
    shown = lines_of(bytes_on_terminal(monkeypatch, "report", "runs.json", *argv, columns=80))
    assert max(map(len, shown)) <= 80
    text = "\n".join(shown)
    assert ("The matrix of 20 classes is in JSON" in text) == (classes == 20)
    assert "-0.0" not in text
    assert "+0.0" not in text
