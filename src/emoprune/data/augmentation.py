"""AUGMENTATIONS: random changes of training images that leave the expression alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from emoprune.errors import UsageFault


@dataclass(frozen=True)
class Augmentation:
    """One kind of change: `default` and the open-closed range of its strength, and what it does."""

    default: float
    above: float
    up_to: float
    meaning: str


AUGMENTATIONS: dict[str, Augmentation] = {
    "flip": Augmentation(0.5, 0, 1, "mirror left to right with this probability"),
    "rotate": Augmentation(15, 0, 180, "turn by up to this many degrees either way"),
    "crop": Augmentation(0.9, 0, 1, "cut out a square of this share of the side up to all, anywhere"),
    "shift": Augmentation(0.1, 0, 1, "move by up to this share of the side either way"),
    "brightness": Augmentation(0.2, 0, 1, "add up to this share of full brightness either way"),
    "contrast": Augmentation(0.2, 0, 1, "multiply contrast by 1 plus or minus up to this"),
}


def parse_augmentations(texts: Sequence[str]) -> dict[str, float]:
    """`["flip", "rotate:15,crop"]` as names and strengths; raises UsageFault for what is not in the table.

    `["none"]` is none, whatever a preset says.
    """
    chosen: dict[str, float] = {}
    if list(texts) == ["none"]:
        return chosen
    for text in ",".join(texts).split(",") if texts else ():
        name, _, strength = text.partition(":")
        kind = AUGMENTATIONS.get(name)
        if kind is None:
            raise UsageFault(f"--augment {text}: unknown", f"choose from {', '.join(AUGMENTATIONS)}")
        try:
            value = float(strength) if strength else kind.default
        except ValueError:
            value = math.nan
        if not kind.above < value <= kind.up_to:
            raise UsageFault(
                f"--augment {text}: its strength is no number above {kind.above:g} up to {kind.up_to:g}",
                f"write {name}:{kind.default:g}",
            )
        chosen[name] = value
    return chosen
