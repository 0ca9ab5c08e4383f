"""Drawn faces of seven emotions in busy scenes, for the demo, and for tests that may not use photographs."""

from emoprune.synthetic_faces.expression import EMOTIONS, EXPRESSIONS, Expression
from emoprune.synthetic_faces.scene import draw_face, draw_scene

__all__ = ["EMOTIONS", "EXPRESSIONS", "Expression", "draw_face", "draw_scene"]
