"""METHODS: every way to choose what goes, known by name before torch is imported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from emoprune.core.selection import Selection
    from emoprune.records import LayerView, Removal


@dataclass(frozen=True)
class Method:
    """A selection function, named `module:function` and imported when it is first needed."""

    function: str
    meaning: str

    def __call__(self, view: LayerView, selection: Selection) -> Removal:
        """What the method would remove from the layer in `view`."""
        module, _, name = self.function.partition(":")
        select = cast("Callable[[LayerView, Selection], Removal]", getattr(import_module(module), name))
        return select(view, selection)


METHODS: dict[str, Method] = {
    "distinct": Method(
        "emoprune.core.selection:distinct", "units that say the same or the opposite (Gedeon & Harris 1991)"
    ),
}
