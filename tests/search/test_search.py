"""emoprune search: what its trials are, what it prints of them, and which one is the best."""

from __future__ import annotations

import json
import math
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from tests.support.command_line import PROGRAM, Runner, clean_environment, opened, process, tree
from tests.support.searching import GRID, MLP, SMALL_SEARCH, lines, searched, settings
from tests.support.terminal import bytes_on_terminal, lines_of


def test_every_trial_is_a_line_of_metrics_of_the_val_part(emoprune: Runner, table: Path) -> None:
    found = searched(emoprune, table, *SMALL_SEARCH, "--label", "mine").lines
    assert [settings(line, "trial", "seed") for line in found] == [(number, 0) for number in range(4)]
    for line in found:
        assert (line["schema"], line["split"], line["n"]) == ("emoprune.metrics/1", "val", 12)
        assert (line["label"], line["data"]) == ("mine", str(table))
        rate, hidden = settings(line, "lr", "hidden")
        assert 1e-3 <= float(str(rate)) <= 1e-1
        assert line["units"] == hidden


def test_the_same_seed_makes_the_same_trials_and_another_makes_others(emoprune: Runner, table: Path) -> None:
    def run(name: str, *more: object) -> list[object]:
        found = searched(emoprune, table, *SMALL_SEARCH, "--storage", name, *more).lines
        return [(line["settings"], line["model_fingerprint"]) for line in found]

    assert run("a") == run("b")
    assert run("c", "--seed", 1) != run("a2")


def test_the_best_checkpoint_is_what_the_command_at_the_end_trains(
    emoprune: Runner, table: Path, in_folder: Path
) -> None:
    result = searched(emoprune, table, *SMALL_SEARCH, "--keep-best", "best.st")
    kept = (in_folder / "best.st").read_bytes()
    best = max(result.lines, key=lambda line: (line["accuracy"], -line["settings"]["trial"]))
    said = result.err.splitlines()[-2]
    assert f"trial {best['settings']['trial']};" in said
    assert f"{best['accuracy']:.1%}" in said
    # another file, for that one is there
    emoprune.done(*shlex.split(result.err.splitlines()[-1])[1:])
    assert (in_folder / "model.st").read_bytes() == kept
    # and eval says of it what the search said
    again = emoprune.done("eval", "model.st", table, "--split", "val").record
    measured = set(again) - {"model", "label", "settings"}
    assert {key: again[key] for key in measured} == {key: best[key] for key in measured}


def test_a_grid_runs_every_combination_once(emoprune: Runner, table: Path) -> None:
    found = searched(emoprune, table, *GRID).lines
    assert {settings(line, "lr", "hidden") for line in found} == set(product((0.01, 0.1), (4, 6, 8)))
    assert len(found) == 6


def test_a_grid_may_be_cut_short(emoprune: Runner, table: Path) -> None:
    result = searched(emoprune, table, *GRID, "--trials", 2)
    assert len(result.lines) == 2
    assert "6 combinations" in result.err


def test_layers_of_one_width_and_layers_one_by_one(emoprune: Runner, table: Path) -> None:
    stacked = ("--space", "hidden=3,5", "--space", "layers=int:1:2")
    found = searched(emoprune, table, *MLP, "--sampler", "grid", *stacked).lines
    assert {settings(line, "hidden", "layers"): line["units"] for line in found} == {
        (width, layers): width * layers for width in (3, 5) for layers in (1, 2)
    }
    apart = ("--sampler", "grid", "--space", "hidden=3,3+5+7", "--storage", "b", "--keep-best", "m.st")
    found = searched(emoprune, table, *MLP, *apart).lines
    assert {settings(line, "hidden"): line["units"] for line in found} == {(3,): 3, ("3+5+7",): 15}


def test_a_coarse_round_then_a_narrower_one(emoprune: Runner, table: Path) -> None:
    rounds = ("--sampler", "coarse-to-fine", "--coarse-epochs", 1, "--fine-epochs", 3, "--trials", 16)
    spaces = ("--space", "lr=log:1e-5:1", "--space", "momentum=0.1:0.9", "--set", "optimizer=sgd")
    found = searched(emoprune, table, "--set", "arch=mlp", *spaces, *rounds, "--set", "hidden=6").lines
    assert [settings(line, "epochs") for line in found] == [(1,)] * 8 + [(3,)] * 8
    coarse, fine = found[:8], found[8:]
    best = max(coarse, key=lambda line: (line["accuracy"], -line["settings"]["trial"]))["settings"]
    for name, whole in (("lr", math.log(1e5)), ("momentum", math.log(9))):
        logs = [math.log(line["settings"][name]) for line in fine]
        assert all(abs(log - math.log(best[name])) <= whole / 6 * (1 + 1e-9) for log in logs)
        assert max(logs) - min(logs) <= whole / 3
        assert len(set(logs)) == len(fine)


