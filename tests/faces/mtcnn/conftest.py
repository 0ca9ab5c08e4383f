import pytest
import torch
from facenet_pytorch import MTCNN

from emoprune.faces.mtcnn import Networks


@pytest.fixture(scope="session")
def mtcnn() -> MTCNN:
    """What our driver is held against."""
    return MTCNN(keep_all=True)


@pytest.fixture(scope="session")
def networks(mtcnn: MTCNN) -> Networks:
    """Our networks with the weights of `mtcnn`."""
    weights = {name: getattr(mtcnn, name).state_dict() for name in ("pnet", "rnet", "onet")}
    return Networks.from_weights(weights, torch.device("cpu"))
