"""How a data set is asked to be split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from emoprune.choices import SplitBy
from emoprune.settings import setting, settings_of


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """How to split a data set, before it is known whether it can be; None leaves the default."""

    split: str | None = setting(
        None,
        "Train/test or train/val/test, in percent or counts; 80/20/0 has no test part.",
        metavar="80/20|75/10/15|346/329",
        default_text="the data's own train/, val/, test/ folders, else 80/20",
    )
    split_file: str | None = setting(
        None,
        "A CSV titled name,part that says of every sample whether it is train, val or test. `group_by` and "
        "`split_by` then only check it.",
        metavar="FILE",
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

    @classmethod
    def of(cls, config: Any) -> Self:
        """What a config that has these settings among others asks for."""
        return cls(**{name: getattr(config, name) for name in settings_of(cls)})
