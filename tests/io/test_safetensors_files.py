import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from emoprune.errors import BadCheckpoint, InvalidRecord
from emoprune.io import safetensors_files
from tests.support.records import raw_safetensors

DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool)
SHAPES = st.lists(st.integers(0, 4), max_size=3)
NAMES = st.text(min_size=1, max_size=8).filter(lambda name: name != "__metadata__")


@given(
    st.dictionaries(NAMES, st.tuples(SHAPES, st.sampled_from(DTYPES)), max_size=4),
    st.dictionaries(NAMES, st.text(max_size=8), max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_load_reads_files_of_the_format(
    forms: dict[str, tuple[list[int], torch.dtype]], metadata: dict[str, str]
) -> None:
    tensors = {name: torch.randint(0, 2, shape).to(dtype) for name, (shape, dtype) in forms.items()}
    found, words = safetensors_files.load(safetensors.torch.save(tensors, metadata or None))
    assert words == metadata
    assert found.keys() == tensors.keys()
    for name, value in tensors.items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value)


def test_load_returns_no_metadata_where_there_is_none() -> None:
    tensors, words = safetensors_files.load(safetensors.torch.save({"a": torch.ones(2)}))
    assert words == {}
    assert torch.equal(tensors["a"], torch.ones(2))


def test_load_returns_tensors_that_outlive_the_bytes() -> None:
    data = bytearray(safetensors.torch.save({"a": torch.ones(1000)}))
    tensors, _ = safetensors_files.load(bytes(data))
    del data
    assert float(tensors["a"].sum()) == 1000.0


@pytest.mark.parametrize(
    ("data", "fact"),
    [
        (b"", "the file is empty"),
        (b"\x89PNG\r\n\x1a\n....", "not a safetensors file"),
        (raw_safetensors(b'{"a": 5}'), "its header is damaged"),
        (raw_safetensors(b'{"a"' + b" " * 50)[:40], "truncated in its header, after 40 bytes"),
    ],
)
def test_load_says_what_is_wrong(data: bytes, fact: str) -> None:
    with pytest.raises(BadCheckpoint, match=fact):
        safetensors_files.load(data)


def test_load_does_not_parse_a_header_that_is_too_long() -> None:
    length = safetensors_files.LONGEST_HEADER + 1
    with pytest.raises(BadCheckpoint, match="not a safetensors file"):
        safetensors_files.load(length.to_bytes(8, "little") + b"{}")


def test_load_refuses_tensors_on_the_same_bytes() -> None:
    entry = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    with pytest.raises(BadCheckpoint):
        safetensors_files.load(raw_safetensors({"a": entry, "b": entry}, b"1234"))


@given(st.integers(1, 12), st.integers(0, 99))
def test_packed_has_the_upper_triangle_row_by_row_and_unpacked_the_matrix(side: int, seed: int) -> None:
    half = torch.randn(side, side, generator=torch.Generator().manual_seed(seed))
    matrix = half + half.T
    found = safetensors_files.packed(matrix)
    assert torch.equal(found, matrix[tuple(torch.triu_indices(side, side))])
    assert torch.equal(safetensors_files.unpacked(found, side), matrix)


@pytest.mark.parametrize(
    ("shape", "side"), [((9,), 4), ((11,), 4), ((2, 5), 4), ((), 1), ((0,), 1), ((10,), 5), ((1,), 2**40)]
)
def test_unpacked_refuses_another_length(shape: tuple[int, ...], side: int) -> None:
    with pytest.raises(InvalidRecord, match=f"a triangle of {side:,} rows has"):
        safetensors_files.unpacked(torch.zeros(shape), side)


@pytest.mark.parametrize("dtype", DTYPES)
def test_load_raw_gives_the_bytes_that_load_gives(dtype: torch.dtype) -> None:
    value = torch.randint(0, 2, (3, 4), generator=torch.Generator().manual_seed(0)).to(dtype)
    found, words = safetensors_files.load_raw(safetensors.torch.save({"a": value}, {"key": "word"}))
    assert (found["a"].shape, found["a"].count, words) == ((3, 4), 12, {"key": "word"})
    assert found["a"].data == value.view(torch.uint8).numpy().tobytes()


@pytest.mark.parametrize("data", [b"", b"{", raw_safetensors(b'{"a": 5}')])
def test_load_raw_refuses_what_load_refuses(data: bytes) -> None:
    with pytest.raises(BadCheckpoint) as caught:
        safetensors_files.load(data)
    with pytest.raises(BadCheckpoint) as again:
        safetensors_files.load_raw(data)
    assert again.value.fact == caught.value.fact
