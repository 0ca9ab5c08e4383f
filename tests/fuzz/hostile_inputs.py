"""Inputs that are made by hand to break a reader, or the machine that it runs on."""

from __future__ import annotations

import io
import json
import pickle
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import onnx
import safetensors.torch
import torch
from onnx import TensorProto, helper

from emoprune.networks.checkpoint import to_bytes
from emoprune.networks.types import Checkpoint
from tests.fuzz.mutations import zipped
from tests.support.records import card_of_file, with_card, workbook

Inputs = dict[str, list[bytes]]
ZEROS = 560_000_000


def checkpoints(networks: Mapping[str, Checkpoint]) -> Iterator[bytes]:
    """Expensive networks and patterns, a history that names the whole disk, escapes in names."""
    data = to_bytes(networks["mlp"])
    card = card_of_file(data)
    for arch in ("regnet_y_128gf", "vit_h_14", "convnext_large"):
        yield with_card(data, {**card, "spec": {**card["spec"], "arch": arch, "input": [3, 224, 224]}})
    image = {"kind": "image", "size": [224, 224], "color": "rgb", "mean": [0.5] * 3, "std": [0.5] * 3}
    for arch in ("regnet_y_128gf", "regnet_y_32gf", "vit_h_14", "convnext_large", "wright_cnn", "zhang_vgg"):
        spec = {**card["spec"], "arch": arch, "input": [3, 224, 224], "hidden": [2**20], "widths": {}}
        yield with_card(data, {**card, "spec": spec, "preprocess": image})
        yield with_card(data, {**card, "spec": {**spec, "hidden": []}, "preprocess": image})
    for pattern in ("(a+)+$", "(a|a)*$", "(.*a){20}$", "(", "(?i)", ""):
        yield with_card(data, {**card, "split": {**card["split"], "group_by": pattern}})
    for place in ("/", "/usr", "/dev/zero", "/proc/self/mem", "-", "\0", "."):
        entry = {**card["history"][0], "parameters": {"data": place}}
        yield with_card(data, {**card, "history": [entry]})
    for text in ("\x1b[2Jangry", "angry\nhappy", "\ud800", "a" * 100_000):
        yield with_card(data, {**card, "classes": [text, "happy"]})
    for value in (float("nan"), 1e38, -1e38, 0.0, 1e-45):
        tensors = safetensors.torch.load(data)
        for name in (
            "net.classifier.output.weight",
            "stats.classifier.hidden1.covariance",
            "net.scaling.scale",
        ):
            if name in tensors:
                yield safetensors.torch.save(
                    {**tensors, name: torch.full_like(tensors[name], value)}, {"emoprune": json.dumps(card)}
                )


def saved(value: object) -> bytes:
    """What torch.save writes of a value."""
    stream = io.BytesIO()
    torch.save(value, stream)
    return stream.getvalue()


class _Runs:
    def __reduce__(self) -> tuple[object, ...]:
        return (open, ("pwned", "w"))


def weights() -> Iterator[bytes]:
    """Tensors that are small on disk only, other kinds of tensors, objects, archives that unpack to much."""
    for name in ("classifier.hidden1.weight", "scaling.scale", "x"):
        yield saved({name: torch.zeros(1).expand(10**9)})
        yield saved({name: torch.zeros(1).expand(2**40)})
        yield saved({name: torch.zeros(1).expand(4, 3)})
        yield saved({name: torch.zeros(4, 3).to_sparse()})
        with warnings.catch_warnings(action="ignore"):
            yield saved({name: torch.zeros(4, 3).to_sparse_csr()})
            yield saved({name: torch.quantize_per_tensor(torch.zeros(4, 3), 0.1, 0, torch.qint8)})
            yield saved({name: torch.nested.nested_tensor([torch.zeros(4), torch.zeros(3)])})
        yield saved({name: torch.zeros(4, 3, dtype=torch.complex64)})
        yield saved({name: torch.zeros(4, 3, device="meta")})
    yield saved({5: torch.zeros(2), "\x1b[2J": torch.zeros(2)})
    yield saved({"\x1b[2Jx": torch.zeros(2)})
    yield saved({"a": {"a": torch.zeros(2)}})
    yield saved(_nested())
    yield pickle.dumps(_Runs())
    yield pickle.dumps({"a": _Runs()})
    packed = zipfile.ZipFile(io.BytesIO(saved({"x": torch.zeros(2)})))
    files = {name: packed.read(name) for name in packed.namelist()}
    large = {name: bytes(ZEROS) if "/data/" in name else data for name, data in files.items()}
    yield zipped(large, zipfile.ZIP_DEFLATED)
    yield zipped(
        {name: bytes(ZEROS) if "pkl" in name else data for name, data in files.items()}, zipfile.ZIP_DEFLATED
    )


