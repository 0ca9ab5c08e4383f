"""emoprune prune: smaller files that compute what was promised, and a certificate that holds."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
import pytest
import torch

from emoprune.cli.main import main
from emoprune.data.datasets import open_data
from emoprune.data.loader import batches
from emoprune.data.splits import partition
from emoprune.evaluation.model import samples
from tests.support.checkpoints import OFFLINE, read, some, units
from tests.support.command_line import Runner, opened, tree
from tests.support.terminal import bytes_on_terminal, lines_of

KEYS = {
    *("schema", "input", "output", "method", "merge", "units", "compression_rate", "parameters", "macs"),
    "layers",
}
HIDDEN = ("--layer", "classifier.hidden1")
LAYER_KEYS = {
    *("layer", "before", "after", "similar", "complementary", "insignificant", "error_sum", "error_lstsq")
}


@pytest.fixture
def here(model: Path, in_folder: Path) -> Path:
    """The session's checkpoint under a name of this folder."""
    (in_folder / "model.st").write_bytes(model.read_bytes())
    return in_folder / "model.st"


def test_the_summary_counts_what_went(emoprune: Runner, here: Path) -> None:
    record = emoprune.done("prune", "model.st", "--angle", "40", *HIDDEN).record
    assert record.keys() >= KEYS
    (layer,) = record["layers"]
    assert layer.keys() >= LAYER_KEYS
    assert (record["schema"], record["input"], record["merge"]) == ("emoprune.prune/2", "model.st", "lstsq")
    assert record["units"] == {"before": layer["before"], "after": layer["after"]}
    gone = layer["similar"] + layer["complementary"] + layer["insignificant"]
    assert layer["before"] - layer["after"] == gone > 0
    assert record["compression_rate"] == pytest.approx(gone / layer["before"])
    before, after = read(here), read(here.with_name("model.distinct.st"))
    for name, found in (("before", before), ("after", after)):
        assert record["parameters"][name] == sum(tensor.numel() for tensor in found.tensors.values())
    inputs = before.tensors["classifier.hidden1.weight"].shape[1]
    # a unit is read by three classes, written by all inputs, and has a bias
    assert record["parameters"]["before"] - record["parameters"]["after"] == gone * (inputs + 3 + 1)
    assert record["macs"]["before"] - record["macs"]["after"] == gone * (inputs + 3)


def test_the_output_is_named_after_input_and_method(emoprune: Runner, here: Path, in_folder: Path) -> None:
    (in_folder / "deep.er").mkdir()
    here.rename(in_folder / "deep.er" / "m.v2.st")
    record = emoprune.done("prune", "deep.er/m.v2.st").record
    assert record["output"] == "deep.er/m.v2.distinct.st"
    assert set(tree(in_folder)) == {"deep.er", "deep.er/m.v2.st", "deep.er/m.v2.distinct.st"}


def test_a_dry_run_prints_the_same_and_writes_nothing(emoprune: Runner, here: Path, in_folder: Path) -> None:
    before = tree(in_folder)
    dry = emoprune.done("prune", "model.st", "--angle", "30", "--dry-run").record
    assert tree(in_folder) == before
    assert dry["output"] is None
    wet = emoprune.done("prune", "model.st", "--angle", "30").record
    assert {**wet, "output": None} == dry


def test_a_dry_run_needs_no_place_to_write(emoprune: Runner, here: Path) -> None:
    before = here.read_bytes()
    piped = emoprune.done("prune", "-", "--dry-run", stdin=before).record
    named = emoprune.done("prune", "model.st", "-o", "model.st", "--dry-run").record
    assert piped["output"] is named["output"] is None
    assert here.read_bytes() == before


@pytest.mark.parametrize("merge", ["sum", "lstsq"])
def test_the_certified_error_is_the_error_on_the_training_faces(
    emoprune: Runner, here: Path, faces: Path, merge: str
) -> None:
    options = ("--angle", "40", "--merge", merge, "-o", "small.st", *HIDDEN)
    (layer,) = emoprune.done("prune", "model.st", *options).record["layers"]
    outputs = []
    for name in (here, here.with_name("small.st")):
        checkpoint, net = opened(Path(name))
        data = open_data(str(faces))
        train = torch.tensor(partition(data.catalog, checkpoint.split)["train"])
        inputs = batches(
            samples(data, checkpoint.preprocess, checkpoint.spec.input),
            train,
            checkpoint.preprocess,
            torch.device("cpu"),
        )
        with torch.inference_mode():
            outputs.append(torch.cat([net(batch) for batch in inputs]).double().numpy())
    before, after = outputs
    variance = np.square(before - before.mean(0)).sum()
    # what the output layer gives is the next layer's input
    measured = np.sqrt(np.square(after - before).sum() / variance)
    assert layer[f"error_{merge}"] == pytest.approx(measured, rel=1e-3)
    assert layer["error_lstsq"] <= layer["error_sum"] + 1e-9


