"""How long onnxruntime takes for one layer alone, at any width."""

from __future__ import annotations

import json
import platform
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 18, 8
WARM_UP, REPEATS = 1, 7
"""Runs of a layer that do not count, and that do."""

FINE_S = 1e-6
"""Resolution of a clock that can time a layer; that of threads is coarser on Windows."""

REORDER = "Reorder"
"""How operators begin that bring values into the engine's own order; inside of a network there are few."""


def clock(threads: int) -> Callable[[], float]:
    """A clock in seconds for runs on so many threads; of one, it stands still while other programs run."""
    fine = time.get_clock_info("thread_time").resolution <= FINE_S
    return time.thread_time if threads == 1 and fine else time.perf_counter


@dataclass(frozen=True)
class LayerKind:
    """A convolution or a dense layer but for its widths.

    `size` is the height and width of its input map; of a dense layer, whose `kernel` is empty, it is the
    number of rows. `group` are the outputs of one of its groups, 0 for one group of any width.
    """

    size: tuple[int, ...]
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    group: int = 0

    def __str__(self) -> str:
        sides = "x".join(map(str, self.size))
        if not self.kernel:
            return f"dense {sides}"
        names = ("kernel", "stride", "padding", "dilation")
        form = " ".join(f"{name} {'x'.join(map(str, getattr(self, name)))}" for name in names)
        return f"conv {sides} {form} group {self.group}"


def engine_name() -> str:
    """The processor and the version of onnxruntime: all that times depend on but the threads."""
    return f"{processor()}, onnxruntime {onnxruntime.__version__}"


def processor() -> str:
    """What the system calls the processor; machines in a cloud differ in more than its name."""
    keys = ("model name", "cpu family", "model", "stepping")
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").partition("\n\n")[0].splitlines()
    except OSError:  # not Linux
        lines = []
    found = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return " ".join(found[key] for key in keys if key in found) or platform.processor() or platform.machine()


def layer_ms(kind: LayerKind, inputs: int, outputs: int, *, threads: int, others: int) -> float:
    """The median time in milliseconds of a layer on one sample.

    `inputs` and `outputs` are the sides of its weight: the inputs are those of one group. `others` are the
    bytes of other layers' weights, which pass through the processor's cache before each run as they do in a
    network. What brings values into the engine's own order and back is not counted, nor, of one thread, the
    time of other programs.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    options.enable_profiling = True
    wall, busy, busy_s = list[float](), list[float](), clock(threads)
    passing = np.zeros(others // 4, np.float32)
    with tempfile.TemporaryDirectory(prefix="emoprune-") as folder:
        options.profile_file_prefix = str(Path(folder) / "layer")
        session = onnxruntime.InferenceSession(
            layer_model(kind, inputs, outputs), options, providers=["CPUExecutionProvider"]
        )
        sample = np.full(_shape(kind, inputs, outputs), 0.5, np.float32)
        for _ in range(WARM_UP + REPEATS):
            passing.sum()
            # the layer before has just written it
            sample.sum()
            start, start_busy = time.perf_counter(), busy_s()
            session.run(None, {"x": sample})
            wall.append(1000 * (time.perf_counter() - start))
            busy.append(1000 * (busy_s() - start_busy))
        events = json.loads(Path(session.end_profiling()).read_bytes())
    inside = _inside_ms(events, len(wall))
    around = min(both - own for both, own in zip(wall, inside, strict=True))
    own = [min(own, max(0.0, both - around)) for own, both in zip(inside, busy, strict=True)]
    return statistics.median(own[WARM_UP:])


def _inside_ms(events: Iterable[Mapping[str, Any]], runs: int) -> list[float]:
    """What the operators of each run took, by the profile of a session."""
    inside = [0.0] * runs
    counts: Counter[str] = Counter()
    for event in events:
        name = event["name"]
        if event["cat"] == "Node" and name.endswith("_kernel_time"):
            if not event["args"]["op_name"].startswith(REORDER):
                inside[counts[name]] += event["dur"] / 1000
            counts[name] += 1
    return inside


def _shape(kind: LayerKind, inputs: int, outputs: int) -> tuple[int, ...]:
    """The shape of one sample."""
    channels = inputs * (outputs // kind.group if kind.group else 1)
    return (1, channels, *kind.size) if kind.kernel else (*kind.size, channels)


def layer_model(kind: LayerKind, inputs: int, outputs: int) -> bytes:
    """One layer with a bias, as a file of its own; what its numbers are does not matter."""
    more: dict[str, Any] = {"transB": 1}
    if kind.kernel:
        more = {
            "kernel_shape": kind.kernel,
            "strides": kind.stride,
            "pads": [*kind.padding, *kind.padding],
            "dilations": kind.dilation,
            "group": outputs // kind.group if kind.group else 1,
        }
    node = helper.make_node("Conv" if kind.kernel else "Gemm", ["x", "weight", "bias"], ["y"], **more)
    shape = _shape(kind, inputs, outputs)
    sides = {"weight": (outputs, inputs, *kind.kernel), "bias": (outputs,)}
    graph = helper.make_graph(
        [node],
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.full(shape, 0.01, np.float32), name) for name, shape in sides.items()],
    )
    opsets = [helper.make_opsetid("", OPSET)]
    data: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION).SerializeToString()
    return data
