"""What a search refuses on its data before the first trial, and what one trial is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from emoprune.data.datasets import open_data
from emoprune.errors import EmopruneError, UsageFault
from emoprune.search.config import SearchConfig
from emoprune.search.setup import Plan, prepare
from emoprune.training.presets import PRESETS
from tests.support.searching import SMALL

LR = {"space": ("lr=log:1e-3:1e-1",)}


def planned(data: Path, **config: Any) -> Plan:
    return prepare(open_data(str(data)), SearchConfig(**config))


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"space": ("learning=1:2",)}, "`space=learning`: unknown; choose from"),
        ({"space": ("seed=1,2",)}, "unknown"),
        ({"space": ("split=60/20/20",)}, "unknown"),
        ({"space": ("lr=-1:1",)}, "`lr=-1.0` is out of range"),
        ({"space": ("dropout=0:1.5",)}, "`dropout=1.5` is out of range"),
        ({"space": ("hidden=20,0",)}, "`hidden=0` is out of range"),
        ({"space": ("optimizer=adam,adamm",)}, "`optimizer=adamm` is unknown"),
        ({"space": ("channels=8,16+32",)}, "channels"),
        ({"space": ("augment=none,mirror",)}, "mirror"),
        ({"space": ("arch=mlp,conv1",), "fixed": ()}, "conv1 needs images"),
        ({**LR, "fixed": ("arch=mlpp",)}, "did you mean mlp?"),
        ({**LR, "fixed": ("arch=autoencoder",)}, "does not classify"),
        ({**LR, "fixed": ("arch=svm",)}, "svm ignores `lr`"),
        ({"space": ("penalty=1,2",)}, "mlp ignores `penalty`"),
        ({"space": ("penalty=1:2",), "fixed": ("arch=svm",), "sampler": "coarse-to-fine"}, "in one go"),
        ({**LR, "sampler": "grid"}, "lr=log:0.001:0.1:STEPS"),
        ({"space": ("lr=log:1e-3:1:4",)}, "`sampler=random` takes none"),
        ({**LR, "coarse_epochs": 1}, "`sampler=coarse-to-fine`"),
        ({**LR, "sampler": "coarse-to-fine", "fixed": ("arch=mlp", "epochs=4")}, "epochs of its own"),
        ({**LR, "sampler": "coarse-to-fine", "trials": 3}, "give 4 or more"),
        ({**LR, "split": "80/20"}, "give 60/20/20"),
        ({**LR, "split": "half"}, "half"),
        ({**LR, "trials": 0}, "`trials=0` is out of range"),
        ({**LR, "preset": "jain2020-f"}, "did you mean"),
        ({**LR, "preset": "wright2019-ff", "fixed": ()}, "is for photos"),
    ],
)
def test_prepare_refuses_what_no_trial_could_be_run_with(
    table: Path, config: dict[str, Any], says: str
) -> None:
    with pytest.raises(EmopruneError) as caught:
        planned(table, **{"fixed": ("arch=mlp",), **config})
    assert says in str(caught.value)


def test_data_split_already_needs_a_val_part(table: Path, in_folder: Path) -> None:
    head, *rows = table.read_text().splitlines()
    named = [f"{('train', 'test')[index % 2]}/{row}" for index, row in enumerate(rows)]
    (in_folder / "t.csv").write_text("\n".join([head, *named]) + "\n")
    with pytest.raises(EmopruneError, match="train, test but no val"):
        planned(in_folder / "t.csv", **SMALL)


def test_a_search_written_otherwise_is_the_same_search(table: Path) -> None:
    first = planned(table, space=("lr=log:1e-3:1e-1", "hidden=4,8"), fixed=("arch=mlp",))
    same = planned(table, space=("hidden=4,8", "lr=log:0.001:0.10"), fixed=("arch=mlp",), trials=9)
    assert first.identity == same.identity


def test_a_trial_is_a_training_with_the_preset_what_is_fixed_and_its_values(table: Path) -> None:
    plan = planned(table, space=("lr=0.01,0.1",), preset="jain2020-ff", fixed=("epochs=1",), seed=3)
    found = plan.train_config({"lr": 0.1})
    assert found.given == {"split", "seed", "epochs", "lr"}
    assert (found.lr, found.epochs, found.seed, found.split) == (0.1, 1, 3, "60/20/20")
    assert found.hidden == PRESETS["jain2020-ff"].settings["hidden"]
    assert plan.label == "jain2020-ff"


def test_trials_on_a_table_are_of_a_network_that_reads_it(table: Path) -> None:
    assert planned(table, **LR).label == "mlp"


def test_fine_trials_have_epochs_of_their_own(table: Path) -> None:
    plan = planned(table, **LR, fixed=("arch=mlp",), sampler="coarse-to-fine", trials=5, fine_epochs=7)
    assert [plan.values(number, {"lr": 1})["epochs"] for number in range(5)] == [2, 2, 2, 7, 7]


def test_a_config_out_of_limits_cannot_be_made() -> None:
    with pytest.raises(UsageFault, match="`sampler=rand` is unknown; did you mean random"):
        SearchConfig(space=("lr=1,2",), sampler="rand")  # type: ignore[arg-type]  # as a caller may err


def test_prepare_takes_a_part_and_a_split_file_with_a_val_part(table: Path, tmp_path: Path) -> None:
    names = open_data(table).catalog.names
    for parts in (("train", "val", "test"), ("train", "test")):
        lines = [f"{name},{parts[index % len(parts)]}" for index, name in enumerate(names)]
        (tmp_path / f"{len(parts)}.csv").write_text("\n".join(["name,part", *lines]))
    config: dict[str, Any] = {**LR, "fixed": ("arch=mlp",)}
    found = planned(table, **config, split_file=str(tmp_path / "3.csv"))
    assert found.rule.assigned == found.identity["split"] == "tve" * 20
    with pytest.raises(EmopruneError, match="has no val part by `split_file`"):
        planned(table, **config, split_file=str(tmp_path / "2.csv"))
    with pytest.raises(UsageFault, match="kept for eval"):
        planned(table, **config, split="test")
    rows = table.read_text().splitlines()
    parted = [f"{('train', 'test')[index % 2]}/{row}" for index, row in enumerate(rows[1:])]
    (tmp_path / "t.csv").write_text("\n".join([rows[0], *parted]))
    assert planned(Path(f"{tmp_path}/t.csv:train"), **config).rule.shares == "60/20/20"
    with pytest.raises(UsageFault, match="is the test part, which is kept for eval"):
        planned(Path(f"{tmp_path}/t.csv:test"), **config)