def test_a_wider_angle_never_keeps_more_units(emoprune: Runner, here: Path) -> None:
    left = [
        emoprune.done("prune", "model.st", "--angle", angle, "--dry-run").record["units"]["after"]
        for angle in (0, 15, 30, 45, 60)
    ]
    assert left == sorted(left, reverse=True)
    assert left[0] > left[-1]


@pytest.mark.parametrize("merge", ["sum", "lstsq"])
def test_at_90_degrees_a_network_is_left(emoprune: Runner, here: Path, faces: Path, merge: str) -> None:
    left = emoprune.done("prune", "model.st", "--angle", "90", "--merge", merge).record["units"]["after"]
    assert 2 <= left < 40, "at least one unit of each of the two layers"
    assert emoprune.done("eval", "model.distinct.st", faces).record["units"] == left


def test_where_every_unit_would_go_one_stays_with_a_warning(emoprune: Runner, in_folder: Path) -> None:
    # a constant column makes every unit constant
    rows = [f"{label}{index},{label},1" for label in "ab" for index in range(5)]
    (in_folder / "t.csv").write_text("name,label,x\n" + "\n".join(rows) + "\n")
    emoprune.done("train", "t.csv", "m.st", "--arch", "mlp", "--hidden", "6", "--epochs", "0")
    result = emoprune.done("prune", "m.st")
    assert result.record["units"] == {"before": 6, "after": 1}
    assert result.err == "warning: classifier.hidden1: every unit would go; 1 stays\n"


def test_pruning_goes_on_in_steps(emoprune: Runner, here: Path, faces: Path) -> None:
    first = emoprune.done("prune", "model.st", "--angle", "25", "-o", "one.st").record
    second = emoprune.done("prune", "one.st", "--angle", "50", "-o", "two.st").record
    assert first["units"]["after"] == second["units"]["before"] > second["units"]["after"]
    found = read(here.with_name("two.st"))
    assert [entry.command for entry in found.history] == ["train", "prune", "prune"]
    assert [entry.parameters.get("angle") for entry in found.history] == [None, 25, 50]
    left = {layer["layer"]: layer["after"] for layer in second["layers"]}
    assert {name: entry.units for name, entry in found.statistics.items()} == left
    assert emoprune.done("eval", "two.st", faces).record["units"] == sum(left.values())
    surveys = emoprune.done("angles", "two.st").lines
    assert {survey["layer"]: survey["units"] for survey in surveys} == left


def test_units_that_survive_keep_their_statistics(emoprune: Runner, here: Path) -> None:
    emoprune.done("prune", "model.st", "--angle", "40")
    before, after = read(here).statistics, read(here.with_name("model.distinct.st")).statistics
    assert before.keys() == after.keys() == {"features.0", "classifier.hidden1"}
    for name, old in before.items():
        new = after[name]
        kept = [int((old.total == value).nonzero()[0, 0]) for value in new.total]
        assert kept == sorted(set(kept))
        assert torch.equal(new.gram, old.gram[kept][:, kept])
        assert new.count == old.count


def test_both_hidden_layers_are_pruned_at_once(emoprune: Runner, table_model: Path, table: Path) -> None:
    record = emoprune.done("prune", table_model, "--angle", "60", "-o", "small.st").record
    assert [layer["layer"] for layer in record["layers"]] == ["classifier.hidden1", "classifier.hidden2"]
    assert all(layer["after"] < layer["before"] for layer in record["layers"])
    assert record["units"]["after"] == sum(layer["after"] for layer in record["layers"])
    found = read(Path("small.st"))
    middle = found.tensors["classifier.hidden2.weight"].shape
    assert tuple(middle) == tuple(layer["after"] for layer in reversed(record["layers"]))
    assert emoprune.done("eval", "small.st", table).record["units"] == record["units"]["after"]


def test_a_layer_can_be_left_alone(emoprune: Runner, table_model: Path) -> None:
    record = emoprune.done("prune", table_model, "--angle", "60", "--layer", "*1", "-o", "s.st").record
    assert [layer["layer"] for layer in record["layers"]] == ["classifier.hidden1"]
    assert read(Path("s.st")).statistics["classifier.hidden2"].units == 8


def test_the_same_command_writes_the_same_bytes(emoprune: Runner, here: Path, in_folder: Path) -> None:
    emoprune.done("prune", "model.st", "-o", "a.st")
    emoprune.done("prune", "model.st", "-o", "b.st")
    piped = emoprune.done("prune", "-", "-o", "-", stdin=here.read_bytes())
    assert (in_folder / "a.st").read_bytes() == (in_folder / "b.st").read_bytes() == piped.raw


