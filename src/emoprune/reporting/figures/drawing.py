"""Figures of a report: which are drawn, and where their files go."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from emoprune import events
from emoprune.io import csv_text
from emoprune.io import files as folders
from emoprune.reporting.charts import charts, table
from emoprune.reporting.types import Runs


def draw(runs: Runs, folder: str, wanted: Sequence[str], *, force: bool) -> None:
    """Draw the figures into a folder, each as .svg, .png and .csv; all of them, or nothing is written."""
    chosen = charts(runs, wanted)
    names = [f"{chart.name}.{suffix}" for chart in chosen for suffix in ("svg", "png", "csv")]
    folders.check_files(folder, names, force=force)
    from emoprune.reporting import figures

    files: dict[str, bytes] = {}
    for chart in events.tracked(chosen, "figures", len(chosen)):
        with warnings.catch_warnings(record=True) as said:
            # a label in letters that the font lacks
            warnings.simplefilter("always", UserWarning)
            pictures = figures.render(chart)
        for text in dict.fromkeys(str(warning.message) for warning in said):
            events.warn(f"{chart.name}: {text}")
        files |= {f"{chart.name}.{suffix}": data for suffix, data in pictures.items()}
        files[f"{chart.name}.csv"] = csv_text.to_bytes(table(chart))
    folders.write_files(folder, files, force=force)
    for chart in chosen:
        events.note(f"{folder.rstrip('/')}/{chart.name}: .svg, .png, .csv")
