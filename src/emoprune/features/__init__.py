"""DESCRIPTORS: every way to describe a gray picture by numbers, known by name before numpy is imported."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Descriptor:
    """A function named `module:function`, imported when it is first needed, and what it tells."""

    place: str
    meaning: str

    def function(self) -> Callable[[NDArray[np.generic]], NDArray[np.float64]]:
        """From one gray picture (height, width), as `gray.unit_gray` takes it, to its numbers (features,)."""
        module, _, name = self.place.partition(":")
        found: Callable[[NDArray[np.generic]], NDArray[np.float64]] = getattr(import_module(module), name)
        return found


DESCRIPTORS: dict[str, Descriptor] = {
    "lpq": Descriptor(
        "emoprune.features.lpq:lpq",
        "local phase quantization, 256 numbers (Ojansivu & Heikkila 2008)",
    ),
    "phog": Descriptor(
        "emoprune.features.phog:phog",
        "edge orientations in a pyramid of cells, 680 numbers (Bosch, Zisserman & Munoz 2007)",
    ),
}
