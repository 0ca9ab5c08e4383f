"""Classifiers of timm, which need not be installed, and the weights that it publishes."""

from __future__ import annotations

import difflib
import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from typing import Any

from torch import Tensor, nn

from emoprune.errors import Unavailable, UsageFault, first_line
from emoprune.networks.heads import name_head
from emoprune.networks.registry import OF_TIMM
from emoprune.networks.types import PictureInput, Spec


def _timm() -> Any:
    try:
        import timm
    except ImportError:
        fact = "networks of timm need timm, which is not installed"
        raise Unavailable(fact, "pip install 'emoprune[timm]'") from None
    return timm


def _config(arch: str) -> Any:
    """What timm says of a network; UsageFault with the nearest names for one that it lacks."""
    timm, name = _timm(), arch.removeprefix(OF_TIMM)
    known = {*timm.list_models(include_tags=True), *timm.list_models()}
    if name not in known:
        near = difflib.get_close_matches(name, sorted(known))
        also = " or ".join(f"{OF_TIMM}{each}" for each in near)
        remedy = f"did you mean {also}?" if near else "choose from what timm.list_models() lists"
        raise UsageFault(f"timm has no network {name}", remedy)
    return timm.get_pretrained_cfg(name, allow_unregistered=False)


def _network(spec: Spec, **more: Any) -> nn.Module:
    config = _config(spec.arch)
    if config.fixed_input_size and tuple(spec.input[1:]) != tuple(config.input_size[1:]):
        more["img_size"] = spec.input[1:]
    try:
        net: nn.Module = _timm().create_model(spec.arch.removeprefix(OF_TIMM), **more)
    except (AssertionError, TypeError, ValueError) as error:
        # of networks that are made for one size
        if "img_size" not in more:
            raise
        raise refused_size(spec) from error
    return net


def refused_size(spec: Spec) -> UsageFault:
    """The fault of pictures that a network does not take."""
    _, height, width = _config(spec.arch).input_size
    fact = f"{spec.arch} does not take {spec.input[1]}x{spec.input[2]} images"
    return UsageFault(fact, f"give another `size`; its own is {height}x{width}")


def build(spec: Spec) -> nn.Module:
    """The network that timm calls as `spec` does."""
    net = _network(spec, num_classes=spec.classes)
    # several, whose answers are averaged, are a tuple
    head = net.pretrained_cfg.get("classifier")  # type: ignore[union-attr, operator]
    name_head(net, head if isinstance(head, str) else None)
    return net


def published(spec: Spec, weights: str, *, progress: bool) -> dict[str, Tensor]:
    """The tensors of the weights that the name of a network says; Unavailable if they cannot be had."""
    remedy = "give a file of them: `weights=PATH`"
    if not _config(spec.arch).has_weights:
        raise Unavailable(f"timm publishes no weights of {spec.arch}", f"{remedy}, or `weights=none`")
    try:
        with _quiet(progress=progress):
            return _network(spec, pretrained=True).state_dict()
    except UsageFault:
        raise
    except Exception as error:  # the hub's client and torch's unpickler raise anything
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        fact = f"weights of {spec.arch} cannot be fetched ({first_line(cause)})"
        raise Unavailable(fact, remedy) from error


@contextmanager
def _quiet(*, progress: bool) -> Iterator[None]:
    """Within, the hub's client does not tell of each try, and shows no progress that is not asked for."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with nullcontext() if progress else redirect_stderr(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


def pictures(arch: str, weights: str) -> PictureInput | None:
    """The pictures that a network was trained for."""
    config = _config(arch)
    _, height, width = config.input_size
    return (height, width), tuple(config.mean), tuple(config.std)
