"""How much a pruning is to take."""

from __future__ import annotations

import pytest

from emoprune.pruning.budget import Amount


@pytest.mark.parametrize(
    ("option", "name", "price", "images"),
    [
        ("--angle", "angle", "units", False),
        ("--amount", "amount", "units", False),
        ("--units", "units", "units", False),
        ("--macs", "macs", "macs", False),
        ("--params", "params", "parameters", False),
        ("--max-loss-increase", "max_loss_increase", "macs", True),
        ("--max-drop", "max_drop", "macs", True),
    ],
)
def test_an_amount_says_what_it_saves_and_whether_the_network_has_to_run(
    option: str, name: str, price: str, images: bool
) -> None:
    amount = Amount(option, 0.5)
    assert (amount.name, amount.price, amount.needs_images) == (name, price, images)
    assert str(amount) == f"{option} 0.5"
