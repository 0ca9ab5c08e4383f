"""Hashes of contents: of files, and of data sets to say whether two hold the same."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from emoprune.io.files import open_regular

AT_ONCE = 2**20
"""Bytes of a file that is read whole."""


def file_hash(path: str | Path) -> str:
    """SHA-256 of the bytes of a plain file; raises what `open_regular` does."""
    with open_regular(path) as stream:
        try:
            if os.fstat(stream.fileno()).st_size <= AT_ONCE:
                # small files, of which there are many, take a third less so
                return hashlib.sha256(stream.readall()).hexdigest()
            return hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            # of a damaged disk, which the system says without a name
            error.filename = str(path)
            raise


def content_key(digest: str) -> int:
    """The first 8 bytes of a hexadecimal digest, as a number that int64 holds."""
    return int.from_bytes(bytes.fromhex(digest[:16]), "big", signed=True)


def fingerprint(rows: Iterable[tuple[str, ...]]) -> str:
    """SHA-256 over rows of text; the same rows in the same order give the same fingerprint."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update("\0".join(row).encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest()
