"""Formats of pictures that are not read, or not everywhere, by their first bytes or their suffix."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Format:
    """Pictures that begin as the regular expression `start` says; `fact` and `remedy` are of an error."""

    start: bytes
    fact: str
    remedy: str
    suffixes: tuple[str, ...] = ()


SAVE_PICTURE = "save it as .jpg or .png"
UNNAMED = Format(b"", "a picture without its suffix", "name it .jpg or as what it is")

HEIF = Format(
    rb".{4}ftyp(hei[cxms]|hev[cxms]|mif1|msf1)",
    "HEIC is read by pillow-heif, which is not installed",
    "pip install 'emoprune[heic]'",
    (".heic", ".heif", ".hif"),
)
AVIF = Format(
    rb".{4}ftyp(avif|avis)",
    "an AVIF picture, which this Pillow cannot read",
    SAVE_PICTURE,
    (".avif", ".avifs"),
)
RAW = Format(
    rb".{4}ftypcrx |II\*\0.{4}CR\x02|FUJIFILMCCD-RAW|II[RU]\0|IIR[OS]|MMO[RS]|FOVb",
    "a raw photo, which is not read",
    "develop it to .jpg",
    (
        *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc", ".mef"),
        *(".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf"),
        *(".srw", ".x3f"),
    ),
)
"""Many begin as TIFF does, and would be read as their preview; their suffix tells."""

OTHERS = Format(
    rb"\0\0\0\x0cJXL |\xff\x0a|8BPS|%!PS|\xc5\xd0\xd3\xc6|gimp xcf|qoif|\x76\x2f\x31\x01|#\?RADIANCE|DDS |"
    rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!(--.*?--|DOCTYPE svg.*?)>\s*)*<svg\b",
    "a picture in a format that is not read",
    SAVE_PICTURE,
    (
        *(".ai", ".bpg", ".cur", ".dcm", ".dds", ".emf", ".eps", ".exr", ".fit", ".fits", ".hdr", ".ico"),
        *(".jls", ".jxl", ".jxr", ".pcx", ".pict", ".psb", ".psd", ".qoi", ".ras", ".sgi", ".svg", ".svgz"),
        *(".wdp", ".wmf", ".xbm", ".xcf", ".xpm"),
    ),
)

UNREAD = (RAW, HEIF, AVIF, OTHERS)
STARTS = [(re.compile(each.start, re.DOTALL), each) for each in UNREAD]


def unread_format(start: bytes) -> Format | None:
    """The format of a picture with these first bytes, if it may not be read."""
    return next((each for pattern, each in STARTS if pattern.match(start)), None)


def unread_suffix(suffix: str) -> Format | None:
    """The format of pictures with this suffix, in lower case, if it may not be read."""
    return next((each for each in UNREAD if suffix in each.suffixes), None)
