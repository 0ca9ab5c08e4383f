"""How a data set is asked to be split."""

from __future__ import annotations

from dataclasses import dataclass

from emoprune.choices import SplitBy
from emoprune.settings import setting


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """How to split a data set, before it is known whether it can be; None leaves the default."""

    split: str | None = setting(
        None,
        "Train/test or train/val/test, in percent or counts.",
        metavar="80/20|75/10/15|346/329",
        default_text="the data's own train/, val/, test/ folders, else 80/20",
    )
    group_by: str | None = setting(
        None,
        "Keep files on one side whose names' match is the same: '^[^_]+' for film_0001.jpg.",
        metavar="REGEX",
    )
    split_by: SplitBy | None = setting(
        None,
        "Keep near-duplicates on one side: pictures that are copies of one another but for re-encoding, "
        "resizing or light, by the hashes in crops.csv or computed. With `group_by` as well both hold.",
    )
