"""What the distinctiveness rule removes at 15 degrees, by what the activations are measured from.

    python -m benchmarks.centering SHEET FEATURES [--seeds 10]

SHEET is SFEW's published sheet of features: the network is that of jain2020, section 2.1, with 20 ReLU units,
of which the paper removes 8 to 12. FEATURES is a table of deep features of faces by class, as `emoprune
features` writes: the networks have 200 sigmoid, ReLU or tanh units on it. Of jain2020's 200 sigmoid units on
AlexNet's features 26.5% are removed.

Each network is pruned at 15 degrees under every centering and both merges, and is not trained on. Figures are
means over the seeds: units removed, the largest predicted error, and accuracy on the test part.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import emoprune as ep
from benchmarks.common import markdown, parser, progress
from emoprune.choices import Center, Merge
from emoprune.evaluation.types import Metrics
from emoprune.networks.types import Checkpoint

ANGLE_DEG = 15
ANY_ERROR = 1e6
ON_FEATURES: dict[str, Any] = {"arch": "mlp", "hidden": 200, "scale": "none", "split": "80/20"}
NETWORKS: dict[str, dict[str, Any]] = {
    "sheet, 20 ReLU": {"preset": "jain2020-ff"},
    **{
        f"deep features, 200 {activation}": {**ON_FEATURES, "activation": activation}
        for activation in ("relu", "tanh", "sigmoid")
    },
}

Row = tuple[str, str, str]


def accuracy(model: Checkpoint, data: Any) -> float:
    """Percent of the test part that a model gets right."""
    metrics = ep.evaluate(model, data, part="test")
    assert isinstance(metrics, Metrics)
    return 100 * metrics.accuracy


def measured(whole: Checkpoint, data: Any, center: Center, merge: Merge) -> tuple[float, float, float]:
    """Percent of the units removed, the largest predicted error, and accuracy after."""
    settings: dict[str, Any] = {"angle": ANGLE_DEG, "center": center, "merge": merge, "data": "none"}
    pruned = ep.prune(whole, max_error=ANY_ERROR, **settings)
    done = pruned.history[-1].metrics
    errors = [layer[f"error_{merge}"] or 0.0 for layer in done["layers"]]
    return 100 * done["compression_rate"], max(errors), accuracy(pruned, data)


def row(key: Row, runs: Sequence[tuple[float, float, float]]) -> list[str]:
    """Means over the seeds, and the range of what is removed."""
    removed, errors, right = zip(*runs, strict=True)
    spread = f"{statistics.mean(removed):.1f} ({min(removed):.0f} to {max(removed):.0f})"
    return [*key, spread, f"{statistics.mean(errors):.3f}", f"{statistics.mean(right):.1f}"]


def arguments() -> argparse.Namespace:
    """The command line."""
    options = parser(__doc__)
    options.add_argument("sheet", type=Path, help="SFEW.xlsx or SFEW.csv")
    options.add_argument("features", type=Path, help="table of deep features by class, .st or .csv")
    options.add_argument("--seeds", type=int, default=10, help="how many networks of each kind")
    return options.parse_args()


def run() -> None:
    """Measure and print the table."""
    args = arguments()
    sheet, features = (ep.open_data(path) for path in (args.sheet, args.features))
    found: defaultdict[Row, list[tuple[float, float, float]]] = defaultdict(list)
    for (name, settings), seed in itertools.product(NETWORKS.items(), range(args.seeds)):
        data = sheet if "preset" in settings else features
        whole = ep.train(data, seed=seed, **settings)
        found[name, "whole", ""].append((0, 0, accuracy(whole, data)))
        for center, merge in itertools.product(get_args(Center), get_args(Merge)):
            found[name, center, merge].append(measured(whole, data, center, merge))
        progress(f"{name}, seed {seed}")
    headings = ["network", "center", "merge", "units removed, %", "largest error", "accuracy, %"]
    print(markdown(headings, [row(key, runs) for key, runs in found.items()], left=3))
    print(f"\n{ANGLE_DEG} degrees, means over {args.seeds} seeds")


if __name__ == "__main__":
    run()
