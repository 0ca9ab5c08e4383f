"""The files of a search: what they may not replace."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from emoprune.errors import BadMetrics
from emoprune.search.outputs import Outputs
from tests.support.answers import answers
from tests.support.command_line import scores


def test_check_refuses_to_add_lines_to_another_file(in_folder: Path) -> None:
    lines = Path("runs.json")
    lines.write_text(json.dumps(scores("m.st")) + "\n")
    Outputs("search.journal", lines="runs.json").check()
    for data, fact in (
        (b"hello\n", r"^runs\.json, line 1: not JSON"),
        (b'{"schema": "emoprune.train/1"}\n', r"^runs\.json, line 1: schema 'emoprune\.train/1', not"),
        (answers("m.st", "ab").to_bytes(), r"^runs\.json: has more than metrics; name a file of metrics"),
    ):
        lines.write_bytes(data)
        with pytest.raises(BadMetrics, match=fact):
            Outputs("search.journal", lines="runs.json").check()
