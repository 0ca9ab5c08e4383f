"""emoprune sweep: its lines in a pipe, its table, and command lines that it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command_line import Runner
from tests.support.terminal import bytes_on_terminal, lines_of

ONE = ("--methods", "importance,distinct", "--macs", "0.5", "--merge", "sum")


def test_lines_in_a_pipe_are_those_of_the_file_and_report_takes_them(
    emoprune: Runner, table: Path, table_model: Path, in_folder: Path
) -> None:
    result = emoprune.done("sweep", table_model, table, *ONE, "-o", "s.jsonl", "--jobs", 1)
    assert [line["label"] for line in result.lines] == ["whole network", "importance, sum", "distinct, sum"]
    record = emoprune.done("report", "s.jsonl", "--by-label", "--json").record
    assert [entry["label"] for entry in record["labels"]] == [
        *("whole network", "importance, sum", "distinct, sum")
    ]
    emoprune.check_refused("sweep", table_model, table, *ONE, "-o", "s.jsonl", says=("--resume", "--force"))
    again = emoprune.done("sweep", table_model, table, *ONE, "-o", "s.jsonl", "--resume")
    assert again.raw == result.raw


def test_the_lines_are_beside_the_model(emoprune: Runner, table: Path, table_model: Path) -> None:
    (emoprune.folder / "m.st").write_bytes(table_model.read_bytes())
    emoprune.done("sweep", "m.st", table, *ONE)
    assert (emoprune.folder / "m.sweep.jsonl").exists()


def test_a_terminal_shows_what_is_left(
    table: Path, table_model: Path, in_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = ("sweep", table_model, table, *ONE, "-o", "s.jsonl", "--latency")
    shown = [line for line in lines_of(bytes_on_terminal(monkeypatch, *argv, columns=80)) if line]
    start = shown.index("3 networks on the test part")
    assert shown[start + 1].split() == ["asked", "MACs", "parameters", "accuracy", "change", "ms"]
    rows = [line.split() for line in shown[start + 3 : -1]]
    assert [row[0] for row in rows] == ["whole", "importance,", "distinct,"]
    assert max(map(len, shown[start:])) <= 80


def test_another_models_lines_are_refused_by_name(
    emoprune: Runner, table: Path, table_model: Path, small: Path, in_folder: Path
) -> None:
    emoprune.done("sweep", table_model, table, *ONE, "-o", "s.jsonl")
    argv = ["train", table, "other.st", "--arch", "mlp", "--hidden", 4, "--epochs", 1]
    emoprune.done(*argv)
    says = (f"is a sweep of {table_model}, not of other.st; name another --output",)
    emoprune.check_refused("sweep", "other.st", table, *ONE, "-o", "s.jsonl", "--resume", code=2, says=says)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--methods", "distinct,reconstrct"), "did you mean reconstruct?"),
        (("--methods", "distinct,distinct"), "distinct is there twice"),
        (("--macs", "0.5,half"), "'half' is not a number"),
        (("--macs", "0.5,0.5"), "0.5 is there twice"),
        (("--macs", "0.5,0"), "--macs 0.0 is out of range; give 0.001 to 1"),
        (("--macs", "1.5"), "--macs 1.5 is out of range"),
        (("--macs", "0.5,"), "'' is not a number"),
        (("--macs", "0.5", "--angles", "10"), "--macs and --angles both set the amounts"),
        (("--resume", "--force"), "--resume goes on with what --force replaces"),
    ],
)
def test_a_command_line_that_no_sweep_has_is_refused(
    emoprune: Runner, words: tuple[str, ...], says: str
) -> None:
    emoprune.check_refused("sweep", "none.st", "none", *words, code=2, says=(says,))


def test_a_model_without_a_name_needs_one_for_its_lines(emoprune: Runner) -> None:
    emoprune.check_refused("sweep", "-", "none", code=2, says=("give -o FILE",))
