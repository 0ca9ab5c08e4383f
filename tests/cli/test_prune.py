"""emoprune prune: what it writes and where, what a terminal and a pipe see, and which options it refuses."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from emoprune.cli.main import main
from emoprune.pruning.refit import Refit
from tests.evaluation.test_model import rewritten
from tests.support.checkpoints import Zoo, check_agrees, options, planned, pruned, read, some, units
from tests.support.command_line import Runner, tree
from tests.support.terminal import bytes_on_terminal, lines_of
from tests.support.timing import set_times

HIDDEN = ("--layer", "classifier.hidden1")
DISTINCT, RECONSTRUCT = options(**some("distinct")), options(**some("reconstruct"))
MAGNITUDE = options(**some("magnitude"))
SENSITIVITY = ("--method", "reconstruct", "--sensitivity")


@pytest.fixture
def here(model: Path, in_folder: Path) -> Path:
    """The session's checkpoint under a name of this folder."""
    (in_folder / "model.st").write_bytes(model.read_bytes())
    return in_folder / "model.st"


def test_prune_prints_the_outcome_and_writes_the_checkpoint_of_the_library(
    emoprune: Runner, here: Path
) -> None:
    record = emoprune.done("prune", "model.st", "--angle", "40", *HIDDEN).record
    result = pruned(here, angle=40, layer=HIDDEN[1])
    assert list(record)[:5] == ["schema", "input", "output", "method", "merge"]
    assert (record["schema"], record["input"], record["merge"]) == ("emoprune.prune/2", "model.st", "lstsq")
    assert (record["amount"], record["angle"], record["layer"]) == ({"angle": 40}, 40, HIDDEN[1])
    outcome = json.loads(json.dumps(result.outcome.to_record()))
    assert {key: record[key] for key in outcome} == outcome
    (layer,) = record["layers"]
    assert {*("layer", "before", "after", "removed", "error_sum", "error_lstsq")} <= layer.keys()
    written = read(here.with_name("model.distinct.st"))
    check_agrees(result.outcome, read(here), written)
    assert written.history[-1].metrics["layers"] == record["layers"]
    assert set(written.history[-1].versions) >= {"emoprune", "torch"}


def test_the_output_is_named_after_input_and_method(emoprune: Runner, here: Path, in_folder: Path) -> None:
    (in_folder / "deep.er").mkdir()
    here.rename(in_folder / "deep.er" / "m.v2.st")
    record = emoprune.done("prune", "deep.er/m.v2.st").record
    assert record["output"] == "deep.er/m.v2.distinct.st"
    assert set(tree(in_folder)) == {"deep.er", "deep.er/m.v2.st", "deep.er/m.v2.distinct.st"}


def test_a_dry_run_prints_the_same_and_writes_nothing(emoprune: Runner, here: Path, in_folder: Path) -> None:
    before = tree(in_folder)
    dry = emoprune.done("prune", "model.st", "--angle", "30", "--dry-run").record
    piped = emoprune.done("prune", "-", "--angle", "30", "--dry-run", stdin=here.read_bytes()).record
    named = emoprune.done("prune", "model.st", "--angle", "30", "-o", "model.st", "--dry-run").record
    assert tree(in_folder) == before
    wet = emoprune.done("prune", "model.st", "--angle", "30").record
    assert {**wet, "output": None} == dry == named == {**piped, "input": "model.st"}


def test_where_every_unit_would_be_removed_one_is_kept_with_a_warning(
    emoprune: Runner, in_folder: Path
) -> None:
    # a constant column makes every unit constant
    rows = [f"{label}{index},{label},1" for label in "ab" for index in range(5)]
    (in_folder / "t.csv").write_text("name,label,x\n" + "\n".join(rows) + "\n")
    emoprune.done("train", "t.csv", "m.st", "--arch", "mlp", "--hidden", "6", "--epochs", "0")
    result = emoprune.done("prune", "m.st")
    assert result.record["units"] == {"before": 6, "after": 1}
    assert result.err == "warning: classifier.hidden1: every unit would be removed; 1 is kept\n"


def test_a_heavy_loss_is_warned_of(emoprune: Runner, here: Path) -> None:
    result = emoprune.done("prune", "model.st", "--angle", "90", "--merge", "sum", "--dry-run", *HIDDEN)
    (layer,) = result.record["layers"]
    assert layer["error_sum"] > 0.5
    assert "warning: classifier.hidden1: the next layer's input changes by " in result.err