def _nested() -> dict[str, Any]:
    found: dict[str, Any] = {}
    found["state_dict"] = found
    return found


def onnx_files(data: bytes) -> Iterator[bytes]:
    """Graphs that take for ever, take all memory, read files, or do not fit their metadata."""
    props = {each.key: each.value for each in onnx.load_from_string(data).metadata_props}
    value = helper.make_tensor_value_info
    shapes: list[list[int | str]] = [["batch", 3], [1, 3], ["batch", 4], [3], ["batch", 3, 1], []]
    for shape in shapes:
        inputs = [value("features", TensorProto.FLOAT, shape)]
        outputs = [value("logits", TensorProto.FLOAT, ["batch", 2])]
        yield _model([helper.make_node("Identity", ["features"], ["logits"])], inputs, outputs, props)
    given = [value("features", TensorProto.FLOAT, ["batch", 3])]
    for kind in (
        TensorProto.INT64,
        TensorProto.STRING,
        TensorProto.BOOL,
        TensorProto.DOUBLE,
        TensorProto.FLOAT16,
    ):
        inputs = [value("features", kind, ["batch", 3])]
        outputs = [value("logits", kind, ["batch", 3])]
        yield _model([helper.make_node("Identity", ["features"], ["logits"])], inputs, outputs, props)
    for kind in (TensorProto.INT64, TensorProto.STRING, TensorProto.BOOL, TensorProto.COMPLEX64):
        cast = helper.make_node("Cast", ["features"], ["logits"], to=kind)
        yield _model([cast], given, [value("logits", kind, ["batch", 3])], props)
    for output in ("logits", "other", "\x1b[2J"):
        outputs = [value(output, TensorProto.FLOAT, ["batch", 3])]
        yield _model([helper.make_node("Identity", ["features"], [output])], given, outputs, props)
    yield _model([], [], [], props)
    two = [*given, value("more", TensorProto.FLOAT, [1])]
    outputs = [value("logits", TensorProto.FLOAT, ["batch", 3])]
    yield _model([helper.make_node("Add", ["features", "more"], ["logits"])], two, outputs, props)
    yield from _endless(given, props)
    yield from _large(given, props)
    for place in ("/etc/passwd", "../given/table.csv", "../outside/secret.txt"):
        tensor = TensorProto(
            data_type=TensorProto.FLOAT, name="w", dims=[1], data_location=TensorProto.EXTERNAL
        )
        for key, text in (("location", place), ("offset", "0"), ("length", "4")):
            tensor.external_data.add(key=key, value=text)
        add = helper.make_node("Add", ["features", "w"], ["logits"])
        yield _model([add], given, outputs, props, [tensor])
    yield _model(
        [helper.make_node("Nothing", ["features"], ["logits"], domain="none")], given, outputs, props
    )
    yield _model([helper.make_node("Nothing\x1b[2J", ["features"], ["logits"])], given, outputs, props)


def _endless(given: list[Any], props: Mapping[str, str]) -> Iterator[bytes]:
    """A loop without an end, and one of 2**62 turns."""
    turn, go = helper.make_tensor_value_info("i", TensorProto.INT64, []), TensorProto.BOOL
    body = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["again"]), helper.make_node("Identity", ["state"], ["next"])],
        "body",
        [
            turn,
            helper.make_tensor_value_info("on", go, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("again", go, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)]
    true = helper.make_tensor("true", TensorProto.BOOL, [], [1])
    many = helper.make_tensor("many", TensorProto.INT64, [], [2**62])
    for count in ("", "many"):
        loop = helper.make_node("Loop", [count, "true", "features"], ["logits"], body=body)
        yield _model([loop], given, outputs, props, [true, many])


def _large(given: list[Any], props: Mapping[str, str]) -> Iterator[bytes]:
    """Graphs whose few bytes make gigabytes: when they run, and when they are loaded."""
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)]
    for sides in ([2**29], [2**20, 2**20], [2**62]):
        shape = helper.make_tensor("shape", TensorProto.INT64, [len(sides)], sides)
        full = helper.make_node("ConstantOfShape", ["shape"], ["big"])
        total = helper.make_node("ReduceSum", ["big"], ["sum"], keepdims=0)
        add = helper.make_node("Add", ["features", "sum"], ["logits"])
        yield _model([full, total, add], given, outputs, props, [shape])
        expand = helper.make_node("Expand", ["features", "shape"], ["logits"])
        yield _model([expand], given, outputs, props, [shape])
    sides = helper.make_tensor("sides", TensorProto.INT64, [2], [1, 2**28])
    yield _model(
        [helper.make_node("Tile", ["features", "sides"], ["logits"])], given, outputs, props, [sides]
    )


