"""A folder of faces while photos are cropped into it: a killed run can continue."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import IO

from emoprune.errors import BadData, EmopruneError, InvalidRecord, OutputFault, UsageFault, at
from emoprune.faces import manifest
from emoprune.faces.types import Box, CropConfig, CropRow, CropSettings
from emoprune.io.files import check_parent, explained, read_bytes
from emoprune.io.folder_files import FolderFiles
from emoprune.io.json_records import decode

SETTINGS, SCHEMA = "crop.json", "emoprune.crops/2"
READABLE = (SCHEMA, "emoprune.crops/1")
"""Schemas of folders that can be continued; the first one's manifest has no hashes of the faces."""
WORK = ".crop"
"""Holds an unfinished run: settings, journal, faces; hidden, so that no command reads it."""

UNFINISHED = f"{WORK}/{SETTINGS}"
JOURNAL, LOCK, MADE = f"{WORK}/journal.jsonl", f"{WORK}/lock", f"{WORK}/made"
OWN = (SETTINGS, manifest.FAILURES, manifest.MANIFEST, manifest.SHEET)
"""Files of a folder of faces that are not faces."""
MOST_SETTINGS = 2**16
"""Bytes of a file of settings, which has some hundreds."""

FIRST_PASS = (manifest.FACE, manifest.BOXED)
"""Of photos that a second pass does not change."""

Rows = Mapping[str, Sequence[CropRow]]
"""Rows by their photo."""
Hashes = dict[str, set[str]]
"""SHA-256 of faces, by their path below the folder."""


def is_crop_folder(folder: Path) -> bool:
    """Whether photos were cropped into `folder`, or are being."""
    return (folder / manifest.MANIFEST).is_file() or (folder / WORK).is_dir()


def is_own_file(path: str) -> bool:
    """Whether a file is one that crop writes beside faces, by its name and the manifest beside it."""
    # asked of every face: most are told by their end
    folder, name = os.path.split(path) if path.endswith(OWN) else ("", "")
    return name in OWN and os.path.isfile(os.path.join(folder, manifest.MANIFEST))


def is_unfinished(folder: Path) -> bool:
    """Whether `folder` may lack faces: its first run was interrupted, or is going on."""
    return (folder / WORK).is_dir() and not all((folder / name).is_file() for name in OWN)


def settings_in(folder: Path) -> CropSettings | None:
    """The settings with which photos were cropped into `folder`; None where they are not known."""
    # read like the faces, which may be links in a data set
    try:
        return _settings(read_bytes(str(folder / SETTINGS), most=MOST_SETTINGS))
    except BadData:
        return None


def _settings(data: bytes | None) -> CropSettings | None:
    try:
        found = json.loads(data or b"")
        schema = found.pop("schema")
        settings = decode(CropSettings, found)
        CropConfig(**asdict(settings))  # checks the limits
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError, InvalidRecord, UsageFault):
        return None
    return settings if schema in READABLE and found.keys() <= asdict(settings).keys() else None