def test_train_prune_and_eval_make_a_pipe(emoprune: Runner, small: Path) -> None:
    options = ("--arch", "conv1", "--size", "16", "--gray", "--hidden", "8", "--epochs", "1")
    trained = emoprune.done("train", small, "-", *options).raw
    pruned = emoprune.done("prune", "-", "-o", "-", "--angle", "60", stdin=trained).raw
    record = emoprune.done("eval", "-", small, stdin=pruned).record
    assert (record["model"], record["n"]) == ("-", 6)
    assert record["bytes"] == len(pruned) < len(trained)
    assert record["units"] < 8


def test_stdin_without_a_name_for_the_output_is_refused(emoprune: Runner, here: Path) -> None:
    emoprune.check_refused("prune", "-", stdin=here.read_bytes(), code=2, says=("-o",))


@pytest.mark.parametrize("angle", ["-1", "90.5", "180", "nan", "wide"])
def test_an_angle_that_is_none_is_the_command_lines_fault(emoprune: Runner, here: Path, angle: str) -> None:
    emoprune.check_refused("prune", "model.st", "--angle", angle, code=2, says=("--angle",))


def test_an_unknown_method_is_answered_with_the_known(emoprune: Runner, here: Path) -> None:
    emoprune.check_refused("prune", "model.st", "--method", "distinkt", code=2, says=("distinkt", "distinct"))


def test_the_input_is_never_overwritten_unasked(emoprune: Runner, here: Path) -> None:
    emoprune.check_refused("prune", "model.st", "-o", "model.st", says=("model.st: exists", "--force"))
    emoprune.done("prune", "model.st", "-o", "model.st", "--angle", "40", "--force")
    assert [entry.command for entry in read(here).history] == ["train", "prune"]


def test_the_default_output_is_protected_too(emoprune: Runner, here: Path) -> None:
    emoprune.done("prune", "model.st")
    emoprune.check_refused(
        "prune", "model.st", "--angle", "40", says=("model.distinct.st: exists", "--force")
    )
    emoprune.done("prune", "model.st", "--angle", "40", "--force")


def test_a_missing_output_folder_is_told_before_work_begins(emoprune: Runner, here: Path) -> None:
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


def test_history_records_the_certificate(emoprune: Runner, here: Path) -> None:
    record = emoprune.done("prune", "model.st", "--angle", "35").record
    entry = read(here.with_name("model.distinct.st")).history[-1]
    assert entry.metrics["layers"] == record["layers"]
    assert set(entry.versions) >= {"emoprune", "torch"}


def test_a_heavy_loss_is_told(emoprune: Runner, here: Path) -> None:
    result = emoprune.done("prune", "model.st", "--angle", "90", "--merge", "sum", "--dry-run", *HIDDEN)
    (layer,) = result.record["layers"]
    assert layer["error_sum"] > 0.5
    assert "warning: classifier.hidden1: what the next layer reads changes by " in result.err


Zoo = Callable[[str], Path]
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
    "options",
    [some("distinct"), some("reconstruct"), some("magnitude"), ("--method", "reconstruct", "--macs", "0.5")],
)
def test_the_certificate_fits_a_terminal(
    screen: Screen, zoo: Zoo, options: tuple[str, ...], columns: int
) -> None:
    lines = screen("prune", zoo("conv2"), *options, "-o", "o.st", columns=columns)
    messages = [line for line in lines if line.startswith(("note: ", "warning: "))]
    tables = [line for line in lines if line not in messages]
    assert max(map(len, tables)) <= 80
    assert CUT not in "".join(lines)
    for name, count in units(zoo("conv2")).items():
        rows = [line for line in tables if line.strip().startswith(f"{name} ")]
        # a layer that loses nothing is counted below the others
        assert len(rows) == 1 or (rows == [] and count == units("o.st")[name])
        assert all(f"{count} > {units('o.st')[name]}" in row for row in rows)
    assert tables[-1].strip() == "wrote o.st"
    assert any(line.startswith(f"Predicted error ({options[1]}") for line in tables)


def test_a_dry_run_says_so_at_the_end(screen: Screen, zoo: Zoo) -> None:
    lines = screen("prune", zoo("conv2"), *some("reconstruct"), "--dry-run")
    assert lines[-1].strip() == "dry run: nothing written"


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_no_figure_of_the_ladder_is_cut(screen: Screen, zoo: Zoo, columns: int) -> None:
    lines = screen("prune", zoo("conv2"), "--method", "reconstruct", "--sensitivity", columns=columns)
    assert CUT not in "".join(lines)
    rows = [line.split() for line in lines if line.strip().startswith("features.3 ")]
    # nine amounts under the merge that was chosen
    assert [len(row) for row in rows] == [11]
    assert max(map(len, lines)) <= 80


