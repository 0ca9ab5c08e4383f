"""Generators for every place of some work, so that it can go on at any of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def generator_at(seed: int, *place: int) -> torch.Generator:
    """A generator for one place of a training, such as its epoch and step."""
    # as keys, so that (0,) and (0, 0) differ
    (state,) = np.random.SeedSequence(seed, spawn_key=place).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state))


@contextmanager
def drawing_from(generator: torch.Generator) -> Iterator[None]:
    """Within, torch's global generators follow from `generator`; afterwards they are as before."""
    with torch.random.fork_rng():
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        yield
