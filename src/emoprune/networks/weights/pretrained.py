"""Pre-trained tensors from safetensors and PyTorch files, read without running code from them."""

from __future__ import annotations

import io
import pickle
import pickletools
import re
import warnings
import zipfile
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

import torch
from torch import Tensor

from emoprune.errors import BadCheckpoint, EmopruneError, at
from emoprune.io import json_records, safetensors_files
from emoprune.io.file_kinds import FileKind, check_kind, kind_of
from emoprune.io.files import read_bytes, shown
from emoprune.io.safetensors_files import METADATA_KEY
from emoprune.networks.cards import MASK, NET, TRAINED, card_record
from emoprune.networks.types import Card, check_keys
from emoprune.networks.weights.tensor_kinds import SAVE_STATE_DICT

ZIP, PICKLE = b"PK\x03\x04", b"\x80"
"""First bytes of files of torch.save, now and before 2020."""
TAKEN: tuple[FileKind, ...] = ("a PyTorch file", "a zip archive", "a pickle")
ALLOCATES = b"\nbytearray\n"
"""In a pickle, the one object that torch builds at any size that the file names."""

TUPLES = frozenset(("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"))
MOST_TUPLES = 50_000
"""In a file, which has about four for each tensor. Python itself crashes at a key of some 100,000, nested."""
LONGEST_NAME = 200
"""Letters of an object's name and its module's."""
LEGACY_PICKLES = 5
"""One behind the other in a file from before 2020; then come the numbers of the tensors."""

DEEPEST = 8
"""Levels of dicts in a file that are opened."""
CLASSES = re.compile(
    r"(class|emotion|expression|label)(s|es|_?names?|_?labels?|_?list|_?map)|categories|names"
    r"|(id|idx|index|int)_?(to|2)_?(class|emotion|label|name)|(class|emotion|label|name)_?(to|2)_?(id|idx|index|int)",
    re.IGNORECASE,
)
"""Keys under which files list their classes: by name, or between names and numbers."""


@dataclass(frozen=True)
class Weights:
    """Tensors by name, from the file `place`.

    `classes` is what it calls the rows of the output layer, if it does; `card` is that of a checkpoint,
    `trained` the content keys of its training samples, and `masked` counts the weights that its masks hold at
    zero.
    """

    place: str
    tensors: Mapping[str, Tensor]
    classes: tuple[str, ...] = ()
    card: Card | None = None
    masked: int = 0
    trained: Tensor | None = None


def read(path: str) -> Weights:
    """The tensors in a file of safetensors, in one of torch.save, or in a checkpoint of emoprune.

    The bytes decide, not the name. Dicts within a PyTorch file are opened: their keys become part of the
    names. It is read with weights_only: other objects are refused, because unpickling them would run their
    code. Raises BadCheckpoint for anything else.
    """
    data = read_bytes(path, fault=BadCheckpoint)
    with at(shown(path)):
        if kind_of(data) == "a safetensors file":
            return _from_safetensors(path, data)
        value = _unpickled(data)
        tensors: dict[str, Tensor] = {}
        for prefix, mapping in _mappings(value):
            for key, entry in mapping.items():
                if isinstance(key, str) and isinstance(entry, Tensor):
                    # an outer dict has the same name first
                    tensors.setdefault(f"{prefix}{key}", entry)
        if not tensors:
            raise BadCheckpoint("holds no tensors by name", SAVE_STATE_DICT)
        for name, tensor in tensors.items():
            if tensor.is_nested:
                raise BadCheckpoint(f"tensor {name} is nested, a list of tensors", SAVE_STATE_DICT)
        return Weights(path, tensors, _stated_classes(value))


def _from_safetensors(path: str, data: bytes) -> Weights:
    tensors, metadata = safetensors_files.load(data)
    if METADATA_KEY not in metadata:
        # metadata are texts
        return Weights(path, tensors, _stated_classes({key: _parsed(text) for key, text in metadata.items()}))
    card = json_records.decode(Card, card_record(metadata[METADATA_KEY]))
    net = {name.removeprefix(NET): value for name, value in tensors.items() if name.startswith(NET)}
    masked = sum(int((mask == 0).sum()) for name, mask in tensors.items() if name.startswith(MASK))
    trained = tensors.get(TRAINED)
    check_keys(trained)
    return Weights(path, net, card.classes, card, masked, trained)


