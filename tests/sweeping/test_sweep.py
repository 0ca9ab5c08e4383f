"""Sweeps: each line is a pruning and an evaluation, and what was done is not done again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import emoprune as ep
from emoprune.data.datasets import open_data
from emoprune.errors import BadData, UsageFault
from emoprune.evaluation.types import Metrics
from emoprune.networks import checkpoint
from emoprune.networks.types import Checkpoint
from emoprune.pruning import several
from emoprune.reporting import charts, inputs
from emoprune.sweeping import sweep as sweeps
from emoprune.sweeping.config import SweepConfig
from emoprune.sweeping.sweep import Outputs, Sweep, sweep
from tests.conftest import draw_faces
from tests.support.command_line import SMALL

TWO: dict[str, Any] = {"methods": ("distinct", "reconstruct"), "macs": (0.5, 0.25)}


@pytest.fixture(scope="module")
def little(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A little network that was trained with a val part, and its faces; read only."""
    from emoprune.cli.main import main

    room = tmp_path_factory.mktemp("little")
    faces = draw_faces(room / "faces", ("angry", "happy", "surprise"), 15, side=32)
    path = room / "m.st"
    argv = ["train", str(faces), str(path), *SMALL, "--split", "60/20/20"]
    assert main(argv) == 0
    return path, faces


def swept(little: tuple[Path, Path], outputs: Outputs | None = None, **settings: Any) -> Sweep:
    model, faces = little
    more = {name: settings.pop(name) for name in ("jobs", "on_line") if name in settings}
    return sweep(
        checkpoint.read(str(model)),
        open_data(str(faces)),
        SweepConfig(**settings),
        outputs or Outputs(),
        model_name="m.st",
        data_name="faces",
        **more,
    )


def shown(metrics: Metrics) -> tuple[str | None, object]:
    return metrics.label, metrics.settings.get("macs")


def test_each_line_is_what_prune_and_eval_say(little: tuple[Path, Path], in_folder: Path) -> None:
    found = swept(little, Outputs("s.jsonl", "saved"), **TWO, merge=("sum", "lstsq"))
    assert [shown(each) for each in found.metrics] == [
        ("whole network", 1),
        *((label, macs) for label in ("distinct, sum", "distinct") for macs in (0.5, 0.25)),
        *((label, macs) for label in ("reconstruct, sum", "reconstruct") for macs in (0.5, 0.25)),
    ]
    assert inputs.read(["s.jsonl"]).evaluations == found.metrics
    model, faces = map(str, little)
    whole, last = found.metrics[0], found.metrics[-1]
    alone = ep.prune(model, data=faces, method="reconstruct", layer="*", macs=0.25, max_error=1e9)
    for metrics, network in ((whole, ep.load(model)), (last, alone), (last, ep.load(last.model))):
        again = ep.evaluate(network, faces, part="val")
        assert isinstance(again, Metrics)
        same: dict[str, Any] = {
            "model": "",
            "model_fingerprint": "",
            "bytes": 0,
            "data": "",
            "label": None,
            "settings": {},
        }
        assert replace(metrics, **same) == replace(again, **same)
    assert last.settings == {
        **{"method": "reconstruct", "merge": "lstsq", "macs": 0.25, "heal": 0, "seed": 0},
        "macs_left": round(last.macs / whole.macs, 6),
        "units_left": round(last.units / whole.units, 6),
        "predicted_error": pytest.approx(max(_errors(alone)), abs=1e-6),
    }
    names = [chart.name for chart in charts.charts(inputs.read(["s.jsonl"]))]
    assert "accuracy-against-macs" in names


def _errors(pruned: Checkpoint) -> list[float]:
    return [layer["error_lstsq"] for layer in pruned.history[-1].metrics["layers"]]


