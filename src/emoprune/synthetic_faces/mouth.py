"""The mouth: lips, teeth, tongue and the folds around it."""

from dataclasses import dataclass

import numpy as np

from emoprune.synthetic_faces.appearance import Person
from emoprune.synthetic_faces.canvas import Canvas, Color, Points, ellipse, mix, shade, smooth
from emoprune.synthetic_faces.expression import Expression, Manner

MOUTH_Y = 0.6
CAVITY: Color = (58, 16, 20)
TONGUE: Color = (176, 78, 80)
TEETH: Color = (246, 243, 234)
ACROSS = np.linspace(-1.0, 1.0, 41)


@dataclass(frozen=True, slots=True)
class MouthShape:
    """Four edges over a shared x, top to bottom, from the left corner to the right."""

    x: Points
    lip_top: Points
    upper: Points
    lower: Points
    lip_bottom: Points

    def between(self, top: Points, bottom: Points) -> Points:
        """The closed outline between two edges."""
        return np.concatenate((np.column_stack((self.x, top)), np.column_stack((self.x, bottom))[::-1]))


def mouth_shape(person: Person, face: Expression, manner: Manner) -> MouthShape:
    """The mouth's edges in face coordinates."""
    reach = np.abs(ACROSS)
    opening = (1.0 - reach ** (2.2 + 4.0 * face.mouth_square)) ** 0.6
    left, right = manner.corner_shift
    bend = (face.mouth_corner + np.where(ACROSS < 0, left, right)) * (reach**1.7 - 0.35)
    lopsided = face.mouth_skew * manner.favored_side * ACROSS
    middle = MOUTH_Y - face.mouth_lift - bend - 0.35 * lopsided
    upper = middle - face.gap_upper * opening * (1.0 + 6.0 * lopsided)
    lower = np.maximum(middle + face.gap_lower * opening, upper)
    bow = 1.0 - 0.3 * np.exp(-((ACROSS / 0.14) ** 2))
    return MouthShape(
        x=ACROSS * face.mouth_width * person.mouth_scale,
        lip_top=upper - face.lip_upper * (1.0 - reach**2.0) ** 0.8 * bow,
        upper=upper,
        lower=lower,
        lip_bottom=lower + face.lip_lower * (1.0 - reach**2.2) ** 0.8,
    )


def draw_mouth(canvas: Canvas, person: Person, face: Expression, manner: Manner) -> None:
    """Draw the mouth and the folds beside and below it."""
    mouth = mouth_shape(person, face, manner)
    _draw_folds(canvas, person, face, mouth)
    canvas.fill(mouth.between(mouth.lip_top, mouth.upper), shade(person.lips, 0.86))
    canvas.fill(mouth.between(mouth.lower, mouth.lip_bottom), person.lips)
    shine = np.column_stack((mouth.x, 0.55 * mouth.lower + 0.45 * mouth.lip_bottom))[12:29]
    canvas.stroke(shine, 0.3 * face.lip_lower, mix(person.lips, (255, 236, 228), 0.25))
    if face.gap_upper + face.gap_lower > 0.02:
        _draw_inside(canvas, face, mouth)
    seam = mix(person.line, CAVITY, 0.6)
    canvas.stroke(np.column_stack((mouth.x, mouth.upper)) * (1.04, 1.0), 0.022, seam, taper=0.5)


def _draw_inside(canvas: Canvas, face: Expression, mouth: MouthShape) -> None:
    canvas.fill(mouth.between(mouth.upper, mouth.lower), CAVITY)
    floor = float(mouth.lower.max())
    tongue = ellipse(0.0, floor, 0.6 * face.mouth_width, 0.45 * (face.gap_upper + face.gap_lower))
    top, bottom = (np.interp(tongue[:, 0], mouth.x, edge) for edge in (mouth.upper, mouth.lower))
    canvas.fill(np.column_stack((tongue[:, 0], np.clip(tongue[:, 1], top, bottom))), TONGUE)
    gap = mouth.lower - mouth.upper
    to_corner = 1.0 - np.abs(ACROSS)
    upper_edge = mouth.upper + np.minimum(gap, 0.085 * face.teeth_upper * np.minimum(1.0, 4.0 * to_corner))
    lower_teeth = 0.075 * face.teeth_lower * np.minimum(1.0, 2.2 * to_corner)
    lower_edge = np.maximum(mouth.lower - lower_teeth, upper_edge)
    if face.teeth_lower > 0.3:
        canvas.fill(mouth.between(lower_edge, mouth.lower), shade(TEETH, 0.9))
    if face.teeth_upper > 0.2:
        canvas.fill(mouth.between(mouth.upper, upper_edge), TEETH)
        for x, top, bottom in zip(mouth.x[5:40:5], mouth.upper[5::5], upper_edge[5::5], strict=False):
            gap_line = smooth(np.array([[x, top], [x, bottom]]), 4)
            canvas.stroke(gap_line, 0.007, shade(TEETH, 0.78), taper=0.0)
    if min(face.teeth_upper, face.teeth_lower) > 0.3:
        canvas.stroke(np.column_stack((mouth.x, lower_edge))[2:-2], 0.012, shade(TEETH, 0.45))


def _draw_folds(canvas: Canvas, person: Person, face: Expression, mouth: MouthShape) -> None:
    fold = mix(person.skin, person.line, min(0.75, 0.12 + 0.6 * face.mouth_fold))
    raised = 0.05 * face.nose_wrinkle
    for side, corner in ((-1, 0), (1, -1)):
        end_x, end_y = abs(mouth.x[corner]) + 0.09, mouth.upper[corner] + 0.02
        knots = [[0.15, 0.36 - raised], [0.5 * (0.21 + end_x), 0.5 * (0.36 + end_y) - 0.03], [end_x, end_y]]
        canvas.stroke(smooth(np.array(knots)) * (side, 1), 0.014 + 0.014 * face.mouth_fold, fold)
    chin_y = float(mouth.lip_bottom[20]) + 0.05
    under = np.array([[-0.11, chin_y + 0.004], [0.0, chin_y - 0.008], [0.11, chin_y + 0.004]])
    canvas.stroke(smooth(under), 0.022, mix(person.skin, person.line, 0.35))
