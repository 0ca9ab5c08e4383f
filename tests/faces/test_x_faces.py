import pytest
import torch
from facenet_pytorch.models.mtcnn import ONet, PNet, RNet

from emoprune.errors import Unavailable
from emoprune.faces import detector
from emoprune.faces.detector import mtcnn_weights


def test_the_weights_are_those_of_the_installed_package() -> None:
    found = mtcnn_weights()
    assert set(found) == {"pnet", "rnet", "onet"}
    for name, network in {"pnet": PNet(), "rnet": RNet(), "onet": ONet()}.items():
        assert found[name].keys() == network.state_dict().keys()
        assert all(torch.equal(found[name][key], value) for key, value in network.state_dict().items())


@pytest.mark.parametrize("package", ["no_such_package_of_faces", "numpy"])
def test_a_package_that_is_not_there_or_has_no_weights_is_named(
    monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setattr(detector, "PACKAGE", package)
    with pytest.raises(Unavailable, match="facenet-pytorch"):
        mtcnn_weights()
