"""Drawn faces of seven emotions in busy scenes, for demos and for tests that may not use photographs."""

from emoprune.core.synthetic.expression import EMOTIONS, EXPRESSIONS, Expression
from emoprune.core.synthetic.scene import draw_scene

__all__ = ["EMOTIONS", "EXPRESSIONS", "Expression", "draw_scene"]
