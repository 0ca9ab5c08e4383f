"""The files that a training writes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import PurePath

from emoprune.data import split_files
from emoprune.data.datasets import Data
from emoprune.data.splits import partition
from emoprune.errors import UsageFault
from emoprune.io import files
from emoprune.networks.types import Checkpoint, Epoch
from emoprune.training import settings_files
from emoprune.training.config import SETTINGS, TrainConfig
from emoprune.training.log_folder import LogFolder
from emoprune.training.state import StateFile
from emoprune.training.types import TRAINING_SCHEMA, LearningCurve, Trained


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """The files that a training writes, None for those that nobody asked for.

    `model` is its checkpoint, `save_init` that before the first step, `save_config` its settings,
    `save_split` the part of every sample, `curve` its learning curve, which is of `label`, and `log_dir` a
    LogFolder. With `resume` it goes on where it was interrupted. What exists is replaced only with `force`.
    """

    model: str
    save_init: str | None = None
    save_config: str | None = None
    save_split: str | None = None
    curve: str | None = None
    label: str | None = None
    log_dir: str | None = None
    keep_paths: bool = False
    resume: bool = False
    force: bool = False

    @property
    def paths(self) -> list[str]:
        """All of them but the log."""
        found = (self.model, self.save_config, self.save_init, self.save_split, self.curve)
        return [path for path in found if path is not None]

    @property
    def state(self) -> StateFile | None:
        """Where the training can be resumed from; None for a checkpoint that goes to standard output."""
        if self.model == files.STANDARD:
            return None
        return StateFile(f"{self.model}.state", resume=self.resume, force=self.force)

    @property
    def log(self) -> LogFolder | None:
        """Where the figures of every epoch go."""
        if self.log_dir is None:
            return None
        return LogFolder(self.log_dir, resume=self.resume, force=self.force)

    @property
    def done(self) -> str:
        """What one of several trainings has come to, until all of them are done."""
        return f"{self.model}.done"

    def named(self, name: str, *, first: bool) -> Outputs:
        """Those of one of several trainings, with its name in theirs; the `first` writes what all share.

        All learning curves are in one file, which is none of these. Raises UsageFault for standard output.
        """
        return replace(
            self,
            model=_with_name(self.model, name),
            save_init=self.save_init and _with_name(self.save_init, name),
            save_config=self.save_config if first else None,
            save_split=self.save_split if first else None,
            curve=None,
            label=None,
            log_dir=self.log_dir and os.path.join(self.log_dir, name),
        )

    def check(self, config: TrainConfig, *, past: bool = False) -> None:
        """Refuse now what could not be written after hours of work; `past`: a checkpoint is trained on.

        Raises UsageFault, OutputFault or BadSettings.
        """
        self.check_asked(config, past=past)
        files.check_apart([*self.paths, *([self.log.curve] if self.log else [])])
        self.check_places()

    def check_asked(self, config: TrainConfig, *, past: bool) -> None:
        """Raise UsageFault or BadSettings for what contradicts the config, or cannot be in such a file."""
        if self.resume and self.state is None:
            fact = "`resume` goes on from the state beside MODEL, and standard output has none"
            raise UsageFault(fact, "name MODEL")
        if self.curve is None and self.label is not None:
            fact = "`label` names the curve of `curve`, which is missing"
            raise UsageFault(fact, "give `curve=FILE` as well")
        if self.curve is not None and (not config.epochs or (config.arch == "svm" and not past)):
            raise UsageFault("`curve` needs at least one epoch", "leave it out")
        if self.save_config is not None:
            settings_files.to_toml({name: getattr(config, name) for name in SETTINGS}, SETTINGS)

    def check_places(self) -> None:
        """Raise OutputFault for a place that cannot be written, or whose file would be lost."""
        state, log = self.state, self.log
        # what is there beside a state is of the training that is resumed
        begun = self.resume and state is not None and any(map(os.path.exists, (state.path, self.done)))
        for path in self.paths:
            # an interrupted training has written its first network, and perhaps its last
            own = path in (self.model, self.save_init) or os.path.exists(self.done)
            files.check_output(path, force=self.force or (begun and own))
        if log is not None:
            log.check()
        if state is not None:
            state.check()

    def check_names(self, data: Data) -> None:
        """Raise BadData for names of samples that the file of the split cannot hold."""
        if self.save_split is not None:
            split_files.check_names(data.catalog)

    def write_first(self, made: Checkpoint) -> None:
        """Write the network before its first step, if anybody asked for it."""
        if self.save_init is not None:
            self._save(made, self.save_init)

    def write(self, trained: Trained, data: Data) -> None:
        """Write all that is known at the end."""
        self._save(trained.checkpoint, self.model)
        if self.save_config is not None:
            settings = settings_files.to_toml(trained.settings, SETTINGS)
            self._write(self.save_config, settings)
        if self.save_split is not None:
            parts = partition(data.catalog, trained.checkpoint.split)
            self._write(self.save_split, split_files.to_bytes(data.catalog, parts))
        self.write_curves({self.model: trained.checkpoint.training})

    def remove_state(self) -> None:
        """Remove what the training could be resumed from."""
        if self.state is not None:
            self.state.remove()

    def write_curves(self, curves: Mapping[str, tuple[Epoch, ...]]) -> None:
        """Write the learning curve of each checkpoint on a line of its own, if anybody asked for them."""
        if self.curve is None:
            return
        found = (LearningCurve(path, epochs, self.label) for path, epochs in curves.items())
        records = ({"schema": TRAINING_SCHEMA, **asdict(each)} for each in found)
        self._write(self.curve, "".join(f"{json.dumps(record)}\n" for record in records).encode())

    def _save(self, made: Checkpoint, path: str) -> None:
        made.save(path, force=self.force or self.resume, keep_paths=self.keep_paths)

    def _write(self, path: str, data: bytes) -> None:
        files.write_bytes(path, data, force=self.force or self.resume)


def _with_name(path: str, name: str) -> str:
    """A path with the name before its suffix: model.st is model.seed0.st."""
    if path == files.STANDARD:
        fact = "several trainings write several files, and standard output is one"
        raise UsageFault(fact, "name a file")
    place = PurePath(path)
    return str(place.with_name(f"{place.stem}.{name}{place.suffix}"))
