"""Files and folders of records and predictions: told apart by what they hold, read in order."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest

from emoprune import events
from emoprune.errors import BadData, BadMetrics, EmopruneError
from emoprune.reporting import inputs
from tests.reporting.test_records_io import ANGLES, PRUNED, STEPS, TRAINING, good
from tests.support.answers import answers

HEADER = json.dumps({"__metadata__": {"format": "pt"}}).encode()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_read_takes_a_mark_of_the_byte_order_and_both_ends_of_lines(
    tmp_path: Path, encoding: str, end: str
) -> None:
    text = "".join(json.dumps(good(label=name), ensure_ascii=False) + end for name in ("é", "表情"))
    (tmp_path / "runs").write_bytes(text.encode(encoding))
    assert [run.label for run in inputs.read([str(tmp_path / "runs")]).evaluations] == ["é", "表情"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (json.dumps(good()).encode("utf-16"), "UTF-16 text, not measurements"),
        (json.dumps(good()).encode("utf-16-le"), "not JSON"),
        (len(HEADER).to_bytes(8, "little") + HEADER, "not measurements"),
    ],
)
def test_read_names_what_is_not_measurements(tmp_path: Path, data: bytes, says: str) -> None:
    (tmp_path / "runs").write_bytes(data)
    with pytest.raises(BadMetrics, match=says) as caught:
        inputs.read([str(tmp_path / "runs")])
    assert str(caught.value.place).startswith(str(tmp_path / "runs"))


def test_read_counts_an_evaluation_once_however_often_it_is_given(
    tmp_path: Path, told: pytest.LogCaptureFixture
) -> None:
    lines = [good(label="a"), good(label="a", settings={"seed": 1}), good(label="a"), good(label="b")]
    (tmp_path / "runs.json").write_text("\n".join(map(json.dumps, lines)))
    found = inputs.read([str(tmp_path / "runs.json"), str(tmp_path)]).evaluations
    assert [(run.label, dict(run.settings)) for run in found] == [("a", {}), ("a", {"seed": 1}), ("b", {})]
    assert "5 evaluations given more than once" in told.text


def test_read_tells_runs_of_one_label_on_different_images_apart(tmp_path: Path) -> None:
    lines = [
        good(label="a", data="x/faces", data_fingerprint="1" * 64, split="test"),
        good(label="a", data="x/faces", data_fingerprint="1" * 64, split="val"),
        good(label="a", data="y/faces", data_fingerprint="2" * 64, split="test"),
        good(label="b", data="y/faces", data_fingerprint="2" * 64, split="test"),
    ]
    (tmp_path / "runs.json").write_text("\n".join(map(json.dumps, lines)))
    found = inputs.read([str(tmp_path / "runs.json")]).evaluations
    assert [run.label for run in found] == [
        *("a (faces, test, 11111111)", "a (faces, val)", "a (faces, test, 22222222)", "b"),
    ]


def test_read_leaves_standard_input_open(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(json.dumps(good()).encode()))
    monkeypatch.setattr("sys.stdin", stream)
    assert len(inputs.read(["-"]).evaluations) == 1
    assert not stream.buffer.closed


def test_read_gathers_the_kinds_of_all_files_each_in_order(tmp_path: Path) -> None:
    places = []
    for number, records in enumerate(((STEPS, good(), TRAINING), (good(model="b"), STEPS))):
        (tmp_path / str(number)).write_text("\n".join(map(json.dumps, records)))
        places.append(str(tmp_path / str(number)))
    found = inputs.read(places)
    assert [entry.model for entry in found.evaluations] == ["model.st", "b"]
    (curve,) = found.curves
    assert (curve.name, curve.training[0].train_accuracy, curve.training[0].val_loss) == ("a", 0.2, None)
    assert len(found.prunings) == 2
    pruning = found.prunings[0]
    assert pruning.name == "m.st, progressive"
    assert (pruning.steps[0].units, pruning.steps[0].loss, pruning.steps[0].smallest_angle_deg) == (
        9,
        None,
        3.0,
    )


def test_read_takes_what_prune_and_angles_print(tmp_path: Path) -> None:
    (tmp_path / "runs.jsonl").write_text("\n".join(map(json.dumps, (PRUNED, good(), ANGLES, PRUNED))))
    for place in (tmp_path, tmp_path / "runs.jsonl"):
        found = inputs.read([str(place)])
        assert [len(each) for each in (found.evaluations, found.pruned, found.angles)] == [1, 2, 1]


def test_read_passes_over_other_records_of_emoprune_with_a_note(in_folder: Path) -> None:
    other = json.dumps({"schema": "emoprune.train/1", "input": "faces"})
    Path("log").write_text("\n".join((other, json.dumps(good()), other)))
    with events.gathered() as told:
        assert len(inputs.read(["log"]).evaluations) == 1
    assert [text for _, text in told] == ["log: 2 records of other content passed over"]
    Path("log").write_text(other)
    with pytest.raises(
        BadMetrics, match=r"^log, line 1: schema 'emoprune\.train/1', not emoprune\.metrics/1"
    ):
        inputs.read(["log"])


CSV = answers("m.st", "aab").to_bytes()


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf", b"\n\n"])
@pytest.mark.parametrize("name", ["p.json", "p", "-"])
def test_read_knows_predictions_by_what_they_hold(
    in_folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, mark: bytes
) -> None:
    Path("m.csv").write_text(json.dumps(good()))
    if name == "-":
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(mark + CSV)))
    else:
        Path(name).write_bytes(mark + CSV)
    found = inputs.read([name, "m.csv"])
    assert [each.run for each in found.predictions] == ["m.st"]
    assert [each.model for each in found.evaluations] == ["model.st"]


def test_read_takes_predictions_and_records_larger_than_what_it_looks_at(tmp_path: Path) -> None:
    many = answers("m.st", "ab" * 5000).to_bytes()
    (tmp_path / "p.csv").write_bytes(many)
    (tmp_path / "m.json").write_text(
        "".join(json.dumps(good(label=str(number))) + "\n" for number in range(400))
    )
    assert min(map(os.path.getsize, tmp_path.iterdir())) > 2 * inputs.HEAD
    found = inputs.read([str(tmp_path)])
    assert (len(found.evaluations), len(found.predictions[0].names)) == (400, 10_000)


def test_read_takes_the_outputs_in_a_folder_by_name_and_counts_the_rest(in_folder: Path) -> None:
    runs = in_folder / "runs"
    (runs / "deeper").mkdir(parents=True)
    (runs / "deeper" / "x.json").write_text(json.dumps(good(model="x")))
    (runs / "b.JSON").write_text(json.dumps(good(model="b")))
    (runs / "c.jsonl").write_text('{"schema": "emoprune.train/1"}\n' + json.dumps(STEPS))
    (runs / "a.csv").write_bytes(CSV)
    (runs / "d.json").write_text(json.dumps(TRAINING))
    (runs / "crops.csv").write_text("source,output\na,b\n")
    (runs / "package.json").write_text("{}")
    (runs / "e.txt").write_text(json.dumps(good()))
    (runs / "f.json").symlink_to("missing")
    (runs / ".g.json").write_text("{")
    os.mkfifo(runs / "h.json")
    with events.gathered() as told:
        found = inputs.read(["runs"])
    assert [len(each) for each in (found.evaluations, found.curves, found.prunings, found.predictions)] == [
        1
    ] * 4
    assert [text for _, text in told] == [
        "runs: 5 files and 1 folder and 1 record of other content passed over"
    ]
    (runs / "d.json").write_text(json.dumps({**TRAINING, "training": []}))
    with pytest.raises(EmopruneError, match="without epochs") as caught:
        inputs.read(["runs"])
    assert caught.value.place == "runs/d.json, line 1"


def test_read_refuses_a_folder_without_an_output(in_folder: Path) -> None:
    (in_folder / "a.json").write_text("")
    with pytest.raises(BadMetrics, match=r"^\.: no file in it is of networks that a report shows; give what"):
        inputs.read(["."])


def test_read_names_the_line_of_damaged_predictions(in_folder: Path) -> None:
    Path("p.csv").write_bytes(CSV.replace(b",a,", b",x,", 1))
    with pytest.raises(BadData, match=r"^p\.csv: line 2: label is 'x'"):
        inputs.read(["p.csv"])
    Path("p.csv").write_bytes(CSV[:-9])
    with pytest.raises(BadData, match=r"^p\.csv: line"):
        inputs.read(["p.csv"])
