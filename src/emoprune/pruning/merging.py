"""MERGES: how the survivors take over from the removed units."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from emoprune.choices import Merge
from emoprune.networks.graph.types import Consumer, LayerInput
from emoprune.networks.types import Moments
from emoprune.pruning.context import PruningContext, stays
from emoprune.pruning.types import Plan

ROUNDING = 1e-10
"""Fraction of a channel's energy below which its variance is rounding."""

RIDGES = torch.logspace(-10, 2, 49, dtype=torch.float64)
"""Ridge strengths tried, relative to a channel's own variance."""


def summed(context: PruningContext, plan: Plan) -> dict[str, Tensor]:
    """The published merge: a merged unit's outgoing weights are added to its survivor's, nothing else."""
    alive = context.alive(plan)
    into = {
        start + unit: start + survivor
        for removal in plan.removals
        for start, _ in [context.graph.spans[removal.layer]]
        for unit, survivor in removal.merges.items()
    }
    merged = {}
    for layer_input in context.layer_inputs:
        gone = ~stays(layer_input.owner, alive)
        if not bool(gone.any()):
            continue
        owner = layer_input.owner
        channels = {unit: torch.nonzero(owner == unit).flatten() for unit in owner.unique().tolist()}
        taken = [unit for unit in into if unit in channels and into[unit] in channels]
        giving = torch.cat([channels[unit] for unit in taken] or [torch.empty(0, dtype=torch.long)])
        taking = torch.cat([channels[into[unit]] for unit in taken] or [torch.empty(0, dtype=torch.long)])
        for consumer in layer_input.consumers:
            name, weight = f"{consumer.layer}.weight", context.weight(consumer, layer_input)
            weight = weight.index_add(1, taking, weight[:, giving])
            weight[:, gone] = 0
            merged[name] = _like(context, name, weight)
    return merged


def least_squares(context: PruningContext, plan: Plan) -> dict[str, Tensor]:
    """The survivors' outgoing weights, refitted so that the consumers' outputs change least.

    With B the regression of removed on kept channels, W_K += W_R B at every tap, and the constant part
    goes to the bias or to the mean of the batch norm that follows; all from one-pass moments. The ridge is
    chosen by generalized cross-validation (Golub, Heath & Wahba 1979), so that fewer patterns than units do
    not fit noise.
    """
    alive = context.alive(plan)
    merged: dict[str, Tensor] = {}
    for layer_input in context.layer_inputs:
        kept = stays(layer_input.owner, alive)
        if not bool(kept.all()):
            moments = context.moments_at(layer_input)
            # consumers with the same second moments
            by_inside: dict[float, list[Consumer]] = defaultdict(list)
            for consumer in layer_input.consumers:
                by_inside[constant_share(context, consumer)].append(consumer)
            for inside, consumers in by_inside.items():
                merged |= _solved(context, layer_input, consumers, moments, kept, inside)
    return merged


def constant_share(context: PruningContext, consumer: Consumer) -> float:
    """How much of a constant input a consumer absorbs: 0 without bias and batch norm, 1 without padding."""
    movable = consumer.norm is not None or f"{consumer.layer}.bias" in context.tensors
    return float(consumer.inside.mean()) if movable else 0.0


def second_moments(moments: Moments, inside: float) -> Tensor:
    """A channel's second moments without the constant part, as far as a constant can be absorbed.

    A tap that reads zero padding at a fraction 1 - `inside` of the positions sees the channel times an
    indicator: its variance keeps that fraction of the squared mean. With `inside` 0 nothing is absorbed.
    For a constant channel only rounding is left, which is set to zero.
    """
    squared = torch.outer(moments.mean, moments.mean)
    second = moments.covariance + (1 - inside) * squared
    still = second.diagonal() <= ROUNDING * (moments.covariance + squared).diagonal()
    second[still] = 0
    second[:, still] = 0
    return second


def _solved(
    context: PruningContext,
    layer_input: LayerInput,
    consumers: list[Consumer],
    moments: Moments,
    kept: Tensor,
    inside: float,
) -> dict[str, Tensor]:
    second = second_moments(moments, inside)
    weights = {consumer: context.weight(consumer, layer_input) for consumer in consumers}
    outgoing = sum(
        (gram_of_taps(weight[:, ~kept], torch.ones(weight.shape[2])) for weight in weights.values()),
        torch.zeros(()),
    )
    kk, rk, rr = (second[rows][:, columns] for rows, columns in ((kept, kept), (~kept, kept), (~kept, ~kept)))
    share = _regression(kk, rk, rr, outgoing, patterns=moments.count)
    offset = moments.mean[~kept] - share @ moments.mean[kept] if inside else torch.zeros(len(share)).double()
    merged = {}
    for consumer, weight in weights.items():
        new = torch.zeros_like(weight)
        taken = weight[:, ~kept]
        new[:, kept] = weight[:, kept] + torch.einsum("ort,rk->okt", taken, share)
        name = f"{consumer.layer}.weight"
        merged[name] = _like(context, name, new)
        constant = torch.einsum("ort,r,t->o", taken, offset, inside_taps(consumer, weight))
        bias, mean = f"{consumer.layer}.bias", f"{consumer.norm}.running_mean"
        if bias in context.tensors:
            merged[bias] = _like(context, bias, context.tensors[bias].double() + constant)
        elif mean in context.tensors:
            merged[mean] = _like(context, mean, context.tensors[mean].double() - constant)
    return merged


