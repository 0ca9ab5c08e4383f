import io
import os
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

import pytest
import torch
from torchvision import models

from emoprune.errors import Unavailable
from emoprune.networks.pretrained import imagenet_weights


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has downloaded nothing yet, and cannot by accident."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setattr("torch.hub.urlopen", refusing(URLError("no test goes to the network")))


def refusing(error: Exception) -> Any:
    def urlopen(*_: object, **__: object) -> None:
        raise error

    return urlopen


class Answer(io.BytesIO):
    """What a server sent."""

    def info(self) -> Message:
        headers = Message()
        headers["Content-Length"] = str(len(self.getvalue()))
        return headers


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (URLError(OSError(-2, "Name or service not known")), "Name or service not known"),
        (HTTPError("http://x", 503, "Service Unavailable", Message(), None), "Service Unavailable"),
        (TimeoutError("timed out"), "timed out"),
        (ConnectionResetError(104, "Connection reset by peer"), "Connection reset by peer"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("arch", ["resnet18", "mobilenet_v3_small"])
def test_without_a_network_the_fault_says_what_why_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, arch: str, error: Exception, reason: str
) -> None:
    monkeypatch.setattr("torch.hub.urlopen", refusing(error))
    with pytest.raises(Unavailable) as caught:
        imagenet_weights(arch, progress=False)
    assert arch in caught.value.fact
    assert reason in caught.value.fact
    assert "--weights" in caught.value.remedy
    assert caught.value.place == models.get_model_weights(arch).DEFAULT.url
    assert "\n" not in str(caught.value)


def test_a_download_of_other_bytes_is_not_used_nor_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("torch.hub.urlopen", lambda *_, **__: Answer(b"<html>please log in</html>"))
    with pytest.raises(Unavailable, match="hash"):
        imagenet_weights("resnet18", progress=False)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("damaged", [b"", b"hello world", b"PK\3\4" + b"\0" * 40])
def test_a_damaged_file_in_the_cache_is_named(tmp_path: Path, damaged: bytes) -> None:
    url = models.get_model_weights("resnet18").DEFAULT.url
    cached = tmp_path / "hub" / "checkpoints" / url.rpartition("/")[2]
    cached.parent.mkdir(parents=True)
    cached.write_bytes(damaged)
    with pytest.raises(Unavailable, match="resnet18") as caught:
        imagenet_weights("resnet18", progress=False)
    assert "\n" not in str(caught.value)


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.folder),))


def test_a_file_in_the_cache_that_would_run_code_does_not_run(tmp_path: Path) -> None:
    url = models.get_model_weights("resnet18").DEFAULT.url
    cached = tmp_path / "hub" / "checkpoints" / url.rpartition("/")[2]
    cached.parent.mkdir(parents=True)
    torch.save(Trap(tmp_path / "sprung"), cached)
    with pytest.raises(Unavailable):
        imagenet_weights("resnet18", progress=False)
    assert not (tmp_path / "sprung").exists()


def test_what_the_cache_holds_is_used_without_a_network(tmp_path: Path) -> None:
    url = models.get_model_weights("squeezenet1_1").DEFAULT.url
    cached = tmp_path / "hub" / "checkpoints" / url.rpartition("/")[2]
    cached.parent.mkdir(parents=True)
    torch.save({"a": torch.arange(3.0)}, cached)
    found = imagenet_weights("squeezenet1_1", progress=False)
    assert found.keys() == {"a"}
    assert torch.equal(found["a"], torch.arange(3.0))
