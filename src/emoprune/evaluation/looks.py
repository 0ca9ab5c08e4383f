"""The ledger of test parts: which networks were scored on each, in the user's state folder.

A test part that is looked at often is chosen by, and flatters. Nothing here needs torch.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from emoprune import events
from emoprune.errors import EmopruneError, InvalidRecord
from emoprune.io import files, json_records

SCHEMA = "emoprune.test-look/1"
MOST_BYTES = 2**27
"""Of a ledger: half a million looks."""


@dataclass(frozen=True)
class Look:
    """One network scored on a test part (schema emoprune.test-look/1).

    `test` is the `part_key` of the part, `data` the fingerprint of its data set, `model` that of the file of
    the network, `descent` a hash of the training that it comes from, None where that is not known.
    """

    test: str
    data: str
    model: str
    descent: str | None
    schema: str = SCHEMA

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise InvalidRecord("not a look at a test part", "remove it")


def part_key(fingerprint: str, indices: Sequence[int]) -> str:
    """What names a test part: the data and which of its samples, however they were split off."""
    text = f"{fingerprint} {','.join(map(str, indices))}"
    return hashlib.sha256(text.encode()).hexdigest()


def ledger_path() -> Path | None:
    """Where looks are kept, on every system below `XDG_STATE_HOME`; None for a user without a home."""
    folder = files.user_folder("XDG_STATE_HOME", ".local/state")
    return folder and folder / "test-looks.jsonl"


def read_looks(path: Path, test: str | None = None) -> tuple[Look, ...]:
    """The looks in a ledger, of one test part or of all, in order; none where there is no file.

    Lines that are not looks are passed over with a note. Raises BadData for a file that cannot be read.
    """
    return _looks(_bytes(path), path, test)


def _bytes(path: Path) -> bytes:
    return files.read_bytes(str(path), most=MOST_BYTES) if os.path.lexists(path) else b""


def _looks(data: bytes, path: Path, test: str | None) -> tuple[Look, ...]:
    found, broken = list[Look](), 0
    wanted = (test or "").encode()
    for line in data.splitlines():
        if not line.strip() or wanted not in line:
            continue
        try:
            found.append(json_records.decode(Look, json_records.loads(line.decode())))
        except (ValueError, RecursionError, InvalidRecord):
            # the first two are of other text
            broken += 1
    if broken:
        events.note(f"{path}: {events.counted(broken, 'line')} of it cannot be read, and are passed over")
    return tuple(look for look in found if test in (None, look.test))


def record_look(look: Look) -> tuple[Look, ...] | None:
    """Add a look to the ledger; the earlier ones at the same test part, None where they cannot be known.

    A ledger that cannot be read or written is a note.
    """
    path = ledger_path()
    if path is None:
        events.note("looks at test parts are not counted: this user has no home folder")
        return None
    earlier = None
    try:
        data = _bytes(path)
        earlier = _looks(data, path, look.test)
        # a line that was cut short ends here
        start = "\n" if data and not data.endswith(b"\n") else ""
        files.append_line(path, f"{start}{json.dumps(asdict(look))}\n".encode())
    except EmopruneError as error:
        events.note(f"this look at the test part is not counted: {error}")
    return earlier


def tell_looks(earlier: Sequence[Look], look: Look, *, data: str) -> None:
    """Note how often a test part was looked at before, and for how many networks."""
    if not earlier:
        return
    models = {each.model for each in earlier}
    trainings = {each.descent or each.model for each in earlier}
    networks = events.counted(len(models), "network")
    if len(trainings) < len(models):
        networks += f" of {events.counted(len(trainings), 'training')}"
    same = sum(each.model == look.model for each in earlier)
    if models == {look.model}:
        networks = "for this same network"
    else:
        networks = f"for {networks}" + (f", {events.counted(same, 'time')} for this same one" if same else "")
    times = events.counted(len(earlier), "time")
    events.note(f"{data}: its test part was looked at {times} before, {networks}")
