"""facenet-pytorch's InceptionResnetV1, and its weights, which tell faces apart."""

from __future__ import annotations

import io
from contextlib import nullcontext, redirect_stderr

from torch import Tensor, nn

from emoprune.errors import Unavailable
from emoprune.networks.types import PictureInput, Spec

PEOPLE = {"vggface2": 8631, "casia-webface": 10575}
"""Whom the published weights tell apart: rows of their output layer."""
SCALE = 128 / 255
"""Pixels were scaled as (x - 127.5) / 128."""


def _network(classes: int) -> nn.Module:
    from facenet_pytorch.models.inception_resnet_v1 import InceptionResnetV1

    net: nn.Module = InceptionResnetV1(classify=True, num_classes=classes)
    return net


def build(spec: Spec) -> nn.Module:
    """The network as a classifier."""
    return _network(spec.classes)


def published(spec: Spec, weights: str, *, progress: bool) -> dict[str, Tensor]:
    """The tensors that the library fetches; Unavailable if it cannot."""
    from facenet_pytorch.models.inception_resnet_v1 import load_weights

    net = _network(PEOPLE[weights])
    try:
        # it draws its progress, also where no terminal shows it
        with nullcontext() if progress else redirect_stderr(io.StringIO()):
            load_weights(net, weights)
    except Exception as error:
        if isinstance(error, OSError):
            fact = f"{weights} weights of {spec.arch} cannot be fetched ({getattr(error, 'reason', error)})"
            raise Unavailable(fact, "give a file of them: `weights=PATH`") from error
        # torch's unpickler raises anything for damaged bytes
        fact = f"the cached {weights} weights of {spec.arch} are damaged"
        raise Unavailable(fact, "remove them from torch's cache") from error
    return net.state_dict()


def pictures(arch: str, weights: str) -> PictureInput | None:
    """The pictures that it was trained for, whoever is on them."""
    return (160, 160), (0.5,) * 3, (SCALE,) * 3
