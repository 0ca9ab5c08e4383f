"""Several prunings of one checkpoint, for which statistics and images are gathered once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from emoprune.data.datasets import Data
from emoprune.networks.types import Checkpoint
from emoprune.pruning.context import pruning_context
from emoprune.pruning.methods import METHODS
from emoprune.pruning.prune import PrunePlan, PruningRun, chosen_layers, plan_of, prepare
from emoprune.pruning.types import PruneConfig


def shared_run(original: Checkpoint, configs: Collection[PruneConfig], data: Data | None) -> PruningRun:
    """What prunings of a checkpoint that differ in method, merge, layers and amount have in common.

    `data` calibrates as in `prune.plan`. Raises what that does for data and checkpoint.
    """
    first = next(iter(configs))
    config = replace(
        first,
        # of all methods this one asks for most: statistics, and images where layers are refitted
        method="reconstruct",
        merge="lstsq",
        angle=None,
        layer=None,
        data=first.data if data is None else data.catalog.place,
    )
    return prepare(original, config, data, evaluates=False, refits=any(map(is_refitted, configs)))


def is_refitted(config: PruneConfig) -> bool:
    """Whether the pruned network may be refitted on images."""
    return config.merge == "lstsq" and not METHODS[config.method].weights


def plan_again(shared: PruningRun, config: PruneConfig) -> PrunePlan:
    """As `prune.plan` with this config, on what `shared_run` has gathered for it and others."""
    amount = config.required_amount
    config.check_counts(amount)
    assert shared.checkpoint is not None
    graph = shared.context.graph
    layers, weights = chosen_layers(shared.checkpoint, graph, config)
    refitted = is_refitted(config)
    run = replace(
        shared,
        context=pruning_context(shared.checkpoint, graph, layers, weights),
        config=replace(config, data=shared.config.data),
        images=shared.images if refitted else None,
        compare=shared.compare if refitted else None,
    )
    return plan_of(run, amount)
