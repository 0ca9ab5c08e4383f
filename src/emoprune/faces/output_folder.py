"""A folder of faces while photos are cropped into it: nothing is done twice, nothing is seen half done."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO

from emoprune.errors import InvalidRecord, OutputFault
from emoprune.faces import manifest
from emoprune.faces.types import CropRow, CropSettings
from emoprune.io.files import check_parent, explained

SETTINGS, SCHEMA = "crop.json", "emoprune.crops/1"
WORK = ".crop"
"""What is not finished: settings, a journal of photos, their faces; hidden, so that no command takes it."""

JOURNAL, LOCK, MADE, SCRATCH = "journal.jsonl", "lock", "made", "scratch"
OWN = (SETTINGS, manifest.FAILURES, manifest.MANIFEST, manifest.SHEET)
"""Files of a folder of faces that are no faces."""


def is_crop_folder(folder: Path) -> bool:
    """Whether photos were cropped into `folder`, or are being."""
    return (folder / manifest.MANIFEST).is_file() or (folder / WORK).is_dir()


def is_unfinished(folder: Path) -> bool:
    """Whether `folder` may hold some of its faces only: its first run was cut short, or is going on."""
    return (folder / WORK).is_dir() and not all((folder / name).is_file() for name in OWN)


class CropFolder:
    """A folder of faces to be made or to be gone on with.

    Photos are journalled one by one, their faces made aside and moved in when all are there, so that a run
    that is killed at any moment can be gone on with, and nobody sees a part of a data set as the whole.
    """

    def __init__(self, place: str) -> None:
        """Raises OutputFault for a place that is someone else's or cannot be written."""
        self.place = Path(place)
        self._work = self.place / WORK
        self._journal: IO[str] | None = None
        self._inside: set[Path] = set()
        with explained(self.place):
            self._made_here = not self.place.exists()
            if not self._made_here and not self.place.is_dir():
                raise OutputFault("is no folder", "name a folder to make", place=place)
            if self._made_here or not any(self.place.iterdir()):
                check_parent(self.place)
            elif not is_crop_folder(self.place):
                raise OutputFault("holds files that crop did not write", "name another folder", place=place)

    @property
    def finished(self) -> bool:
        """Whether a run has ended here."""
        return (self.place / manifest.MANIFEST).is_file()

    @property
    def settled(self) -> bool:
        """Whether the last run has ended here, all its files in their place."""
        return not self.begun and all((self.place / name).is_file() for name in OWN)

    @property
    def begun(self) -> bool:
        """Whether a run was interrupted here, or is going on."""
        return self._settings_of(self._work) is not None

    def settings(self) -> CropSettings | None:
        """Those of the run that was interrupted here, else of the one that ended; None: not known."""
        return self._settings_of(self._work) or self._settings_of(self.place)

    def _settings_of(self, folder: Path) -> CropSettings | None:
        try:
            told = json.loads((folder / SETTINGS).read_bytes())
            if told.pop("schema") != SCHEMA:
                return None
            return CropSettings(**told)
        except (OSError, ValueError, KeyError, AttributeError, TypeError, InvalidRecord):
            return None

    def known_rows(self) -> list[CropRow]:
        """Every row that a run has left here, whatever its settings: of a photo the latest."""
        known = self._ended() | self._journalled()
        return [row for rows in known.values() for row in rows]

    def rows(self, settings: CropSettings, *, anew: bool) -> list[CropRow]:
        """Rows that a run with `settings` need not make again; `anew`: only those of an interrupted run."""
        done: dict[str, Sequence[CropRow]] = {}
        if not anew and self._settings_of(self.place) == settings:
            done |= self._ended()
        if self._settings_of(self._work) == settings:
            done |= self._journalled()
        whole = (rows for rows in done.values() if all(self._is_here(row.output) for row in rows))
        return [row for rows in whole for row in rows]

    def strangers(self) -> set[str]:
        """Files and folders that no run has made, by their path below the folder."""
        ours = self._outputs() | set(OWN)
        found = (path for path in self.place.rglob("*") if self._work not in (path, *path.parents))
        return {path.relative_to(self.place).as_posix() for path in found if not path.is_dir()} - ours

    def picture(self, output: str) -> Path:
        """Where a face's picture lies now."""
        made = self._work / MADE / output
        return made if made.is_file() else self.place / output

    def _is_here(self, output: str) -> bool:
        # a loss of power may leave a file without its bytes
        return not output or (self.picture(output).is_file() and self.picture(output).stat().st_size > 0)

    def _outputs(self) -> set[str]:
        known = [*self._ended().values(), *self._journalled().values()]
        return {row.output for rows in known for row in rows if row.output}

    def _ended(self) -> dict[str, Sequence[CropRow]]:
        rows = manifest.read_rows(str(self.place / manifest.MANIFEST)) if self.finished else []
        by_source: dict[str, list[CropRow]] = {}
        for row in rows:
            by_source.setdefault(row.source, []).append(row)
        return dict(by_source)

    def _journalled(self) -> dict[str, Sequence[CropRow]]:
        found: dict[str, Sequence[CropRow]] = {}
        journal = self._work / JOURNAL
        for line in journal.read_text(encoding="ascii").splitlines() if journal.is_file() else []:
            try:
                rows = [manifest.from_cells(cells) for cells in json.loads(line)]
            except (ValueError, InvalidRecord):
                break  # cut short by a kill: that photo is done again
            found[rows[0].source] = rows
        return found

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes out while what is here is read and added to; OutputFault where one is in.

        Where nothing was begun within, the folder is left as it was.
        """
        import fcntl  # only where a folder is cropped into: there is none on Windows

        with explained(self.place):
            self._work.mkdir(parents=True, exist_ok=True)
            lock = (self._work / LOCK).open("ab")
        with lock:
            try:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                current = (self._work / LOCK).stat().st_ino == os.fstat(lock.fileno()).st_ino
            except OSError:
                current = False
            # the file that was locked may be one that its last holder has removed
            if not current:
                fact = "another emoprune crop works on it"
                raise OutputFault(fact, "wait for its end", place=str(self.place))
            try:
                yield
            finally:
                if not self.begun or not self._journalled():
                    self._drop()

    @contextmanager
    def work(self, settings: CropSettings) -> Iterator[None]:
        """Within, and while the folder is held, `add` and `finish` may be called.

        What was done by an interrupted run with other settings is dropped.
        """
        with explained(self.place):
            if self._settings_of(self._work) != settings:
                self._sweep({row.output for rows in self._ended().values() for row in rows})
                for name in (SETTINGS, JOURNAL):
                    (self._work / name).unlink(missing_ok=True)
                shutil.rmtree(self._work / MADE, ignore_errors=True)
                text = json.dumps({"schema": SCHEMA, **asdict(settings)}, indent=1) + "\n"
                self._replace(self._work / SETTINGS, text.encode())
            journal = self._work / JOURNAL
            if journal.is_file():
                # what a kill left of a line would be joined to the next one
                lines = journal.read_bytes()
                self._replace(journal, lines[: lines.rfind(b"\n") + 1])
            self._journal = journal.open("a", encoding="ascii")
        with self._journal:
            yield

    def add(self, rows: Sequence[CropRow], pictures: Sequence[bytes]) -> None:
        """Keep what became of a photo: its rows, and a picture for each with an output, in their order."""
        assert self._journal is not None
        made = [row.output for row in rows if row.output]
        with explained(self.place):
            for output, picture in zip(made, pictures, strict=True):
                self._check_inside(Path(output).parent)
                self._replace(self._work / MADE / output, picture)
            # after its faces: a photo in the journal is done
            self._journal.write(json.dumps([manifest.to_cells(row) for row in rows]) + "\n")
            self._journal.flush()

    def _check_inside(self, folder: Path) -> None:
        if folder in self._inside:
            return
        if not (self.place / folder).resolve().is_relative_to(self.place.resolve()):
            fact = "leads out of the folder of faces"
            raise OutputFault(fact, "remove that link", place=str(self.place / folder))
        self._inside.add(folder)

    def finish(self, rows: Sequence[CropRow], extra: Mapping[str, bytes]) -> None:
        """Move everything in: faces, `extra` files by name, and last the lists of `rows`."""
        with explained(self.place):
            files = {
                **extra,
                SETTINGS: (self._work / SETTINGS).read_bytes(),
                manifest.MANIFEST: manifest.to_bytes(rows),
                # after the manifest, which has the boxes by hand that may stand in the old one
                manifest.FAILURES: manifest.to_bytes(row for row in rows if not row.output),
            }
            for name, data in files.items():
                self._replace(self._work / MADE / name, data)
            if hasattr(os, "sync"):
                # one for all of them, rather than one for each face
                os.sync()
            # without settings no run takes what is here for its own while faces come and go
            (self.place / SETTINGS).unlink(missing_ok=True)
            stay = [row.output for row in rows if row.output]
            self._sweep(stay)
            for name in [*stay, *files]:
                if (self._work / MADE / name).is_file():
                    (self.place / name).parent.mkdir(parents=True, exist_ok=True)
                    (self._work / MADE / name).replace(self.place / name)
            self._drop()

    def _sweep(self, stay: Collection[str]) -> None:
        """Remove faces that runs have left in their place and that are not to stay, and emptied folders."""
        for output in self._outputs() - set(stay):
            (self.place / output).unlink(missing_ok=True)
            for folder in (self.place / output).parents:
                if folder == self.place or not folder.is_dir() or any(folder.iterdir()):
                    break
                folder.rmdir()

    def _drop(self) -> None:
        # the settings first: without them what is left is no run to go on with
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
