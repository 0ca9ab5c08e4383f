"""How long layers take in onnxruntime, by their widths: measured on a few of them, kept by machine."""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from emoprune import events
from emoprune.errors import BadData, EmopruneError, InvalidRecord, at
from emoprune.io import files, json_records
from emoprune.io.onnx_timing import LayerKind, engine_name, layer_ms
from emoprune.networks.config import BLOCK
from emoprune.networks.costs.latency import LatencyTable
from emoprune.networks.graph.types import FROZEN, ChannelGraph, Work

SCHEMA = "emoprune.latency/1"
FRACTIONS = (1 / 8, 1 / 4, 1 / 2, 3 / 4, 1)
"""Of a layer's inputs and outputs, at which it is measured."""

LEAST_PASSING, MOST_PASSING = 2**20, 2**26
"""Bytes that pass through the cache between two runs of a layer; more than the last find it empty as well."""

MOST_BYTES = 2**26
"""Of a file of the cache."""


def ladder(width: int, each: int = 1) -> tuple[int, ...]:
    """The widths at which a layer of `width` channels is measured; `each` of them go together."""
    units = width // each
    rungs = {min(units, math.ceil(units * fraction / BLOCK) * BLOCK) for fraction in FRACTIONS}
    return tuple(each * rung for rung in sorted(rungs))


def latency_tables(
    net: nn.Module, input_shape: tuple[int, ...], graph: ChannelGraph, *, threads: int
) -> dict[str, LatencyTable]:
    """A table for the weight of every layer that can be narrowed, for one sample of `input_shape`.

    Layers of a large network find their weights in memory, not in the processor's cache, and so they do here.
    What was measured before on this machine, by this version of onnxruntime on so many threads, is read from
    the cache of the user, which gets what is measured now.
    """
    kinds = _kinds(net, input_shape, graph)
    free = {(cut.tensor, cut.dim) for cut in graph.cuts if bool((cut.owner != FROZEN).any())}
    sides: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {}
    for name, kind in kinds.items():
        rows, columns = net.get_parameter(name).shape[:2]
        outputs = ladder(rows, kind.group or 1) if (name, 0) in free else (rows,)
        sides[name] = outputs, ladder(columns) if (name, 1) in free else (columns,)
    cache = LatencyCache(threads)
    others = passing_bytes(net)

    def key(kind: LayerKind, row: int, column: int) -> str:
        return f"{kind} widths {column}>{row} after {others // 2**20} MiB"

    points = {
        key(kinds[name], row, column): (kinds[name], row, column)
        for name, (rows, columns) in sides.items()
        for row in rows
        for column in columns
    }
    missing = {name: point for name, point in points.items() if name not in cache.ms}
    for name, (kind, row, column) in events.tracked(missing.items(), "time layers", len(missing)):
        cache.ms[name] = layer_ms(kind, column, row, threads=threads, others=others)
    if missing:
        cache.save()
    return {
        name: LatencyTable(
            rows,
            columns,
            torch.tensor([[cache.ms[key(kinds[name], row, column)] for column in columns] for row in rows]),
        )
        for name, (rows, columns) in sides.items()
    }


def passing_bytes(net: nn.Module) -> int:
    """The bytes of a network's weights, as a power of two: networks of a size share what is measured."""
    size = sum(parameter.nbytes for parameter in net.parameters())
    return min(max(1 << (size - 1).bit_length(), LEAST_PASSING), MOST_PASSING)


def _kinds(net: nn.Module, input_shape: tuple[int, ...], graph: ChannelGraph) -> dict[str, LayerKind]:
    """The kind of every layer whose work is known, by its weight."""
    sizes: dict[str, tuple[int, ...]] = {}

    def note_size(name: str, _: nn.Module, given: tuple[Tensor, ...]) -> None:
        sizes[name] = tuple(given[0].shape[2:])

    modules = {name: net.get_submodule(name.rpartition(".")[0]) for name in graph.works}
    handles = [module.register_forward_pre_hook(partial(note_size, name)) for name, module in modules.items()]
    try:
        with torch.inference_mode():
            net(next(net.parameters()).new_zeros(1, *input_shape))
    finally:
        for handle in handles:
            handle.remove()
    return {name: _kind(module, sizes[name], graph.works[name]) for name, module in modules.items()}


def _kind(module: nn.Module, size: tuple[int, ...], work: Work) -> LayerKind:
    if not isinstance(module, nn.Conv2d):
        return LayerKind((work.positions,))
    form = (module.kernel_size, module.stride, module.padding, module.dilation)
    kernel, stride, padding, dilation = (tuple(int(side) for side in each) for each in form)
    group = module.out_channels // work.groups if work.groups > 1 else 0
    return LayerKind(size, kernel, stride, padding, dilation, group)


@dataclass(frozen=True)
class Measured:
    """What the cache has of one machine (schema emoprune.latency/1): milliseconds of layers."""

    schema: str
    engine: str
    threads: int
    ms: dict[str, float]

    def __post_init__(self) -> None:
        if self.schema != SCHEMA or not all(value >= 0 for value in self.ms.values()):
            raise InvalidRecord("not a table of latencies", "remove it")

    def to_bytes(self) -> bytes:
        """As the cache has it: one line of JSON."""
        return json.dumps(asdict(self)).encode() + b"\n"


class LatencyCache:
    """The milliseconds of layers, by name, in the user's cache of this machine; `save` keeps those added."""

    def __init__(self, threads: int) -> None:
        self._engine, self._threads = engine_name(), threads
        self._path = cache_path(self._engine, threads)
        self.ms: dict[str, float] = {}
        if self._path is not None and os.path.isfile(self._path):
            try:
                found = read_cache(str(self._path))
            except EmopruneError as error:
                events.note(f"layers are measured again: {error}")
                return
            if (found.engine, found.threads) == (self._engine, threads):
                self.ms |= found.ms

    def save(self) -> None:
        """Write the file; a note where it cannot be written."""
        if self._path is None:
            return
        record = Measured(SCHEMA, self._engine, self._threads, dict(sorted(self.ms.items())))
        try:
            with files.explained(self._path):
                self._path.parent.mkdir(parents=True, exist_ok=True)
            files.write_bytes(self._path, record.to_bytes(), force=True)
        except EmopruneError as error:
            events.note(f"the times of layers are not kept: {error}")


def cache_path(engine: str, threads: int) -> Path | None:
    """Where the times of an engine on so many threads are kept; None for a user without a home."""
    digest = hashlib.sha256(f"{engine}, {threads}".encode()).hexdigest()
    folder = files.user_folder("XDG_CACHE_HOME", ".cache")
    return folder and folder / f"latency-{digest[:12]}.json"


def read_cache(path: str) -> Measured:
    """What a file of the cache has; raises BadData or InvalidRecord for another file."""
    data = files.read_bytes(path, most=MOST_BYTES)
    try:
        record = json_records.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise BadData("not a table of latencies", "remove it", place=path) from error
    with at(path):
        return json_records.decode(Measured, record)
