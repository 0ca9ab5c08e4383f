"""Eyes and brows."""

import numpy as np

from emoprune.synthetic_faces.appearance import Person
from emoprune.synthetic_faces.canvas import Canvas, Color, Points, ellipse, mix, moved, shade, smooth
from emoprune.synthetic_faces.expression import Expression, Manner

EYE_Y = -0.01
BROW_Y = -0.245
WHITE: Color = (246, 242, 238)
DARK: Color = (22, 15, 14)


def draw_eye(canvas: Canvas, person: Person, face: Expression, manner: Manner, side: int) -> None:
    """Draw the eye on one side (-1 left of the image, 1 right) with its lids."""
    upper, lower = _lids(person, face, manner.eye_gain[int(side > 0)], side)
    canvas.fill(np.concatenate((upper, moved(upper, 0.0, -0.035)[::-1])), shade(person.skin, 0.9))
    canvas.stroke(moved(upper[1:-1], 0.0, -0.048), 0.016, mix(person.skin, person.line, 0.7))
    pouch = moved(lower[4:-4], 0.0, 0.05 - 0.01 * face.cheek_raise)
    canvas.stroke(pouch, 0.016, mix(person.skin, person.line, 0.22 + 0.4 * face.cheek_raise))
    canvas.fill(np.concatenate((upper, lower[::-1])), WHITE)
    lid_shadow = np.concatenate((upper, _between(moved(upper, 0.0, 0.03), upper, lower)[::-1]))
    canvas.fill(lid_shadow, mix(WHITE, person.line, 0.35))
    _draw_iris(canvas, person, upper, lower, side)
    canvas.stroke(lower, 0.016, mix(person.skin, person.line, 0.75))
    lashes = np.concatenate((upper, moved(upper[-1:], side * 0.03, -0.015)))
    canvas.stroke(lashes, 0.042, mix(DARK, person.line, 0.15), taper=0.75)


def _lids(person: Person, face: Expression, gain: float, side: int) -> tuple[Points, Points]:
    """The edges of the upper and the lower lid, (25, 2) each, from the inner to the outer corner."""
    across = np.linspace(-1.0, 1.0, 25)
    x = side * person.eye_spacing + side * person.eye_width * across
    line = EYE_Y - person.eye_tilt * across + 0.03 * face.lid_slant * across
    upper_arch = (1.0 - np.abs(across) ** 2.3) ** 0.8 * (1.0 - 0.55 * face.lid_slant * across)
    lower_arch = (1.0 - across**2) ** 0.9 * (1.0 + 0.12 * across)
    upper, lower = line - gain * face.lid_upper * upper_arch, line + gain * face.lid_lower * lower_arch
    return np.column_stack((x, upper)), np.column_stack((x, lower))


def _between(points: Points, upper: Points, lower: Points) -> Points:
    """The points pulled between the lids, so that what they outline shows only there."""
    order = np.argsort(upper[:, 0])
    edge = upper[order, 0]
    x = np.clip(points[:, 0], edge[0], edge[-1])
    top, bottom = (np.interp(x, edge, lid[order, 1]) for lid in (upper, lower))
    return np.column_stack((x, np.clip(points[:, 1], top, bottom)))


def _draw_iris(canvas: Canvas, person: Person, upper: Points, lower: Points, side: int) -> None:
    x, y = side * person.eye_spacing + person.gaze[0], EYE_Y + person.gaze[1] - 0.008
    glow = mix(person.iris, (255, 240, 200), 0.18)
    rings = ((0.088, shade(person.iris, 0.45)), (0.076, person.iris), (0.058, glow), (0.04, DARK))
    for radius, color in rings:
        canvas.fill(_between(ellipse(x, y, radius, radius), upper, lower), color)
    glint = ellipse(x + 0.028, y - 0.03, 0.02, 0.02, 12)
    canvas.fill(_between(glint, upper, lower), (255, 255, 255))


def draw_brow(canvas: Canvas, person: Person, face: Expression, manner: Manner, side: int) -> None:
    """Draw one eyebrow, tapering outwards."""
    raised = manner.brow_shift[int(side > 0)] + face.brow_uneven * side * manner.favored_side
    spacing = person.eye_spacing
    knots = np.array(
        [
            [spacing - 0.2 - face.brow_pinch, BROW_Y + 0.015 - face.brow_inner - raised],
            [spacing - 0.07, BROW_Y - 0.025 - 0.55 * face.brow_inner - 0.45 * face.brow_peak - raised],
            [spacing + 0.07, BROW_Y - 0.04 - face.brow_peak - raised],
            [spacing + 0.24, BROW_Y + 0.03 - face.brow_outer - raised],
        ]
    )
    spine = smooth(knots, 24)
    across = np.linspace(0.0, 1.0, 24)
    half = person.brow_weight * 0.036 * (1.0 - across**2.2) * np.minimum(1.0, 0.55 + 3.0 * across) + 0.004
    thickness = np.column_stack((np.zeros(24), half))
    outline = np.concatenate((spine - thickness, (spine + thickness)[::-1]))
    canvas.fill(outline * (side, 1), mix(person.hair, (34, 22, 19), 0.5))
