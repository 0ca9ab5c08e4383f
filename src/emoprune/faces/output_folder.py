"""A folder of faces while photos are cropped into it: a killed run can continue."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import IO

from emoprune.errors import InvalidRecord, OutputFault
from emoprune.faces import manifest
from emoprune.faces.types import CropRow, CropSettings
from emoprune.io.files import check_parent, explained
from emoprune.io.json_records import decode, loads

SETTINGS, SCHEMA = "crop.json", "emoprune.crops/1"
WORK = ".crop"
"""Holds an unfinished run: settings, journal, faces; hidden, so that no command reads it."""

JOURNAL, LOCK, MADE, SCRATCH = "journal.jsonl", "lock", "made", "scratch"
OWN = (SETTINGS, manifest.FAILURES, manifest.MANIFEST, manifest.SHEET)
"""Files of a folder of faces that are not faces."""


def is_crop_folder(folder: Path) -> bool:
    """Whether photos were cropped into `folder`, or are being."""
    return (folder / manifest.MANIFEST).is_file() or (folder / WORK).is_dir()


def is_unfinished(folder: Path) -> bool:
    """Whether `folder` may lack faces: its first run was interrupted, or is going on."""
    return (folder / WORK).is_dir() and not all((folder / name).is_file() for name in OWN)


def settings_in(folder: Path) -> CropSettings | None:
    """The settings of a crop that were written into `folder`; None where there are none of this program."""
    try:
        found = loads((folder / SETTINGS).read_text(encoding="utf-8"))
        schema = found.pop("schema")
        settings = decode(CropSettings, found)
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError, InvalidRecord):
        return None
    return settings if schema == SCHEMA and found.keys() <= asdict(settings).keys() else None


class CropFolder:
    """A folder of faces that a run makes or continues.

    A journal takes photos one by one. Their faces are written beside it and moved in when all are there. So a
    run that is killed at any moment can continue, and nobody takes a part of a data set for the whole.
    """

    def __init__(self, place: str) -> None:
        """Raises OutputFault for a folder with other files or one that cannot be written."""
        self.place = Path(place)
        self._work = self.place / WORK
        self._journal: IO[str] | None = None
        with explained(self.place):
            self._made_here = not self.place.exists()
            if not self._made_here and not self.place.is_dir():
                raise OutputFault("is not a folder", "name a folder to make", place=place)
            if self._made_here or not any(self.place.iterdir()):
                check_parent(self.place)
            elif not is_crop_folder(self.place):
                raise OutputFault("holds files that crop did not write", "name another folder", place=place)

    @property
    def finished(self) -> bool:
        """Whether a run has ended here."""
        return (self.place / manifest.MANIFEST).is_file()

    @property
    def complete(self) -> bool:
        """Whether the last run has ended here and all its files are in their place."""
        return not self.in_progress and all((self.place / name).is_file() for name in OWN)

    @property
    def in_progress(self) -> bool:
        """Whether a run was interrupted here, or is going on."""
        return settings_in(self._work) is not None

    def settings(self) -> CropSettings | None:
        """Settings of the run that was interrupted here, else of the one that ended; None: unknown."""
        return settings_in(self._work) or settings_in(self.place)

    def known_rows(self) -> list[CropRow]:
        """The latest rows of every photo that a run has left here, whatever its settings."""
        return list(chain(*(self._finished_rows() | self._journaled_rows()).values()))

    def reusable_rows(self, settings: CropSettings, *, force: bool) -> list[CropRow]:
        """Rows that a run with `settings` can keep; with `force` only those of an interrupted run."""
        done: dict[str, Sequence[CropRow]] = {}
        if not force and settings_in(self.place) == settings:
            done |= self._finished_rows()
        if settings_in(self._work) == settings:
            done |= self._journaled_rows()
        return list(chain(*(rows for rows in done.values() if all(self._exists(row.output) for row in rows))))

    def foreign_files(self) -> set[str]:
        """Files that no run has made, by their path below the folder."""
        ours = self._outputs() | set(OWN)
        found = (path for path in self.place.rglob("*") if self._work not in (path, *path.parents))
        return {path.relative_to(self.place).as_posix() for path in found if not path.is_dir()} - ours

    def picture(self, output: str) -> Path:
        """Where a face's picture is now."""
        made = self._work / MADE / output
        return made if made.is_file() else self.place / output

    def _exists(self, output: str) -> bool:
        # a power failure may leave a file without its bytes
        return not output or (self.picture(output).is_file() and self.picture(output).stat().st_size > 0)

    def _outputs(self) -> set[str]:
        rows = chain(*self._finished_rows().values(), *self._journaled_rows().values())
        return {row.output for row in rows if row.output}

    def _finished_rows(self) -> dict[str, Sequence[CropRow]]:
        found: dict[str, Sequence[CropRow]] = {}
        for row in manifest.read_rows(str(self.place / manifest.MANIFEST)) if self.finished else []:
            found[row.source] = [*found.get(row.source, ()), row]
        return found

    def _journaled_rows(self) -> dict[str, Sequence[CropRow]]:
        found: dict[str, Sequence[CropRow]] = {}
        journal = self._work / JOURNAL
        for line in journal.read_text(encoding="ascii").splitlines() if journal.is_file() else []:
            try:
                rows = [manifest.from_cells(cells) for cells in json.loads(line)]
            except (ValueError, InvalidRecord):
                break  # a kill cut it short: that photo is cropped again
            found[rows[0].source] = rows
        return found

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out of the folder; OutputFault where one works on it.

        If nothing was cropped within, the folder is left as it was.
        """
        from filelock import FileLock, Timeout  # a tenth of a second, and only cropping needs it

        with explained(self.place):
            self._work.mkdir(parents=True, exist_ok=True)
            try:
                lock = FileLock(self._work / LOCK).acquire(timeout=0)
            except (Timeout, FileNotFoundError):
                # the other process may just have removed the lock's folder
                fact = "another emoprune crop works on it"
                raise OutputFault(fact, "wait until it ends", place=str(self.place)) from None
        with lock:
            try:
                yield
            finally:
                if not self.in_progress or not self._journaled_rows():
                    self._remove_work()

    @contextmanager
    def journal(self, settings: CropSettings) -> Iterator[None]:
        """Let `add` and `finish` be called within; the folder is locked.

        Drops what an interrupted run with other settings has done.
        """
        with explained(self.place):
            if settings_in(self._work) != settings:
                self._remove_faces(kept={row.output for row in chain(*self._finished_rows().values())})
                for name in (SETTINGS, JOURNAL):
                    (self._work / name).unlink(missing_ok=True)
                shutil.rmtree(self._work / MADE, ignore_errors=True)
                text = json.dumps({"schema": SCHEMA, **asdict(settings)}, indent=1) + "\n"
                self._replace(self._work / SETTINGS, text.encode())
            journal = self._work / JOURNAL
            if journal.is_file():
                # a line that a kill cut short would run into the next one
                lines = journal.read_bytes()
                self._replace(journal, lines[: lines.rfind(b"\n") + 1])
            self._journal = journal.open("a", encoding="ascii")
        with self._journal:
            yield

    def add(self, rows: Sequence[CropRow], pictures: Sequence[bytes]) -> None:
        """Add a photo: its rows, and in their order a picture for each with an output."""
        assert self._journal is not None
        made = [row.output for row in rows if row.output]
        with explained(self.place):
            for output, picture in zip(made, pictures, strict=True):
                folder = (self.place / output).parent
                if not folder.resolve().is_relative_to(self.place.resolve()):
                    fact = "leads out of the folder of faces"
                    raise OutputFault(fact, "remove that link", place=str(folder))
                self._replace(self._work / MADE / output, picture)
            # after its faces: a photo in the journal is finished
            self._journal.write(json.dumps([manifest.to_cells(row) for row in rows]) + "\n")
            self._journal.flush()

    def finish(self, rows: Sequence[CropRow], extra: Mapping[str, bytes]) -> None:
        """Move everything in: faces, `extra` files by name, and last the lists of `rows`."""
        with explained(self.place):
            files = {
                **extra,
                SETTINGS: (self._work / SETTINGS).read_bytes(),
                manifest.MANIFEST: manifest.to_bytes(rows),
                # after the manifest, which by then has the boxes by hand of the old failures.csv
                manifest.FAILURES: manifest.to_bytes(row for row in rows if not row.output),
            }
            for name, data in files.items():
                self._replace(self._work / MADE / name, data)
            if hasattr(os, "sync"):
                # once for all of them, rather than for each face
                os.sync()
            # without settings no run reuses what is here while faces are moved
            (self.place / SETTINGS).unlink(missing_ok=True)
            outputs = [row.output for row in rows if row.output]
            self._remove_faces(kept=outputs)
            for name in [*outputs, *files]:
                if (self._work / MADE / name).is_file():
                    (self.place / name).parent.mkdir(parents=True, exist_ok=True)
                    (self._work / MADE / name).replace(self.place / name)
            self._remove_work()

    def _remove_faces(self, *, kept: Collection[str]) -> None:
        """Remove the faces of earlier runs, except `kept`, and the folders that this empties."""
        for output in self._outputs() - set(kept):
            (self.place / output).unlink(missing_ok=True)
            for folder in (self.place / output).parents:
                if folder == self.place or not folder.is_dir() or any(folder.iterdir()):
                    break
                folder.rmdir()

    def _remove_work(self) -> None:
        # the settings first: without them no run continues what is left
        (self._work / SETTINGS).unlink(missing_ok=True)
        shutil.rmtree(self._work, ignore_errors=True)
        if self._made_here and not any(self.place.iterdir()):
            self.place.rmdir()

    def _replace(self, target: Path, data: bytes) -> None:
        scratch = self._work / SCRATCH
        scratch.write_bytes(data)
        try:
            scratch.replace(target)
        except FileNotFoundError:
            target.parent.mkdir(parents=True, exist_ok=True)
            scratch.replace(target)
