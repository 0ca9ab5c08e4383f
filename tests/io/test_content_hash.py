from hypothesis import given, settings
from hypothesis import strategies as st

from emoprune.io.content_hash import fingerprint


@given(st.lists(st.tuples(st.text(), st.text()), max_size=4))
@settings(max_examples=40, deadline=None)
def test_fingerprint_depends_only_on_its_rows(rows: list[tuple[str, str]]) -> None:
    assert fingerprint(rows) == fingerprint(iter(rows))
    assert len(fingerprint(rows)) == 64
    assert fingerprint([*rows, ("one", "more")]) != fingerprint(rows)