def test_layers_that_rounding_keeps_whole_have_no_figure_and_one_is_named(
    screen: Screen, emoprune: Runner, zoo: Zoo
) -> None:
    found = units(zoo("conv2"))
    argv = (
        "prune",
        zoo("conv2"),
        "--method",
        "reconstruct",
        "--sensitivity",
        "--round-to",
        max(found.values()),
    )
    rows = {cells[0]: cells[1:] for line in screen(*argv) if (cells := line.split()) and cells[0] in found}
    assert rows == {name: [str(count), *["-"] * 9] for name, count in found.items()}
    told = emoprune.done(*argv)
    assert (told.raw, "3 layers can lose none" in told.err) == (b"", True)


@pytest.mark.parametrize("merge", ["sum", "lstsq"])
def test_the_ladder_is_that_of_the_chosen_merge(
    screen: Screen, emoprune: Runner, zoo: Zoo, merge: str
) -> None:
    argv = ("prune", zoo("conv2"), "--method", "reconstruct", "--sensitivity", "--merge", merge)
    (row,) = [line.split()[2:] for line in screen(*argv) if line.strip().startswith("classifier.hidden1 ")]
    steps = [step for step in emoprune.done(*argv).lines if step["layer"] == "classifier.hidden1"]
    for shown, step in zip(row, steps, strict=True):
        assert len(shown) <= 3
        assert float(shown) == pytest.approx(step[f"error_{merge}"], rel=0.05, abs=0.005)


def test_work_within_work_leaves_one_line(screen: Screen, zoo: Zoo, small: Path) -> None:
    options = ("--method", "reconstruct", "--data", small, "--dry-run", "--max-drop", "50")
    labels = [
        line.split()[0] for line in screen("prune", zoo("conv2"), *options) if "/" in line and ":" in line
    ]
    assert labels == ["statistics", "select", "search", "re-solve"]
    ladder = screen("prune", zoo("conv2"), "--method", "reconstruct", "--sensitivity")
    assert [line.split()[1:2] for line in ladder if "3/3" in line] != []
    assert not [line for line in ladder if "select" in line]


@pytest.mark.parametrize("command", ["prune", "angles"])
def test_no_layer_of_a_deep_network_is_cut(screen: Screen, zoo: Zoo, command: str) -> None:
    options = (*some("distinct"), *OFFLINE, "--dry-run") if command == "prune" else ()
    lines = screen(command, zoo("shufflenet_v2_x0_5"), *options, columns=60)
    assert CUT not in "".join(lines)
    names = units(zoo("shufflenet_v2_x0_5"))
    shown = [name for name in names if any(line.strip().startswith(f"{name} ") for line in lines)]
    if command == "prune":
        # those that lose nothing are folded into one line
        emoprune_says = screen(command, zoo("shufflenet_v2_x0_5"), *options, "--json")
        (record,) = [json.loads(line) for line in emoprune_says if line.startswith("{")]
        losing = [entry["layer"] for entry in record["layers"] if entry["removed"]]
        whole = len(names) - len(losing)
        assert any(line.strip().startswith(f"{whole} more layer") for line in lines)
        assert shown == losing
    else:
        assert shown == [*names]


def test_the_summary_of_a_training_run_is_not_cut(screen: Screen, small: Path) -> None:
    options = ("--arch", "mobilenet_v3_small", "--size", "32", "--weights", "none", "--epochs", "0")
    lines = screen("train", small, "m.st", *options)
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
    argv = ("prune", zoo("conv2"), *some("reconstruct"), "--data", small)
    assert not any(line.startswith("re-solve ") for line in screen(*argv, "--dry-run"))
    argv += ("-o", "o.st", "--force")
    lines = screen(*argv)
    for label in ("statistics", "images", "re-solve"):
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
        lines = screen("prune", zoo("conv2"), *some("reconstruct"), "-o", "-", out=out)
    assert sum(units("o.st").values()) == 36
    assert any(line.startswith("ErrorEstimate") for line in lines)


def test_json_can_be_asked_for_on_a_terminal(screen: Screen, zoo: Zoo) -> None:
    lines = screen("prune", zoo("conv2"), *some("importance"), "--dry-run", "--json")
    (record,) = [json.loads(line) for line in lines if line.startswith("{")]
    assert record["schema"] == "emoprune.prune/2"


def test_messages_are_kept_out_of_the_way_of_data(screen: Screen, zoo: Zoo, in_folder: Path) -> None:
    with (in_folder / "o.json").open("w") as out:
        lines = screen("prune", zoo("conv2"), *some("magnitude"), "--dry-run", out=out)
    assert json.loads((in_folder / "o.json").read_text())["method"] == "magnitude"
    assert all(line.startswith(("note: ", "warning: ")) for line in lines if line)
