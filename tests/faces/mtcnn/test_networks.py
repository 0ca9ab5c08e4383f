import pytest
import torch
from facenet_pytorch import MTCNN
from torch.nn.functional import max_pool2d

from emoprune.faces.mtcnn import Networks
from emoprune.faces.mtcnn.networks import MaxPool


def pictures(count: int, rows: int, columns: int) -> torch.Tensor:
    return torch.rand(count, rows, columns, 3, generator=torch.Generator().manual_seed(rows)) * 2 - 1


@pytest.mark.parametrize("shape", [(12, 12), (11, 13), (40, 61), (37, 90)])
def test_the_first_network_answers_as_facenets(
    networks: Networks, mtcnn: MTCNN, shape: tuple[int, int]
) -> None:
    x = pictures(1, *shape)
    shares, probabilities = mtcnn.pnet(x.permute(0, 3, 1, 2))
    likely, ours = networks.propose(x)
    assert torch.allclose(likely, probabilities[:, 1], atol=1e-5)
    assert torch.allclose(ours, shares.permute(0, 2, 3, 1), atol=1e-5)


def test_the_second_network_answers_as_facenets(networks: Networks, mtcnn: MTCNN) -> None:
    x = pictures(5, 24, 24)
    shares, probabilities = mtcnn.rnet(x.permute(0, 3, 1, 2))
    likely, ours = networks.refine(x)
    assert torch.allclose(likely, probabilities[:, 1], atol=1e-5)
    assert torch.allclose(ours, shares, atol=1e-5)


def test_the_third_network_answers_as_facenets(networks: Networks, mtcnn: MTCNN) -> None:
    x = pictures(5, 48, 48)
    shares, points, probabilities = mtcnn.onet(x.permute(0, 3, 1, 2))
    likely, ours = networks.decide(x)
    assert torch.allclose(likely, probabilities[:, 1], atol=1e-5)
    assert torch.allclose(ours, torch.cat([shares, points], dim=1), atol=1e-5)


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("rows", [3, 4, 5, 8, 11])
@pytest.mark.parametrize("columns", [3, 6, 7])
def test_maxima_are_torchs(size: int, rows: int, columns: int) -> None:
    x = torch.randn(2, 5, rows, columns).contiguous(memory_format=torch.channels_last)
    assert torch.equal(MaxPool(size)(x), max_pool2d(x, size, 2, ceil_mode=True))
