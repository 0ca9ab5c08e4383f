"""The files of a search: lines of metrics, and the best checkpoint."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from emoprune.errors import BadMetrics, OutputFault
from emoprune.io import files
from emoprune.reporting import inputs
from emoprune.reporting.types import Runs
from emoprune.search.space import Trial
from emoprune.search.storage import file_of


@dataclass(frozen=True)
class Outputs:
    """Where a search remembers its trials, and where it writes their metrics and its best checkpoint."""

    storage: str
    lines: str | None = None
    best: str | None = None
    force: bool = False

    def check(self) -> None:
        """Raise OutputFault for a place that could not be written when the first trial has ended.

        BadMetrics for a file of lines that holds something else.
        """
        storage = file_of(self.storage)
        places = [path for path in (storage, self.lines, self.best) if path]
        files.check_apart(places)
        for path in places:
            if path == files.STANDARD or (Path(path).exists() and not Path(path).is_file()):
                raise OutputFault("is not a file that a search can come back to", "name a file", place=path)
            files.check_output(path, force=self.force or Path(path).exists())
        if self.lines and Path(self.lines).is_file() and Path(self.lines).stat().st_size:
            # lines are added to those of an earlier search, not to any file
            found = inputs.read([self.lines])
            if found != Runs(evaluations=found.evaluations):
                raise BadMetrics("has more than metrics", "name a file of metrics", place=self.lines)
        if not Path(storage).exists():
            self.check_best(frozenset())

    def check_best(self, known: Collection[str]) -> None:
        """Raise OutputFault where the best would replace a file whose fingerprint is not `known`."""
        held = self._held()
        if held is not None and held not in known and not self.force:
            raise OutputFault(
                "exists, and is not a checkpoint of this search",
                "give `force=True` to replace it",
                place=self.best or "",
            )

    def catch_up(self, trials: Sequence[Trial]) -> None:
        """Add the missing lines of trials, also those that a killed process could not write."""
        if self.lines is None:
            return
        written = b"" if not Path(self.lines).exists() else files.read_bytes(self.lines)
        known = set(written.splitlines())
        lines = [trial.line.encode() for trial in trials if trial.line is not None]
        missing = [line for line in lines if line not in known]
        if missing:
            end = b"\n" if written and not written.endswith(b"\n") else b""
            # whole, not appended: an interruption leaves no half line
            files.write_bytes(self.lines, written + end + b"\n".join([*missing, b""]), force=True)

    def offer(self, checkpoint: bytes, accuracy: float, trials: Sequence[Trial]) -> None:
        """Keep a checkpoint if it is better than the one kept, or if that is not of a trial that ended."""
        if self.best is None:
            return
        held = self._held()
        kept = [
            trial.accuracy for trial in trials if trial.fingerprint == held and trial.accuracy is not None
        ]
        if not kept or accuracy > max(kept):
            files.write_bytes(self.best, checkpoint, force=True)

    def holds(self, trial: Trial) -> bool:
        """Whether the checkpoint kept is that trial's."""
        return self._held() == trial.fingerprint

    def _held(self) -> str | None:
        if self.best is None or not Path(self.best).exists():
            return None
        return hashlib.sha256(files.read_bytes(self.best)).hexdigest()
