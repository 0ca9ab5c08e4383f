"""Where a training stands, and the file that it can go on from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from emoprune import events
from emoprune.errors import BadCheckpoint, OutputFault, at
from emoprune.io import files, json_records, safetensors_files
from emoprune.networks.cards import canonical
from emoprune.networks.types import Epoch

SCHEMA = "emoprune.training-state/1"
KEY = "emoprune_training"


@dataclass(frozen=True)
class Progress:
    """How far a training is: `step` steps into the epoch after those of `curve`.

    `loss_sum` and `right` are over the samples of these steps. `merit` is that of the best epoch, and
    `since` counts the epochs after it. `averaged` counts the steps in the average of the weights.
    """

    step: int = 0
    loss_sum: float = 0.0
    right: float = 0.0
    curve: tuple[Epoch, ...] = ()
    merit: float | None = None
    since: int = 0
    averaged: int = 0
    scaler: Mapping[str, int | float] = field(default_factory=dict)


@dataclass(frozen=True)
class State:
    """Progress, and tensors by name; `run` says which training it is of."""

    run: str
    progress: Progress
    tensors: Mapping[str, Tensor]

    def below(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names begin with `prefix`, by the rest of their names."""
        found = self.tensors.items()
        return {name.removeprefix(prefix): value for name, value in found if name.startswith(prefix)}


def to_bytes(state: State) -> bytes:
    """The state as a safetensors file."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.tensors.items()}
    record = canonical({"schema": SCHEMA, "run": state.run, "progress": state.progress})
    return safetensors.torch.save(tensors, {KEY: record})


def from_bytes(data: bytes, *, run: str) -> State:
    """The state in the bytes of a file; BadCheckpoint for another file, or the state of another run."""
    tensors, metadata = safetensors_files.load(data)
    if KEY not in metadata:
        raise BadCheckpoint("not the state of a training", "leave out `resume` to start over")
    record = json_records.loads(metadata[KEY])
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        raise BadCheckpoint("the state of a training of another version", "start over, without `resume`")
    if record.get("run") != run:
        fact = "the state of another training: its settings, data or first weights are not these"
        raise BadCheckpoint(fact, "give the same as before, or start over without `resume`")
    return State(run, json_records.decode(Progress, record["progress"]), tensors)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    """What an optimizer has gathered, by "NUMBER.NAME"."""
    for number, entry in optimizer.state_dict()["state"].items():
        for name, value in entry.items():
            if value is not None:
                yield f"{number}.{name}", torch.as_tensor(value)


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimizer back what `optimizer_tensors` took."""
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    state: dict[int, dict[str, Any]] = {}
    for key, value in tensors.items():
        number, _, name = key.partition(".")
        own = parameters[int(number)]
        # the fused kernels take both to lie in memory in the same order
        like = torch.empty_like(own, dtype=value.dtype).copy_(value) if value.shape == own.shape else value
        state.setdefault(int(number), {})[name] = like
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies, which go on as they are."""
    return {name: value.detach().clone() for name, value in tensors.items()}


def restore(net: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy a state back into a network."""
    # the network's own has the versions that some modules check
    state = net.state_dict()
    state.update(tensors)
    net.load_state_dict(state)


def after_epoch(progress: Progress, epoch: Epoch, merit: float | None) -> Progress:
    """The progress at the end of an epoch, whose `merit` is None where nothing validates it."""
    better = merit is not None and (progress.merit is None or merit > progress.merit)
    return replace(
        progress,
        step=0,
        loss_sum=0.0,
        right=0.0,
        curve=(*progress.curve, epoch),
        merit=merit if better else progress.merit,
        since=0 if better else progress.since + 1,
    )


@dataclass(frozen=True)
class StateFile:
    """Where the state of a training is kept while it runs; with `resume` it goes on from there.

    An old state is replaced only with `force`.
    """

    path: str
    resume: bool = False
    force: bool = False

    def check(self) -> None:
        """Raise OutputFault for a state that would be lost, and for a file that cannot be written."""
        if os.path.exists(self.path) and not (self.resume or self.force):
            remedy = "give `resume=True` to go on, or `force=True` to start over"
            raise OutputFault("holds the state of a training that was interrupted", remedy, place=self.path)
        files.check_output(self.path, force=True)

    def read(self, run: str) -> State | None:
        """The state to go on from, None for the beginning; BadCheckpoint for that of another run."""
        if not self.resume:
            return None
        if not os.path.exists(self.path):
            events.note(f"{self.path}: there is no such state, so the training starts at its beginning")
            return None
        with at(self.path):
            state = from_bytes(files.read_bytes(self.path, fault=BadCheckpoint), run=run)
        at_step = f", step {state.progress.step}" if state.progress.step else ""
        events.note(f"{self.path}: goes on after epoch {len(state.progress.curve)}{at_step}")
        return state

    def save(self, state: State) -> None:
        """Write a state in place of the one before, whole or not at all.

        A full disk is a warning: the training goes on, and the next state is tried again.
        """
        try:
            files.write_bytes(self.path, to_bytes(state), force=True)
        except OutputFault as fault:
            events.warn(f"{fault}; the training goes on, and its last state is older")

    def remove(self) -> None:
        """Remove it, once what it was for is written."""
        Path(self.path).unlink(missing_ok=True)

    def note_kept(self) -> None:
        """Say how to go on, where there is a state."""
        if os.path.exists(self.path):
            events.note(f"{self.path} keeps the state; the same with `resume=True` goes on from there")
