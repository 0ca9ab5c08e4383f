import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emoprune.errors import BadData
from emoprune.io import content_hash
from emoprune.io.content_hash import content_key, file_hash, fingerprint


@given(st.lists(st.tuples(st.text(), st.text()), max_size=4))
@settings(max_examples=40, deadline=None)
def test_fingerprint_depends_only_on_its_rows(rows: list[tuple[str, str]]) -> None:
    assert fingerprint(rows) == fingerprint(iter(rows))
    assert len(fingerprint(rows)) == 64
    assert fingerprint([*rows, ("one", "more")]) != fingerprint(rows)


def test_file_hash_is_sha256_of_files_of_any_size(tmp_path: Path) -> None:
    for size in (0, 1, content_hash.AT_ONCE, content_hash.AT_ONCE + 1):
        (tmp_path / "a").write_bytes(b"x" * size)
        assert file_hash(tmp_path / "a") == hashlib.sha256(b"x" * size).hexdigest()


def test_file_hash_refuses_a_pipe_and_an_endless_device(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(BadData, match="not a plain file"):
            file_hash(path)


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="a file that cannot be read from its start")
def test_file_hash_names_a_file_that_cannot_be_read() -> None:
    with pytest.raises(OSError, match="'/proc/self/mem'"):
        file_hash("/proc/self/mem")


def test_content_key_is_the_beginning_of_a_digest_as_int64() -> None:
    keys = [content_key(start + "0" * 48) for start in ("0" * 16, "f" * 16, "7" + "f" * 15, "80" + "0" * 14)]
    assert keys == [0, -1, 2**63 - 1, -(2**63)]
