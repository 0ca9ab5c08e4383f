"""Regular expressions that users and foreign files give: matched within a limit of time.

An expression of a few letters can take longer than anybody waits, and `re` cannot be stopped. So one that has
more than one choice is matched by a process of its own, which runs this file: it imports nothing of emoprune.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import warnings
from collections.abc import Sequence

CHOICES = re.compile(r"[*+?{|]|\\\d|\(\?P=")
"""With one of them at most, an expression takes no longer than its text squared."""

CPU_S, WALL_S = 2, 60
"""Seconds of the processor; where the system does not count them, those of the clock."""


def matches(pattern: str, texts: Sequence[str]) -> list[str | None]:
    """The first match of `pattern` in each text, or of its first parenthesis; None where there is none.

    Raises re.error, OverflowError or RecursionError for what is not a regular expression, TimeoutError for
    one that takes too long.
    """
    # of meanings that a later Python may give
    with warnings.catch_warnings(action="ignore"):
        expression = re.compile(pattern)
    if len(CHOICES.findall(pattern)) <= 1:
        return _matches(expression, texts)
    given = json.dumps([pattern, texts]).encode()
    command = [sys.executable, "-I", __file__]
    try:
        ended = subprocess.run(command, input=given, capture_output=True, timeout=WALL_S, check=True)
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    except subprocess.CalledProcessError as error:
        # the limit ends it by a signal; anything else is a bug, not the fault of the pattern
        if error.returncode > 0:
            raise
        raise TimeoutError from None
    found: list[str | None] = json.loads(ended.stdout)
    return found


def _matches(expression: re.Pattern[str], texts: Sequence[str]) -> list[str | None]:
    group = min(expression.groups, 1)
    return [found[group] if found else None for found in map(expression.search, texts)]


def _main() -> None:
    try:
        import resource
    except ImportError:  # not on Windows
        pass
    else:
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    pattern, texts = json.load(sys.stdin)
    json.dump(_matches(re.compile(pattern), texts), sys.stdout)


if __name__ == "__main__":
    _main()
