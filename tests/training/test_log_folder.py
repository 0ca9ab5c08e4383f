"""The log folder: a row for each epoch, none twice, and none of another training."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from emoprune.errors import OutputFault
from emoprune.networks.types import Epoch
from emoprune.training.log_folder import CURVE, EVENTS, LogFolder

EPOCHS = [Epoch(index, 1 / index, 0.1 * index, 1.5 / index, 0.05 * index, 0.3, 0.2) for index in range(1, 6)]
PLAIN = [Epoch(index, 1 / index, None) for index in range(1, 6)]


def write(folder: LogFolder, epochs: Sequence[Epoch], *, known: int = 0) -> None:
    folder.check()
    with folder.opened(epochs[:known]) as writer:
        for epoch in epochs[known:]:
            writer.add(epoch, rate=0.01 / epoch.index, seconds=2.0)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / CURVE).open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_curve_has_all_figures_of_each_epoch(tmp_path: Path) -> None:
    write(LogFolder(str(tmp_path / "log")), EPOCHS)
    found = rows(tmp_path / "log")
    assert [int(row["epoch"]) for row in found] == [1, 2, 3, 4, 5]
    for row, epoch in zip(found, EPOCHS, strict=True):
        for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "val_macro_f1"):
            assert float(row[name]) == getattr(epoch, name)
        assert (float(row["rate"]), float(row["seconds"])) == (0.01 / epoch.index, 2.0)


def test_each_row_can_be_read_as_soon_as_its_epoch_has_ended(tmp_path: Path) -> None:
    with LogFolder(str(tmp_path)).opened(()) as writer:
        for count, epoch in enumerate(PLAIN, 1):
            writer.add(epoch, rate=0.1, seconds=1.0)
            assert len(rows(tmp_path)) == count
    assert {(row["val_loss"], row["train_accuracy"]) for row in rows(tmp_path)} == {("", "")}


def test_a_resumed_training_doubles_no_row_and_completes_half_of_one(tmp_path: Path) -> None:
    log = LogFolder(str(tmp_path), resume=True)
    whole = LogFolder(str(tmp_path / "whole"))
    write(whole, EPOCHS)
    # the last state is of epoch 3, and the kill came while the row of epoch 5 was written
    write(log, EPOCHS[:4])
    with (tmp_path / CURVE).open("a") as stream:
        stream.write("5,0.2,0.")
    write(log, EPOCHS, known=3)
    assert rows(tmp_path) == rows(tmp_path / "whole")


def test_rows_that_were_lost_are_there_again_without_their_time(tmp_path: Path) -> None:
    write(LogFolder(str(tmp_path)), EPOCHS[:1])
    write(LogFolder(str(tmp_path), resume=True), EPOCHS, known=3)
    found = rows(tmp_path)
    assert [row["epoch"] for row in found] == ["1", "2", "3", "4", "5"]
    assert [row["seconds"] for row in found] == ["2.0", "", "", "2.0", "2.0"]
    assert float(found[1]["val_loss"]) == EPOCHS[1].val_loss


@pytest.mark.parametrize("known", [0, 2])
def test_the_curve_of_another_training_is_refused_without_force(tmp_path: Path, known: int) -> None:
    write(LogFolder(str(tmp_path)), PLAIN)
    before = (tmp_path / CURVE).read_bytes()
    with pytest.raises(OutputFault, match="exists already"):
        write(LogFolder(str(tmp_path)), EPOCHS)
    with pytest.raises(OutputFault, match="has the curve of another training"):
        write(LogFolder(str(tmp_path), resume=True), EPOCHS, known=known)
    assert (tmp_path / CURVE).read_bytes() == before
    write(LogFolder(str(tmp_path), resume=True, force=True), EPOCHS, known=known)
    assert [float(row["train_loss"]) for row in rows(tmp_path)] == [epoch.train_loss for epoch in EPOCHS]


def test_a_training_that_was_interrupted_in_its_first_epoch_starts_again(tmp_path: Path) -> None:
    write(LogFolder(str(tmp_path)), [])
    write(LogFolder(str(tmp_path), resume=True), EPOCHS)
    assert len(rows(tmp_path)) == 5


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_a_warning_and_the_training_goes_on(
    tmp_path: Path, told: pytest.LogCaptureFixture
) -> None:
    with LogFolder(str(tmp_path)).opened(()) as writer:
        (tmp_path / CURVE).unlink()
        (tmp_path / CURVE).symlink_to("/dev/full")
        writer.add(PLAIN[0], rate=0.1, seconds=1.0)
    assert "No space left on device" in told.messages[-1]
    assert told.messages[-1].endswith("the training goes on without the figures of epoch 1")


def test_without_tensorboard_a_note_names_what_to_install(
    tmp_path: Path, told: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    write(LogFolder(str(tmp_path)), EPOCHS)
    (note,) = told.messages
    assert note.endswith("pip install 'emoprune[tensorboard]'")
    assert [path.name for path in tmp_path.iterdir()] == [CURVE]


def test_tensorboard_reads_each_epoch_once(tmp_path: Path) -> None:
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

    def scalars(tag: str) -> dict[int, float]:
        found = accumulators.EventAccumulator(str(tmp_path))
        found.Reload()
        steps = found.Scalars(tag)
        assert len({event.step for event in steps}) == len(steps)
        return {event.step: event.value for event in steps}

    write(LogFolder(str(tmp_path)), PLAIN)
    write(LogFolder(str(tmp_path), force=True), EPOCHS[:4])
    assert len(list(tmp_path.glob(EVENTS))) == 1, "what was replaced is gone"
    write(LogFolder(str(tmp_path), resume=True), EPOCHS, known=3)
    for tag, name in (("loss/train", "train_loss"), ("accuracy/val", "val_accuracy")):
        assert scalars(tag) == pytest.approx({epoch.index: getattr(epoch, name) for epoch in EPOCHS})
    assert scalars("rate")[5] == pytest.approx(0.002)


def test_events_of_something_else_are_not_removed_unasked(tmp_path: Path) -> None:
    mine = tmp_path / "events.out.tfevents.1.mine"
    mine.write_bytes(b"events")
    with pytest.raises(OutputFault, match="has the events of something else"):
        LogFolder(str(tmp_path)).check()
    assert mine.exists()
    LogFolder(str(tmp_path), force=True).check()
