"""The kinds of features by name, known before torch and numpy are imported."""

from __future__ import annotations

DESCRIPTORS = {
    "lpq": "local phase quantization, 256 numbers (Ojansivu & Heikkila 2008)",
    "phog": "edge orientations in a pyramid of cells, 680 numbers (Bosch, Zisserman & Munoz 2007)",
}
"""Ways to describe a gray picture."""

OF_A_NETWORK = {
    "deep": "the input of a network's output layer",
    "backbone": "the input of a network's head, before any dense layer of its own",
}

KINDS = {
    "pixels": "the resized picture in 0..1, plane by plane",
    **OF_A_NETWORK,
    **{name: f"{meaning}, of the gray picture" for name, meaning in DESCRIPTORS.items()},
}
