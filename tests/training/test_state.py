"""The state of a training: written whole, and gone on from to the same bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from emoprune.errors import BadCheckpoint, OutputFault
from emoprune.networks import checkpoint
from emoprune.networks.types import Epoch
from emoprune.training.state import Progress, State, StateFile, after_epoch, from_bytes, to_bytes
from tests.support.training import CONV1, trained

STATE = State(
    "abc",
    Progress(3, 1 / 3, 7.5, (Epoch(1, 0.1, 0.25, 0.3, 0.5, 0.4, 0.35), Epoch(2, 1e-9, None)), 0.5, 1, 12),
    {"net.weight": torch.randn(3, 2), "optimizer.0.step": torch.tensor(4.0)},
)


def test_a_state_comes_back_as_it_was() -> None:
    found = from_bytes(to_bytes(STATE), run="abc")
    assert found.progress == STATE.progress
    assert found.tensors.keys() == STATE.tensors.keys()
    assert all(torch.equal(found.tensors[name], value) for name, value in STATE.tensors.items())
    assert found.below("net.").keys() == {"weight"}


@pytest.mark.parametrize("data", [b"", b"no state", to_bytes(STATE)[:-3]])
def test_other_bytes_are_no_state(data: bytes) -> None:
    with pytest.raises(BadCheckpoint):
        from_bytes(data, run="abc")


def test_the_state_of_another_run_is_refused() -> None:
    with pytest.raises(BadCheckpoint, match="the state of another training"):
        from_bytes(to_bytes(STATE), run="abd")


def test_after_epoch_remembers_the_first_of_the_best() -> None:
    progress = Progress(step=5, loss_sum=2.0, right=3.0)
    for index, merit in enumerate((0.2, 0.4, 0.4, 0.3), 1):
        progress = after_epoch(progress, Epoch(index, 1.0, 0.5), merit)
        assert (progress.step, progress.loss_sum, progress.right) == (0, 0.0, 0.0)
    assert (progress.merit, progress.since) == (0.4, 2)
    assert [epoch.index for epoch in progress.curve] == [1, 2, 3, 4]


def test_a_state_file_is_refused_unless_it_is_gone_on_from_or_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "m.st.state")
    StateFile(path).check()
    StateFile(path).save(STATE)
    with pytest.raises(OutputFault, match="that was interrupted; give `resume=True`"):
        StateFile(path).check()
    for allowed in (StateFile(path, resume=True), StateFile(path, force=True)):
        allowed.check()
    found = StateFile(path, resume=True).read("abc")
    assert found is not None
    assert found.progress == STATE.progress
    assert StateFile(path).read("abc") is None
    StateFile(path).remove()
    assert os.listdir(tmp_path) == []


def test_going_on_without_a_state_begins_at_the_beginning_and_says_so(
    tmp_path: Path, told: pytest.LogCaptureFixture
) -> None:
    assert StateFile(str(tmp_path / "m.st.state"), resume=True).read("abc") is None
    assert "starts at its beginning" in told.text


@pytest.mark.parametrize("changed", [{"lr": 0.5}, {"seed": 1}, {"epochs": 9}, {"augment": ("flip",)}])
def test_the_state_of_a_training_with_other_settings_is_refused(
    small: Path, tmp_path: Path, changed: dict[str, Any]
) -> None:
    path = str(tmp_path / "m.st.state")
    trained(small, **CONV1, state=StateFile(path))
    assert os.path.exists(path), "train leaves it to the caller, who has not written the model yet"
    again = StateFile(path, resume=True)
    assert trained(small, **CONV1, state=again).training == trained(small, **CONV1).training
    with pytest.raises(BadCheckpoint, match="the state of another training"):
        trained(small, **{**CONV1, **changed}, state=again)


def test_a_disk_that_is_full_for_a_while_keeps_the_last_state_and_the_training_goes_on(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: pytest.LogCaptureFixture
) -> None:
    kept, calls = StateFile(str(tmp_path / "m.st.state")), list[int]()
    sync = os.fsync

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr("os.fsync", full)
    # each batch but the last of an epoch leaves a state
    made = trained(small, **CONV1, batch_size=8, save_every=0, state=kept)
    assert len(calls) > 2
    assert told.text.count("No space left on device") == len(calls) - 1
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["m.st.state"]
    again = trained(small, **CONV1, batch_size=8, save_every=0, state=StateFile(kept.path, resume=True))
    assert "goes on after epoch 0, step 1" in told.text
    assert checkpoint.to_bytes(again) == checkpoint.to_bytes(made)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the trainings that are killed are forked")
@pytest.mark.parametrize("taught", [False, True], ids=["alone", "with a teacher"])
def test_a_training_killed_ten_times_ends_with_the_same_bytes(
    faces: Path, model: Path, tmp_path: Path, taught: bool
) -> None:
    """With accumulation, mixup, an average and bf16; several kills fall while a state is written."""
    root = Path(__file__).parents[2]
    argv = [sys.executable, "-m", "tests.support.killed_training", str(faces), str(tmp_path), "10"]
    paths = [str(root / "src"), str(root)]
    done = subprocess.run(
        [*argv, *([str(model)] if taught else [])],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["signals"].count(signal.SIGKILL) >= 8
    whole, killed = found["hashes"]
    assert whole == killed
    assert not list(tmp_path.glob(".*")), "what a killed run has left is removed"
