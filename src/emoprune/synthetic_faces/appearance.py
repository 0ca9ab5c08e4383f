"""What one person looks like, apart from any expression."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from emoprune.synthetic_faces.canvas import Color, mix

Option = TypeVar("Option")

SKIN_TONES: tuple[Color, ...] = (
    (250, 216, 190), (243, 203, 172), (233, 188, 152), (220, 172, 136),
    (202, 150, 112), (176, 122, 88), (146, 98, 70), (116, 78, 58),
)  # fmt: skip
HAIR_COLORS: tuple[Color, ...] = (
    (30, 24, 24), (48, 34, 28), (78, 52, 36), (112, 72, 44), (146, 92, 52),
    (188, 142, 84), (214, 178, 122), (150, 66, 36), (150, 148, 150),
)  # fmt: skip
IRIS_COLORS: tuple[Color, ...] = (
    (72, 46, 30), (96, 62, 36), (120, 90, 48), (70, 104, 74), (70, 112, 150), (98, 120, 136),
)  # fmt: skip
CLOTHES: tuple[Color, ...] = (
    (52, 78, 120), (150, 60, 62), (70, 110, 88), (226, 222, 212), (58, 60, 68), (206, 156, 76),
    (120, 88, 140),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class HairStyle:
    """A cut: hairline knots from the left temple to the right, volume, length behind, curliness."""

    hairline: tuple[tuple[float, float], ...]
    volume: float = 1.06
    length: float = 0.0
    curl: float = 0.0


HAIR_STYLES: dict[str, HairStyle] = {
    "crop": HairStyle(((-0.66, -0.3), (-0.5, -0.56), (0.0, -0.63), (0.5, -0.56), (0.66, -0.3))),
    "swept": HairStyle(((-0.68, -0.2), (-0.58, -0.5), (-0.36, -0.74), (0.1, -0.55), (0.55, -0.48),
                        (0.68, -0.2)), 1.1),
    "fringe": HairStyle(((-0.7, -0.1), (-0.6, -0.46), (-0.3, -0.53), (0.0, -0.5), (0.3, -0.53),
                         (0.6, -0.46), (0.7, -0.1)), 1.1, 0.55),
    "long": HairStyle(((-0.72, 0.1), (-0.6, -0.4), (-0.15, -0.76), (0.4, -0.56), (0.66, -0.25),
                       (0.72, 0.1)), 1.12, 1.25),
    "bob": HairStyle(((-0.72, 0.15), (-0.62, -0.35), (0.2, -0.74), (0.62, -0.4), (0.72, 0.15)), 1.13, 0.75),
    "curly": HairStyle(((-0.7, -0.2), (-0.6, -0.58), (0.0, -0.72), (0.6, -0.58), (0.7, -0.2)),
                       1.14, 0.3, 0.12),
    "receding": HairStyle(((-0.69, -0.2), (-0.6, -0.58), (-0.3, -0.78), (0.0, -0.7), (0.3, -0.78),
                           (0.6, -0.58), (0.69, -0.2)), 1.03),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Person:
    """One person: colors, proportions in face units (or as factors near 1), hair and glasses."""

    skin: Color
    hair: Color
    iris: Color
    lips: Color
    clothes: Color
    style: HairStyle
    parting: int
    cheek_width: float
    jaw_width: float
    eye_spacing: float
    eye_width: float
    eye_tilt: float
    brow_weight: float
    nose_width: float
    nose_length: float
    mouth_scale: float
    gaze: tuple[float, float]
    glasses: float
    strands: NDArray[np.float64]

    @property
    def line(self) -> Color:
        """The color of creases and contours on this skin."""
        return mix(self.skin, (64, 24, 20), 0.72)


def sample_person(generator: np.random.Generator) -> Person:
    """Draw a person from generator."""
    skin = _jittered(_pick(SKIN_TONES, generator), 6.0, generator)
    # on dark skin light brows would vanish, and the expression with them
    darkening = float(np.clip((205 - skin[0]) / 100, 0.0, 0.85))
    return Person(
        skin=skin,
        hair=_jittered(mix(_pick(HAIR_COLORS, generator), HAIR_COLORS[0], darkening), 5.0, generator),
        iris=_jittered(_pick(IRIS_COLORS, generator), 6.0, generator),
        lips=mix(skin, (168, 44, 56), generator.uniform(0.32, 0.6)),
        clothes=_jittered(_pick(CLOTHES, generator), 12.0, generator),
        style=_pick(tuple(HAIR_STYLES.values()), generator),
        parting=1 if generator.random() < 0.5 else -1,
        cheek_width=generator.uniform(0.94, 1.04),
        jaw_width=generator.uniform(0.88, 1.1),
        eye_spacing=generator.uniform(0.295, 0.335),
        eye_width=generator.uniform(0.155, 0.18),
        eye_tilt=generator.uniform(-0.01, 0.03),
        brow_weight=generator.uniform(0.8, 1.2),
        nose_width=generator.uniform(0.85, 1.25),
        nose_length=generator.uniform(-0.03, 0.03),
        mouth_scale=generator.uniform(0.93, 1.08),
        gaze=(generator.normal(0.0, 0.018), generator.normal(0.0, 0.006)),
        glasses=generator.random(),
        strands=generator.random((26, 3)),
    )


def _pick(options: tuple[Option, ...], generator: np.random.Generator) -> Option:
    return options[int(generator.integers(len(options)))]


def _jittered(color: Color, spread: float, generator: np.random.Generator) -> Color:
    offsets = generator.normal(0.0, spread) + generator.normal(0.0, 0.3 * spread, 3)
    red, green, blue = (int(np.clip(c + o, 0, 255)) for c, o in zip(color, offsets, strict=True))
    return red, green, blue
