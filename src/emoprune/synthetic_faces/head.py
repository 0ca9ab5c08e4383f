"""The head without its expression: body, skull, ears, hair, nose, skin lines and glasses."""

import itertools

import numpy as np

from emoprune.synthetic_faces.appearance import Person
from emoprune.synthetic_faces.canvas import Canvas, Color, Points, ellipse, mix, moved, shade, smooth
from emoprune.synthetic_faces.expression import Expression

GLASSES_FRACTION = 0.16
EAR_COVERING_LENGTH = 0.5
HALF_PROFILE = np.array([[0.0, -1.0], [0.42, -0.92], [0.67, -0.64], [0.75, -0.2],
                         [0.72, 0.2], [0.62, 0.56], [0.4, 0.86], [0.15, 0.985]])  # fmt: skip
NOSE_Y = 0.34


def head_outline(person: Person, face: Expression) -> Points:
    """The closed outline of skull and jaw."""
    half = HALF_PROFILE.copy()
    half[3:5, 0] *= person.cheek_width
    half[5:, 0] *= person.jaw_width
    below = np.maximum(0.0, (half[:, 1] - 0.35) / 0.65)
    half[:, 1] += face.jaw_drop * below
    half[5:, 0] *= 1.0 - 0.6 * face.jaw_drop
    left = half[:0:-1] * (-1, 1)
    chin = np.array([[0.0, half[-1, 1] + 0.012]])
    return smooth(np.concatenate((half, chin, left, half[:1])), 90)


def draw_body(canvas: Canvas, person: Person) -> None:
    """Draw neck, shoulders and collar; they lean less than the head does."""
    torso = canvas.pose.upright()
    half = np.array([[0.36, 1.2], [0.46, 1.32], [0.95, 1.5], [1.35, 1.75], [1.5, 2.4], [1.5, 6.0]])
    shoulders = np.concatenate((smooth(half), smooth(half)[::-1] * (-1, 1)))
    canvas.fill_pixels(torso.project(shoulders), person.clothes)
    neck_top = canvas.pose.project(np.array([[-0.4, 0.5], [0.4, 0.5]]))
    collar = smooth(np.array([[0.42, 1.26], [0.2, 1.5], [0.0, 1.58], [-0.2, 1.5], [-0.42, 1.26]]))
    canvas.fill_pixels(np.concatenate((neck_top, torso.project(collar))), shade(person.skin, 0.8))


def draw_skull(canvas: Canvas, person: Person, face: Expression) -> None:
    """Draw ears, head and the shadow the chin casts on the neck."""
    outline = head_outline(person, face)
    jaw = outline[outline[:, 1] > 0.45] * (0.72, 1.0)
    canvas.fill(moved(jaw, 0.0, 0.16), shade(person.skin, 0.62))
    for side in (-1, 1) if person.style.length <= EAR_COVERING_LENGTH else ():
        canvas.fill(ellipse(side * 0.75 * person.cheek_width, 0.1, 0.085, 0.19), shade(person.skin, 0.93))
        canvas.fill(ellipse(side * 0.765 * person.cheek_width, 0.09, 0.045, 0.12), shade(person.skin, 0.74))
    canvas.fill(outline, person.skin)


def draw_nose(canvas: Canvas, person: Person, face: Expression) -> None:
    """Draw nostrils, wings and the lines a wrinkled nose makes."""
    y = NOSE_Y + person.nose_length - 0.045 * face.nose_wrinkle
    width = 0.12 * person.nose_width * (1.0 + 0.14 * face.nose_wrinkle)
    soft, dark = mix(person.skin, person.line, 0.6), mix(person.line, (40, 12, 12), 0.5)
    for side in (-1, 1):
        wing = np.array([[0.78, -0.075], [1.1, -0.02], [1.0, 0.04], [0.62, 0.05]]) * (side * width, 1)
        canvas.stroke(moved(smooth(wing, 16), 0.0, y), 0.02, soft)
        canvas.fill(ellipse(side * 0.48 * width, y + 0.035, 0.034, 0.017, 14), dark)
    tip = np.array([[-0.4 * width, y + 0.055], [0.0, y + 0.068], [0.4 * width, y + 0.055]])
    canvas.stroke(smooth(tip, 12), 0.018, soft)
    if face.nose_wrinkle > 0.1:
        color = mix(person.skin, person.line, 0.65 * face.nose_wrinkle)
        for step in range(3):
            y, half = 0.065 * step, 0.085 - 0.012 * step
            arch = np.array([[-half, y + 0.03], [0.0, y], [half, y + 0.03]])
            canvas.stroke(smooth(arch, 12), 0.02, color)
        for side in (-1, 1):
            flank = np.array([[0.1, 0.06], [0.15, 0.13], [0.16, 0.22]]) * (side, 1)
            canvas.stroke(smooth(flank, 12), 0.02, color)


