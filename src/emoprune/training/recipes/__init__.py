"""RECIPES: how to train, whatever the network; each is a TOML file beside this one.

None sets what the network is, how the data are split, or the seed.
"""

from __future__ import annotations

from emoprune.training.settings_files import Shipped

RECIPES = Shipped("recipes", ("paper", "modern", "heal"))
