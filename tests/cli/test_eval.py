"""emoprune eval: streams, options and refusals of the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.support.command_line import SMALL, Runner
from tests.support.terminal import bytes_on_terminal, lines_of

KEYS = [
    *("schema", "model", "model_fingerprint", "data", "data_fingerprint", "split", "n", "classes"),
    *("accuracy", "accuracy_interval", "macro_f1", "per_class", "confusion", "log_loss", "calibration_error"),
    *("parameters", "nonzero_parameters", "macs", "bytes", "units", "latency_ms", "label", "settings"),
    *("seen", "test_looks", "top2_accuracy", "auc", "reliability", "intervals", "latency"),
    *("chance", "majority", "balanced_accuracy", "kappa", "matthews_correlation"),
]


def test_eval_prints_one_line_of_metrics(emoprune: Runner, model: Path, faces: Path) -> None:
    record = emoprune.done("eval", model, faces, "--split", "train").record
    assert list(record) == KEYS
    assert [record[key] for key in ("schema", "model", "data", "split", "n", "latency_ms")] == [
        *("emoprune.metrics/1", str(model), str(faces), "train", 48, None)
    ]


def test_eval_refuses_other_data_by_its_options(emoprune: Runner, model: Path, small: Path) -> None:
    emoprune.check_refused("eval", model, small, says=(f"{small}: ", "fingerprint", "--split all"))
    assert emoprune.done("eval", model, small, "--split", "all", "--latency").record["latency_ms"] > 0


def test_eval_reads_a_checkpoint_from_standard_input(emoprune: Runner, model: Path, faces: Path) -> None:
    piped = emoprune.done("eval", "-", faces, stdin=model.read_bytes()).record
    assert {**piped, "model": str(model), "test_looks": 1} == emoprune.done("eval", model, faces).record


def test_eval_prints_lines_that_concatenate(emoprune: Runner, model: Path, faces: Path) -> None:
    both = emoprune.done("eval", model, faces).raw + emoprune.done("eval", model, faces, "--json").raw
    assert [json.loads(line)["n"] for line in both.splitlines()] == [12, 12]


def test_eval_shows_the_bytes_of_the_file_of_a_network_that_reconstructs(
    emoprune: Runner, monkeypatch: pytest.MonkeyPatch, table: Path, in_folder: Path
) -> None:
    emoprune.done("train", table, "ae.st", "--arch", "autoencoder", "--epochs", "0")
    lines = lines_of(bytes_on_terminal(monkeypatch, "eval", "ae.st", table, columns=120))
    size = (in_folder / "ae.st").stat().st_size
    assert ["file", "(bytes)", f"{size:,}"] in [line.split() for line in lines]


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without CUDA")
@pytest.mark.parametrize("command", ["eval", "train", "crop", "features"])
def test_a_missing_device_is_refused(emoprune: Runner, model: Path, faces: Path, command: str) -> None:
    places = {"eval": (model, faces), "features": (faces, "out.csv")}.get(command, (faces, "out"))
    emoprune.check_refused(command, *places, "--device", "cuda", says=("--device cuda: ", "--device cpu"))
    emoprune.check_refused(command, *places, "--device", "tpu", code=2, says=("--device",))


def test_eval_keeps_label_and_settings(emoprune: Runner, model: Path, faces: Path) -> None:
    plain = emoprune.done("eval", model, faces).record
    argv = ("--label", "whole, random split", "--set", "hidden=200", "--set", "pruned=0.5", "--set", "a=b=1")
    more = ("--set", "empty=", "--set", "big=1e3", "--set", "below=-.5", "--set", "date=2020-01")
    record = emoprune.done("eval", model, faces, *argv, *more).record
    settings = {"hidden": 200, "pruned": 0.5, "a": "b=1", "empty": "", "big": 1000.0, "below": -0.5}
    assert record == {
        **plain,
        **{"label": "whole, random split", "settings": {**settings, "date": "2020-01"}, "test_looks": 1},
    }
    assert isinstance(record["settings"]["hidden"], int)
    assert (plain["label"], plain["settings"]) == (None, {})


@pytest.mark.parametrize(
    ("option", "says"),
    [
        (("--set", "hidden"), "--set hidden has no value; give KEY=VALUE"),
        (("--set", "a=1", "--set", "a=2"), "--set a is given twice"),
        (("--set", "=1"), "setting ''"),
        (("--set", "a=1e400"), "setting 'a'"),
        (("--set", f"a={2**53}"), "setting 'a'"),
        (("--label", " "), "empty label"),
    ],
)
def test_eval_refuses_empty_labels_and_settings(
    emoprune: Runner, model: Path, faces: Path, option: tuple[str, ...], says: str
) -> None:
    emoprune.check_refused("eval", model, faces, *option, code=2, says=(says,))


def test_eval_of_a_part_is_eval_with_that_split(emoprune: Runner, faces_here: Callable[..., Path]) -> None:
    counts = {f"{part}/{label}": 4 for part in ("train", "val", "test") for label in ("happy", "sad")}
    faces_here("faces", counts)
    emoprune.done("train", "faces/", "m.st", *SMALL)
    named = emoprune.done("eval", "m.st", "faces/:val").record
    assert named == emoprune.done("eval", "m.st", "faces/", "--split", "val").record
    assert (named["data"], named["split"], named["test_looks"]) == ("faces/", "val", None)
    says = ("faces/:val: is the val part, and --split test asks for another; leave out --split",)
    emoprune.check_refused("eval", "m.st", "faces/:val", "--split", "test", code=2, says=says)
    first, second = (emoprune.done("eval", "m.st", "faces:test") for _ in range(2))
    assert (first.record["test_looks"], second.record["test_looks"]) == (0, 1)
    assert "note: faces: its test part was looked at 1 time before, for this same network" in second.err


def test_eval_writes_predictions_beside_the_metrics_or_alone(
    emoprune: Runner, model: Path, faces: Path, in_folder: Path
) -> None:
    argv = ("eval", model, faces, "--split", "train", "--group-by", "^[^_]+", "--predictions")
    metrics = emoprune.done(*argv, "p.csv").record
    assert (metrics["intervals"]["over"], metrics["intervals"]["count"]) == ("groups", 5)
    written = (in_folder / "p.csv").read_bytes()
    assert len(written.splitlines()) == 1 + metrics["n"]
    assert emoprune.done(*argv, "-").raw == written
    says = ("p.csv: exists already", "--force")
    emoprune.check_refused(*argv, "p.csv", says=says)
    emoprune.done(*argv, "p.csv", "--force", "--label", "again")
    assert (in_folder / "p.csv").read_bytes() == written.replace(str(model).encode(), b"again")


@pytest.mark.parametrize(
    ("pattern", "code", "says"),
    [
        ("(", 2, "--group-by '(' is not a regular expression"),
        ("^z", 1, "does not match --group-by '^z', as do 59 others; widen the pattern"),
        ("_", 1, "groups made by --group-by: 1, fewer than the 2 of an interval; choose a pattern"),
    ],
)
def test_eval_refuses_groups_as_train_does(
    emoprune: Runner, model: Path, faces: Path, pattern: str, code: int, says: str
) -> None:
    emoprune.check_refused("eval", model, faces, "--group-by", pattern, code=code, says=(says,))


def test_eval_shows_chance_and_majority_below_each_accuracy(
    emoprune: Runner, monkeypatch: pytest.MonkeyPatch, model: Path, faces: Path
) -> None:
    argv = ("eval", model, faces, "--split", "train", "--group-by", "^[^_]+", "--latency")
    lines = lines_of(bytes_on_terminal(monkeypatch, *argv, columns=80))
    assert max(map(len, lines)) <= 80
    shown = lines[: next(index for index, line in enumerate(lines) if line.startswith("Precision"))]
    headings = [line.strip().partition("  ")[0] for line in shown]
    for name in ("accuracy", "balanced accuracy", "top-2 accuracy"):
        place = headings.index(name)
        assert "chance, majority" in headings[place + 1 : place + 4]
    of_scores = ("balanced accuracy", "macro F1", "Cohen's kappa", "Matthews correlation", "AUC", "log loss")
    for name in of_scores:
        assert headings[headings.index(name) + 1] == "95% interval"
    assert ["groups", "5"] in [line.split() for line in shown]
    assert ["timed", "on", "cpu,", "1", "thread"] in [line.split() for line in shown]


def test_eval_shows_the_latency_of_a_network_that_reconstructs(
    emoprune: Runner, monkeypatch: pytest.MonkeyPatch, table: Path
) -> None:
    emoprune.done("train", table, "ae.st", "--arch", "autoencoder", "--epochs", "0")
    lines = lines_of(bytes_on_terminal(monkeypatch, "eval", "ae.st", table, "--latency", columns=120))
    assert (
        sum(line.strip().startswith(("batch 1: p50, 90, 99", "batch 32: p50, 90, 99")) for line in lines) == 2
    )
    record = emoprune.done("eval", "ae.st", table, "--latency").record
    assert [each["batch"] for each in record["latency"]] == [1, 32]
    emoprune.check_refused("eval", "ae.st", table, "--predictions", "p.csv", code=2, says=("--predictions",))
