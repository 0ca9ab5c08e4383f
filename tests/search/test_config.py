"""emoprune search: what it refuses, before the first trial and in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command_line import Runner
from tests.support.searching import GRID, MLP, SMALL_SEARCH, searched

LR = ("--space", "lr=log:1e-3:1e-1")


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("--space", "learning=1:2"), "--space learning: unknown; choose from"),
        (("--space", "dropot=0:0.5"), "did you mean dropout?"),
        (("--space", "lr"), "has no values"),
        (("--space", "seed=1,2"), "unknown"),
        (("--space", "split=60/20/20"), "unknown"),
        ((*LR, "--space", "lr=1,2"), "--space lr is given twice"),
        ((*LR, "--set", "lr=0.1"), "lr is both searched and --set"),
        ((*LR, "--set", "epoch=5"), "did you mean epochs?"),
        ((*LR, "--set", "epochs"), "--set epochs has no value"),
        ((*LR, "--set", "epochs=5", "--set", "epochs=6"), "--set epochs is given twice"),
        ((*LR, "--set", "epochs=many"), "--epochs"),
        ((*LR, "--set", "gray=perhaps"), "write yes or no"),
        ((*LR, "--set", "arch=mlpp"), "did you mean mlp?"),
        (("--space", "lr=-1:1"), "--lr"),
        (("--space", "dropout=0:1.5"), "--dropout"),
        (("--space", "hidden=20,0"), "--hidden"),
        (("--space", "hidden=20,many"), "--hidden"),
        (("--space", "optimizer=adam,adamm"), "--optimizer"),
        (("--space", "channels=8,16+32", "--set", "arch=mlp"), "--channels"),
        (("--space", "augment=none,mirror"), "--augment mirror is unknown"),
        (("--space", "arch=mlp,conv1"), "conv1 needs images"),
        (("--set", "arch=autoencoder", *LR), "does not classify"),
        (("--space", "layers=int:1:3"), "add --space hidden"),
        (("--space", "layers=int:0:3", "--space", "hidden=4"), "layers=0"),
        (("--space", "layers=int:1:3", "--space", "hidden=4,4+8"), "give one of them"),
        ((*LR, "--sampler", "grid"), "lr=log:0.001:0.1:STEPS"),
        (("--space", "lr=log:1e-3:1:4"), "--sampler random takes none"),
        ((*LR, "--coarse-epochs", "1"), "--sampler coarse-to-fine"),
        ((*LR, "--sampler", "coarse-to-fine", "--set", "epochs=4"), "epochs of its own"),
        ((*LR, "--sampler", "coarse-to-fine", "--trials", "3"), "give 4 or more"),
        ((*LR, "--split", "80/20"), "give 60/20/20"),
        ((*LR, "--split", "half"), "--split half"),
        ((*LR, "--label", " "), "--label"),
        ((*LR, "--preset", "jain2020-f"), "did you mean"),
        ((*LR, "-o", "search.journal"), "two files at once"),
        ((*LR, "--trials", "0"), "--trials"),
        (("--trials", "3"), "--space"),
        (("--set", "arch=svm", *LR), "svm makes no use of --lr"),
        (("--set", "arch=svm", "--space", "penalty=1:2", "--sampler", "coarse-to-fine"), "fitted in one go"),
        (("--set", "arch=mlp", "--space", "penalty=1,2"), "mlp makes no use of --penalty"),
    ],
)
def test_a_wrong_command_line_is_refused_before_the_first_trial(
    emoprune: Runner, table: Path, argv: tuple[str, ...], says: str
) -> None:
    arch = () if any("arch=" in word for word in argv) else MLP[:2]
    emoprune.check_refused("search", table, *arch, *argv, code=2, says=(says,))


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("--storage", "-"), "is not a file"),
        (("--storage", "there"), "is not a file"),
        (("-o", "-"), "is not a file"),
        (("--storage", "nowhere/a"), "no such folder"),
        (("--keep-best", "notes"), "give --force"),
        (("--storage", "notes"), "is not a storage of a search"),
        (("--preset", "wright2019-ff"), "is for photos"),
    ],
)
def test_a_place_or_data_that_cannot_be_used_is_refused(
    emoprune: Runner, table: Path, in_folder: Path, argv: tuple[str, ...], says: str
) -> None:
    (in_folder / "there").mkdir()
    (in_folder / "notes").write_text("mine\n")
    searched(emoprune, table, *SMALL_SEARCH, "--trials", 1)
    emoprune.check_refused("search", table, *SMALL_SEARCH, *argv, says=(says,))


def test_data_split_already_needs_a_val_part(emoprune: Runner, table: Path, in_folder: Path) -> None:
    head, *rows = table.read_text().splitlines()
    named = [f"{('train', 'test')[index % 2]}/{row}" for index, row in enumerate(rows)]
    (in_folder / "t.csv").write_text("\n".join([head, *named]) + "\n")
    emoprune.check_refused("search", "t.csv", *SMALL_SEARCH, says=("train, test but no val",))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--set", "weight_decay=0.1"), "--set weight_decay nothing, not 0.1"),
        (("--space", "weight_decay=0:1"), "--space weight_decay nothing, not 0.0:1.0"),
        (("--seed", "1"), "--seed 0, not 1"),
        (("--split", "50/25/25"), "--split 60/20/20, not 50/25/25"),
        (("--sampler", "coarse-to-fine"), "--sampler"),
    ],
)
def test_another_search_in_the_same_storage_is_told_what_differs(
    emoprune: Runner, table: Path, more: tuple[str, ...], says: str
) -> None:
    search = ("--set", "arch=mlp", *LR, "--trials", "4")
    searched(emoprune, table, *search, "--trials", "1")
    emoprune.check_refused("search", table, *search, *more, code=2, says=("search.journal", says))


def test_the_same_search_spelled_otherwise_is_the_same(emoprune: Runner, table: Path) -> None:
    first = ("--space", "lr=log:1e-3:1e-1", "--space", "hidden=4,8")
    same = ("--space", "hidden=4,8", "--space", "lr=log:0.001:0.10")
    searched(emoprune, table, *MLP, *first, "--trials", 2)
    assert searched(emoprune, table, *MLP, *same, "--trials", 2).out == ""


def test_other_data_in_the_same_storage_is_refused(emoprune: Runner, table: Path, in_folder: Path) -> None:
    searched(emoprune, table, *SMALL_SEARCH, "--trials", 1)
    (in_folder / "other.csv").write_text(table.read_text().replace("0.", "1.", 1))
    emoprune.check_refused("search", "other.csv", *SMALL_SEARCH, code=2, says=("other data than other.csv",))


def test_a_file_that_is_not_of_the_search_is_replaced_if_forced(
    emoprune: Runner, table: Path, in_folder: Path
) -> None:
    (in_folder / "best.st").write_text("mine\n")
    searched(emoprune, table, *SMALL_SEARCH, "--keep-best", "best.st", "--force")
    emoprune.done("eval", "best.st", table)
    searched(emoprune, table, *SMALL_SEARCH, "--keep-best", "best.st")


def test_a_search_without_a_trial_that_succeeds_says_so(emoprune: Runner, table: Path) -> None:
    rates = ("--set", "optimizer=sgd", "--set", "activation=relu", "--space", "lr=1e30,2e30")
    result = emoprune("search", table, *GRID[:6], *rates)
    assert (result.code, result.out) == (1, "")
    assert "all 2 trials failed" in result.complaints[0]
    rounds = ("--set", "arch=mlp", "--sampler", "coarse-to-fine", "--trials", 4, "--storage", "b")
    result = emoprune("search", table, *rounds, *rates)
    assert result.code == 2
    assert "every coarse trial failed" in result.complaints[0]


def test_a_combination_that_train_refuses_is_a_trial_that_fails(emoprune: Runner, small: Path) -> None:
    spaces = ("--space", "arch=conv2,mlp", "--space", "freeze=none,backbone", "--sampler", "grid")
    fixed = ("--set", "epochs=1", "--set", "size=16", "--set", "gray=yes", "--split", "60/20/20")
    result = searched(emoprune, small, *spaces, *fixed)
    assert len(result.lines) == 3
    assert "failed, mlp has no backbone to freeze" in result.err
    assert "1 of 4 trials failed" in result.err


def test_json_lines_that_optuna_did_not_write_are_refused(emoprune: Runner, table: Path) -> None:
    Path("s.j").write_text('{"op_code": 99, "worker_id": "x"}\n')
    emoprune.check_refused("search", table, *MLP, *LR, "--storage", "s.j", says=("s.j", "not a storage"))
