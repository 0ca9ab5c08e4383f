"""Eyes and brows."""

from dataclasses import dataclass

import numpy as np

from emoprune.synthetic_faces.appearance import Person
from emoprune.synthetic_faces.canvas import Canvas, Color, Points, ellipse, mix, moved, shade, smooth
from emoprune.synthetic_faces.expression import Expression, Manner

EYE_Y = -0.01
BROW_Y = -0.245
WHITE: Color = (246, 242, 238)
DARK: Color = (22, 15, 14)


@dataclass(frozen=True, slots=True)
class EyeShape:
    """The opening of one eye: shared x and the two lids' y, from the inner to the outer corner."""

    center: float
    x: Points
    upper: Points
    lower: Points

    def outline(self) -> Points:
        """The closed outline of the opening."""
        return np.concatenate((self.upper_lid(), self.lower_lid()[::-1]))

    def upper_lid(self) -> Points:
        """The upper lid's edge."""
        return np.column_stack((self.x, self.upper))

    def lower_lid(self) -> Points:
        """The lower lid's edge."""
        return np.column_stack((self.x, self.lower))

    def clip(self, points: Points) -> Points:
        """The points pulled inside the opening, so that what they outline shows only between the lids."""
        order = np.argsort(self.x)
        low, high = self.x[order[0]], self.x[order[-1]]
        x = np.clip(points[:, 0], low, high)
        upper = np.interp(x, self.x[order], self.upper[order])
        lower = np.interp(x, self.x[order], self.lower[order])
        return np.column_stack((x, np.clip(points[:, 1], upper, lower)))


def eye_shape(person: Person, face: Expression, manner: Manner, side: int) -> EyeShape:
    """The opening of the eye on one side (-1 left of the image, 1 right)."""
    gain = manner.eye_gain[side > 0]
    across = np.linspace(-1.0, 1.0, 25)
    center = side * person.eye_spacing
    line = EYE_Y - person.eye_tilt * across + 0.03 * face.lid_slant * across
    upper_arch = (1.0 - np.abs(across) ** 2.3) ** 0.8 * (1.0 - 0.55 * face.lid_slant * across)
    lower_arch = (1.0 - across**2) ** 0.9 * (1.0 + 0.12 * across)
    return EyeShape(
        center=center,
        x=center + side * person.eye_width * across,
        upper=line - gain * face.lid_upper * upper_arch,
        lower=line + gain * face.lid_lower * lower_arch,
    )


def draw_eye(canvas: Canvas, person: Person, face: Expression, manner: Manner, side: int) -> None:
    """Draw one eye with its lids."""
    eye = eye_shape(person, face, manner, side)
    _draw_lid_folds(canvas, person, face, eye)
    canvas.fill(eye.outline(), WHITE)
    lid_shadow = np.concatenate((eye.upper_lid(), eye.clip(moved(eye.upper_lid(), 0.0, 0.03))[::-1]))
    canvas.fill(lid_shadow, mix(WHITE, person.line, 0.35))
    _draw_iris(canvas, person, eye)
    canvas.stroke(eye.lower_lid(), 0.016, mix(person.skin, person.line, 0.75))
    lashes = np.concatenate((eye.upper_lid(), moved(eye.upper_lid()[-1:], side * 0.03, -0.015)))
    canvas.stroke(lashes, 0.042, mix(DARK, person.line, 0.15), taper=0.75)


def _draw_lid_folds(canvas: Canvas, person: Person, face: Expression, eye: EyeShape) -> None:
    lid = eye.upper_lid()
    canvas.fill(np.concatenate((lid, moved(lid, 0.0, -0.035)[::-1])), shade(person.skin, 0.9))
    canvas.stroke(moved(lid[1:-1], 0.0, -0.048), 0.016, mix(person.skin, person.line, 0.7))
    pouch = moved(eye.lower_lid()[4:-4], 0.0, 0.05 - 0.01 * face.cheek_raise)
    canvas.stroke(pouch, 0.016, mix(person.skin, person.line, 0.22 + 0.4 * face.cheek_raise))


def _draw_iris(canvas: Canvas, person: Person, eye: EyeShape) -> None:
    x, y = eye.center + person.gaze[0], EYE_Y + person.gaze[1] - 0.008
    rings: tuple[tuple[float, Color], ...] = (
        (0.088, shade(person.iris, 0.45)),
        (0.076, person.iris),
        (0.058, mix(person.iris, (255, 240, 200), 0.18)),
        (0.04, DARK),
    )
    for radius, color in rings:
        canvas.fill(eye.clip(ellipse(x, y, radius, radius)), color)
    canvas.fill(eye.clip(ellipse(x + 0.028, y - 0.03, 0.02, 0.02, 12)), (255, 255, 255))


def draw_brow(canvas: Canvas, person: Person, face: Expression, manner: Manner, side: int) -> None:
    """Draw one eyebrow, tapering outwards."""
    raised = manner.brow_shift[side > 0] + face.brow_uneven * side * manner.favored_side
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