def _unpickled(data: bytes) -> object:
    check_kind(data, "weights", remedy=SAVE_STATE_DICT, takes=TAKEN, fault=BadCheckpoint)
    if not data.startswith((ZIP, PICKLE)):
        raise BadCheckpoint("neither a PyTorch file nor safetensors", SAVE_STATE_DICT)
    try:
        zipped = data.startswith(ZIP)
        _check_pickles(_pickles_of(data) if zipped else [io.BytesIO(data)] * LEGACY_PICKLES)
        if ALLOCATES in data:
            raise pickle.UnpicklingError("GLOBAL builtins.bytearray")
        with warnings.catch_warnings(action="ignore"):
            value: object = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except EmopruneError:
        raise
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        objects = f" ({named[1]})" if named else ""
        raise BadCheckpoint(f"holds pickled objects{objects}, which may run code", SAVE_STATE_DICT) from None
    except Exception as error:
        # torch's unpickler raises anything for damaged bytes
        raise BadCheckpoint("a damaged PyTorch file", "copy it again") from error
    return value


def _pickles_of(data: bytes) -> list[IO[bytes]]:
    """The pickles in an archive; BadCheckpoint for one of another kind or that unpacks to more than it is."""
    archive = zipfile.ZipFile(io.BytesIO(data))
    entries = archive.infolist()
    names = {entry.filename.rpartition("/")[2] for entry in entries}
    if "constants.pkl" in names:
        raise BadCheckpoint("a TorchScript program, not weights", SAVE_STATE_DICT)
    if names and all(name.endswith(".npy") for name in names):
        raise BadCheckpoint("a NumPy archive, not a PyTorch file", "save its tensors by name with torch.save")
    if "data.pkl" not in names:
        raise BadCheckpoint("a zip archive, not a PyTorch file", "unpack it first")
    if sum(entry.file_size for entry in entries) > len(data):
        raise BadCheckpoint("a compressed archive, which torch.save does not write", SAVE_STATE_DICT)
    pickles = [entry for entry in entries if entry.filename.endswith("data.pkl")]
    return [io.BytesIO(archive.read(entry)) for entry in pickles]


def _check_pickles(pickles: Sequence[IO[bytes]]) -> None:
    """Raise BadCheckpoint for what would end this process, or keep torch busy: many tuples, long names.

    One tuple in the other has a hash that recurses; torch searches the names of objects in quadratic time.
    """
    tuples = 0
    # what is damaged ends torch's reading where it ends this one
    with suppress(ValueError):
        for code, value, _ in (step for stream in pickles for step in pickletools.genops(stream)):
            tuples += code.name in TUPLES
            if tuples > MOST_TUPLES:
                fact = f"holds more than {MOST_TUPLES:,} tuples, which no weights do"
                raise BadCheckpoint(fact, SAVE_STATE_DICT)
            if code.name == "GLOBAL" and len(str(value)) > LONGEST_NAME:
                raise BadCheckpoint("holds pickled objects, which may run code", SAVE_STATE_DICT)


def _mappings(value: object) -> Iterator[tuple[str, dict[Any, Any]]]:
    """Every dict within `value`, the outer ones first, with the keys that lead there; each dict once."""
    seen = {id(value)}
    level = deque([("", value, 0)])
    while level:
        prefix, mapping, depth = level.popleft()
        if not isinstance(mapping, dict):
            continue
        yield prefix, mapping
        for key, entry in mapping.items() if depth < DEEPEST else ():
            if isinstance(key, str) and isinstance(entry, dict) and id(entry) not in seen:
                seen.add(id(entry))
                level.append((f"{prefix}{key}.", entry, depth + 1))


def _stated_classes(record: object) -> tuple[str, ...]:
    """The first class names within nested dicts; empty without any."""
    stated = (
        _names(entry)
        for _, mapping in _mappings(record)
        for key, entry in mapping.items()
        if isinstance(key, str) and CLASSES.fullmatch(key)
    )
    return next(filter(None, stated), ())


def _names(entry: object) -> tuple[str, ...]:
    """Names in the order of their rows, from a list or a dict between names and numbers; else empty."""
    if isinstance(entry, dict):
        if all(isinstance(number, int) for number in entry.values()):
            entry = {number: name for name, number in entry.items()}
        entry = [entry.get(index, entry.get(str(index))) for index in range(len(entry))]
    if not isinstance(entry, list | tuple) or not all(isinstance(name, str) for name in entry):
        return ()
    return tuple(name.strip() for name in entry)


def _parsed(text: str) -> object:
    """What a text says as JSON or between commas."""
    try:
        return json_records.loads(text)
    except (ValueError, RecursionError):
        return text.split(",")
