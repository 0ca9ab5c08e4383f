"""One drawn face in one busy scene."""

import numpy as np
from PIL import Image, ImageFilter

from emoprune.synthetic_faces import head
from emoprune.synthetic_faces.appearance import sample_person
from emoprune.synthetic_faces.background import draw_backdrop
from emoprune.synthetic_faces.canvas import Canvas, Pose
from emoprune.synthetic_faces.expression import perform, sample_manner
from emoprune.synthetic_faces.eyes import draw_brow, draw_eye
from emoprune.synthetic_faces.lighting import light_person, sample_light
from emoprune.synthetic_faces.mouth import draw_mouth

SMALL = (150, 140)
"""Size of the scene around a single face."""
FRAMED, SHIFTED = (0.5, 1.6), 0.3
"""Half the side of a face's square, and how far it may be off the middle, in halves of the head's height."""


def draw_scene(
    emotion: str, *, generator: np.random.Generator, size: tuple[int, int] = (360, 288)
) -> Image.Image:
    """Draw one face showing an emotion somewhere in a busy scene; it depends on generator and emotion only.

    The image is RGB of size (width, height) in pixels. The same generator state gives the same pixels, and
    the same person, pose and background for every emotion. KeyError if emotion is not in EMOTIONS.
    """
    return _draw(emotion, sample_pose(size, generator), generator, size)


def draw_face(emotion: str, *, generator: np.random.Generator) -> Image.Image:
    """Draw one face as crops of many detectors would show it, from half of it to all with shoulders.

    The image is RGB and square. The same generator state gives the same pixels. KeyError as above.
    """
    pose = sample_pose(SMALL, generator)
    scene = _draw(emotion, pose, generator, SMALL)
    half = min(pose.unit * generator.uniform(*FRAMED), min(SMALL) / 2)
    shifts = pose.unit * generator.uniform(-SHIFTED, SHIFTED, 2)
    centers = np.add((pose.center_x, pose.center_y), shifts)
    left, top = (
        round(float(np.clip(center, half, side - half) - half))
        for center, side in zip(centers, SMALL, strict=True)
    )
    side = round(2 * half)
    return scene.crop((left, top, left + side, top + side))


def _draw(emotion: str, pose: Pose, generator: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    person, manner, light = sample_person(generator), sample_manner(generator), sample_light(generator)
    face = perform(emotion, manner)
    backdrop = np.asarray(draw_backdrop(size, generator), dtype=np.float32)
    canvas = Canvas(size, pose)
    head.draw_back_hair(canvas, person)
    head.draw_body(canvas, person)
    head.draw_skull(canvas, person, face)
    head.draw_skin_lines(canvas, person, face)
    head.draw_nose(canvas, person, face)
    draw_mouth(canvas, person, face, manner)
    for side in (-1, 1):
        draw_eye(canvas, person, face, manner, side)
        draw_brow(canvas, person, face, manner, side)
    head.draw_front_hair(canvas, person)
    head.draw_glasses(canvas, person)
    layer = canvas.flatten()
    scene = backdrop * (1.0 - layer[..., 3:] / 255.0) + light_person(layer, pose, face, light)
    focus, noise, exposure = (generator.uniform(*limits) for limits in ((0.1, 0.8), (1, 4), (0.88, 1.08)))
    sharp = Image.fromarray(np.clip(scene, 0, 255).astype(np.uint8))
    blurred = np.asarray(sharp.filter(ImageFilter.BoxBlur(focus)), dtype=np.float32)
    grain = generator.standard_normal((*blurred.shape[:2], 1), dtype=np.float32)
    return Image.fromarray(np.clip(exposure * blurred + noise * grain, 0, 255).astype(np.uint8))


def sample_pose(size: tuple[int, int], generator: np.random.Generator) -> Pose:
    """Draw where the head stands, so that all of it is inside a scene of size (width, height)."""
    width, height = size
    unit = min(0.5 * height * generator.uniform(0.5, 0.74), width / 2.1)
    margin_x, margin_top, margin_bottom = 1.02 * unit, 1.18 * unit, 1.17 * unit
    return Pose(
        center_x=_between(margin_x, width - margin_x, generator),
        center_y=_between(margin_top, height - margin_bottom, generator),
        unit=unit,
        roll=generator.triangular(-0.27, 0.0, 0.27),
        yaw=generator.triangular(-0.3, 0.0, 0.3),
        pitch=generator.triangular(-0.13, 0.0, 0.13),
    )


def _between(low: float, high: float, generator: np.random.Generator) -> float:
    return low + (max(low, high) - low) * generator.random()
