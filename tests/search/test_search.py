"""What the trials of a search are, which one is the best, and how a search goes on."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from emoprune.errors import EmopruneError, OutputFault, TrainingFault, UsageFault
from emoprune.search.outputs import Outputs
from tests.support.command_line import opened
from tests.support.searching import GRID, MLP, SMALL, lines, searched, settings

LR = ("lr=log:1e-3:1e-1",)
DIVERGING = (*MLP, "optimizer=sgd", "activation=relu", "hidden=8")

pytestmark = pytest.mark.usefixtures("in_folder")


def test_every_trial_has_metrics_of_the_val_part(table: Path) -> None:
    found, result = searched(table, **SMALL, label="mine")
    assert [settings(each, "trial", "seed") for each in found] == [(number, 0) for number in range(4)]
    for each in found:
        assert (each.split, each.n, each.label, each.data) == ("val", 12, "mine", str(table))
        rate, hidden = settings(each, "lr", "hidden")
        assert 1e-3 <= float(str(rate)) <= 1e-1
        assert each.units == hidden
    best = max(found, key=lambda each: (each.accuracy, -int(str(each.settings["trial"]))))
    assert (result.ranked[0].accuracy, result.ranked[0].number) == (best.accuracy, best.settings["trial"])
    assert result.best.lr == best.settings["lr"]


def test_the_same_seed_makes_the_same_trials_and_another_makes_others(table: Path) -> None:
    def run(name: str, **more: Any) -> list[object]:
        found, _ = searched(table, Outputs(name), **SMALL, **more)
        return [(each.settings, each.model_fingerprint) for each in found]

    assert run("a") == run("b")
    assert run("c", seed=1) != run("a2")


def test_a_grid_runs_every_combination_once_or_the_first_ones(
    table: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found, _ = searched(table, **GRID)
    combinations = list(product((4, 6, 8), (0.01, 0.1)))
    assert [settings(each, "hidden", "lr") for each in found] == combinations
    with caplog.at_level("INFO"):
        assert len(searched(table, Outputs("b"), **GRID, trials=2)[0]) == 2
    assert "the grid has 6 combinations: the first 2 are run" in caplog.messages


def test_layers_of_one_width_and_layers_one_by_one(table: Path) -> None:
    shared: dict[str, Any] = {"fixed": MLP, "sampler": "grid"}
    found, _ = searched(table, **shared, space=("hidden=3,5", "layers=int:1:2"))
    assert {settings(each, "hidden", "layers"): each.units for each in found} == {
        (width, layers): width * layers for width in (3, 5) for layers in (1, 2)
    }
    found, _ = searched(table, Outputs("b"), **shared, space=("hidden=3,3+5+7",))
    assert {settings(each, "hidden"): each.units for each in found} == {(3,): 3, ("3+5+7",): 15}


def test_a_coarse_round_then_a_narrower_one(table: Path) -> None:
    found, _ = searched(
        table,
        space=("lr=log:1e-5:1", "momentum=0.1:0.9"),
        fixed=("arch=mlp", "optimizer=sgd", "hidden=6"),
        sampler="coarse-to-fine",
        coarse_epochs=1,
        fine_epochs=3,
        trials=16,
    )
    assert [settings(each, "epochs") for each in found] == [(1,)] * 8 + [(3,)] * 8
    coarse, fine = found[:8], found[8:]
    best = max(coarse, key=lambda each: (each.accuracy, -int(str(each.settings["trial"]))))
    for name, whole in (("lr", math.log(1e5)), ("momentum", math.log(9))):
        logs = [math.log(each.settings[name]) for each in fine]
        assert all(abs(log - math.log(best.settings[name])) <= whole / 6 * (1 + 1e-9) for log in logs)
        assert max(logs) - min(logs) <= whole / 3
        assert len(set(logs)) == len(fine)


def test_augmentations_and_sizes_of_photos(small: Path) -> None:
    fixed = ("arch=conv1", "gray=yes", "epochs=1", "hidden=4")
    spaces = ("augment=none,flip+rotate:10", "size=12,16")
    found, _ = searched(small, space=spaces, fixed=fixed, sampler="grid", split="40/30/30")
    assert {settings(each, "augment", "size") for each in found} == set(
        product(("none", "flip+rotate:10"), (12, 16))
    )


def test_networks_of_all_kinds_are_searched(small: Path) -> None:
    own = "tests.support.own_networks:small"
    fixed = ("epochs=1", "size=12", "weights=none")
    metrics, _ = searched(small, space=(f"arch=conv1,{own}",), fixed=fixed, sampler="grid")
    assert [settings(each, "arch") for each in metrics] == [("conv1",), (own,)]


def test_an_svm_is_searched_as_well(table: Path) -> None:
    found, _ = searched(table, space=("penalty=log:0.1:10:3",), fixed=("arch=svm",), sampler="grid")
    assert [settings(each, "penalty") for each in found] == [(0.1,), (pytest.approx(1.0),), (10.0,)]


def test_data_split_already_is_taken_with_its_val_part(table: Path, in_folder: Path) -> None:
    head, *rows = table.read_text().splitlines()
    parts = ("train", "train", "val", "test")
    named = [f"{parts[index % 4]}/{row}" for index, row in enumerate(rows)]
    (in_folder / "t.csv").write_text("\n".join([head, *named]) + "\n")
    found, result = searched(in_folder / "t.csv", **SMALL)
    assert {each.n for each in found} == {15}
    assert result.best.split is None


@pytest.mark.parametrize("storage", ["search.journal", "sqlite:///search.db"])
def test_more_trials_go_on_where_fewer_ended(table: Path, in_folder: Path, storage: str) -> None:
    assert len(searched(table, Outputs(storage), **SMALL)[0]) == 4
    more = {**SMALL, "trials": 6}
    found, result = searched(table, Outputs(storage, lines="runs.json"), **more)
    assert [settings(each, "trial") for each in found] == [(4,), (5,)]
    assert [line["settings"]["trial"] for line in lines(in_folder / "runs.json")] == list(range(6))
    assert searched(table, Outputs(storage), **more) == ([], result)


def test_the_best_is_replaced_by_better_alone_and_by_that_of_a_search_if_forced(
    table: Path, in_folder: Path
) -> None:
    (in_folder / "best.st").write_text("mine\n")
    with pytest.raises(OutputFault, match="not a checkpoint of this search; give `force=True`"):
        searched(table, Outputs("search.journal", best="best.st"), **SMALL)
    (first,), _ = searched(
        table, Outputs("search.journal", best="best.st", force=True), **{**SMALL, "trials": 1}
    )
    before = (in_folder / "best.st").read_bytes()
    rest, result = searched(table, Outputs("search.journal", best="best.st"), **{**SMALL, "trials": 6})
    replaced = max(each.accuracy for each in rest) > first.accuracy
    assert ((in_folder / "best.st").read_bytes() != before) == replaced
    checkpoint, _ = opened(in_folder / "best.st")
    assert checkpoint.spec.hidden == result.best.hidden


def test_a_best_that_another_process_had_is_pointed_out(
    table: Path, in_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    searched(table, **SMALL)
    searched(table, Outputs("search.journal", best="best.st"), **SMALL)
    assert any(text.startswith("best.st is not of the best trial") for text in caplog.messages)
    assert not (in_folder / "best.st").exists()


def test_a_failed_trial_is_reported_and_counted_and_the_rest_goes_on(
    table: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config: dict[str, Any] = {"space": ("lr=1e30,0.01",), "fixed": DIVERGING, "sampler": "grid"}
    with caplog.at_level("INFO"):
        found, result = searched(table, **config)
    assert [settings(each, "trial", "lr") for each in found] == [(1, 0.01)]
    assert any("trial 0 failed, the loss is nan in epoch" in text for text in caplog.messages)
    assert any("lr=1e+30" in text for text in caplog.messages)
    assert "1 of 2 trials failed" in caplog.messages
    assert searched(table, **config) == ([], result)


def test_a_trial_that_is_too_large_fails_alone(table: Path, caplog: pytest.LogCaptureFixture) -> None:
    config: dict[str, Any] = {"space": ("hidden=4,20000",), "fixed": ("arch=mlp", "epochs=1", "memory=0.5")}
    found, _ = searched(table, **config, sampler="grid")
    assert len(found) == 1
    assert any("trial 1 failed, the statistics of 1 layer take" in text for text in caplog.messages)


def test_a_search_without_a_trial_that_succeeds_says_so(table: Path) -> None:
    rates: dict[str, Any] = {"space": ("lr=1e30,2e30",), "fixed": DIVERGING}
    with pytest.raises(TrainingFault, match="all 2 trials failed"):
        searched(table, **rates, sampler="grid")
    rates["fixed"] = [text for text in DIVERGING if not text.startswith("epochs")]
    with pytest.raises(UsageFault, match="every coarse trial failed"):
        searched(table, Outputs("b"), **rates, sampler="coarse-to-fine", trials=4)


def test_a_combination_that_train_refuses_is_a_trial_that_fails(
    small: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spaces, fixed = ("arch=conv2,mlp", "freeze=none,backbone"), ("epochs=1", "size=16", "gray=yes")
    found, _ = searched(small, space=spaces, fixed=fixed, sampler="grid", split="60/20/20")
    assert len(found) == 3
    assert any("failed, mlp has no backbone" in text for text in caplog.messages)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"fixed": ("arch=mlp", "weight_decay=0.1")}, "`fixed` weight_decay nothing, not 0.1"),
        ({"space": (*LR, "weight_decay=0:1")}, "`space` weight_decay nothing, not 0.0:1.0"),
        ({"seed": 1}, "`seed` 0, not 1"),
        ({"split": "50/25/25"}, "`split` 60/20/20, not 50/25/25"),
        ({"sampler": "coarse-to-fine"}, "`sampler`"),
    ],
)
def test_another_search_in_the_same_storage_is_refused_with_what_differs(
    table: Path, more: dict[str, Any], says: str
) -> None:
    config: dict[str, Any] = {"space": LR, "fixed": ("arch=mlp",)}
    searched(table, **config, trials=1)
    with pytest.raises(UsageFault) as caught:
        searched(table, **{**config, "trials": 4, **more})
    assert str(caught.value).startswith("search.journal: ")
    assert says in str(caught.value)


def test_other_data_in_the_same_storage_is_refused(table: Path, in_folder: Path) -> None:
    searched(table, **{**SMALL, "trials": 1})
    (in_folder / "other.csv").write_text(table.read_text().replace("0.", "1.", 1))
    with pytest.raises(UsageFault, match="other data than other"):
        searched(Path("other.csv"), **SMALL)


@pytest.mark.parametrize(
    ("outputs", "says"),
    [
        (Outputs("-"), "is not a file"),
        (Outputs("there"), "is not a file"),
        (Outputs("a", lines="-"), "is not a file"),
        (Outputs("nowhere/a"), "no such folder"),
        (Outputs("a", best="notes"), "give `force=True`"),
        (Outputs("a", lines="a"), "two files at once"),
        (Outputs("a", lines="notes"), "notes, line 1: not JSON"),
        (Outputs("a", lines="nothing"), "is a link to gone, which does not exist"),
        (Outputs("nothing"), "is a link to gone, which does not exist"),
        (Outputs("notes"), "is not a storage of a search"),
        (Outputs("sqlite:///notes"), "is not a storage of a search"),
        (Outputs("mysql://here/a"), "give a file, or sqlite:///FILE"),
    ],
)
def test_a_place_that_cannot_be_written_is_refused(
    table: Path, in_folder: Path, outputs: Outputs, says: str
) -> None:
    (in_folder / "there").mkdir()
    (in_folder / "notes").write_text("mine\n")
    (in_folder / "nothing").symlink_to("gone")
    with pytest.raises(EmopruneError) as caught:
        searched(table, outputs, **SMALL)
    assert says in str(caught.value)
    assert {path.name for path in in_folder.iterdir()} == {"there", "notes", "nothing"}
    assert (in_folder / "notes").read_text() == "mine\n"
