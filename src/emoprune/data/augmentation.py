"""AUGMENTATIONS: random changes of training images that keep the expression, by name, without torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from emoprune.errors import UsageFault


@dataclass(frozen=True)
class Augmentation:
    """One kind of change; its strength lies above 0 and up to `up_to`."""

    default: float
    up_to: float
    meaning: str


AUGMENTATIONS: dict[str, Augmentation] = {
    "flip": Augmentation(0.5, 1, "mirror left to right with this probability"),
    "rotate": Augmentation(15, 180, "turn by up to this many degrees either way"),
    "crop": Augmentation(0.9, 1, "cut out a square anywhere, with a side of this fraction up to all"),
    "shift": Augmentation(0.1, 1, "move by up to this fraction of the side either way"),
    "brightness": Augmentation(0.2, 1, "add up to this fraction of full brightness either way"),
    "contrast": Augmentation(0.2, 1, "multiply contrast by 1 plus or minus up to this"),
    "trivial": Augmentation(1, 1, "TrivialAugment, one change of any strength, with this probability"),
    "erase": Augmentation(0.25, 1, "blank a rectangle with this probability"),
}


def parse_augmentations(texts: Sequence[str]) -> dict[str, float]:
    """Strengths by name from `["flip", "rotate:15,crop"]`, or none from `["none"]`.

    Raises UsageFault for an unknown name or strength.
    """
    chosen: dict[str, float] = {}
    if list(texts) == ["none"]:
        return chosen
    for text in ",".join(texts).split(",") if texts else ():
        name, _, strength = text.partition(":")
        kind = AUGMENTATIONS.get(name)
        if kind is None:
            raise UsageFault(f"`augment={text}` is unknown", f"choose from {', '.join(AUGMENTATIONS)}")
        try:
            value = float(strength) if strength else kind.default
        except ValueError:
            value = math.nan
        if not 0 < value <= kind.up_to:
            fact = f"`augment={text}`: its strength is not a number above 0 up to {kind.up_to:g}"
            raise UsageFault(fact, f"write {name}:{kind.default:g}")
        chosen[name] = value
    return chosen
