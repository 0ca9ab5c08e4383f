"""Fingerprints that say whether two data sets hold the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def fingerprint(rows: Iterable[tuple[str, ...]]) -> str:
    """SHA-256 over rows of text; the same rows in the same order give the same fingerprint."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update("\0".join(row).encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest()
