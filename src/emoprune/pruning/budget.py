"""How much a pruning is to take, known before torch is imported."""

from __future__ import annotations

from dataclasses import dataclass

from emoprune.choices import Price

DROPS = ("--max-loss-increase", "--max-drop")
PRICES: dict[str, Price] = {"--macs": "macs", "--params": "parameters"}


@dataclass(frozen=True)
class Amount:
    """One option and its value."""

    option: str
    value: float

    @property
    def name(self) -> str:
        """The option as a key."""
        return self.option.lstrip("-").replace("-", "_")

    @property
    def price(self) -> Price:
        """What a saving is measured in where layers compete for the budget."""
        if self.option in DROPS:
            return "macs"
        return PRICES.get(self.option, "units")

    @property
    def needs_images(self) -> bool:
        """Whether the network has to be run to know when it is reached."""
        return self.option in DROPS

    def __str__(self) -> str:
        return f"{self.option} {self.value:g}"