def test_augmentations_optimizers_and_sizes_of_photos(emoprune: Runner, small: Path) -> None:
    fixed = ("--set", "arch=conv1", "--set", "gray=yes", "--set", "epochs=1", "--set", "hidden=4")
    spaces = ("--space", "augment=none,flip+rotate:10", "--space", "size=12,16")
    found = searched(emoprune, small, "--sampler", "grid", *fixed, *spaces, "--split", "40/30/30").lines
    assert {settings(line, "augment", "size") for line in found} == set(
        product(("none", "flip+rotate:10"), (12, 16))
    )


def test_a_machine_without_epochs_is_searched_as_well(emoprune: Runner, table: Path) -> None:
    found = searched(
        emoprune, table, "--set", "arch=svm", "--space", "penalty=log:0.1:10:3", "--sampler", "grid"
    ).lines
    assert [settings(line, "penalty") for line in found] == [(0.1,), (pytest.approx(1.0),), (10.0,)]


def test_a_preset_stands_in_for_defaults_and_its_split_for_none_with_a_val_part(
    emoprune: Runner, table: Path, in_folder: Path
) -> None:
    options = ("--preset", "jain2020-ff", "--set", "epochs=1", "--space", "lr=0.01,0.1", "--trials", 1)
    result = searched(emoprune, table, *options, "--keep-best", "m.st")
    assert result.lines[0]["label"] == "jain2020-ff"
    checkpoint, _ = opened(in_folder / "m.st")
    assert (checkpoint.split.shares, checkpoint.spec.hidden) == ("60/20/20", (20,))


def test_lines_are_added_to_a_file_and_report_takes_them(
    emoprune: Runner, table: Path, in_folder: Path
) -> None:
    (in_folder / "runs.json").write_text('{"kept": 1}')
    result = searched(emoprune, table, *SMALL_SEARCH, "-o", "runs.json")
    first, *rest = (in_folder / "runs.json").read_text().splitlines(keepends=True)
    assert first == '{"kept": 1}\n'
    assert "".join(rest) == result.out
    (in_folder / "runs.json").write_text(result.out)
    record = emoprune.done("report", "runs.json", "--by-label", "--json").record
    assert [entry["runs"] for entry in record["labels"]] == [1, 1, 1, 1]
    emoprune.done("report", "runs.json", "--figures", "figures", "--figure", "accuracy-by-lr")
    assert (in_folder / "figures" / "accuracy-by-lr.svg").exists()


def test_more_trials_go_on_where_fewer_ended(emoprune: Runner, table: Path, in_folder: Path) -> None:
    searched(emoprune, table, *SMALL_SEARCH)
    more = searched(emoprune, table, *SMALL_SEARCH, "--trials", 6, "-o", "runs.json").lines
    assert [settings(line, "trial") for line in more] == [(4,), (5,)]
    assert [settings(line, "trial") for line in lines(in_folder / "runs.json")] == [(n,) for n in range(6)]
    done = searched(emoprune, table, *SMALL_SEARCH, "--trials", 6)
    assert done.out == ""


def test_the_best_is_replaced_by_better_alone(emoprune: Runner, table: Path, in_folder: Path) -> None:
    argv = (table, *SMALL_SEARCH, "--keep-best", "best.st")
    first = searched(emoprune, *argv, "--trials", 1).lines
    before = (in_folder / "best.st").read_bytes()
    rest = searched(emoprune, *argv, "--trials", 6).lines
    replaced = max(line["accuracy"] for line in rest) > first[0]["accuracy"]
    assert ((in_folder / "best.st").read_bytes() != before) == replaced


def test_a_best_that_another_process_had_is_pointed_out(
    emoprune: Runner, table: Path, in_folder: Path
) -> None:
    searched(emoprune, table, *SMALL_SEARCH)
    result = searched(emoprune, table, *SMALL_SEARCH, "--keep-best", "best.st")
    assert "warning: best.st is not of the best trial" in result.err
    assert not (in_folder / "best.st").exists()


