"""What files say of a network beside its tensors: the card, as canonical JSON. Nothing here needs torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import PureWindowsPath
from typing import Any

from emoprune.errors import BadCheckpoint
from emoprune.io import json_records
from emoprune.io.safetensors_files import COPY_AGAIN, METADATA_KEY
from emoprune.networks.types import Card, HistoryEntry

SCHEMA = "emoprune.checkpoint/3"
OLDER = ("emoprune.checkpoint/2", "emoprune.checkpoint/1")
NET, STATS, READS, SENSITIVITY, MASK = "net.", "stats.", "reads.", "sensitivity.", "mask."
TRAINED = "trained"


def canonical(record: object) -> str:
    """The record as JSON, sorted and compact."""
    return json.dumps(record, default=_kept, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _kept(record: Any) -> dict[str, Any]:
    """What a file keeps of a record: no code."""
    return {name: value for name, value in asdict(record).items() if name != "function"}


def card_json(card: Card, *, keep_paths: bool = False) -> str:
    """The card as canonical JSON; of absolute paths in its history the last name, unless `keep_paths`."""
    record = {entry.name: getattr(card, entry.name) for entry in fields(Card)}
    if not keep_paths:
        record["history"] = [without_paths(asdict(entry)) for entry in card.history]
    return canonical({"schema": SCHEMA, **record})


def without_paths(value: Any) -> Any:
    """JSON values with the last name in place of every absolute path, which may name a person's machine."""
    if isinstance(value, str):
        path = PureWindowsPath(value)
        if not value.startswith(("/", "~")) and not path.is_absolute():
            return value
        # of a part of data, as faces/:val, the data
        return path.parent.name + path.name if path.name.startswith(":") else path.name
    if isinstance(value, Mapping):
        return {key: without_paths(entry) for key, entry in value.items()}
    return [without_paths(entry) for entry in value] if isinstance(value, list | tuple) else value


def card_record(text: str, wanted: str = SCHEMA) -> dict[str, Any]:
    """A JSON object of the `wanted` or a checkpoint's schema, in today's keys; BadCheckpoint for others."""
    try:
        record = json_records.loads(text)
    except (ValueError, RecursionError):
        # ValueError is also for numbers of thousands of digits, and for those that are not finite
        raise BadCheckpoint("its metadata is not JSON", COPY_AGAIN) from None
    schema = record.get("schema") if isinstance(record, dict) else None
    if not isinstance(record, dict) or schema not in (SCHEMA, *OLDER, wanted):
        fact = f"its schema is {schema!r:.100}, this program reads {wanted}"
        later = isinstance(schema, str) and schema.startswith(wanted.rstrip("0123456789"))
        raise BadCheckpoint(fact, "use the program that wrote it" if later else "give a checkpoint")
    preprocess = record.get("preprocess")
    if schema == OLDER[-1] and isinstance(preprocess, dict) and "colour" in preprocess:
        preprocess["color"] = preprocess.pop("colour")
    return record


def checkpoint_record(metadata: Mapping[str, str]) -> dict[str, Any]:
    """The card in the metadata of a checkpoint, as `card_record` has it; BadCheckpoint for other files."""
    if METADATA_KEY not in metadata:
        remedy = "adopt its weights with emoprune train, `weights=FILE` and `epochs=0`"
        raise BadCheckpoint("a safetensors file, but not of emoprune", remedy)
    return card_record(metadata[METADATA_KEY])


def descent(history: Sequence[HistoryEntry]) -> str | None:
    """What all networks that come from one training share: a hash of the first one; None without any."""
    first = next((entry for entry in history if entry.command == "train"), None)
    if first is None:
        return None
    return hashlib.sha256(canonical(without_paths(asdict(first))).encode()).hexdigest()
