"""Files put together by the letter of their standards, where Pillow writes none of the kind."""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

# the primaries of Display P3, adapted to D50 as profiles want them
P3 = ((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def deep_png(values: NDArray[np.uint16], kind: int, *, declared: tuple[int, int] | None = None) -> bytes:
    """A PNG of 16 bits a channel by the letter of its standard; Pillow writes none but gray."""
    height, width = declared or values.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def p3_profile() -> bytes:
    """A display profile of three primaries and one gamma, by the letter of ICC.1:2001."""

    def fixed(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    name = b"wide\0"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(name)) + name + bytes(78),
        b"wtpt": b"XYZ " + bytes(4) + b"".join(map(fixed, (0.9642, 1.0, 0.8249))),
        **{
            name: b"XYZ " + bytes(4) + b"".join(map(fixed, row))
            for name, row in zip((b"rXYZ", b"gXYZ", b"bXYZ"), P3, strict=True)
        },
        **{
            name: b"curv" + bytes(4) + struct.pack(">IH", 1, 563) + b"\0\0"
            for name in (b"rTRC", b"gTRC", b"bTRC")
        },
        b"cprt": b"text" + bytes(4) + b"none\0",
    }
    offset, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for key, data in tags.items():
        padded = data + bytes(-len(data) % 4)
        table += key + struct.pack(">II", offset + len(body), len(data))
        body += padded
    size = 128 + 4 + len(table) + len(body)
    header = struct.pack(">I4sI4s4s4s", size, b"none", 0x02100000, b"mntr", b"RGB ", b"XYZ ") + bytes(12)
    header += b"acsp" + bytes(28) + b"".join(map(fixed, (0.9642, 1.0, 0.8249)))
    return header + bytes(128 - len(header)) + struct.pack(">I", len(tags)) + table + body