def _model(
    nodes: list[Any],
    inputs: list[Any],
    outputs: list[Any],
    props: Mapping[str, str],
    tensors: list[Any] | None = None,
) -> bytes:
    graph = helper.make_graph(nodes, "graph", inputs, outputs, initializer=tensors or [])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, dict(props))
    data: bytes = model.SerializeToString()
    return data


def pictures() -> Iterator[bytes]:
    """Few bytes that say they are many pixels, or unpack to many."""
    for kind, depth in ((0, 1), (3, 1), (2, 8), (6, 8), (0, 16)):
        yield _blank_png(12_000, 12_000, kind, depth)
    yield _blank_png(2**31 - 1, 2**31 - 1, 2, 8)
    yield _blank_png(2**31 - 1, 1, 0, 1)
    yield _blank_png(1, 140_000_000, 0, 1)
    head = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 54, 0, 0, 54, 40, 12_000, 12_000, 1, 24, 0, 0, 0, 0, 0, 0)
    yield head
    yield b"P6 12000 12000 255\n"
    yield b"P4 12000 12000\n"
    yield b"P3 12000 12000 255\n" + b"1 " * 1000
    yield b"GIF89a\xff\x7f\xff\x7f\x00\x00\x00," + b"\0\0\0\0\xff\x7f\xff\x7f\x00\x02\x02L\x01\x00;"


def _blank_png(width: int, height: int, kind: int, depth: int) -> bytes:
    """A PNG whose data are few lines of zeros, whatever its header says."""
    channels = {0: 1, 2: 3, 3: 1, 6: 4}[kind]
    line = 1 + -(-width * channels * depth // 8)
    # as many bytes as take a second to unpack, and no more
    packed = packed_zeros(line * min(height, max(1, 150_000_000 // line)))

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width % 2**31, height % 2**31, depth, kind, 0, 0, 0))
    palette = chunk(b"PLTE", bytes(6)) if kind == 3 else b""
    return b"\x89PNG\r\n\x1a\n" + head + palette + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def packed_zeros(count: int) -> bytes:
    """So many zeros in zlib's format; not packed one by one, as equal blocks pack to equal bytes."""
    block, parts = 2**20, zlib.compressobj(9, wbits=-15)
    whole = parts.compress(bytes(block)) + parts.flush(zlib.Z_FULL_FLUSH)
    rest = parts.compress(bytes(count % block)) + parts.flush()
    check = ((count % 65521) << 16 | 1) if count else 1
    return b"\x78\xda" + whole * (count // block) + rest + struct.pack(">I", check)


def workbooks(table: bytes) -> Iterator[bytes]:
    """Workbooks that unpack to much, repeat entities, or say that a cell is far away."""
    data = workbook([line.split(",") for line in table.decode().splitlines()])
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    sheet = "xl/worksheets/sheet1.xml"
    text = files[sheet]
    yield zipped(
        {**files, sheet: text.replace(b"</sheetData>", b" " * ZEROS + b"</sheetData>")}, zipfile.ZIP_DEFLATED
    )
    bomb = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "' + b"a" * 1000 + b'">'
    bomb += b"".join(b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(8)) + b"]>"
    yield zipped({**files, sheet: bomb + text.replace(b"<t>name</t>", b"<t>&i;</t>")})
    for cell in (b'r="XFD1048576"', b'r="ZZZZZZ1"', b'r="A99999999999"', b'r="A0"', b'r=""'):
        yield zipped({**files, sheet: text.replace(b'r="E2"', cell)})
    # a row far away, and a cell far to the right in every row
    yield zipped({**files, sheet: text.replace(b'<row r="2"', b'<row r="1048576"')})
    many = b"".join(b'<row r="%d"><c r="XFD%d"><v>1</v></c></row>' % (n, n) for n in range(20, 6000))
    yield zipped(
        {**files, sheet: text.replace(b"</sheetData>", many + b"</sheetData>")}, zipfile.ZIP_DEFLATED
    )


def made(networks: Mapping[str, Checkpoint], table: bytes, onnx_file: bytes) -> Inputs:
    """All of them by name, made from valid ones."""
    return {
        "hostile checkpoints": list(checkpoints(networks)),
        "hostile weights": list(weights()),
        "hostile onnx": list(onnx_files(onnx_file)),
        "hostile pictures": list(pictures()),
        "hostile workbooks": list(workbooks(table)),
    }
