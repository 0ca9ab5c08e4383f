"""Memory that the C library keeps."""

from __future__ import annotations

import ctypes


def give_back() -> None:
    """Return freed memory to the system, where the C library is glibc; elsewhere nothing.

    glibc keeps what is freed between small pieces still in use. Large arrays of changing sizes scatter over
    what it keeps until that is several times what is in use; each page given back costs its fault again, so
    call this between large pieces of work only.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
