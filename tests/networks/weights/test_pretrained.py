import io
import json
import os
import pickle
import zipfile
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from emoprune.errors import BadCheckpoint
from emoprune.networks import checkpoint as checkpoints
from emoprune.networks.types import Checkpoint
from emoprune.networks.weights import pretrained
from tests.support.records import checkpoint, outcome

STATE = {"conv.weight": torch.arange(6.0).reshape(2, 3), "conv.bias": torch.ones(2), "seen": torch.tensor(3)}


def saved(path: Path, value: object, *, zipped: bool = True) -> str:
    torch.save(value, path, _use_new_zipfile_serialization=zipped)
    return str(path)


def torch_bytes(value: object, *, zipped: bool) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream, _use_new_zipfile_serialization=zipped)
    return stream.getvalue()


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def tensors_of(path: str) -> dict[str, Tensor]:
    return dict(pretrained.read(path).tensors)


def under(prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}{name}": value for name, value in STATE.items()}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize(
    ("value", "prefix"),
    [
        (STATE, ""),
        (OrderedDict(STATE), ""),
        ({"state_dict": STATE, "epoch": 90, "arch": "resnet18", "best": 0.7}, "state_dict."),
        ({"net": {"inner": under("module.")}, "acc": [54.7]}, "net.inner.module."),
        # of the optimizer a dict with numbers as keys is not opened
        ({"ema": STATE, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}}, "ema."),
    ],
    ids=["plain", "ordered", "beside others", "nested", "optimizer"],
)
def test_read_opens_the_dicts_of_a_file(tmp_path: Path, value: object, prefix: str, zipped: bool) -> None:
    assert equal(tensors_of(saved(tmp_path / "w.pth", value, zipped=zipped)), under(prefix))


def test_read_keeps_the_order_of_the_file(tmp_path: Path) -> None:
    tops = ("model", "ema", "best")
    found = tensors_of(saved(tmp_path / "w.pth", {top: dict(STATE) for top in tops}))
    assert list(dict.fromkeys(name.partition(".")[0] for name in found)) == list(tops)


def test_read_opens_each_dict_once_and_not_too_deep(tmp_path: Path) -> None:
    shared: dict[str, object] = {"w": torch.ones(1)}
    for _ in range(40):
        shared = {"a": shared, "b": shared}
    shared["w"] = torch.zeros(1)
    assert tensors_of(saved(tmp_path / "w.pth", shared)).keys() == {"w"}


def test_read_takes_a_state_dict(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    assert equal(tensors_of(saved(tmp_path / "w.pt", net.state_dict())), net.state_dict())


@pytest.mark.parametrize("suffix", [".st", ".safetensors", ".pth", ""])
def test_read_goes_by_the_bytes_not_by_the_name(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"w{suffix}"
    for data in (safetensors.torch.save(STATE), torch_bytes(STATE, zipped=True)):
        path.write_bytes(data)
        assert equal(tensors_of(str(path)), STATE)


def test_read_takes_the_network_and_the_classes_of_a_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "model.st"
    path.write_bytes(checkpoints.to_bytes(checkpoint()))
    found = pretrained.read(str(path))
    assert equal(dict(found.tensors), dict(checkpoint().tensors))
    assert found.classes == checkpoint().classes
    assert found.card is not None


def test_read_counts_what_the_masks_of_a_checkpoint_hold_at_zero(tmp_path: Path) -> None:
    path, whole = tmp_path / "model.st", checkpoint()
    assert pretrained.read(saved_checkpoint(path, whole)).masked == 0
    name, weight = next((name, each) for name, each in whole.tensors.items() if each.ndim > 1)
    mask = torch.ones_like(weight, dtype=torch.bool)
    mask[0, :2] = False
    masked = {**whole.tensors, name: weight * mask}
    found = pretrained.read(saved_checkpoint(path, replace(whole, tensors=masked, masks={name: mask})))
    assert found.masked == 2
    assert equal(dict(found.tensors), masked)


def saved_checkpoint(path: Path, made: Checkpoint) -> str:
    path.write_bytes(checkpoints.to_bytes(made))
    return str(path)


NAMES = ("fear", "angry", "sad")


@pytest.mark.parametrize(
    "stated",
    [
        *({"classes": NAMES}, {"class_names": list(NAMES)}, {"meta": {"CLASSES": NAMES}}),
        {"hyper_parameters": {"id2label": dict(enumerate(NAMES))}},
        *({"class_to_idx": {"sad": 2, "fear": 0, "angry": 1}}, {"idx_to_class": dict(enumerate(NAMES))}),
        *({"idx2label": dict(enumerate(NAMES))}, {"labels": NAMES}, {"names": dict(enumerate(NAMES))}),
        *({"label2id": {"sad": 2, "fear": 0, "angry": 1}}, {"emotions": NAMES}, {"emotion_labels": NAMES}),
    ],
    ids=lambda value: next(iter(value)),
)
def test_read_knows_the_classes_that_a_file_states(tmp_path: Path, stated: dict[str, Any]) -> None:
    assert pretrained.read(saved(tmp_path / "w.pth", {"state_dict": STATE, **stated})).classes == NAMES
    metadata = {key: json.dumps(value) for key, value in stated.items()}
    for each in (metadata, {"about": json.dumps(stated)}):
        (tmp_path / "w.st").write_bytes(safetensors.torch.save(STATE, each))
        assert pretrained.read(str(tmp_path / "w.st")).classes == NAMES


@pytest.mark.parametrize(
    "stated",
    [
        *({"classes": 7}, {"classes": [0, 1]}, {"id2label": {0: "a", 2: "b"}}, {"class_to_idx": {"a": "0"}}),
        *({"classes": torch.ones(3)}, {"num_classes": ["a"]}, {"id2label": {}}, {3: {"classes": ["a"]}}),
    ],
    ids=repr,
)
def test_read_takes_nothing_else_for_classes(tmp_path: Path, stated: dict[Any, Any]) -> None:
    assert pretrained.read(saved(tmp_path / "w.pth", {"state_dict": STATE, **stated})).classes == ()


def test_read_splits_names_between_commas(tmp_path: Path) -> None:
    (tmp_path / "w.st").write_bytes(safetensors.torch.save(STATE, {"classes": "fear, angry,sad"}))
    assert pretrained.read(str(tmp_path / "w.st")).classes == NAMES


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.folder),))


