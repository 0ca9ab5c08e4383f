"""What is said of each epoch while a network is trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from emoprune import events
from emoprune.data.datasets import open_data
from emoprune.events import Advance, Work
from emoprune.networks.types import Epoch
from emoprune.training import watch
from emoprune.training.config import TrainConfig, train_config
from emoprune.training.log_folder import LogFolder
from emoprune.training.state import Progress, StateFile
from emoprune.training.train import train
from emoprune.training.watch import Watched, watched
from tests.support.training import CONV1
from tests.training.test_log_folder import rows


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


class Shown:
    """A hook that keeps what it is told; Ctrl-C is pressed at an epoch."""

    def __init__(self, interrupt: int | None = None) -> None:
        self.work: Work | None = None
        self.texts: list[str] = []
        self._interrupt = interrupt

    @contextmanager
    def __call__(self, work: Work) -> Iterator[Advance]:
        def advance(steps: int = 1, text: str | None = None) -> None:
            if work.label == "epoch":
                self.work = work
                self.texts.append(text or "")
                if len(self.texts) == self._interrupt:
                    raise KeyboardInterrupt

        yield advance


def training(config: TrainConfig, samples: int, *, curve: tuple[Epoch, ...] = (), step: int = 0) -> Watched:
    return Watched(config, torch.arange(samples), "pictures", Progress(step=step, curve=curve))


def test_the_rate_is_that_of_the_last_step_of_an_epoch() -> None:
    # 10 samples in batches of 3 are 3 steps, as the last sample joins the batch before
    halved = training(TrainConfig(lr=0.1, lr_factor=0.5, lr_every=2, batch_size=3, epochs=4), 10)
    assert [halved.rate(epoch) for epoch in range(1, 5)] == pytest.approx([0.1, 0.1, 0.05, 0.05])
    warmed = training(TrainConfig(lr=0.7, warmup=2.0, batch_size=3, epochs=4), 10)
    assert [warmed.rate(epoch) for epoch in range(1, 4)] == pytest.approx([0.3, 0.6, 0.7])
    # two batches make a step: 2 in an epoch
    decayed = training(TrainConfig(lr=0.1, lr_decay=1.0, batch_size=3, accumulate=2, epochs=2), 10)
    assert [decayed.rate(epoch) for epoch in (1, 2)] == pytest.approx([0.1 / 2, 0.1 / 4])


def test_the_speed_counts_what_was_trained_on_since_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, shown = Clock(), Shown()
    monkeypatch.setattr(watch, "time", clock)
    epochs = [Epoch(index, 1.203, 0.541, 1.31, 0.502) for index in range(1, 4)]

    def trained() -> Iterator[Epoch]:
        yield epochs[0]
        for epoch in epochs[1:]:
            clock.now += 4
            yield epoch

    # of epoch 2 half was trained before
    config = TrainConfig(lr=3e-4, batch_size=10, epochs=3)
    start = training(config, 1640, curve=(epochs[0],), step=82)
    with events.showing(shown):
        assert list(watched(trained(), start, None)) == epochs
    assert shown.work == Work("epoch", 3, done=1, told=True)
    figures = "loss 1.203, 54.1%; val 1.310, 50.2%; rate 3e-4"
    assert shown.texts == [f"{figures}; 205 pictures/s", f"{figures}; 410 pictures/s"]


def test_without_a_val_part_or_classes_there_are_fewer_figures() -> None:
    assert watch.told(Epoch(1, 0.5, 0.25)) == "loss 0.500, 25.0%"
    assert watch.told(Epoch(1, 0.5, None, 0.75)) == "loss 0.500; val 0.750"


@pytest.mark.parametrize(
    ("rate", "text"), [(0.0, "0"), (0.01, "0.01"), (1e-3, "0.001"), (3e-4, "3e-4"), (1.256e-5, "1.26e-5")]
)
def test_rates_are_short(rate: float, text: str) -> None:
    assert watch.short(rate) == text


def test_a_resumed_training_has_the_log_of_one_that_was_never_interrupted(
    faces: Path, tmp_path: Path
) -> None:
    data = open_data(faces, split="60/20/20")
    config = train_config(**{**CONV1, "epochs": 6}, split="60/20/20")
    train(data, config, log=LogFolder(str(tmp_path / "whole")))
    log, state = str(tmp_path / "log"), str(tmp_path / "m.st.state")
    with events.showing(Shown(interrupt=4)), pytest.raises(KeyboardInterrupt):
        train(data, config, log=LogFolder(log), state=StateFile(state))
    shown = Shown()
    with events.showing(shown):
        train(data, config, log=LogFolder(log, resume=True), state=StateFile(state, resume=True))
    assert shown.work is not None
    assert shown.work.done + len(shown.texts) == 6
    found, wanted = rows(tmp_path / "log"), rows(tmp_path / "whole")
    for row, same in zip(found, wanted, strict=True):
        del row["seconds"], same["seconds"]
        if row["epoch"] == "4" and not row["rate"]:
            # its state was written, and its row was not
            del row["rate"], same["rate"]
    assert found == wanted
