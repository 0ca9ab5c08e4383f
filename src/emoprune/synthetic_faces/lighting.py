"""Smooth light and color over the flat-drawn head."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from emoprune.synthetic_faces.canvas import Layer, Points, Pose
from emoprune.synthetic_faces.expression import Expression

COARSE = 2
BLUSH = ((-0.42, 0.3), (0.42, 0.3), (0.0, 0.33))
FALLS = ((0.85, -0.03), (1.05, 0.13), (1.12, 0.1))
"""How each channel falls off in shadow and is dimmed by blush: light scattered under skin comes out red."""


@dataclass(frozen=True, slots=True)
class Light:
    """Where the light comes from (unit-free direction), how hard it is, and its color per channel."""

    across: float
    above: float
    contrast: float
    tint: tuple[float, float, float]


def sample_light(generator: np.random.Generator) -> Light:
    """Draw a light from above, to either side."""
    warmth = generator.uniform(-0.03, 0.06)
    return Light(
        across=generator.uniform(-0.8, 0.8),
        above=generator.uniform(0.1, 0.6),
        contrast=generator.uniform(0.7, 1.15),
        tint=(1.0 + warmth, 1.0, 1.0 - warmth),
    )


def light_person(layer: Layer, pose: Pose, face: Expression, light: Light) -> Layer:
    """The colors of a (height, width, 4) layer with light, shadow and blush on them, (height, width, 3)."""
    height, width = layer.shape[:2]
    across, down = np.meshgrid(np.arange(0, width, COARSE) + 0.5, np.arange(0, height, COARSE) + 0.5)
    x, y = pose.unproject(across, down)
    shadow = _shading(x, y, face, light)
    red = sum(_spot(x, y, spot_x, spot_y, 0.14, 0.1) for spot_x, spot_y in BLUSH)
    blush = np.asarray((0.7 + 0.4 * face.cheek_raise) * red, dtype=np.float32)
    lit = layer[..., :3].copy()
    for channel, (power, loss) in enumerate(FALLS):
        plane = light.tint[channel] * shadow**power - loss * blush
        image = Image.fromarray(plane.astype(np.float32))
        lit[..., channel] *= np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    return lit


def _shading(x: Points, y: Points, face: Expression, light: Light) -> NDArray[np.float32]:
    normal_x, normal_y = x / 0.85, (y + 0.05) / 1.2
    normal_z = np.sqrt(np.maximum(0.04, 1.0 - normal_x**2 - normal_y**2))
    length = np.sqrt(normal_x**2 + normal_y**2 + normal_z**2)
    toward = np.sqrt(light.across**2 + light.above**2 + 1.0)
    facing = (normal_x * light.across - normal_y * light.above + normal_z) / (length * toward)
    shadow = 0.98 + 0.42 * light.contrast * (facing - 0.75)
    for *spot, amount in _spots(face, light):
        shadow += light.contrast * amount * _spot(x, y, *spot)
    return np.asarray(np.clip(shadow, 0.3, 1.3), dtype=np.float32)


def _spots(face: Expression, light: Light) -> tuple[tuple[float, float, float, float, float], ...]:
    side = 1.0 if light.across > 0 else -1.0
    cheek, cheek_y = 0.07 + 0.06 * face.cheek_raise, 0.3 - 0.05 * face.cheek_raise
    return (
        (-0.29, -0.1, 0.16, 0.08, -0.2), (0.29, -0.1, 0.16, 0.08, -0.2),
        (0.0, 0.1, 0.05, 0.22, 0.12), (0.0, 0.31, 0.07, 0.06, 0.12),
        (-0.12 * side, 0.16, 0.06, 0.2, -0.2), (0.12 * side, 0.16, 0.06, 0.2, -0.06),
        (0.0, 0.44, 0.11, 0.035, -0.16), (0.0, 0.79 + face.jaw_drop, 0.16, 0.04, -0.1),
        (-0.4, cheek_y, 0.15, 0.12, cheek), (0.4, cheek_y, 0.15, 0.12, cheek),
        (0.0, 0.93 + face.jaw_drop, 0.12, 0.07, 0.06), (0.0, -0.5, 0.3, 0.14, 0.06),
    )  # fmt: skip


def _spot(x: Points, y: Points, center_x: float, center_y: float, spread_x: float, spread_y: float) -> Points:
    return np.exp(-0.5 * (((x - center_x) / spread_x) ** 2 + ((y - center_y) / spread_y) ** 2))
