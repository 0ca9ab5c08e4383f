"""facenet-pytorch's network as a classifier, and its weights."""

import os
from pathlib import Path
from urllib.error import URLError

import pytest
import torch

from emoprune.errors import Unavailable
from emoprune.networks import build, inputs
from emoprune.networks.sources import facenet_networks
from emoprune.networks.types import Spec

SPEC = Spec("inception_resnet_v1", 3, (3, 75, 75))
FILE = "20180402-114759-vggface2.pt"


@pytest.fixture(autouse=True)
def _no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise URLError(OSError(-2, "Name or service not known"))

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("facenet_pytorch.models.utils.download.urlopen", refuse)


def test_pictures_are_scaled_as_the_library_scales_them() -> None:
    found = facenet_networks.pictures("inception_resnet_v1", "vggface2")
    assert found is not None
    size, (mean, *_), (std, *_) = found
    assert size == (160, 160)
    pixels = torch.arange(256.0)
    torch.testing.assert_close((pixels / 255 - mean) / std, (pixels - 127.5) / 128)


def test_published_says_why_weights_cannot_be_fetched(capsys: pytest.CaptureFixture[str]) -> None:
    says = r"vggface2 weights of inception_resnet_v1 cannot be fetched .*not known\); .*`weights=PATH`"
    with pytest.raises(Unavailable, match=says) as caught:
        facenet_networks.published(SPEC, "vggface2", progress=False)
    assert "\n" not in str(caught.value)
    assert capsys.readouterr() == ("", "")


def test_published_names_a_damaged_file_in_the_cache() -> None:
    cached = Path(os.environ["TORCH_HOME"]) / "checkpoints" / FILE
    cached.parent.mkdir()
    cached.write_bytes(b"<html>")
    with pytest.raises(Unavailable, match="the cached vggface2 weights of inception_resnet_v1 are damaged"):
        facenet_networks.published(SPEC, "vggface2", progress=False)


def test_published_weights_fill_all_but_the_head(
    monkeypatch: pytest.MonkeyPatch, told: pytest.LogCaptureFixture
) -> None:
    people = facenet_networks.PEOPLE["vggface2"]
    state = {
        **build.build(SPEC).state_dict(),
        "logits.weight": torch.zeros(people, 512),
        "logits.bias": torch.zeros(people),
    }
    monkeypatch.setattr(facenet_networks, "published", lambda *_, **__: state)
    net, made = inputs.pretrained(SPEC, "vggface2", seed=1, classes=("a", "b", "c"))
    own = net.state_dict()
    assert made is not None
    assert (made.fresh, made.fault) == (("logits",), None)
    assert all(torch.equal(own[name], state[name]) for name in own if not name.startswith("logits."))
    assert told.messages == []