def test_train_prune_and_eval_make_a_pipe(emoprune: Runner, small: Path) -> None:
    shape = ("--arch", "conv1", "--size", "16", "--gray", "--hidden", "8", "--epochs", "1")
    trained = emoprune.done("train", small, "-", *shape).raw
    piped = emoprune.done("prune", "-", "-o", "-", "--angle", "60", "--max-error", "1", stdin=trained).raw
    record = emoprune.done("eval", "-", small, stdin=piped).record
    assert (record["model"], record["n"]) == ("-", 6)
    assert record["bytes"] == len(piped) < len(trained)
    # the maps of the convolution are left alone
    assert record["units"] < 8 + 16


def test_standard_input_and_output_are_the_same_as_files(emoprune: Runner, zoo: Zoo) -> None:
    argv = (*RECONSTRUCT, "--data", "none")
    emoprune.done("prune", zoo("conv2"), *argv, "-o", "o.st")
    piped = emoprune.done("prune", "-", *argv, "-o", "-", stdin=zoo("conv2").read_bytes())
    assert piped.raw == Path("o.st").read_bytes()
    swept = emoprune.done("prune", "-", "--sensitivity", stdin=zoo("conv2").read_bytes())
    assert {step["model"] for step in swept.lines} == {"-"}


def test_standard_input_needs_a_name_for_the_output_and_a_checkpoint(emoprune: Runner, here: Path) -> None:
    emoprune.check_refused("prune", "-", stdin=here.read_bytes(), code=2, says=("-o",))
    for content in (b"", b"text", b"PK\3\4"):
        emoprune.check_refused("prune", "-", "-o", "o.st", stdin=content, says=("standard input: ",))


def test_a_broken_checkpoint_is_refused_with_its_name(emoprune: Runner, here: Path) -> None:
    def drop(held: dict[str, Any]) -> None:
        for name in [name for name in held if name.startswith("reads.")]:
            del held[name]

    here.write_bytes(rewritten(here.read_bytes(), drop))
    says = ("model.st: ", "classifier.hidden1", "--data")
    emoprune.check_refused("prune", "model.st", "--layer", "*", says=says)


def test_steps_are_a_record_that_report_reads(emoprune: Runner, table_model: Path, in_folder: Path) -> None:
    argv = ("prune", table_model, "--method", "importance", "--steps", "--units", "17", "--label", "x")
    result = emoprune.done(*argv)
    assert tree(in_folder) == {}
    record = result.record
    assert (record["schema"], record["label"], record["method"]) == ("emoprune.steps/1", "x", "importance")
    assert [step["units"] for step in record["steps"]] == [20, 19, 18, 17]
    assert emoprune.done("report", "--by-label", stdin=result.raw).record["steps"]
    emoprune.check_refused("prune", table_model, "--label", "x", code=2, says=("give --steps",))