def test_a_failed_trial_is_told_and_counted_and_the_rest_goes_on(emoprune: Runner, table: Path) -> None:
    rates = ("--set", "optimizer=sgd", "--set", "activation=relu", "--space", "lr=1e30,0.01")
    argv = (table, *MLP, "--sampler", "grid", *rates, "--set", "hidden=8")
    result = searched(emoprune, *argv)
    assert [settings(line, "trial", "lr") for line in result.lines] == [(1, 0.01)]
    assert "warning: trial 0 failed, the loss is nan after epoch" in result.err
    assert "lr=1e+30" in result.err
    again = searched(emoprune, *argv)
    assert again.out == ""
    assert "note: 1 of 2 trials failed" in again.err


def test_a_terminal_shows_the_ten_best(table: Path, in_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    argv = ("search", table, *SMALL_SEARCH, "--trials", 12)
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
        shown = bytes_on_terminal(monkeypatch, "search", table, *SMALL_SEARCH, columns=160, out=out)
    assert len(lines(in_folder / "out.json")) == 4
    assert b"search" in shown
    assert b"4/4" in shown
    assert b"best " in shown


def test_notes_are_told_once(emoprune: Runner, table: Path) -> None:
    assert searched(emoprune, table, *SMALL_SEARCH).err.count("note: random split") == 1


def test_data_split_already_is_taken_with_its_val_part(
    emoprune: Runner, table: Path, in_folder: Path
) -> None:
    head, *rows = table.read_text().splitlines()
    parts = ("train", "train", "val", "test")
    named = [f"{parts[index % 4]}/{row}" for index, row in enumerate(rows)]
    (in_folder / "t.csv").write_text("\n".join([head, *named]) + "\n")
    result = searched(emoprune, "t.csv", *SMALL_SEARCH)
    assert {line["n"] for line in result.lines} == {15}
    assert "--split" not in result.err


def test_the_program_needs_no_terminal(table: Path, in_folder: Path) -> None:
    ended = process("search", table, *SMALL_SEARCH, "--trials", 1, cwd=in_folder)
    assert ended.returncode == 0
    assert json.loads(ended.stdout)["settings"]["trial"] == 0
    assert set(tree(in_folder)) == {"search.journal", "search.journal.lock"}


LONGER = ("--set", "arch=mlp", "--set", "epochs=60", "--space", "lr=log:1e-3:1e-1", "--set", "hidden=8")
ARGV = (*LONGER, "--trials", "8", "-o", "runs.json", "--keep-best", "best.st")


def started(cwd: Path, *argv: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*PROGRAM, *map(str, argv)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=cwd,
        env=clean_environment(),
    )


def wait_for(so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not so():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize(("how", "code"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_a_search_that_was_ended_goes_on_as_if_it_had_not_been(
    emoprune: Runner, table: Path, in_folder: Path, how: signal.Signals, code: int
) -> None:
    log = in_folder / "runs.json"
    process = started(in_folder, "search", table, *ARGV)
    try:
        wait_for(lambda: log.exists() and log.read_text().count("\n") >= 2)
        process.send_signal(how)
        process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code
    before = log.read_bytes()
    assert 2 <= before.count(b"\n") < 8
    rest = searched(emoprune, table, *ARGV)
    assert len(rest.lines) <= 8 - before.count(b"\n")
    after, kept = log.read_bytes(), (in_folder / "best.st").read_bytes()
    assert after.startswith(before)
    for path in in_folder.iterdir():
        path.unlink()
    searched(emoprune, table, *ARGV)
    assert log.read_bytes() == after
    assert (in_folder / "best.st").read_bytes() == kept


def test_two_processes_share_a_grid(table: Path, in_folder: Path) -> None:
    argv = ("search", table, *GRID, "--set", "batch_size=4", "-o", "runs.json")
    both = [started(in_folder, *argv) for _ in range(2)]
    ends = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], ends
    printed = sorted(line for out, _ in ends for line in out.splitlines())
    assert len(printed) == 6
    found = lines(in_folder / "runs.json")
    assert sorted((in_folder / "runs.json").read_bytes().splitlines()) == printed
    assert sorted(settings(line, "trial") for line in found) == [(number,) for number in range(6)]
    assert len({settings(line, "lr", "hidden") for line in found}) == 6
    # whoever was first to end waited for the other
    commands = {err.splitlines()[-1] for _, err in ends}
    assert len(commands) == 1