def gram_of_taps(weight: Tensor, share: Tensor) -> Tensor:
    """Sum over taps, each times its `share`, of W'W: (channels, channels) of (outputs, channels, taps)."""
    flat = (weight * share.to(weight).sqrt()).permute(0, 2, 1).flatten(0, 1)
    return flat.T @ flat


def variances(weight: Tensor, shares: Tensor, moments: Moments) -> Tensor:
    """Variance of what each output of (outputs, channels, taps) weights computes, (outputs,).

    A tap that is inside the map at a share f of the positions sees f (C + (1 - f) mu mu'); taps are taken
    as independent of one another.
    """
    seen = torch.einsum("oct,cd->odt", weight, moments.covariance)
    level = torch.einsum("oct,c->ot", weight, moments.mean).square()
    return torch.einsum("odt,odt,t->o", seen, weight, shares) + level @ (shares * (1 - shares))


def inside_taps(consumer: Consumer, weight: Tensor) -> Tensor:
    """`consumer.inside` for each tap of (outputs, channels, taps); positions of a flattened map are taps."""
    return consumer.inside.expand(weight.shape[2])


def _like(context: PruningContext, name: str, value: Tensor) -> Tensor:
    old = context.tensors[name]
    return value.reshape(old.shape).to(old.dtype)


def _regression(kk: Tensor, rk: Tensor, rr: Tensor, outgoing: Tensor, *, patterns: int) -> Tensor:
    """Ridge regression coefficients (removed, kept) of removed on kept channels.

    `kk`, `rk`, `rr` are blocks of the second moments; `outgoing` (removed, removed), W'W of the removed,
    says how much each matters, so that the ridge is judged by what the consumers will notice.
    """
    scale = kk.diagonal().sqrt()
    # a dead survivor explains nothing; 1 instead of 0 keeps it from becoming NaN
    scale = torch.where(scale > 0, scale, 1.0)
    energies, axes = torch.linalg.eigh(kk / torch.outer(scale, scale))
    energies = energies.clamp(min=0)
    along = (rk / scale) @ axes
    explained = (along * (outgoing @ along)).sum(0)
    total = float((outgoing * rr).sum())
    ridge = _ridge_by_gcv(energies, explained, total, patterns=patterns)
    share: Tensor = (along / (energies + ridge)) @ axes.T / scale
    return share


def _ridge_by_gcv(energies: Tensor, explained: Tensor, total: float, *, patterns: int) -> float:
    """The ridge with the least generalized cross-validation error of what the consumers compute."""
    if total <= 0:
        return float(RIDGES[0])
    damped = energies + RIDGES[:, None]
    residual = total - (explained * (2 / damped - energies / damped.square())).sum(1)
    # rounding noise must not outbid a simpler fit
    residual = residual.clamp(min=0) + 1e-12 * total
    freedom = (energies / damped).sum(1) + 1
    left = (1 - freedom / patterns).clamp(min=0)
    error = torch.where(left > 0, residual / left.square(), torch.inf)
    return float(RIDGES[int(error.argmin())]) if bool(torch.isfinite(error).any()) else float(RIDGES[-1])


MERGES: dict[Merge, Callable[[PruningContext, Plan], Mapping[str, Tensor]]] = {
    "sum": summed,
    "lstsq": least_squares,
}

POWER = 1.5
"""More than 1, for what the layers before have lost reaches a consumer too."""

LEAST = 0.25
"""Share taken where less is left: what survivors make of next to nothing is noise, not to be amplified."""


def recalibrated_norms(
    context: PruningContext, plan: Plan, merged: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Running variances, scaled by what the survivors still make of each channel's variance.

    The factor is that share, at least a quarter, to the power of 1.5. Least squares shrinks what a layer
    computes toward its mean; a batch norm that divides by the old deviation would pass the shrinkage on and
    on. The share follows from the moments, the taps of a kernel taken as independent.
    """
    alive = context.alive(plan)
    recalibrated = {}
    for layer_input in context.layer_inputs:
        if bool(stays(layer_input.owner, alive).all()):
            continue
        moments = context.moments_at(layer_input)
        for consumer in layer_input.consumers:
            name = f"{consumer.norm}.running_var"
            if name in context.tensors:
                weight = context.weight(consumer, layer_input)
                new = merged[f"{consumer.layer}.weight"].double().reshape(weight.shape)
                shares = inside_taps(consumer, weight)
                before, after = (variances(each, shares, moments) for each in (weight, new))
                ratio = torch.where(before > 0, after / before, 1.0).clamp(LEAST, 1)
                old = context.tensors[name]
                recalibrated[name] = (old.double() * ratio**POWER).to(old.dtype)
    return recalibrated
