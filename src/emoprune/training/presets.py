"""PRESETS: the systems of the papers, as defaults of a training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from emoprune.choices import Kind


@dataclass(frozen=True)
class Preset:
    """What a paper trained; `settings` are those of TrainConfig by name, `data` is what the network reads.

    `source` says where the paper describes it, `ours` what the paper leaves open and we chose.
    """

    source: str
    data: Kind
    settings: Mapping[str, Any]
    ours: str = ""


_JAIN_HEAD = {"hidden": (200,), "activation": "sigmoid"}
_JAIN_TRAINING = {"optimizer": "adam", "lr": 1e-3, "epochs": 50, "split": "80/20"}


def _jain_frozen(arch: str) -> Preset:
    return Preset(
        "jain2020, sections 2.2 to 2.5",
        "image",
        {"arch": arch, "size": "224", "augment": ("flip", "rotate:15"), "freeze": "backbone"}
        | _JAIN_HEAD
        | _JAIN_TRAINING,
        "optimizer (adam, as of its feed-forward network), batch size (32), turns (15 degrees)",
    )


def _jain_conv(arch: str) -> Preset:
    return Preset(
        "jain2020, section 2.3",
        "image",
        {"arch": arch, "size": "48"} | _JAIN_HEAD | _JAIN_TRAINING,
        "channels, kernels, input size, batch size; head, rate, epochs and split are those of its AlexNet",
    )


def _zhang(arch: str, lr: float) -> Preset:
    return Preset(
        "zhang2020, sections 2.1 and 2.2",
        "image",
        {"arch": arch, "size": "576x720", "mean": "0.5", "std": "0.5", "activation": "sigmoid"}
        | {"optimizer": "sgd", "momentum": 0.9, "lr": lr, "batch_size": 128, "epochs": 10, "split": "80/20"},
        "optimizer (sgd and its momentum, as of the AlexNet and VGG that it modifies), first weights "
        "(normal, with gains of 1.4 for convolutions, 8 for dense layers, 1 for the last), padding of the "
        "convolutions",
    )


PRESETS: dict[str, Preset] = {
    "dhall2011-svm": Preset(
        "Dhall et al. 2011",
        "table",
        {"arch": "svm", "scale": "minmax", "split": "346/329"},
        "kernel (radial basis), its width and the penalty: scikit-learn's usual ones",
    ),
    "jain2020-ff": Preset(
        "jain2020, section 2.1",
        "table",
        {"arch": "mlp", "hidden": (20,), "activation": "relu", "scale": "minmax"}
        | {"optimizer": "adam", "lr": 0.04, "epochs": 500, "batch_size": 0, "split": "346/329"},
        "batch size (the whole training part)",
    ),
    "jain2020-conv1": _jain_conv("conv1"),
    "jain2020-conv2": _jain_conv("conv2"),
    **{
        f"jain2020-{arch}": _jain_frozen(arch)
        for arch in ("alexnet", "vgg13", "resnet18", "resnet50", "resnet152")
    },
    "zhang2020-alexnet": _zhang("zhang_alexnet", 5e-4),
    "zhang2020-vgg": _zhang("zhang_vgg", 1e-3),
    "luan2020-autoencoder": Preset(
        "luan2020, section 2.1",
        "table",
        {"arch": "autoencoder", "hidden": (10,), "activation": "sigmoid", "scale": "minmax"}
        | {"optimizer": "adam", "lr": 0.01, "epochs": 3000, "batch_size": 0, "split": "80/20"},
        "scaling, optimizer (adam), its rate, epochs, batch size (the whole training part)",
    ),
    "luan2020-lenet": Preset(
        "luan2020, section 2.2",
        "image",
        {"arch": "lenet", "channels": (16, 32), "size": "72x90", "gray": True, "mean": "0.5", "std": "0.5"}
        | {"optimizer": "adam", "lr": 1e-4, "epochs": 700, "batch_size": 0, "split": "80/20"},
        "kernels (5x5), scaling of pixels (-1 to 1), learning rate, batch size (the whole training part)",
    ),
    "elazar2020-resnet18": Preset(
        "elazar2020, section 3",
        "image",
        {"arch": "resnet18", "size": "224", "mean": "0", "std": "1"}
        | {"optimizer": "sgd", "lr": 0.02, "momentum": 0.9, "batch_size": 64, "epochs": 50}
        | {"augment": ("flip", "rotate:15", "crop:0.9"), "split": "70/15/15", "keep": "best"},
        "the training part: 75, 15 and 15 percent are more than all",
    ),
    "wright2019-ff": Preset(
        "wright2019, sections 1 and 5",
        "image",
        {"arch": "mlp", "size": "48", "gray": True, "hidden": (1000, 1000), "activation": "relu"}
        | {"optimizer": "sgd", "lr": 1e-3, "momentum": 0.5, "lr_decay": 1e-3, "batch_size": 10, "epochs": 30},
        "epochs, scaling of pixels (-1 to 1), what the decay of 0.001 counts (steps), dropout and L2 (none)",
    ),
    "wright2019-cnn": Preset(
        "wright2019, section 6",
        "image",
        {"arch": "wright_cnn", "size": "48", "gray": True, "hidden": (1024, 1024), "activation": "relu"}
        | {"dropout": 0.5, "optimizer": "sgd", "lr": 1e-3, "momentum": 0.9, "lr_decay": 1e-5}
        | {"batch_size": 32, "epochs": 50},
        "width of the dense layers (1024 each), scaling of pixels (-1 to 1)",
    ),
}
