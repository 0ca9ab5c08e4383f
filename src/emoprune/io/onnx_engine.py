"""ONNX files run by onnxruntime."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from threading import Timer
from typing import Any

import numpy as np
import onnxruntime
import torch
from onnx import ModelProto, TensorProto
from torch import Tensor

from emoprune.errors import BadCheckpoint
from emoprune.events import counted
from emoprune.io.onnx_contents import EXPORT_AGAIN, metadata_of, parsed, with_shapes
from emoprune.io.onnx_files import OUTPUT, PROBABILITIES, first_line

MOST_NUMBERS = 2**30
"""Of one tensor for one sample, so that a hostile file cannot ask for all memory."""

LONGEST_S = 600.0
"""Seconds for a batch: the largest networks of torchvision take a minute or two on a laptop."""

PICTURES = "tensor(uint8)"
"""The type of an input that takes pictures as they are."""
TYPES: Mapping[str, Any] = {
    **{"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64},
    PICTURES: np.uint8,
}


class Value:
    """An input or output of a session: name, type, and shape, whose unknown sides are names or None."""

    def __init__(self, entry: Any) -> None:
        self.name: str = entry.name
        self.type: str = entry.type
        self.shape: list[int | str | None] = entry.shape


class Engine:
    """An ONNX file that onnxruntime runs on the CPU.

    Raises BadCheckpoint for other bytes, and before onnxruntime reads it for a file with what `export` never
    writes: weights in other files, loops and other control flow, functions, tensors without bound. `threads`
    None lets onnxruntime choose.
    """

    def __init__(self, data: bytes, *, threads: int | None = None) -> None:
        model = parsed(data)
        self.metadata = metadata_of(model)
        """The properties that the file was exported with."""
        _check_contents(model)
        _check_sizes(model)
        options = onnxruntime.SessionOptions()
        # 0 lets it choose
        options.intra_op_num_threads = threads or 0
        # its errors become ours
        options.log_severity_level = 4
        with _explained("cannot be loaded"):
            # the fallback prints to standard output
            self._session = onnxruntime.InferenceSession(
                data, options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
            self._inputs = [Value(entry) for entry in self._session.get_inputs()]
            self._outputs = [Value(entry) for entry in self._session.get_outputs()]

    @property
    def takes_pictures(self) -> bool:
        """Whether the input is pictures as they are, (n, height, width, 3) uint8."""
        return self._inputs[0].type == PICTURES

    def check_interface(self, shape: tuple[int, ...], outputs: int) -> None:
        """Raise BadCheckpoint for a file that does not map batches of samples of `shape` to (n, outputs).

        One that takes pictures as they are maps those, of the height and width of `shape` at least.
        """
        logits = [entry for entry in self._outputs if entry.name == OUTPUT]
        if len(self._inputs) != 1 or not logits:
            found = ", ".join(entry.name for entry in (*self._inputs, *self._outputs))
            fact = f"has {found} as inputs and outputs, not one input and {OUTPUT}"
            raise BadCheckpoint(fact, EXPORT_AGAIN)
        samples = (*shape[1:], 3) if self.takes_pictures and len(shape) == 3 else shape
        for entry, wanted in ((self._inputs[0], samples), (logits[0], (outputs,))):
            fits = entry.type in TYPES and len(entry.shape) == len(wanted) + 1
            sides = zip(entry.shape[1:], wanted, strict=True) if fits else ()
            # a side that is not known yet has a name
            if not fits or any(isinstance(side, int) and side != length for side, length in sides):
                fact = f"its {entry.name} are {entry.type} of shape {entry.shape[1:]}, not {list(wanted)}"
                raise BadCheckpoint(fact, EXPORT_AGAIN)
            if isinstance(entry.shape[0], int):
                raise BadCheckpoint(f"takes {entry.shape[0]} samples at a time only", EXPORT_AGAIN)

    def logits(self, batch: Tensor, outputs: int) -> Tensor:
        """Logits (n, outputs) of a batch of network inputs, or of pictures.

        Raises BadCheckpoint where the file gives something else, or takes longer than LONGEST_S.
        """
        return self._found(OUTPUT, batch, outputs)

    def probabilities(self, batch: Tensor, outputs: int) -> Tensor:
        """Probabilities (n, outputs) of a batch, of a file that has them; raises as `logits` does."""
        return self._found(PROBABILITIES, batch, outputs)

    def _found(self, name: str, batch: Tensor, outputs: int) -> Tensor:
        entry = self._inputs[0]
        values = np.ascontiguousarray(batch.cpu().numpy(), TYPES.get(entry.type))
        with _limited(len(batch)) as options, _explained("cannot be run"):
            (found,) = self._session.run([name], {entry.name: values}, options)
        if found.shape != (len(batch), outputs):
            fact = f"gives {name} of shape {list(found.shape)} for {len(batch)} samples"
            raise BadCheckpoint(fact, EXPORT_AGAIN)
        return torch.from_numpy(found).float()

    def task(self, batch: Tensor) -> Callable[[], object]:
        """A call that runs a batch and nothing else, to be timed."""
        entry = self._inputs[0]
        values = {entry.name: np.ascontiguousarray(batch.cpu().numpy(), TYPES.get(entry.type))}
        return partial(self._session.run, [OUTPUT], values)


@contextmanager
def _limited(samples: int) -> Iterator[onnxruntime.RunOptions]:
    """Options of a run that is ended, between two of its steps, after LONGEST_S."""
    options = onnxruntime.RunOptions()
    # its errors become ours
    options.log_severity_level = 4
    timer = Timer(LONGEST_S, setattr, (options, "terminate", True))
    timer.daemon = True
    timer.start()
    try:
        yield options
    except BadCheckpoint:
        if options.terminate:
            fact = f"takes over {LONGEST_S:g} s for {counted(samples, 'sample')}"
            raise BadCheckpoint(fact, EXPORT_AGAIN) from None
        raise
    finally:
        timer.cancel()


@contextmanager
def _explained(fact: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # onnxruntime raises anything for damaged files
        raise BadCheckpoint(f"{fact} by onnxruntime ({first_line(error)})", EXPORT_AGAIN) from error


def _check_contents(model: ModelProto) -> None:
    """Refuse what may read other files, run forever, or unfold to any size."""
    if model.functions:
        raise BadCheckpoint(f"has a function of its own ({model.functions[0].name})", EXPORT_AGAIN)
    for node in model.graph.node:
        if any(entry.HasField("g") or entry.graphs for entry in node.attribute):
            raise BadCheckpoint(f"has control flow ({node.op_type})", EXPORT_AGAIN)
    for tensor in _constants(model):
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            fact = f"its weights are in another file ({tensor.name} and perhaps more)"
            raise BadCheckpoint(fact, "save it as one file")


def _constants(model: ModelProto) -> Iterator[TensorProto]:
    yield from model.graph.initializer
    sparse = [*model.graph.sparse_initializer]
    for entry in (entry for node in model.graph.node for entry in node.attribute):
        yield from (entry.t, *entry.tensors)
        sparse += [entry.sparse_tensor, *entry.sparse_tensors]
    for tensor in sparse:
        yield from (tensor.values, tensor.indices)


def _check_sizes(model: ModelProto) -> None:
    """Refuse tensors that are too large for one sample, as far as shapes follow from the file."""
    graph = with_shapes(model)
    for value in (*graph.value_info, *graph.output):
        sides = [side.dim_value for side in value.type.tensor_type.shape.dim if side.HasField("dim_value")]
        if math.prod(max(side, 0) for side in sides) > MOST_NUMBERS:
            fact = f"asks for a tensor of {'x'.join(map(str, sides))} numbers ({value.name})"
            raise BadCheckpoint(fact, EXPORT_AGAIN)
