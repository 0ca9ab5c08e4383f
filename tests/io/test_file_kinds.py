import bz2
import gzip
import io
import itertools
import lzma
import pickle
import zipfile
from collections.abc import Callable

import onnx
import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from emoprune.errors import BadCheckpoint, BadData
from emoprune.io.file_kinds import FileKind, check_kind, is_onnx, kind_of

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


def written(write: Callable[[io.BytesIO], object]) -> bytes:
    stream = io.BytesIO()
    write(stream)
    return stream.getvalue()


def zipped(stream: io.BytesIO) -> None:
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.txt", "text")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (POINTER, "a Git LFS pointer"),
        (b"/annex/objects/SHA256E-s5--2cf2.st\n", "a git-annex pointer"),
        (b"\xef\xbb\xbf\n <!DOCTYPE HTML>\n<html>", "an HTML page"),
        (written(lambda stream: torch.save({"a": torch.ones(2)}, stream)), "a PyTorch file"),
        (written(zipped), "a zip archive"),
        (gzip.compress(b"text", mtime=0), "a gzip archive"),
        (pickle.dumps({"a": 1}), "a pickle"),
        (written(lambda stream: Image.new("RGB", (2, 2)).save(stream, "png")), "a picture"),
        (written(lambda stream: Image.new("RGB", (2, 2)).save(stream, "jpeg")), "a picture"),
        (safetensors.torch.save({"a": torch.ones(2)}), "a safetensors file"),
        (onnx.helper.make_model(onnx.GraphProto(name="g")).SerializeToString(), "an ONNX file"),
        (written(lambda stream: Image.new("RGB", (2, 2)).save(stream, "webp")), "a picture"),
        (written(lambda stream: Image.new("RGB", (2, 2)).save(stream, "tiff")), "a picture"),
        (written(lambda stream: Image.new("RGB", (2, 2)).save(stream, "bmp")), "a picture"),
        (b"BMI,label,age\n", None),
        (written(lambda stream: Image.new("RGB", (2, 2)).save(stream, "jpeg2000")), "a picture"),
        (bz2.compress(b"text"), "a compressed file"),
        (lzma.compress(b"text"), "a compressed file"),
        ("name,label".encode("utf-16"), "UTF-16 text"),
        (b"name,label,a\nx,Happy,1\n", None),
        (b"PK", None),
        (b"\x08", None),
        (b"", None),
    ],
    # an archive holds the time at which it was made, which would differ between processes
    ids=itertools.count(),
)
def test_kind_of_names_what_libraries_write(data: bytes, kind: FileKind | None) -> None:
    assert kind_of(data) == kind


@given(st.text(max_size=40))
def test_kind_of_takes_ordinary_text_for_none_of_them(text: str) -> None:
    assert kind_of(f"name,label\n{text}".encode()) is None


def test_check_kind_says_how_to_get_the_file_that_was_meant() -> None:
    with pytest.raises(BadCheckpoint, match=r"a Git LFS pointer, not a checkpoint; .*git lfs pull$"):
        check_kind(POINTER, "a checkpoint", remedy="give a checkpoint", fault=BadCheckpoint)
    with pytest.raises(BadData, match="a pickle, not a table; give a table"):
        check_kind(pickle.dumps(1), "a table", remedy="give a table")
    with pytest.raises(BadData, match="empty"):
        check_kind(b"", "a table", remedy="give a table")


def test_check_kind_passes_what_is_taken_and_what_it_does_not_know() -> None:
    check_kind(pickle.dumps(1), "a table", remedy="", takes={"a pickle"})
    check_kind(b"name,label,a\n", "a table", remedy="")


@pytest.mark.parametrize("begins", [b"\x80\x02", b"BM", b"\x1f\x8b", b"\xff\xd8", b"\x08\x12"])
def test_kind_of_takes_no_length_of_a_safetensors_header_for_another_file(begins: bytes) -> None:
    assert kind_of(begins.ljust(8, b"\0") + b'{"a": 1}') == "a safetensors file"


def test_is_onnx_goes_by_the_bytes_and_then_by_the_name() -> None:
    made = onnx.helper.make_model(onnx.helper.make_graph([], "graph", [], []))
    assert is_onnx(made.SerializeToString(), "model.st")
    assert is_onnx(POINTER, "model.onnx")
    assert not is_onnx(POINTER, "model.st")
    assert not is_onnx(safetensors.torch.save({"a": torch.ones(2)}), "model.onnx")