@pytest.mark.parametrize("form", ["alone", "beside tensors", "wrapped", "plain pickle", "legacy"])
def test_read_refuses_a_file_that_would_run_code(tmp_path: Path, form: str) -> None:
    sprung = tmp_path / "sprung"
    trap = Trap(sprung)
    pickle.loads(pickle.dumps(trap))
    assert sprung.is_dir(), "the trap must be a real one"
    sprung.rmdir()
    value = {
        "beside tensors": {**STATE, "extra": trap},
        "wrapped": {"state_dict": STATE, "optimizer": trap},
    }.get(form, trap)
    path = tmp_path / "w.pth"
    if form == "plain pickle":
        path.write_bytes(pickle.dumps(value))
    else:
        saved(path, value, zipped=form != "legacy")
    with pytest.raises(BadCheckpoint, match="pickled objects") as caught:
        pretrained.read(str(path))
    assert caught.value.place == str(path)
    assert not sprung.exists()


def test_read_refuses_a_pickled_network(tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint, match=r"pickled objects.*save its state_dict\(\) alone"):
        pretrained.read(saved(tmp_path / "w.pt", nn.Linear(2, 2)))


@pytest.mark.parametrize("value", [{}, [], torch.ones(2), {"epoch": 3}, {5: torch.ones(1)}, None])
def test_read_refuses_a_file_without_tensors_by_name(tmp_path: Path, value: object) -> None:
    with pytest.raises(BadCheckpoint, match="holds no tensors by name"):
        pretrained.read(saved(tmp_path / "w.pth", value))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"hello world",
        b"\x80\x02.",
        b"\x80",
        b"PK\3\4" + b"\0" * 100,
        b"\0" * 1024,
        b"<html>404</html>",
        b"version https://git-lfs.github.com/spec/v1",
    ],
    ids=repr,
)
def test_read_refuses_other_bytes(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(data)
    with pytest.raises(BadCheckpoint) as caught:
        pretrained.read(str(path))
    assert caught.value.place == str(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_read_refuses_a_cut_file(tmp_path: Path, zipped: bool) -> None:
    data = torch_bytes(STATE, zipped=zipped)
    for length in range(0, len(data), max(1, len(data) // 60)):
        (tmp_path / "w.pth").write_bytes(data[:length])
        with pytest.raises(BadCheckpoint):
            pretrained.read(str(tmp_path / "w.pth"))


def archive(entries: dict[str, bytes], *, compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as opened:
        for name, data in entries.items():
            opened.writestr(name, data)
    return stream.getvalue()


def repacked(**changes: bytes) -> bytes:
    """A file of torch.save with other bytes in some of its entries."""
    with zipfile.ZipFile(io.BytesIO(torch_bytes(STATE, zipped=True))) as opened:
        entries = {name: opened.read(name) for name in opened.namelist()}
    by_end = {name: name.rpartition("/")[2].replace(".", "_") for name in entries}
    return archive({name: changes.get(by_end[name], data) for name, data in entries.items()})


NESTED = 20_000


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (archive({"a.txt": b"text"}), "a zip archive, not a PyTorch file; unpack it"),
        (archive({"w/data.pkl": bytes(9999)}, compression=zipfile.ZIP_DEFLATED), "compressed"),
        (archive({"w/data.pkl": b"", "w/code/__torch__.py": b"", "w/constants.pkl": b""}), "TorchScript"),
        (repacked(data_pkl=b"\x80\x02cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R."), "bytearray"),
        (repacked(data_pkl=b"\x80\x02cnumpy\ndtype\nK\x01\x85R."), r"pickled objects \(numpy\.dtype\)"),
        (repacked(data_pkl=b"\x80\x02" + b"]" * NESTED + b"a" * (NESTED - 1) + b"."), "no tensors by name"),
        (repacked(data_pkl=b"\x80\x02" + b"]r\xff\xff\xff\x7f" * NESTED + b"."), "no tensors by name"),
        (repacked(**{"0": b""}), "damaged"),
    ],
    ids=["zip", "deflated", "script", "allocation", "numpy", "nested", "memo", "short"],
)
def test_read_says_what_an_archive_is_instead(tmp_path: Path, data: bytes, says: str) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(data)
    with pytest.raises(BadCheckpoint, match=says) as caught:
        pretrained.read(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("nested", [b")" + b"\x85" * 10**6, b"(" * 10**6 + b"t" * 10**6], ids=["1", "marks"])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_read_refuses_a_key_whose_hash_would_end_the_process(
    tmp_path: Path, nested: bytes, zipped: bool
) -> None:
    deep = b"\x80\x02}" + nested + b"K\x01s."
    legacy = torch_bytes(STATE, zipped=False)
    path = tmp_path / "w.pth"
    # the objects follow three small pickles: a number, a version and this machine's
    path.write_bytes(repacked(data_pkl=deep) if zipped else pickle.dumps(1, 2) * 3 + deep + legacy)
    with pytest.raises(BadCheckpoint, match="more than 50,000 tuples"):
        pretrained.read(str(path))


def test_read_refuses_the_name_of_an_object_that_is_longer_than_any(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(repacked(data_pkl=b"\x80\x02ctorch." + b"A" * 10**5 + b"\nx\n."))
    with pytest.raises(BadCheckpoint, match="holds pickled objects, which may run code"):
        pretrained.read(str(path))


@pytest.mark.filterwarnings("ignore")
def test_read_refuses_torchscript_and_nested_tensors(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), str(tmp_path / "script.pt"))
    with pytest.raises(BadCheckpoint, match=r"TorchScript.*save its state_dict\(\)"):
        pretrained.read(str(tmp_path / "script.pt"))
    ragged = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])
    with pytest.raises(BadCheckpoint, match="tensor a is nested"):
        pretrained.read(saved(tmp_path / "w.pth", {"a": ragged}))


@given(st.binary(min_size=1, max_size=60))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_read_refuses_random_bytes(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "w.pth").write_bytes(data)
    with pytest.raises(BadCheckpoint):
        pretrained.read(str(tmp_path / "w.pth"))


LEGACY = torch_bytes(STATE, zipped=False)


@given(st.integers(0, len(LEGACY) - 1), st.integers(0, 255))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_read_of_a_flipped_byte_raises_only_our_errors(tmp_path: Path, place: int, value: int) -> None:
    data = bytearray(LEGACY)
    data[place] = value
    (tmp_path / "w.pth").write_bytes(data)
    found = outcome(BadCheckpoint, lambda: tensors_of(str(tmp_path / "w.pth")))
    if isinstance(found, BadCheckpoint):
        assert "\n" not in str(found)
    else:
        assert all(isinstance(tensor, Tensor) for tensor in found.values())


def test_read_names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(BadCheckpoint, match="no such file"):
        pretrained.read(str(tmp_path / "none.pth"))
