"""What a file is by its first bytes, for files that are often given in place of another kind."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from emoprune.errors import BadData, EmopruneError

FileKind = Literal[
    "a Git LFS pointer",
    "a git-annex pointer",
    "an HTML page",
    "a PyTorch file",
    "a zip archive",
    "a gzip archive",
    "a pickle",
    "an HDF5 file",
    "a MATLAB file",
    "a PDF",
    "a compressed file",
    "an archive",
    "a Parquet table",
    "a NumPy array",
    "an SQLite database",
    "UTF-16 text",
    "a picture",
    "an ONNX file",
    "a safetensors file",
]

START = 512
"""Bytes from the beginning of a file that `kind_of` looks at."""

STARTS: dict[bytes, FileKind] = {
    b"version https://git-lfs.github.com/": "a Git LFS pointer",
    b"/annex/objects/": "a git-annex pointer",
    b"PK\x03\x04": "a zip archive",
    b"PK\x05\x06": "a zip archive",
    b"\x1f\x8b": "a gzip archive",
    b"\x89HDF\r\n": "an HDF5 file",
    b"MATLAB 5.0": "a MATLAB file",
    b"%PDF-": "a PDF",
    b"\x89PNG\r\n": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"GIF8": "a picture",
    b"II*\0": "a picture",
    b"MM\0*": "a picture",
    b"\0\0\0\x0cjP  ": "a picture",
    b"\xff\x4f\xff\x51": "a picture",
    b"BZh": "a compressed file",
    b"\xfd7zXZ\0": "a compressed file",
    b"\x28\xb5\x2f\xfd": "a compressed file",
    b"7z\xbc\xaf\x27\x1c": "an archive",
    b"Rar!\x1a\x07": "an archive",
    b"PAR1": "a Parquet table",
    b"\x93NUMPY": "a NumPy array",
    b"SQLite format 3\0": "an SQLite database",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
    **dict.fromkeys((bytes([0x80, protocol]) for protocol in (2, 3, 4, 5)), "a pickle"),
}

AFTER_VERSION = (b"\x12", b"\x1a", b"\x22", b"\x28", b"\x32", b"\x3a")

UNPACK = "unpack it first"
REMEDIES: dict[FileKind, str] = {
    "a Git LFS pointer": "fetch the file that it stands for: git lfs pull",
    "a git-annex pointer": "fetch the file that it stands for: git annex get",
    "an HTML page": "download the file itself, not the page about it",
    "a zip archive": UNPACK,
    "a gzip archive": UNPACK,
    "a compressed file": UNPACK,
    "an archive": UNPACK,
    "UTF-16 text": "save it as UTF-8",
}


def kind_of(data: bytes) -> FileKind | None:
    """The kind of a file that begins with `data`; None for what is not among the FileKinds."""
    start = data[:START]
    # 8 bytes of a length, then a JSON object; first, as the length may look like the beginning of a pickle
    if start[8:9] == b"{" and start[4:8] == b"\0\0\0\0":
        return "a safetensors file"
    if start.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    found = next((kind for magic, kind in STARTS.items() if start.startswith(magic)), None)
    # of BMP the bytes between are its size, and it goes on with four of 0
    webp = start[:4] == b"RIFF" and start[8:12] == b"WEBP"
    if webp or (start[:2] == b"BM" and start[6:10] == bytes(4)):
        return "a picture"
    if found == "a zip archive" and b"/data.pkl" in start:
        return "a PyTorch file"
    # a version number as field 1, then any of fields 2 to 7: texts, numbers, the graph
    if found is None and start[:1] == b"\x08" and start[2:3] in AFTER_VERSION:
        return "an ONNX file"
    return found


def is_onnx(data: bytes, path: str) -> bool:
    """Whether a file of a network is to be read as ONNX: by its first bytes, else by its name."""
    kind = kind_of(data)
    return kind == "an ONNX file" or (path.endswith(".onnx") and kind != "a safetensors file")


def check_kind(
    data: bytes,
    wanted: str,
    *,
    remedy: str,
    takes: Collection[FileKind] = (),
    fault: type[EmopruneError] = BadData,
) -> None:
    """Raise `fault` for the beginning of a file without bytes or of a known kind that is not in `takes`.

    Messages call what was expected `wanted`: "a checkpoint". `remedy` is for kinds without one of their own.
    """
    if not data:
        raise fault("the file is empty", "copy it again")
    kind = kind_of(data)
    if kind is not None and kind not in takes:
        raise fault(f"{kind}, not {wanted}", REMEDIES.get(kind, remedy))