def test_a_speed_is_measured_and_nothing_is_written_where_it_is_out_of_reach(
    emoprune: Runner, zoo: Zoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_times(monkeypatch, lambda macs: 0.5 + macs / 1e5)
    argv = ("prune", zoo("conv2"), "--method", "reconstruct", "-o", "o.st", "--data", "none")
    says = ("--speedup 99 is out of reach: at most", "give --speedup")
    emoprune.check_refused(*argv, "--speedup", "99", "--round-to", "1", code=2, says=says)
    record = emoprune.done(*argv, "--speedup", "1.3", "--round-to", "1", "--max-error", "9").record
    assert record["amount"] == {"speedup": 1.3}
    assert record["speed"] == read("o.st").history[-1].metrics["speed"]
    assert record["speed"]["speedup"] == pytest.approx(1.3, rel=0.05)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        *((["--angle", angle], ("--angle",)) for angle in ("-1", "90.5", "180", "nan", "wide")),
        (["--method", "distinkt"], ("distinkt", "distinct")),
        (["--method", "magnitud", "--amount", "0.5"], ("magnitud", "did you mean magnitude?")),
        (["--angle", "20", "--macs", "0.5"], ("--angle", "--macs", "give one")),
        (["--speedup", "2", "--macs", "0.5"], ("--macs", "--speedup", "give one")),
        (["--threads", "2"], ("--threads is for --speedup and --latency-ms",)),
        (["--method", "reconstruct"], ("--method reconstruct", "give --macs 0.5")),
        (["--method", "magnitude", "--max-drop", "101"], ("--max-drop",)),
        (["--macs", "1.5"], ("--macs",)),
        (["--units", "2.5"], ("--units",)),
        (["--round-to", "8"], ("--round-to", "reconstruct")),
        (["--max-loss-increase", "inf"], ("--max-loss-increase",)),
        (["--scope", "network"], ("--scope", "network")),
        (["--samples", "1"], ("--samples",)),
        (["--sensitivity", "--macs", "0.5"], ("--macs 0.5 is given",)),
        (["--sensitivity", "-o", "o.st"], ("--sensitivity writes nothing, and --output",)),
        (["--sensitivity", "--rewind", "o.st"], ("--sensitivity writes nothing, and --rewind",)),
        (["--steps", "--method", "distinct"], ("one by one",)),
        (["--steps", "--method", "progressive", "--angle", "15"], ("--angle is given",)),
        (["--steps", "--method", "progressive", "-o", "o.st"], ("--steps writes nothing, and --output",)),
        (["--steps", "--method", "progressive", "--rewind", "t.st"], ("--steps", "--rewind")),
        (["--steps", "--method", "progressive", "--sensitivity"], ("--steps", "--sensitivity")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_that_contradict_one_another_are_refused(
    emoprune: Runner, here: Path, argv: list[str], says: tuple[str, ...]
) -> None:
    emoprune.check_refused("prune", "model.st", *argv, code=2, says=says)


def test_an_output_that_exists_is_replaced_only_with_force(emoprune: Runner, here: Path) -> None:
    emoprune.done("prune", "model.st")
    for argv, name in (((), "model.distinct.st"), (("-o", "model.st"), "model.st")):
        emoprune.check_refused("prune", "model.st", *argv, says=(f"{name}: exists", "--force"))
        emoprune.done("prune", "model.st", *argv, "--angle", "40", "--force")
    assert [entry.command for entry in read(here).history] == ["train", "prune"]


def test_a_missing_output_folder_is_refused_before_work_begins(emoprune: Runner, here: Path) -> None:
    emoprune.check_refused("prune", "model.st", "-o", "nowhere/m.st", says=("nowhere", "mkdir -p nowhere"))


def test_a_full_disk_leaves_no_trace(emoprune: Runner, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    emoprune.check_refused("prune", "model.st", says=("model.distinct.st", "No space left"))


def test_the_output_honors_the_umask(emoprune: Runner, here: Path) -> None:
    old = os.umask(0o027)
    try:
        emoprune.done("prune", "model.st")
    finally:
        os.umask(old)
    assert here.with_name("model.distinct.st").stat().st_mode & 0o777 == 0o640


def test_ctrl_c_in_the_middle_of_work_leaves_nothing(
    emoprune: Runner, zoo: Zoo, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Refit.run

    def interrupted(self: Refit, images: Any) -> Iterator[str]:
        for step, name in enumerate(whole(self, images)):
            if step == 4:
                raise KeyboardInterrupt
            yield name

    monkeypatch.setattr(Refit, "run", interrupted)
    Path("o.st").write_bytes(b"old")
    before = tree(emoprune.folder)
    result = emoprune("prune", zoo("conv2"), *RECONSTRUCT, "--data", small, "-o", "o.st", "--force")
    assert (result.code, result.complaints, result.raw) == (130, ["emoprune: interrupted"], b"")
    assert tree(emoprune.folder) == before


@pytest.mark.parametrize(
    "argv", [(*RECONSTRUCT, "--dry-run"), ("--sensitivity",), (*RECONSTRUCT, "-o", "-")], ids=" ".join
)
def test_a_closed_pipe_ends_it_without_a_word(
    zoo: Zoo,
    in_folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    argv: tuple[str, ...],
) -> None:
    path = str(zoo("conv2"))
    capsys.readouterr()
    reading, writing = os.pipe()
    os.close(reading)
    with (
        monkeypatch.context() as patch,
        contextlib.suppress(BrokenPipeError),
        os.fdopen(writing, "w") as stream,
    ):
        patch.setattr(sys, "stdout", stream)
        code = main(["prune", path, "--layer", "*", *argv])
    assert code == 141
    assert capsys.readouterr().err == ""
    assert tree(in_folder) == {}


Screen = Callable[..., list[str]]
CUT = "…"


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch, in_folder: Path) -> Screen:
    """Runs a command line on a terminal, in an empty folder, and gives the lines that it leaves there."""

    def run(*argv: object, columns: int = 80, out: IO[str] | None = None) -> list[str]:
        return lines_of(bytes_on_terminal(monkeypatch, *argv, columns=columns, out=out))

    return run


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize(
    "argv", [DISTINCT, RECONSTRUCT, MAGNITUDE, ["--method", "reconstruct", "--macs", "0.5"]], ids=" ".join
)
def test_the_tables_of_predicted_errors_fit_a_terminal(
    screen: Screen, zoo: Zoo, argv: list[str], columns: int
) -> None:
    lines = screen("prune", zoo("conv2"), *argv, "-o", "o.st", columns=columns)
    messages = [line for line in lines if line.startswith(("note: ", "warning: "))]
    tables = [line for line in lines if line not in messages]
    assert max(map(len, tables)) <= 80
    assert CUT not in "".join(lines)
    after = units(read("o.st"))
    for name, count in units(read(zoo("conv2"))).items():
        rows = [line for line in tables if line.strip().startswith(f"{name} ")]
        # a layer that loses nothing is counted below the others
        assert len(rows) == 1 or (rows == [] and count == after[name])
        assert all(f"{count} > {after[name]}" in row for row in rows)
    assert tables[-1].strip() == "wrote o.st"
    assert any(line.startswith(f"Predicted error ({argv[1]}") for line in tables)


def test_a_dry_run_says_so_at_the_end(screen: Screen, zoo: Zoo) -> None:
    lines = screen("prune", zoo("conv2"), *RECONSTRUCT, "--dry-run")
    assert lines[-1].strip() == "dry run: nothing written"


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_no_number_of_a_sensitivity_sweep_is_cut(screen: Screen, zoo: Zoo, columns: int) -> None:
    lines = screen("prune", zoo("conv2"), *SENSITIVITY, columns=columns)
    assert CUT not in "".join(lines)
    rows = [line for line in lines if line.strip().startswith("features.3 ")]
    # its units, its sensitivity, and nine amounts under the merge that was chosen
    assert sum(len(row.split()) - 1 for row in rows) == 11
    assert len(rows) == (2 if columns == 60 else 1), "a narrower terminal folds the table"
    assert max(map(len, rows)) <= columns


def test_layers_that_rounding_keeps_whole_have_no_number_and_one_is_named(
    screen: Screen, emoprune: Runner, zoo: Zoo
) -> None:
    found = units(read(zoo("conv2")))
    argv = ("prune", zoo("conv2"), *SENSITIVITY, "--round-to", max(found.values()))
    rows = {cells[0]: cells for line in screen(*argv) if (cells := line.split()) and cells[0] in found}
    assert {name: int(cells[1]) for name, cells in rows.items()} == found
    assert all(cells[3:] == ["-"] * 9 for cells in rows.values())
    result = emoprune.done(*argv)
    assert (result.raw, "3 layers can lose none" in result.err) == (b"", True)


@pytest.mark.parametrize("merge", ["sum", "lstsq"])
def test_a_sensitivity_table_is_that_of_the_chosen_merge(
    screen: Screen, emoprune: Runner, zoo: Zoo, merge: str
) -> None:
    argv = ("prune", zoo("conv2"), *SENSITIVITY, "--merge", merge)
    lines = screen(*argv)
    ((nats, *row),) = [line.split()[2:] for line in lines if line.strip().startswith("classifier.hidden1 ")]
    steps = [step for step in emoprune.done(*argv).lines if step["layer"] == "classifier.hidden1"]
    assert {step["schema"] for step in steps} == {"emoprune.sensitivity/1"}
    assert float(nats) == pytest.approx(steps[0]["sensitivity_nats"], rel=0.05, abs=0.005)
    for shown, step in zip(row, steps, strict=True):
        assert len(shown) <= 3
        assert float(shown) == pytest.approx(step[f"error_{merge}"], rel=0.05, abs=0.005)


def test_work_within_work_leaves_one_line(screen: Screen, zoo: Zoo, small: Path) -> None:
    argv = ("--method", "reconstruct", "--data", small, "--dry-run", "--max-drop", "50")
    lines = screen("prune", zoo("conv2"), *argv)
    labels = [line.split()[0] for line in lines if "/" in line and ":" in line]
    assert labels == ["read", "statistics", "sensitivity", "select", "search", "refit"]
    swept = screen("prune", zoo("conv2"), *SENSITIVITY)
    assert [line.split()[1:2] for line in swept if "3/3" in line] != []
    assert not [line for line in swept if "select" in line]


@pytest.mark.parametrize("command", ["prune", "angles"])
def test_no_layer_of_a_deep_network_is_cut(screen: Screen, zoo: Zoo, command: str) -> None:
    model = zoo("shufflenet_v2_x0_5")
    argv = (*DISTINCT, "--data", "none", "--dry-run") if command == "prune" else ()
    lines = screen(command, model, *argv, columns=60)
    assert CUT not in "".join(lines)
    names = [*units(read(model))]
    shown = [name for name in names if any(line.strip().startswith(f"{name} ") for line in lines)]
    if command == "angles":
        assert shown == names
        return
    # layers that lose nothing are folded into one line
    losing = [each.layer for each in planned(model, **some("distinct"), data="none").removals if each.removed]
    assert any(line.strip().startswith(f"{len(names) - len(losing)} more layer") for line in lines)
    assert shown == losing


def test_the_summary_of_a_training_run_is_not_cut(screen: Screen, small: Path) -> None:
    argv = ("--arch", "mobilenet_v3_small", "--size", "32", "--weights", "none", "--epochs", "0")
    lines = screen("train", small, "m.st", *argv)
    assert CUT not in "".join(lines)
    # twenty-seven layers are no reason to break the table of the rest
    assert max(len(line) for line in lines if not line.startswith(("note: ", "warning: "))) <= 80
    rows = {line.split()[0]: line for line in lines if line.strip()}
    for key in ("output", "arch", "classes", "parts", "layers"):
        assert key in rows
    assert len(read("m.st").layers) == 27
    # no bar of no epochs
    assert "train 0/0" not in " ".join(lines)
    assert not any(line.startswith("train ") for line in lines)


def test_progress_is_shown_to_the_end_and_to_a_terminal_alone(
    screen: Screen, zoo: Zoo, small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv: tuple[object, ...] = ("prune", zoo("conv2"), *RECONSTRUCT, "--data", small)
    assert not any(line.startswith("refit ") for line in screen(*argv, "--dry-run"))
    argv += ("-o", "o.st", "--force")
    lines = screen(*argv)
    for label in ("statistics", "images", "refit"):
        line = [line for line in lines if line.startswith(f"{label} ")][-1]
        done = re.search(r" (\d+)/(\d+) ", line)
        assert done is not None, line
        assert done[1] == done[2], line
    capsys.readouterr()
    assert main([str(part) for part in argv]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert len(out.splitlines()) == 1


def test_a_checkpoint_on_standard_output_leaves_the_table_to_stderr(
    screen: Screen, zoo: Zoo, in_folder: Path
) -> None:
    with (in_folder / "o.st").open("w") as out:
        lines = screen("prune", zoo("conv2"), *RECONSTRUCT, "-o", "-", out=out)
    assert read("o.st").units == 36
    assert any(line.startswith("Predicted error") for line in lines)


def test_json_can_be_asked_for_on_a_terminal(screen: Screen, zoo: Zoo) -> None:
    lines = screen("prune", zoo("conv2"), *MAGNITUDE, "--dry-run", "--json")
    (record,) = [json.loads(line) for line in lines if line.startswith("{")]
    assert record["schema"] == "emoprune.prune/2"


def test_messages_are_kept_out_of_the_way_of_data(screen: Screen, zoo: Zoo, in_folder: Path) -> None:
    with (in_folder / "o.json").open("w") as out:
        lines = screen("prune", zoo("conv2"), *MAGNITUDE, "--dry-run", out=out)
    assert json.loads((in_folder / "o.json").read_text())["method"] == "magnitude"
    assert all(line.startswith(("note: ", "warning: ")) for line in lines if line)
