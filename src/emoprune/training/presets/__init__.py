"""PRESETS: the systems of the papers, as defaults of a training; each is a TOML file beside this one."""

from __future__ import annotations

from emoprune.training.settings_files import Shipped

PRESETS = Shipped(
    "presets",
    (
        "dhall2011-svm",
        "jain2020-ff",
        "jain2020-conv1",
        "jain2020-conv2",
        "jain2020-alexnet",
        "jain2020-vgg13",
        "jain2020-resnet18",
        "jain2020-resnet50",
        "jain2020-resnet152",
        "zhang2020-alexnet",
        "zhang2020-vgg",
        "luan2020-autoencoder",
        "luan2020-lenet",
        "elazar2020-resnet18",
        "wright2019-ff",
        "wright2019-cnn",
    ),
)