def draw_skin_lines(canvas: Canvas, person: Person, face: Expression) -> None:
    """Draw forehead lines, frown lines and crow's feet as strongly as the expression has them."""
    if face.forehead_lines > 0.1:
        color = mix(person.skin, person.line, 0.42 * face.forehead_lines)
        for step in range(3):
            y = -0.47 - 0.075 * step
            line = np.array([[-0.34, y + 0.02], [-0.15, y - 0.01], [0.15, y - 0.01], [0.34, y + 0.02]])
            canvas.stroke(smooth(line), 0.018, color)
    if face.frown_lines > 0.1:
        color = mix(person.skin, person.line, 0.75 * face.frown_lines)
        for side in (-1, 1):
            line = np.array([[0.05, -0.3], [0.038, -0.21], [0.05, -0.12]]) * (side, 1)
            canvas.stroke(smooth(line, 12), 0.022, color)
    if face.crow_feet > 0.1:
        color = mix(person.skin, person.line, 0.5 * face.crow_feet)
        start = person.eye_spacing + person.eye_width + 0.035
        for side, rise in itertools.product((-1, 1), (-0.05, 0.0, 0.05)):
            line = np.array([[start, 0.4 * rise], [start + 0.04, 0.7 * rise], [start + 0.075, 1.3 * rise]])
            canvas.stroke(smooth(line * (side, 1), 8), 0.013, color)


def draw_back_hair(canvas: Canvas, person: Person) -> None:
    """Draw the hair that falls behind the head, if the style has any."""
    style = person.style
    if style.length <= 0.0:
        return
    wide = 0.8 * style.volume
    above = [[0.0, -1.0], [0.6, -0.85], [wide, -0.3], [wide + 0.05, 0.4 * style.length]]
    below = [[0.72, style.length], [0.5, style.length + 0.12], [0.0, style.length + 0.16]]
    half = smooth(np.array(above + below))
    outline = np.concatenate((half, half[::-1] * (-1, 1)))
    canvas.fill(outline, shade(person.hair, 0.78))
    if style.curl > 0.0:
        _draw_curls(canvas, person, outline[8:-8:5], shade(person.hair, 0.78))


def draw_front_hair(canvas: Canvas, person: Person) -> None:
    """Draw the hair over the forehead: a cap between the hairline and the swelled-out skull."""
    hairline = smooth(np.array(person.style.hairline) * (person.parting, 1), 48)[:: person.parting]
    arc = np.linspace(0.0, np.pi, 48)
    volume, temple = person.style.volume, float(hairline[0, 1])
    # Short hair narrows to sideburns on the skull; hair that falls behind continues down outside the face.
    end = 0.7 if person.style.length <= 0.0 else 0.77
    reach = 0.76 * volume - (0.76 * volume - end) * np.cos(arc) ** 12
    crown = np.column_stack((-reach * np.cos(arc), temple - (temple + volume) * np.sin(arc) ** 0.75))
    canvas.stroke(moved(hairline, 0.0, 0.02), 0.07, shade(person.skin, 0.86))
    canvas.fill(np.concatenate((crown, hairline[::-1])), person.hair)
    if person.style.curl > 0.0:
        rows = [level * crown[2:-2:4] + (1.0 - level) * hairline[2:-2:4] for level in (1.0, 0.68, 0.38, 0.1)]
        _draw_curls(canvas, person, np.concatenate(rows), person.hair)
        return
    for start, level, tone in person.strands:
        first = int(start * 24)
        lock = (level * crown + (1.0 - level) * hairline)[first : first + 22]
        canvas.stroke(lock, 0.022, mix(person.hair, (255, 226, 190) if tone > 0.5 else (0, 0, 0), 0.15))


def _draw_curls(canvas: Canvas, person: Person, centers: Points, color: Color) -> None:
    for index, (x, y) in enumerate(centers):
        radius = person.style.curl * (0.75 + 0.5 * person.strands[index % len(person.strands), 1])
        canvas.fill(ellipse(x, y, radius, radius, 16), mix(color, (0, 0, 0), 0.07 * (index % 4)))


def draw_glasses(canvas: Canvas, person: Person) -> None:
    """Draw thin-rimmed glasses on the people who wear them."""
    if person.glasses > GLASSES_FRACTION:
        return
    rim: Color = (40, 34, 36) if person.glasses < 0.6 * GLASSES_FRACTION else (128, 92, 60)
    angle = np.linspace(0.0, 2 * np.pi, 40)
    for side in (-1, 1):
        lens = np.column_stack((np.cos(angle), np.sin(angle)))
        lens = np.sign(lens) * np.abs(lens) ** 0.75 * (0.225, 0.165) + (side * person.eye_spacing, 0.02)
        canvas.stroke(lens, 0.022, rim, taper=0.0)
        canvas.stroke(smooth(np.array([[side * 0.54, -0.02], [side * 0.74, 0.0]]), 8), 0.026, rim, taper=0.0)
    bridge = np.array([[-0.1, 0.0], [0.0, -0.035], [0.1, 0.0]])
    canvas.stroke(smooth(bridge, 12), 0.026, rim, taper=0.0)
