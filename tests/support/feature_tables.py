"""Feature tables that are drawn, for the tests of networks that read them."""

from __future__ import annotations

from pathlib import Path

import torch

from emoprune.data.datasets import open_data
from emoprune.data.types import Table


def draw_table(
    path: Path, *, columns: int = 10, classes: str = "abc", samples: int = 90, seed: int = 0
) -> Path:
    """A .csv table whose columns follow from four numbers, which differ from class to class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(samples) % len(classes)
    hidden = torch.randn(samples, 4, generator=generator) + labels[:, None]
    values = hidden @ torch.randn(4, columns, generator=generator)
    values = values * torch.logspace(-2, 2, columns) + 5
    rows = ["name,label," + ",".join(f"x{column}" for column in range(columns))]
    for index, (label, row) in enumerate(zip(labels.tolist(), values.tolist(), strict=True)):
        rows.append(f"r{index},{classes[label]}," + ",".join(f"{value:.7g}" for value in row))
    path.write_text("\n".join(rows) + "\n")
    return path


def read_table(path: Path | str) -> Table:
    """The feature table at `path`."""
    found = open_data(path)
    assert isinstance(found, Table)
    return found
