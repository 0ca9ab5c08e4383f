"""Which of the samples that are scored a network knows from its training."""

from __future__ import annotations

import torch
from torch import Tensor

from emoprune import events
from emoprune.data.splits import partition
from emoprune.data.types import Catalog, SplitRule
from emoprune.evaluation.model import ChosenPart
from emoprune.evaluation.types import KNOWN
from emoprune.io.content_hash import content_key


def content_keys(catalog: Catalog) -> Tensor | None:
    """The content of each sample as a number, (samples,) int64; None where it is not known."""
    if not catalog.contents:
        return None
    return torch.tensor([content_key(content) for content in catalog.contents])


def seen_samples(
    trained: Tensor | None, rule: SplitRule, catalog: Catalog, chosen: ChosenPart
) -> Tensor | None:
    """Which samples of the chosen part, (n,) bool, have a content among those `trained` on.

    A checkpoint that does not say them knows the train and val parts of its own data; None for other data.
    """
    keys = content_keys(catalog)
    if trained is not None and keys is not None:
        return torch.isin(keys[chosen.indices], trained)
    if not chosen.own:
        return None
    parts = partition(chosen.catalog, rule)
    known = [index for name in KNOWN for index in parts.get(name, ())]
    return torch.isin(chosen.places, torch.tensor(known, dtype=torch.int64))


def tell_seen(
    seen: Tensor | None, correct: Tensor | None, chosen: ChosenPart, *, data: str, model: str
) -> None:
    """Warn of samples that the network knows, with the accuracy on the others; note where nobody knows.

    `correct` (n,) bool is None for a network that does not classify. Parts to train on are asked for by name.
    """
    if chosen.name in KNOWN:
        return
    if seen is None:
        events.note(f"{model} does not say what it was trained on: samples of {data} may be among it")
        return
    count = int(seen.sum())
    if not count:
        return
    whole = chosen.own and chosen.name == "all"
    how = "are in its train or val part, or copies of those" if whole else "were trained on"
    fact = f"{count:,} of {events.counted(len(seen), 'sample')} {how}"
    if correct is not None and count < len(seen):
        others = correct[~seen].double()
        fact += f"; accuracy on the other {len(others):,}: {float(others.mean()):.1%}"
    events.warn(f"{data}: {fact}")
