"""Shorter inputs that find the same."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from tests.fuzz.strategies import at, paths

MOST_S, MOST_TRIES = 10.0, 400

Still = Callable[[bytes], bool]


def smaller(data: bytes, still: Still, *, structured: bool) -> bytes:
    """The input without what a finding does not need, as far as some seconds suffice.

    What is left out are spans of bytes or, of a `structured` input, values of its JSON.
    """
    ends, tries = time.monotonic() + MOST_S, 0
    shorter = _without_values if structured else _without_spans
    found = True
    while found:
        found = False
        for each in shorter(data):
            tries += 1
            if time.monotonic() > ends or tries > MOST_TRIES:
                return data
            if still(each):
                data, found = each, True
                break
    return data


def _without_spans(data: bytes) -> Iterator[bytes]:
    span = len(data) // 2
    while span:
        for start in range(0, len(data), span):
            if len(data) > span:
                yield data[:start] + data[start + span :]
        span //= 2


def _without_values(data: bytes) -> Iterator[bytes]:
    tree = json.loads(data)
    for path in paths(tree):
        if path:
            changed: Any = copy.deepcopy(tree)
            del at(changed, path[:-1])[path[-1]]
            yield json.dumps(changed).encode()
            value = at(tree, path)
            if isinstance(value, str) and len(value) > 1:
                half = len(value) // 2
                for part in (value[:half], value[half:]):
                    at(changed := copy.deepcopy(tree), path[:-1])[path[-1]] = part
                    yield json.dumps(changed).encode()
