"""Weights that torchvision publishes: fetched, refused when damaged, and the pictures they are for."""

import io
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

import pytest
import torch
from torch import Tensor
from torchvision import models

from emoprune.errors import Unavailable
from emoprune.networks.sources import torchvision_networks
from emoprune.networks.sources.torchvision_networks import pictures
from emoprune.networks.types import Spec
from tests.networks.weights.test_pretrained import Trap


def published(arch: str) -> dict[str, Tensor]:
    return torchvision_networks.published(Spec(arch, 3, (3, 64, 64)), "imagenet", progress=False)


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
def test_published_say_why_they_cannot_be_fetched(
    monkeypatch: pytest.MonkeyPatch, arch: str, error: Exception, reason: str
) -> None:
    monkeypatch.setattr("torch.hub.urlopen", refusing(error))
    with pytest.raises(Unavailable) as caught:
        published(arch)
    assert arch in caught.value.fact
    assert reason in caught.value.fact
    assert "`weights=PATH`" in caught.value.remedy
    assert caught.value.place == models.get_model_weights(arch).DEFAULT.url
    assert "\n" not in str(caught.value)


def test_published_drop_a_download_of_other_bytes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("torch.hub.urlopen", lambda *_, **__: Answer(b"<html>please log in</html>"))
    with pytest.raises(Unavailable, match="hash"):
        published("resnet18")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("damaged", [b"", b"hello world", b"PK\3\4" + b"\0" * 40])
def test_published_name_a_damaged_file_in_the_cache(tmp_path: Path, damaged: bytes) -> None:
    url = models.get_model_weights("resnet18").DEFAULT.url
    cached = tmp_path / "hub" / "checkpoints" / url.rpartition("/")[2]
    cached.parent.mkdir(parents=True)
    cached.write_bytes(damaged)
    with pytest.raises(Unavailable, match="cached ImageNet weights of resnet18 are damaged") as caught:
        published("resnet18")
    assert "\n" not in str(caught.value)


def test_published_run_no_code_from_the_cache(tmp_path: Path) -> None:
    url = models.get_model_weights("resnet18").DEFAULT.url
    cached = tmp_path / "hub" / "checkpoints" / url.rpartition("/")[2]
    cached.parent.mkdir(parents=True)
    torch.save(Trap(tmp_path / "sprung"), cached)
    with pytest.raises(Unavailable):
        published("resnet18")
    assert not (tmp_path / "sprung").exists()


def test_published_come_from_the_cache(tmp_path: Path) -> None:
    url = models.get_model_weights("squeezenet1_1").DEFAULT.url
    cached = tmp_path / "hub" / "checkpoints" / url.rpartition("/")[2]
    cached.parent.mkdir(parents=True)
    torch.save({"a": torch.arange(3.0)}, cached)
    found = published("squeezenet1_1")
    assert found.keys() == {"a"}
    assert torch.equal(found["a"], torch.arange(3.0))


def test_pictures_are_those_of_the_default_weights() -> None:
    assert pictures("efficientnet_v2_l", "imagenet") == ((480, 480), (0.5,) * 3, (0.5,) * 3)
    assert pictures("resnet18", "imagenet") == ((224, 224), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_pictures_are_those_of_the_entry_whose_file_has_the_name() -> None:
    found = pictures("vgg16", "there/vgg16_features-amdegroot-88682ab5.pth")
    assert found == ((224, 224), (0.48235, 0.45882, 0.40784), (1 / 255,) * 3)
    assert pictures("vgg16", "vgg16.pth") is None
    assert pictures("vgg19", "vgg16_features-amdegroot-88682ab5.pth") is None
