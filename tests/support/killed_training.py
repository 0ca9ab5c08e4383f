"""Trainings that are killed again and again, for a test in another process.

    python -m tests.support.killed_training FOLDER KILLS

trains in children that a process of one thread forks: once to the end, and once killed KILLS times, at
places drawn at random: between two steps, before a state is on the disk, and before it is moved to its place.
Prints the hashes of both results as JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from emoprune.data.datasets import open_data
from emoprune.networks import checkpoint
from emoprune.training import loop
from emoprune.training.config import train_config
from emoprune.training.state import StateFile
from emoprune.training.train import train

SETTINGS: dict[str, Any] = {
    **{"arch": "conv2", "size": "20", "gray": True, "channels": (4, 6), "hidden": (8,), "dropout": 0.3},
    **{"epochs": 5, "batch_size": 4, "accumulate": 2, "split": "60/20/20", "optimizer": "adamw", "lr": 0.01},
    **{"mixup": 0.3, "ema": 0.9, "precision": "bf16", "schedule": "cosine", "warmup": 1, "clip_grad": 1.0},
    **{"augment": ("flip", "rotate:10", "erase:0.5"), "label_smoothing": 0.1, "patience": 4, "save_every": 0},
}


def child(work: Callable[[], None]) -> int:
    """Run `work` in a child; the signal that ended it, 0 for none."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException as error:
            sys.stderr.write(f"{error!r}\n")
            os._exit(1)
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        sys.exit("a training has failed")
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def training(faces: str, output: Path, *, resume: bool, teacher: str | None, dies_at: int | None) -> None:
    """Train to the end, or until `dies_at` places were passed."""
    torch.set_num_threads(1)
    left = dies_at

    def dying(function: Callable[..., Any]) -> Callable[..., Any]:
        def passed(*given: Any, **named: Any) -> Any:
            nonlocal left
            if left is not None:
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return function(*given, **named)

        return passed

    loop._Training._step = dying(loop._Training._step)  # type: ignore[method-assign]
    os.fsync = dying(os.fsync)
    os.replace = dying(os.replace)
    state = StateFile(f"{output}.state", resume=resume)
    made = train(
        open_data(faces),
        train_config(**SETTINGS),
        state=state,
        teacher=checkpoint.read(teacher) if teacher else None,
    )
    made.checkpoint.save(output)


def main(faces: str, folder: str, kills: int, teacher: str | None) -> None:
    """Print the hash of an undisturbed training, of a killed one, and how often it was killed."""
    torch.set_num_threads(1)
    whole, killed = Path(folder, "whole.st"), Path(folder, "killed.st")
    child(lambda: training(faces, whole, resume=False, teacher=teacher, dies_at=None))
    # a run passes three places a step: the step, and the state that is written and moved after it
    places = random.Random(0)
    signals = []
    for _ in range(kills):
        again = partial(training, faces, killed, resume=True, teacher=teacher, dies_at=places.randrange(1, 9))
        signals.append(child(again))
    child(lambda: training(faces, killed, resume=True, teacher=teacher, dies_at=None))
    hashes = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (whole, killed)]
    sys.stdout.write(json.dumps({"hashes": hashes, "signals": signals}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] if len(sys.argv) > 4 else None)