class CropFolder:
    """A folder of faces that a run makes or continues.

    A journal takes photos one by one. Their faces are written beside it and moved in when all are there. So a
    run that is killed at any moment can continue, and nobody takes a part of a data set for the whole.

    The folder may come from somebody else, its manifest and journal included. So no link below it is
    followed, and only files that still have the hash of a face that crop wrote are removed or replaced.
    """

    def __init__(self, place: str) -> None:
        """Raises OutputFault for a folder with other files or one that cannot be written."""
        self.place = Path(place)
        self._files = FolderFiles(self.place)
        self._journal: IO[str] | None = None
        self._made: dict[str, str] = {}
        with explained(self.place):
            self._made_here = not os.path.lexists(self.place)
            if not self._made_here and not self.place.is_dir():
                raise OutputFault("is not a folder", "name a folder to make", place=place)
            if self._made_here or not any(self.place.iterdir()):
                check_parent(self.place)
            elif not is_crop_folder(self.place):
                raise OutputFault("holds files that crop did not write", "name another folder", place=place)

    @property
    def finished(self) -> bool:
        """Whether a run has ended here."""
        return self._files.is_file(manifest.MANIFEST)

    @property
    def complete(self) -> bool:
        """Whether the last run has ended here and all its files are in their place."""
        return not self.in_progress and all(map(self._files.is_file, OWN))

    @property
    def in_progress(self) -> bool:
        """Whether a run was interrupted here, or is going on."""
        return self._settings_of(UNFINISHED) is not None

    def settings(self) -> CropSettings | None:
        """Settings of the run that was interrupted here, else of the one that ended; None: unknown."""
        return self._settings_of(UNFINISHED) or self._settings_of(SETTINGS)

    def _settings_of(self, name: str) -> CropSettings | None:
        return _settings(self._files.read(name, MOST_SETTINGS))

    def boxes(self) -> dict[str, Box]:
        """The boxes that a person has filled in to the list of failures."""
        data = self._files.read(manifest.FAILURES, manifest.MOST_BYTES)
        return {} if data is None else manifest.boxes_of(data, str(self.place / manifest.FAILURES))

    def known_rows(self) -> list[CropRow]:
        """The latest rows of every photo that a run has left here, whatever its settings."""
        return list(chain(*{**self._finished_rows(), **self._journaled_rows()}.values()))

    def reusable_rows(self, settings: CropSettings, *, force: bool) -> list[CropRow]:
        """Rows that a run with `settings` can keep; with `force` only those of an interrupted run.

        A first run with `rescue` keeps the faces that were found without it.
        """
        journaled = self._journaled_rows() if self._settings_of(UNFINISHED) == settings else {}
        ended, finished = self._settings_of(SETTINGS), {}
        if not force and ended is not None and settings in (ended, replace(ended, rescue=True)):
            finished = {**self._finished_rows()}
            if settings != ended:
                finished = {name: rows for name, rows in finished.items() if rows[0].status in FIRST_PASS}
        finished = {source: rows for source, rows in finished.items() if source not in journaled}
        kept: list[CropRow] = []
        taken = set[str]()
        for found, is_there in ((journaled, self._is_made), (finished, self._is_there)):
            for rows in found.values():
                outputs = {row.output.lower() for row in rows if row.output}
                if taken.isdisjoint(outputs) and all(is_there(row) for row in rows if row.output):
                    kept += rows
                    taken |= outputs
        return kept

    def _is_made(self, row: CropRow) -> bool:
        """Whether a face of the journal is there as it was written; a power failure may have cut it short."""
        places = (f"{MADE}/{row.output}", row.output)
        return any(self._files.sha256(place) == row.output_sha256 != "" for place in places)

    def _is_there(self, row: CropRow) -> bool:
        """Whether a face of the manifest is there, changed or not; OutputFault for a link or a folder."""
        found = self._files.check_file(row.output)
        return found is not None and found.st_size > 0

    def changed(self, rows: Sequence[CropRow]) -> list[str]:
        """Faces that are not as crop wrote them, as far as the manifest has their hashes."""
        hashed = [row for row in rows if row.output_sha256]
        return [row.output for row in hashed if not self._is_made(row)]

    def foreign_files(self, kept: Collection[str]) -> set[str]:
        """Files, by their path below the folder, that are neither `kept` nor for certain crop's own.

        OutputFault where a link or a folder stands for a face.
        """
        hashes = self._hashes()
        for output in hashes:
            self._files.check_file(output)
        found = set(self._files.names(without=WORK)) - set(OWN) - set(kept)
        return {name for name in found if not self._is_own(name, hashes)}

    def _is_own(self, name: str, hashes: Hashes) -> bool:
        return name in hashes and self._files.sha256(name) in hashes[name]

    def _hashes(self) -> Hashes:
        """The known hashes with which crop wrote the faces of the manifest and of the journal."""
        found: Hashes = {}
        for row in chain(*self._finished_rows().values(), *self._journaled_rows().values()):
            if row.output:
                found.setdefault(row.output, set()).update({row.output_sha256} - {""})
        return found

    def picture(self, output: str) -> Path:
        """Where a face's picture is now."""
        made = output in self._made and self._files.is_file(f"{MADE}/{output}")
        return self.place / MADE / output if made else self.place / output

    def _finished_outputs(self) -> set[str]:
        return {row.output for row in chain(*self._finished_rows().values()) if row.output}

    def _finished_rows(self) -> Rows:
        data = self._files.read(manifest.MANIFEST, manifest.MOST_BYTES)
        return {} if data is None else _finished(data, str(self.place / manifest.MANIFEST))

    def _journaled_rows(self) -> Rows:
        return _journaled(self._whole_lines(), str(self.place / JOURNAL))

    def _whole_lines(self) -> bytes:
        """The journal without a last line that a kill cut short: that photo is cropped again."""
        lines = self._files.read(JOURNAL, manifest.MOST_BYTES) or b""
        return lines[: lines.rfind(b"\n") + 1]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out of the folder; OutputFault where one works on it.

        If nothing was cropped within, the folder is left as it was.
        """
        from filelock import FileLock, Timeout  # a tenth of a second, and only cropping needs it

        with explained(self.place):
            self.place.mkdir(exist_ok=True)
            for name in (*OWN, UNFINISHED, JOURNAL, LOCK):
                self._files.check_file(name)
            self._files.make_folder(WORK)
            try:
                lock = FileLock(self.place / LOCK).acquire(timeout=0)
            except (Timeout, FileNotFoundError):
                # the other process may just have removed the lock's folder
                fact = "another emoprune crop works on it"
                raise OutputFault(fact, "wait until it ends", place=str(self.place)) from None
        with lock:
            try:
                yield
            finally:
                # the folder may be gone, which is what the error in flight says
                with suppress(OSError, EmopruneError):
                    journal = self._files.status(JOURNAL)
                    if not self.in_progress or journal is None or not journal.st_size:
                        self._remove_work()

    @contextmanager
    def journal(self, settings: CropSettings) -> Iterator[None]:
        """Let `add` and `finish` be called within; the folder is locked.

        Drops what an interrupted run with other settings has done.
        """
        with explained(self.place):
            if self._settings_of(UNFINISHED) != settings:
                self._drop_unfinished()
            text = json.dumps({"schema": SCHEMA, **asdict(settings)}, indent=1) + "\n"
            self._files.write(UNFINISHED, text.encode())
            # a line that a kill cut short would run into the next one
            self._files.write(JOURNAL, self._whole_lines())
            rows = chain(*self._journaled_rows().values())
            self._made = {row.output: row.output_sha256 for row in rows if row.output}
            self._journal = self._files.append(JOURNAL)
        with self._journal:
            yield

    def _drop_unfinished(self) -> None:
        journaled = chain(*self._journaled_rows().values())
        written = {row.output: {row.output_sha256} for row in journaled if row.output}
        # see `finish`
        moved_in = self._files.status(SETTINGS) is None
        self._remove_faces(written, kept=() if moved_in else self._finished_outputs())
        for name in (UNFINISHED, JOURNAL):
            self._files.remove(name)
        self._files.remove_folder(MADE)

    def add(self, rows: Sequence[CropRow], pictures: Sequence[bytes]) -> list[CropRow]:
        """Add a photo: its rows, and in their order a picture for each with an output.

        Gives the rows with the hashes of their pictures.
        """
        assert self._journal is not None
        outputs = [row.output for row in rows if row.output]
        hashes = {}
        with explained(self.place):
            for output, picture in zip(outputs, pictures, strict=True):
                self._files.check_folders(output)
                self._files.write(f"{MADE}/{output}", picture)
                hashes[output] = hashlib.sha256(picture).hexdigest()
            added = [replace(row, output_sha256=hashes.get(row.output, "")) for row in rows]
            # after its faces: a photo in the journal is finished
            self._journal.write(json.dumps([manifest.to_cells(row) for row in added]) + "\n")
            self._journal.flush()
        self._made |= hashes
        return added

    def finish(self, rows: Sequence[CropRow], extra: Mapping[str, bytes]) -> None:
        """Move everything in: faces, `extra` files by name, and last the lists of `rows`."""
        with explained(self.place):
            files = {
                **extra,
                manifest.MANIFEST: manifest.to_bytes(rows),
                # after the manifest, which by then has the boxes by hand of the old failures.csv
                manifest.FAILURES: manifest.to_bytes(row for row in rows if not row.output),
                # last: where they are missing, faces may have been moved in that only the journal lists
                SETTINGS: self._files.read(UNFINISHED, MOST_SETTINGS) or b"",
            }
            for name, data in files.items():
                self._files.write(f"{MADE}/{name}", data)
            if hasattr(os, "sync"):
                # once for all of them, rather than for each face
                os.sync()
            # without settings no run reuses what is here while faces are moved
            self._files.remove(SETTINGS)
            hashes = self._hashes()
            outputs = {row.output: row.output_sha256 for row in rows if row.output}
            self._remove_faces(hashes, kept=outputs)
            for output in (output for output, sha256 in outputs.items() if self._made.get(output) == sha256):
                # what an interrupted run has moved in is no longer there
                if self._files.is_file(f"{MADE}/{output}"):
                    self._move_in(output, hashes)
            for name in files:
                self._files.move(f"{MADE}/{name}", name)
            self._remove_work()

    def _move_in(self, output: str, hashes: Hashes) -> None:
        if self._files.status(output) is not None and not self._is_own(output, hashes):
            fact = "was put there during the run"
            raise OutputFault(fact, "move it away and run again", place=str(self.place / output))
        self._files.move(f"{MADE}/{output}", output)

    def _remove_faces(self, hashes: Hashes, *, kept: Collection[str]) -> None:
        """Remove faces that are as crop wrote them, except `kept`, and the folders that this empties."""
        for output in hashes.keys() - set(kept):
            if self._is_own(output, hashes):
                self._files.remove(output)

    def _remove_work(self) -> None:
        # the settings first: without them no run continues what is left
        self._files.remove(UNFINISHED)
        self._files.remove_folder(WORK)
        if self._made_here:
            with suppress(OSError):
                self.place.rmdir()


@lru_cache(maxsize=1)
def _finished(data: bytes, path: str) -> Rows:
    """The rows in a manifest."""
    with at(path):
        return manifest.by_source(manifest.rows_of(data, path))


@lru_cache(maxsize=1)
def _journaled(data: bytes, path: str) -> Rows:
    """The rows in a journal, of each photo the last; OutputFault for a damaged one."""
    found = {}
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        try:
            cells = decode(list[dict[str, str]], json.loads(line.decode("ascii")))
            ((source, rows),) = manifest.by_source(map(manifest.from_cells, cells)).items()
        except (ValueError, RecursionError, InvalidRecord):
            fact = f"line {number} is damaged"
            raise OutputFault(fact, f"remove the folder {WORK} and crop again", place=path) from None
        found[source] = rows
    return found
