"""What each emotion does to a face, and how one person's version of it is drawn."""

from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Expression:
    """The moving parts of a face; lengths in face units, up and open positive, amounts 0 to 1."""

    brow_inner: float = 0.0
    brow_peak: float = 0.0
    brow_outer: float = 0.0
    brow_pinch: float = 0.0
    brow_uneven: float = 0.0
    lid_upper: float = 0.085
    lid_lower: float = 0.062
    lid_slant: float = 0.0
    mouth_width: float = 0.27
    mouth_corner: float = 0.0
    mouth_lift: float = 0.0
    mouth_skew: float = 0.0
    mouth_square: float = 0.0
    gap_upper: float = 0.0
    gap_lower: float = 0.0
    lip_upper: float = 0.055
    lip_lower: float = 0.075
    teeth_upper: float = 0.0
    teeth_lower: float = 0.0
    jaw_drop: float = 0.0
    cheek_raise: float = 0.0
    nose_wrinkle: float = 0.0
    frown_lines: float = 0.0
    forehead_lines: float = 0.0
    mouth_fold: float = 0.15
    crow_feet: float = 0.0


# Each emotion has two forms, milder or more closed first; a drawn face lies somewhere between them.
EXPRESSIONS: dict[str, tuple[Expression, Expression]] = {
    "angry": (
        Expression(brow_inner=-0.13, brow_peak=-0.09, brow_outer=0.05, brow_pinch=0.07,
                   lid_upper=0.06, lid_lower=0.04, lid_slant=-0.65,
                   mouth_width=0.25, mouth_corner=-0.08, mouth_square=1.0, gap_upper=0.02, gap_lower=0.03,
                   lip_upper=0.025, lip_lower=0.035, teeth_upper=0.8, teeth_lower=0.6,
                   frown_lines=1.0, nose_wrinkle=0.15, mouth_fold=0.5),
        Expression(brow_inner=-0.13, brow_peak=-0.08, brow_outer=0.07, brow_pinch=0.07,
                   lid_upper=0.07, lid_lower=0.042, lid_slant=-0.65,
                   mouth_width=0.29, mouth_corner=-0.06, mouth_square=1.0, gap_upper=0.07, gap_lower=0.10,
                   lip_upper=0.035, lip_lower=0.045, teeth_upper=1.0, teeth_lower=1.0, jaw_drop=0.02,
                   frown_lines=1.0, nose_wrinkle=0.2, mouth_fold=0.5),
    ),
    "disgust": (
        Expression(brow_inner=-0.06, brow_peak=-0.06, brow_outer=-0.05, brow_pinch=0.03, brow_uneven=0.03,
                   lid_upper=0.042, lid_lower=0.032,
                   mouth_width=0.25, mouth_corner=-0.11, mouth_lift=0.07, mouth_skew=0.05,
                   gap_upper=0.035, lip_upper=0.06, lip_lower=0.09, teeth_upper=1.0,
                   nose_wrinkle=1.0, frown_lines=0.3, cheek_raise=0.5, mouth_fold=0.9),
        Expression(brow_inner=-0.07, brow_peak=-0.07, brow_outer=-0.06, brow_pinch=0.03, brow_uneven=0.05,
                   lid_upper=0.034, lid_lower=0.026,
                   mouth_width=0.26, mouth_corner=-0.13, mouth_lift=0.08, mouth_skew=0.07,
                   gap_upper=0.085, lip_upper=0.06, lip_lower=0.095, teeth_upper=1.0,
                   nose_wrinkle=1.0, frown_lines=0.4, cheek_raise=0.6, mouth_fold=1.0),
    ),
    "fear": (
        Expression(brow_inner=0.13, brow_peak=0.05, brow_outer=0.02, brow_pinch=0.06,
                   lid_upper=0.14, lid_lower=0.072, lid_slant=0.1,
                   mouth_width=0.34, mouth_corner=-0.04, mouth_square=0.4, gap_upper=0.03, gap_lower=0.08,
                   lip_upper=0.04, lip_lower=0.05, teeth_lower=0.5, jaw_drop=0.03,
                   forehead_lines=0.7, frown_lines=0.3),
        Expression(brow_inner=0.15, brow_peak=0.07, brow_outer=0.03, brow_pinch=0.07,
                   lid_upper=0.155, lid_lower=0.075, lid_slant=0.1,
                   mouth_width=0.38, mouth_corner=-0.06, mouth_square=0.6, gap_upper=0.05, gap_lower=0.13,
                   lip_upper=0.04, lip_lower=0.05, teeth_upper=0.4, teeth_lower=0.6, jaw_drop=0.06,
                   forehead_lines=1.0, frown_lines=0.4),
    ),
    "happy": (
        Expression(brow_inner=0.02, brow_peak=0.04, brow_outer=0.01, lid_upper=0.075, lid_lower=0.036,
                   mouth_width=0.35, mouth_corner=0.14, mouth_lift=0.01, gap_upper=0.0, gap_lower=0.11,
                   lip_upper=0.04, lip_lower=0.055, teeth_upper=1.0,
                   cheek_raise=0.8, mouth_fold=0.8, crow_feet=0.8),
        Expression(brow_inner=0.03, brow_peak=0.05, brow_outer=0.01, lid_upper=0.068, lid_lower=0.028,
                   mouth_width=0.39, mouth_corner=0.17, mouth_lift=0.02, gap_upper=0.0, gap_lower=0.19,
                   lip_upper=0.04, lip_lower=0.055, teeth_upper=1.0, jaw_drop=0.05,
                   cheek_raise=1.0, mouth_fold=1.0, crow_feet=1.0),
    ),
    "neutral": (Expression(), Expression()),
    "sad": (
        Expression(brow_inner=0.14, brow_peak=0.01, brow_outer=-0.08, brow_pinch=0.03,
                   lid_upper=0.055, lid_lower=0.055, lid_slant=0.6,
                   mouth_width=0.26, mouth_corner=-0.16, lip_lower=0.09, frown_lines=0.2, mouth_fold=0.4),
        Expression(brow_inner=0.17, brow_peak=0.01, brow_outer=-0.10, brow_pinch=0.05,
                   lid_upper=0.046, lid_lower=0.05, lid_slant=0.7,
                   mouth_width=0.27, mouth_corner=-0.20, mouth_lift=0.02, lip_lower=0.095,
                   frown_lines=0.3, forehead_lines=0.3, mouth_fold=0.5),
    ),
    "surprise": (
        Expression(brow_inner=0.16, brow_peak=0.18, brow_outer=0.10, lid_upper=0.135, lid_lower=0.085,
                   mouth_width=0.15, gap_upper=0.07, gap_lower=0.13, lip_upper=0.05, lip_lower=0.06,
                   jaw_drop=0.08, forehead_lines=0.7, mouth_fold=0.1),
        Expression(brow_inner=0.19, brow_peak=0.21, brow_outer=0.12, lid_upper=0.15, lid_lower=0.095,
                   mouth_width=0.18, gap_upper=0.09, gap_lower=0.20, lip_upper=0.05, lip_lower=0.06,
                   teeth_upper=0.3, jaw_drop=0.14, forehead_lines=1.0, mouth_fold=0.1),
    ),
}  # fmt: skip
EMOTIONS: tuple[str, ...] = tuple(EXPRESSIONS)


@dataclass(frozen=True, slots=True)
class Manner:
    """How one person makes any expression: the two halves' unevenness, its form and strength."""

    brow_shift: NDArray[np.float64]
    eye_gain: NDArray[np.float64]
    corner_shift: NDArray[np.float64]
    form: float
    strength: float
    favored_side: int


def sample_manner(generator: np.random.Generator) -> Manner:
    """Draw a manner; the number of values taken from generator never depends on the emotion."""
    return Manner(
        brow_shift=generator.normal(0.0, 0.012, 2),
        eye_gain=np.clip(generator.normal(1.0, 0.05, 2), 0.88, 1.12),
        corner_shift=generator.normal(0.0, 0.008, 2),
        form=generator.random(),
        strength=generator.uniform(0.88, 1.1),
        favored_side=1 if generator.random() < 0.5 else -1,
    )


def perform(emotion: str, manner: Manner) -> Expression:
    """The expression one person makes of an emotion; KeyError if the emotion is unknown."""
    mild, full = (np.array(astuple(form)) for form in EXPRESSIONS[emotion])
    relaxed = np.array(astuple(Expression()))
    target = mild + (full - mild) * manner.form
    return Expression(*(relaxed + (target - relaxed) * manner.strength).tolist())
