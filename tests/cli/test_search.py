"""emoprune search: its lines, its table, the command at its end, and several processes."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.support.children import child, wait_until
from tests.support.command_line import PROGRAM, Runner, clean_environment, process, scores, tree
from tests.support.searching import GRID, SMALL, lines, options, search_done
from tests.support.terminal import bytes_on_terminal, lines_of

SEARCH = options(SMALL)


def test_the_best_checkpoint_is_what_the_command_at_the_end_trains(
    emoprune: Runner, table: Path, in_folder: Path
) -> None:
    result = search_done(emoprune, table, *SEARCH, "--keep-best", "best.st")
    assert result.err.count("note: random split") == 1
    kept = (in_folder / "best.st").read_bytes()
    best = max(result.lines, key=lambda line: (line["accuracy"], -line["settings"]["trial"]))
    share = f"{best['accuracy']:.1%} of the val part"
    trial = best["settings"]["trial"]
    assert result.err.splitlines()[-2] == f"note: best of 4 trials: {share}, trial {trial}; to train it:"
    emoprune.done(*shlex.split(result.err.splitlines()[-1])[1:])
    assert (in_folder / "model.st").read_bytes() == kept
    # and eval says of it what the search said
    again = emoprune.done("eval", "model.st", table, "--split", "val").record
    measured = set(again) - {"model", "label", "settings"}
    assert {key: again[key] for key in measured} == {key: best[key] for key in measured}


def test_the_command_at_the_end_has_the_preset_and_what_differs_from_it(
    emoprune: Runner, small: Path
) -> None:
    fixed = ("--set", "gray=no", "--set", "size=20", "--set", "epochs=0", "--set", "channels=3+4")
    spaces = ("--space", "augment=flip+rotate:10,none", "--sampler", "grid", "--trials", "1")
    result = search_done(emoprune, small, "--preset", "luan2020-lenet", *spaces, *fixed, "--device", "cpu")
    assert shlex.split(result.err.splitlines()[-1])[4:] == [
        *("--preset", "luan2020-lenet", "--channels", "3", "--channels", "4", "--size", "20", "--color"),
        *("--epochs", "0", "--augment", "flip,rotate:10", "--split", "60/20/20", "--seed", "0"),
        *("--device", "cpu"),
    ]


def test_lines_are_added_to_a_file_and_report_takes_them(
    emoprune: Runner, table: Path, in_folder: Path
) -> None:
    before = json.dumps(scores("before"))
    (in_folder / "runs.json").write_text(before)
    result = search_done(emoprune, table, *SEARCH, "-o", "runs.json")
    first, *rest = (in_folder / "runs.json").read_text().splitlines(keepends=True)
    assert first == f"{before}\n"
    assert "".join(rest) == result.out
    (in_folder / "runs.json").write_text(result.out)
    record = emoprune.done("report", "runs.json", "--by-label", "--json").record
    assert [entry["runs"] for entry in record["labels"]] == [1, 1, 1, 1]
    emoprune.done("report", "runs.json", "--figures", "figures", "--figure", "accuracy-by-lr")
    assert (in_folder / "figures" / "accuracy-by-lr.svg").exists()


def test_a_terminal_shows_the_ten_best(table: Path, in_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    argv = ("search", table, *SEARCH, "--trials", 12)
    shown = [line for line in lines_of(bytes_on_terminal(monkeypatch, *argv, columns=160)) if line]
    start = shown.index("Best of 12 trials")
    assert shown[start + 1].split() == ["trial", "val", "accuracy", "hidden", "lr"]
    rows = [line.split() for line in shown[start + 3 : start + 13]]
    shares = [float(row[1].rstrip("%")) for row in rows]
    assert shares == sorted(shares, reverse=True)
    assert len({row[0] for row in rows}) == 10
    assert not any("schema" in line for line in shown)


def test_progress_goes_to_stderr_and_lines_to_the_pipe(
    table: Path, in_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (in_folder / "out.json").open("w") as out:
        shown = bytes_on_terminal(monkeypatch, "search", table, *SEARCH, columns=160, out=out)
    assert len(lines(in_folder / "out.json")) == 4
    assert all(word in shown for word in (b"search", b"4/4", b"best "))


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("--trials", "0"), "--trials"),
        (("--label", " "), "--label"),
        (("--preset", "jain2020-f"), "did you mean"),
        (("--set", "epochs=many"), "--epochs many is not a whole number"),
        (("--set", "learning=1"), "--set learning: unknown"),
        (("--set", "dropout=0.2", "--space", "dropout=0:0.5"), "both searched and --set"),
        (("--space", "dropout=0.1"), "--dropout"),
        (("-o", "search.journal"), "two files at once"),
    ],
)
def test_a_wrong_command_line_is_refused_in_one_line(
    emoprune: Runner, table: Path, argv: tuple[str, ...], says: str
) -> None:
    arguments = ("--space", "lr=log:1e-3:1e-1", "--set", "arch=mlp", *argv)
    if argv == ("--space", "dropout=0.1"):
        arguments = ("--set", "arch=svm", *argv)
    emoprune.check_refused("search", table, *arguments, code=2, says=(says,))


def test_the_program_needs_no_terminal(table: Path, in_folder: Path) -> None:
    ended = process("search", table, *SEARCH, "--trials", 1, cwd=in_folder)
    assert ended.returncode == 0
    assert json.loads(ended.stdout)["settings"]["trial"] == 0
    assert set(tree(in_folder)) == {"search.journal", "search.journal.mutex"}


LONGER = {"space": ("lr=log:1e-3:1e-1",), "fixed": ("arch=mlp", "epochs=60", "hidden=8"), "trials": 8}
ARGV = (*options(LONGER), "-o", "runs.json", "--keep-best", "best.st")


def started(cwd: Path, *argv: object) -> AbstractContextManager[subprocess.Popen[bytes]]:
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return child([*PROGRAM, *map(str, argv)], cwd=cwd, env=clean_environment(), **pipes)


@pytest.mark.parametrize(("how", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_a_search_that_was_ended_goes_on_as_if_it_had_not_been(
    emoprune: Runner, table: Path, in_folder: Path, how: signal.Signals, code: int
) -> None:
    log = in_folder / "runs.json"
    with started(in_folder, "search", table, *ARGV) as process:
        wait_until(lambda: log.exists() and log.read_text().count("\n") >= 2, process)
        process.send_signal(how)
        process.communicate()
    assert process.returncode == code
    before = log.read_bytes()
    assert 2 <= before.count(b"\n") < 8
    rest = search_done(emoprune, table, *ARGV)
    assert len(rest.lines) <= 8 - before.count(b"\n")
    after, kept = log.read_bytes(), (in_folder / "best.st").read_bytes()
    assert after.startswith(before)
    assert set(tree(in_folder)) == {"search.journal", "search.journal.mutex", "runs.json", "best.st"}
    for path in in_folder.iterdir():
        path.unlink()
    search_done(emoprune, table, *ARGV)
    assert log.read_bytes() == after
    assert (in_folder / "best.st").read_bytes() == kept


@pytest.mark.parametrize("storage", ["search.journal", "sqlite:///search.db"])
def test_two_processes_share_a_grid(table: Path, in_folder: Path, storage: str) -> None:
    argv = ("search", table, *options(GRID), "--set", "batch_size=4", "-o", "runs.json", "--storage", storage)
    with started(in_folder, *argv) as one, started(in_folder, *argv) as other:
        ends = [process.communicate() for process in (one, other)]
    assert [one.returncode, other.returncode] == [0, 0], ends
    printed = sorted(line for out, _ in ends for line in out.splitlines())
    assert len(printed) == 6
    found = [line["settings"] for line in lines(in_folder / "runs.json")]
    assert sorted((in_folder / "runs.json").read_bytes().splitlines()) == printed
    assert sorted(each["trial"] for each in found) == list(range(6))
    assert len({(each["lr"], each["hidden"]) for each in found}) == 6
    # whoever was first to end waited for the other
    assert len({err.splitlines()[-1] for _, err in ends}) == 1
