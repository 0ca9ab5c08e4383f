"""The certificate of emoprune prune as people read it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from emoprune.cli import output
from emoprune.pruning.methods import METHODS

if TYPE_CHECKING:
    from rich.console import Group

REASONS = {"similar": "similar", "complementary": "compl.", "insignificant": "insign."}
ERRORS = {"error_sum": "error: sum", "error_lstsq": "lstsq"}
FINEST = 1e-4
"""The least error that is told as a number, with as many decimals as any."""


def tables(summary: Mapping[str, Any]) -> Iterable[Group | str]:
    """The certificate and what it comes to, from the keys of the summary."""
    yield from _layers(summary)
    yield output.table("", ["", "before", "after", "change"], _totals(summary))
    if not METHODS[summary["method"]].weights:
        yield from _obstacles(summary["frozen"])


def _layers(summary: Mapping[str, Any]) -> Iterable[Group | str]:
    """What every layer loses; those that lose nothing in one line."""
    ((name, value),) = summary["amount"].items()
    masks = METHODS[summary["method"]].weights
    made = (summary["method"], f"{name.replace('_', ' ')} {value:g}", *([] if masks else [summary["merge"]]))
    losing = [entry for entry in summary["layers"] if _loses(entry, masks=masks)]
    whole = len(summary["layers"]) - len(losing)
    reasons = {key: text for key, text in REASONS.items() if any(entry[key] for entry in losing)}
    errors = {key: text for key, text in ERRORS.items() if any(entry[key] is not None for entry in losing)}
    if len(errors) == 1:
        errors = dict.fromkeys(errors, "error")
    title = f"Certificate ({', '.join(made)})"
    yield (
        output.table(
            title,
            ["layer", "units", *reasons.values(), *errors.values()],
            (
                [
                    entry["layer"],
                    f"{entry['before']:,} > {entry['after']:,}",
                    *(entry[key] for key in reasons),
                    *(_error(entry[key]) for key in errors),
                ]
                for entry in losing
            ),
        )
        if losing
        else title
    )
    if whole:
        more = "more " if losing else ""
        layers, lose = ("layer", "loses") if whole == 1 else ("layers", "lose")
        yield f"  {whole:,} {more}{layers} {lose} nothing"
    if summary["resolved_on"] and losing:
        images = output.counted(summary["resolved_on"], "image")
        yield f"  errors are told without images; re-solved on {images}, the network is better"


def _loses(entry: Mapping[str, Any], *, masks: bool) -> bool:
    """Whether units go or, of single weights, what a next layer computes is changed or not known."""
    return entry["before"] > entry["after"] or (masks and entry["error_sum"] != 0)


def _error(error: float | None) -> str:
    if error is not None and 0 < error < FINEST:
        return f"<{FINEST:.4f}"
    return output.cell(error if error is None else round(error, 4))


def _totals(summary: Mapping[str, Any]) -> Iterable[tuple[object, ...]]:
    for name in ("units", "parameters", "nonzero_parameters", "macs", "bytes"):
        counts = summary[name]
        if name != "nonzero_parameters" or counts != summary["parameters"]:
            yield name.replace("_", " "), counts["before"], counts["after"], _change(counts)
    if "accuracy" in summary:
        part, accuracy, loss = summary["judged_on"]["part"], summary["accuracy"], summary["loss"]
        before, after = accuracy["before"], accuracy["after"]
        if before is not None:
            yield (
                f"accuracy ({part})",
                f"{before:.1%}",
                f"{after:.1%}",
                f"{100 * (after - before):+.1f} points",
            )
        change = "-" if None in loss.values() else f"{loss['after'] - loss['before']:+.4f}"
        yield f"loss ({part})", loss["before"], loss["after"], change


def _change(counts: Mapping[str, int]) -> str:
    return f"{counts['after'] / counts['before'] - 1:+.1%}" if counts["before"] else "-"


def _obstacles(frozen: list[dict[str, Any]]) -> Iterable[str]:
    """What no method takes, and what of the network is in the way."""
    if frozen:
        channels = output.counted(sum(obstacle["channels"] for obstacle in frozen), "channel")
        layers = output.counted(len({obstacle["layer"] for obstacle in frozen}), "layer")
        operations = ", ".join(sorted({obstacle["operation"] for obstacle in frozen}))
        yield f"  never taken: {channels} of {layers}, which the network ties"
        yield f"  or rearranges, so that one cannot go without the others ({operations})"
