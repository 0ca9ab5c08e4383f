"""Generators that follow from a place."""

from __future__ import annotations

import torch

from emoprune.data.randomness import drawing_from, generator_at


def test_generator_at_gives_every_place_draws_of_its_own() -> None:
    places = [
        (seed, *place) for seed in range(3) for place in ((), (0,), (1,), (0, 0), (0, 1), (1, 0), (2**31, 5))
    ]
    drawn = {tuple(torch.rand(4, generator=generator_at(*place)).tolist()) for place in places}
    assert len(drawn) == len(places)
    again = [torch.rand(4, generator=generator_at(7, 3)) for _ in range(2)]
    assert torch.equal(*again)


def test_drawing_from_seeds_the_global_generator_and_leaves_it_as_it_was() -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    found = []
    for _ in range(2):
        with drawing_from(generator_at(5)):
            found.append(torch.rand(3))
        assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(*found)
    generator = generator_at(5)
    with drawing_from(generator):
        first = torch.rand(3)
    with drawing_from(generator):
        assert not torch.equal(first, torch.rand(3))