def test_what_cannot_be_met_is_noted_and_not_tried_again(
    little: tuple[Path, Path],
    in_folder: Path,
    told: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: dict[str, Any] = {"methods": ("importance",), "macs": (0.5, 0.001)}
    found = swept(little, Outputs("s.jsonl"), **asked)
    assert [*map(shown, found.metrics)] == [("whole network", 1), ("importance", 0.5)]
    (name,) = found.unmet
    assert name == "importance.macs0.001"
    assert "at least" in found.unmet[name]
    assert told.messages[-1] == "1 combination of 2 cannot be met"
    assert f"{name}: {found.unmet[name]}" in told.messages
    monkeypatch.setattr(sweeps, "plan_again", None)
    again = swept(little, Outputs("s.jsonl", resume=True), **asked)
    assert again == found


def test_an_interrupted_sweep_goes_on_to_the_same_file(
    little: tuple[Path, Path],
    in_folder: Path,
    told: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    swept(little, Outputs("whole.jsonl"), **TWO)
    lines = list[Metrics]()

    def interrupt(metrics: Metrics) -> None:
        lines.append(metrics)
        if len(lines) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        swept(little, Outputs("s.jsonl"), **TWO, on_line=interrupt)
    assert told.messages[-1] == "s.jsonl keeps what is done; the same with `resume=True` goes on"
    assert inputs.read(["s.jsonl"]).evaluations == tuple(lines)
    gathered, real = list[object](), several.shared_run

    def counted(*given: Any) -> object:
        gathered.append(given)
        return real(*given)

    monkeypatch.setattr(sweeps, "shared_run", counted)
    assert len(swept(little, Outputs("s.jsonl", resume=True), **TWO).metrics) == 5
    assert (in_folder / "s.jsonl").read_bytes() == (in_folder / "whole.jsonl").read_bytes()
    # for two combinations
    assert len(gathered) == 1
    # more methods join those that are there
    more = swept(little, Outputs("s.jsonl", resume=True), methods=("importance",), macs=(0.5,))
    assert [*map(shown, more.metrics)] == [("whole network", 1), ("importance", 0.5)]
    assert len(inputs.read(["s.jsonl"]).evaluations) == 6


def test_healing_adds_a_line_that_the_whole_network_has_taught(
    little: tuple[Path, Path], in_folder: Path
) -> None:
    asked: dict[str, Any] = {"methods": ("distinct",), "macs": (0.5,)}
    swept(little, Outputs("s.jsonl"), **asked)
    found = swept(little, Outputs("s.jsonl", "saved", resume=True), **asked, heal=2)
    assert [(each.label, each.settings["heal"]) for each in found.metrics] == [
        *(("whole network", 0), ("distinct", 0), ("distinct, healed", 2))
    ]
    _, pruned, healed = found.metrics
    assert healed.macs == pruned.macs
    assert healed.log_loss != pruned.log_loss
    entry = ep.load(healed.model).history[-1]
    assert (entry.command, entry.parameters["epochs"], entry.parameters["teacher"]) == ("train", 2, "m.st")
    assert entry.parameters["keep"] == "last"
    # made only now
    assert ep.load(pruned.model).history[-1].command == "prune"


def test_several_processes_make_the_same_lines(little: tuple[Path, Path], in_folder: Path) -> None:
    # processes take seconds to begin
    for name, jobs in (("one.jsonl", 1), ("two.jsonl", 2)):
        swept(little, Outputs(name), methods=("importance", "reconstruct"), macs=(0.5,), jobs=jobs)
    one, two = ((in_folder / name).read_bytes() for name in ("one.jsonl", "two.jsonl"))
    assert one == two


def test_networks_are_compared_on_val_and_on_test_with_a_warning(
    little: tuple[Path, Path], told: pytest.LogCaptureFixture
) -> None:
    asked: dict[str, Any] = {"methods": ("importance",), "macs": (0.5,)}
    assert {each.split for each in swept(little, **asked).metrics} == {"val"}
    assert told.messages[0] == "networks are compared on the val part (9 samples)"
    told.clear()
    found = swept(little, **asked, part="test")
    assert [each.test_looks for each in found.metrics] == [0, 1]
    assert told.records[0].levelname == "WARNING"
    says = "networks are compared on the test part (9 samples), and 2 looks at it are counted"
    assert told.messages == [f"{says}: the best of them looks better than it is"]


def test_data_of_others_are_refused_before_anything_is_written(
    little: tuple[Path, Path], in_folder: Path
) -> None:
    model = ep.load(little[0])
    other = draw_faces(in_folder / "other", ("angry", "sad"), 4, side=32)
    asked: tuple[tuple[dict[str, Any], str], ...] = (
        ({}, "is not the data that the model was trained on"),
        ({"part": "all"}, "class sad is not one of the model's"),
    )
    for settings, says in asked:
        with pytest.raises(BadData, match=says):
            ep.sweep(model, other, "s.jsonl", save="saved", **settings)
    with pytest.raises(UsageFault, match="`heal` trains on the training part"):
        ep.sweep(model, other, heal=1, part="all")
    assert [path.name for path in in_folder.iterdir()] == ["other"]


def test_other_faces_of_the_same_classes_are_not_calibrated_on(
    little: tuple[Path, Path], in_folder: Path
) -> None:
    other = draw_faces(in_folder / "other", ("angry", "happy"), 4, side=32)
    found = ep.sweep(
        little[0], other, "s.jsonl", save="saved", methods=("reconstruct",), macs=(0.5,), part="all"
    )
    assert [each.n for each in found.metrics] == [8, 8]
    entry = ep.load(found.metrics[1].model).history[-1]
    assert entry.parameters["data_fingerprint"] != open_data(str(other)).catalog.fingerprint
    first, second = map(json.loads, (in_folder / "s.jsonl").read_text().splitlines())
    assert (first["sweep"]["name"], second["sweep"]["name"]) == ("whole", "reconstruct.macs0.5")


def test_networks_that_do_not_classify_are_refused(table: Path, in_folder: Path) -> None:
    model = ep.train(table, arch="autoencoder", epochs=1)
    with pytest.raises(UsageFault, match="compares accuracies, and autoencoder does not classify"):
        ep.sweep(model, table)


def test_rivals_are_at_the_same_budgets(little: tuple[Path, Path]) -> None:
    found = swept(little, methods=("importance",), macs=(0.5, 0.001), rivals=True)
    assert [*map(shown, found.metrics)] == [
        ("whole network", 1),
        *((label, 0.5) for label in ("importance", "Torch-Pruning, uniform", "Torch-Pruning, global")),
    ]
    assert {name.rpartition(".macs")[2] for name in found.unmet} == {"0.001"}
    for each in found.metrics[1:]:
        assert each.settings["macs_left"] == round(each.macs / found.metrics[0].macs, 6)
        assert each.settings["units_left"] == round(each.units / found.metrics[0].units, 6)
