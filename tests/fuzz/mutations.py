"""Damaged copies of valid bytes, each from one generator of random numbers."""

from __future__ import annotations

import io
import random
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence

Mutation = Callable[[bytes, random.Random], bytes]

INTEGERS = (0, 1, -1, 2**7, 2**8 - 1, 2**15, 2**16 - 1, 2**31 - 1, -(2**31), 2**32 - 1, 2**53, 2**63 - 1)
NUMBERS = (
    *(b"0", b"-1", b"1e999", b"NaN", b"-0", b"9" * 400, b"9" * 5000, b"2147483648", b"9223372036854775808"),
    *(b"1e-320", b"0x10", b"1_0", b".", b"+", b"\xd9\xa3", b"\xef\xbc\x91"),
)
TOKENS = (
    *(b"\0", b"\r", b"\n", b"\r\n", b"\x1b[2J", b"\x1b]0;x\x07", b"\x7f", b"\xc2\x9b31m", b"\xe2\x80\xa8"),
    *(
        b"\xff",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b'"',
        b"'",
        b",",
        b";",
        b"\t",
        b"{",
        b"}",
        b"[]",
    ),
    *(b"null", b"true", b"../", b"/etc/passwd", b"%s", b"`a=1`", b"[bold]", b"\\", b"A" * 300, b"A" * 70_000),
    *(b"(a+)+$", b"(", b"*"),
)
"""Bytes that have broken programs: control characters, half characters, other types, ways out of a folder."""


def mutated(seeds: Sequence[bytes], chance: random.Random) -> bytes:
    """One of the `seeds`, damaged in one to four places."""
    data = chance.choice(seeds)
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 4))):
        data = chance.choice(MUTATIONS)(data, chance)
        if chance.random() < 0.05:
            data = _spliced(data, chance.choice(seeds), chance)
    return data


def repacked(seeds: Sequence[bytes], chance: random.Random) -> bytes:
    """A zip archive with damage in one of its files, and correct checksums; or one damaged as it is."""
    data = chance.choice(seeds)
    if chance.random() < 0.2 or not zipfile.is_zipfile(io.BytesIO(data)):
        return mutated(seeds, chance)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    name = chance.choice(sorted(files))
    match chance.randrange(6):
        case 0:
            del files[name]
        case 1:
            files[name] = files[chance.choice(sorted(files))]
        case _:
            files[name] = mutated([files[name]], chance)
    return zipped(files)


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """Files by name as a zip archive."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method, compresslevel=1) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


def checked(seeds: Sequence[bytes], chance: random.Random) -> bytes:
    """Damaged pictures; every other PNG among them with correct checksums, so that it is read on."""
    data = mutated(seeds, chance)
    return with_checksums(data) if data.startswith(b"\x89PNG") and chance.random() < 0.5 else data


def with_checksums(data: bytes) -> bytes:
    """A PNG with the checksum of every chunk corrected."""
    made, place = data[:8], 8
    while place + 12 <= len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        body = data[place + 4 : place + 8 + length]
        made += data[place : place + 4] + body + struct.pack(">I", zlib.crc32(body))
        place += 12 + length
    return made


def _place(data: bytes, chance: random.Random) -> int:
    # headers decide more than what follows them
    return chance.randrange(min(len(data), chance.choice((64, 512, len(data)))) or 1) if data else 0


def _flipped(data: bytes, chance: random.Random) -> bytes:
    if not data:
        return b"\0"
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 8))):
        changed[_place(data, chance)] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _set(data: bytes, chance: random.Random) -> bytes:
    place = _place(data, chance)
    return (
        data[:place]
        + bytes([chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))])
        + data[place + 1 :]
    )


def _inserted(data: bytes, chance: random.Random) -> bytes:
    place = _place(data, chance)
    return data[:place] + chance.choice((*TOKENS, chance.randbytes(4))) + data[place:]


def _removed(data: bytes, chance: random.Random) -> bytes:
    place = _place(data, chance)
    return data[:place] + data[place + chance.choice((1, 2, 4, 16, 256)) :]


def _repeated(data: bytes, chance: random.Random) -> bytes:
    place, length = _place(data, chance), chance.choice((1, 4, 16, 256))
    return data[:place] + data[place : place + length] * chance.choice((2, 2, 50)) + data[place + length :]


def _truncated(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data))] if data else data


def _integer(data: bytes, chance: random.Random) -> bytes:
    """Four or eight bytes become an integer at a limit."""
    size, order = chance.choice((2, 4, 8)), chance.choice(("little", "big"))
    value = (chance.choice(INTEGERS) % (1 << 8 * size)).to_bytes(size, "little")
    place = _place(data, chance)
    return data[:place] + (value if order == "little" else value[::-1]) + data[place + size :]


def _number(data: bytes, chance: random.Random) -> bytes:
    """A number in a text becomes another one."""
    found = [match.span() for match in re.finditer(rb"-?\d[\d.]*", data[:20_000])]
    if not found:
        return _set(data, chance)
    start, end = chance.choice(found)
    return data[:start] + chance.choice(NUMBERS) + data[end:]


def _word(data: bytes, chance: random.Random) -> bytes:
    """A word in a text becomes another one of it, or something else."""
    found = [match.span() for match in re.finditer(rb"[A-Za-z_]{2,}", data[:20_000])]
    if not found:
        return _flipped(data, chance)
    (start, end), (first, last) = chance.choice(found), chance.choice(found)
    return data[:start] + chance.choice((data[first:last], *TOKENS)) + data[end:]


def _spliced(data: bytes, other: bytes, chance: random.Random) -> bytes:
    return data[: _place(data, chance)] + other[_place(other, chance) :]


MUTATIONS: tuple[Mutation, ...] = (
    *(_flipped, _flipped, _set, _inserted, _inserted, _removed, _repeated, _truncated),
    *(_integer, _integer, _number, _number, _word),
)
