"""emoprune report: evaluations side by side, with the change against the first."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from emoprune.cli.main import main
from tests.support.command_line import Runner, scores

FIRST = scores("big.st")
SECOND = scores(
    "small.st", accuracy=0.65, macro_f1=0.7, parameters=500, nonzero_parameters=500, macs=30000, units=6
)


def stream(*records: dict[str, Any], indent: int | None = None) -> bytes:
    return "".join(json.dumps(record, indent=indent) + "\n" for record in records).encode()


def test_json_holds_each_models_change_against_the_first(emoprune: Runner) -> None:
    record = emoprune.done("report", stdin=stream(FIRST, SECOND)).record
    assert (record["schema"], record["comparable"]) == ("emoprune.report/1", True)
    first, second = record["models"]
    assert (first["model"], second["model"]) == ("big.st", "small.st")
    assert set(first["change"].values()) == {0}
    assert second["change"]["accuracy"] == pytest.approx(-0.05)
    assert second["change"]["macro_f1"] == pytest.approx(0.05)
    assert (second["change"]["parameters"], second["change"]["units"]) == (-1500, -18)
    assert first["per_class"]["happy"]["precision"] is None


@pytest.mark.parametrize("form", ["table", "markdown"])
def test_the_summary_writes_values_and_changes(emoprune: Runner, form: str) -> None:
    text = emoprune.done("report", "--format", form, stdin=stream(FIRST, SECOND)).out
    lines = [" ".join(line.replace("|", " ").split()) for line in text.splitlines()]
    assert "accuracy 70.0% 65.0% (-5.0 pt)" in lines
    assert "95% interval 40.0 to 90.0% 40.0 to 90.0%" in lines
    assert "macro F1 0.650 0.700 (+0.050)" in lines
    assert "hidden units 24 6 (-75.0%)" in lines
    assert "parameters 2,000 500 (-75.0%)" in lines
    assert "MACs 40,000 30,000 (-25.0%)" in lines
    assert "bytes 9,000 9,000 (+0.0%)" in lines


SECTIONS = {"summary": "accuracy", "classes": "Precision by class", "confusion": "Confusion of big.st"}


@pytest.mark.parametrize("form", ["table", "markdown"])
@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_stands_alone_when_asked(emoprune: Runner, form: str, section: str) -> None:
    everything = emoprune.done("report", "--format", form, stdin=stream(FIRST)).out
    assert all(words in everything for words in SECTIONS.values())
    alone = emoprune.done("report", "--format", form, "--section", section, stdin=stream(FIRST)).out
    assert {name for name, words in SECTIONS.items() if words in alone} == {section}


def test_per_class_figures_have_a_dash_for_what_is_not_there(emoprune: Runner) -> None:
    text = emoprune.done(
        "report", "--format", "markdown", "--section", "classes", stdin=stream(FIRST, SECOND)
    ).out
    precision = text.partition("### Precision")[2].partition("###")[0]
    assert "| angry | 0.600 | 0.600 |" in precision
    assert "| happy | - | - |" in precision


def test_confusion_counts_actual_by_predicted(emoprune: Runner) -> None:
    text = emoprune.done("report", "--format", "csv", "--section", "confusion", stdin=stream(FIRST)).out
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {(row["actual"], row["predicted"]): int(row["count"]) for row in rows} == {
        ("angry", "angry"): 3,
        ("angry", "happy"): 1,
        ("happy", "angry"): 2,
        ("happy", "happy"): 4,
    }


def test_csv_is_the_summary_in_raw_values(emoprune: Runner) -> None:
    rows = list(
        csv.DictReader(
            io.StringIO(emoprune.done("report", "--format", "csv", stdin=stream(FIRST, SECOND)).out)
        )
    )
    assert [row["model"] for row in rows] == ["big.st", "small.st"]
    for row, record in zip(rows, (FIRST, SECOND), strict=True):
        for key in ("n", "accuracy", "macro_f1", "log_loss", "units", "parameters", "macs", "bytes"):
            assert float(row[key]) == record[key]
        assert (float(row["accuracy_low"]), float(row["accuracy_high"])) == (0.4, 0.9)


def test_markdown_cells_cannot_break_the_table(emoprune: Runner) -> None:
    odd = stream(scores("a|b.st"))
    text = emoprune.done("report", "--format", "markdown", "--section", "summary", stdin=odd).out
    bars = {line.replace("\\|", "").count("|") for line in text.splitlines() if line.startswith("|")}
    assert bars == {3}


@pytest.mark.parametrize("name", ["[bold]x.st", "über.st", "x" * 90 + ".st"])
def test_names_are_shown_as_they_are(emoprune: Runner, name: str) -> None:
    text = emoprune.done(
        "report", "--format", "table", "--section", "summary", stdin=stream(scores(name))
    ).out
    assert name in text
    assert "\\" not in text


@pytest.mark.parametrize(
    "other", [{"data_fingerprint": "g"}, {"split": "all"}, {"data_fingerprint": "g", "split": "train"}]
)
def test_figures_of_different_samples_come_with_a_warning(emoprune: Runner, other: dict[str, str]) -> None:
    result = emoprune.done("report", stdin=stream(FIRST, {**SECOND, **other}))
    assert result.err.startswith("warning: ")
    assert result.record["comparable"] is False
    assert emoprune.done("report", stdin=stream(FIRST, SECOND)).err == ""


def test_files_and_stdin_come_in_the_order_given(emoprune: Runner, in_folder: Path) -> None:
    (in_folder / "a.json").write_bytes(stream(FIRST, indent=2))
    (in_folder / "b.json").write_bytes(stream(SECOND, scores("third.st")))
    record = emoprune.done("report", "b.json", "-", "a.json", stdin=stream(scores("piped.st"))).record
    assert [model["model"] for model in record["models"]] == ["small.st", "third.st", "piped.st", "big.st"]


def test_models_of_one_name_are_told_apart(emoprune: Runner) -> None:
    records = stream(scores("one/m.st"), scores("two/m.st"))
    text = emoprune.done("report", "--format", "markdown", "--section", "summary", stdin=records).out
    assert "one/m.st" in text
    assert "two/m.st" in text
    twins = stream(FIRST, FIRST)
    heading = emoprune.done("report", "--format", "markdown", "--section", "summary", stdin=twins).out
    columns = heading.splitlines()[2].split("|")[2:4]
    assert columns[0] != columns[1]


def test_report_reads_what_eval_prints(emoprune: Runner, model: Path, faces: Path) -> None:
    printed = emoprune.done("eval", model, faces)
    (found,) = emoprune.done("report", stdin=printed.raw).record["models"]
    assert found["accuracy"] == printed.record["accuracy"]


BROKEN = stream(FIRST) + b'{"schema": "emoprune.metr\n' + stream(SECOND)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", ("no metrics",)),
        (b"\n\n", ("no metrics",)),
        (BROKEN, ("line 2", "not JSON")),
        (stream(FIRST) + b"\n" + stream({**FIRST, "schema": "emoprune.metrics/2"}), ("line 3", "metrics/2")),
        (b"[1, 2]\n", ("line 1", "schema")),
        (stream({"schema": "emoprune.prune/2"}), ("line 1", "emoprune.prune/2")),
        (stream({**FIRST, "n": 11}), ("line 1", "11")),
        (stream({**FIRST, "n": "ten"}), ("line 1", "n ", "ten")),
        (stream({key: value for key, value in FIRST.items() if key != "macs"}), ("line 1", "macs")),
        (stream({**FIRST, "classes": ["angry"]}), ("line 1", "classes")),
        (b"\xff\xfe\x00binary", ("line 1", "not JSON")),
        (stream({**FIRST, "log_loss": float("nan")}), ("line 1", "not JSON")),
    ],
)
def test_a_stream_that_is_no_metrics_is_refused_whole(
    emoprune: Runner, in_folder: Path, data: bytes, says: tuple[str, ...]
) -> None:
    emoprune.check_refused("report", stdin=data, says=("standard input", *says))
    (in_folder / "m.json").write_bytes(data)
    emoprune.check_refused("report", "m.json", "--format", "csv", says=("m.json", *says))


def test_a_file_that_is_not_there_is_named(emoprune: Runner) -> None:
    emoprune.check_refused("report", "no.json", says=("no.json: no such file",))
    emoprune.check_refused("report", ".", says=(".: is a folder",))


def test_nothing_to_read_is_told_rather_than_waited_for(
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


@pytest.mark.parametrize("option", [("--format", "xml"), ("--section", "everything")])
def test_an_unknown_choice_is_the_command_lines_fault(emoprune: Runner, option: tuple[str, str]) -> None:
    emoprune.check_refused("report", *option, code=2, says=option, stdin=stream(FIRST))
