"""Several trainings: one split, as many seeds, the same files however they are run, and an honest summary."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from emoprune import events
from emoprune.data.datasets import open_data
from emoprune.data.splits import fold_rules
from emoprune.errors import BadCheckpoint, EmopruneError, TrainingFault
from emoprune.evaluation.evaluate import evaluate
from emoprune.evaluation.types import Metrics
from emoprune.events import Advance, Work
from emoprune.networks import checkpoint
from emoprune.training.config import train_config
from emoprune.training.outputs import Outputs
from emoprune.training.repeats import (
    Outcome,
    Repeat,
    Repeats,
    by_fold,
    by_seed,
    train_folds,
    train_repeats,
)
from emoprune.training.train import train
from emoprune.training.verdict import Verdict
from tests.support.children import child, wait_until
from tests.support.command_line import PROGRAM, clean_environment, tree
from tests.support.training import CONV1

SETTINGS: Mapping[str, Any] = {**CONV1, "epochs": 4, "lr": 0.01, "split": "60/20/20", "seed": 5}


def repeated(
    faces: Path,
    folder: Path,
    *,
    count: int = 3,
    jobs: int = 1,
    settings: Mapping[str, Any] = SETTINGS,
    **more: Any,
) -> Repeats:
    """Trainings into model.seed5.st and so on, in a folder."""
    data, config = open_data(faces), train_config(**settings)
    folder.mkdir(exist_ok=True)
    outputs = Outputs(model=str(folder / "model.st"), **more)
    return train_repeats(data, config, by_seed(data, config, 3), outputs, jobs=jobs)


def all_outputs(folder: Path) -> dict[str, Any]:
    return {
        name: str(folder / name) for name in ("save_init", "save_config", "save_split", "curve", "log_dir")
    }


@pytest.fixture(scope="module")
def undisturbed(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The outputs of three trainings; read only."""
    folder = tmp_path_factory.mktemp("undisturbed")
    repeated(faces, folder, **all_outputs(folder))
    return folder


def contents(folder: Path) -> dict[str, bytes | None]:
    """Its files, without what tells the time in its logs, and the name of the folder."""
    found = {name: data for name, data in tree(folder).items() if "tfevents" not in name}
    for name, data in found.items():
        if name.endswith("curve.csv") and data:
            rows = [line.split(b",") for line in data.splitlines()]
            # what was trained once more has no rate
            found[name] = b"\n".join(b",".join(row[:-2]) for row in rows)
        elif data is not None:
            found[name] = data.replace(os.fsencode(folder), b"")
    return found


def test_each_training_has_its_seed_and_the_split_of_the_first(undisturbed: Path, faces: Path) -> None:
    found = [checkpoint.read(str(undisturbed / f"model.seed{seed}.st")) for seed in (5, 6, 7)]
    assert [each.history[0].parameters["seed"] for each in found] == [5, 6, 7]
    assert {each.split.seed for each in found} == {5}
    assert len({each.split for each in found}) == 1
    alone = train(open_data(faces), train_config(**SETTINGS), data_name=str(faces)).checkpoint
    assert checkpoint.to_bytes(alone) == (undisturbed / "model.seed5.st").read_bytes()
    curves = [json.loads(line) for line in (undisturbed / "curve").read_text().splitlines()]
    assert [each["model"] for each in curves] == [
        str(undisturbed / f"model.seed{seed}.st") for seed in (5, 6, 7)
    ]
    assert [len(each["training"]) for each in curves] == [4, 4, 4]


def test_processes_write_the_same_files_and_tell_the_same(
    undisturbed: Path, faces: Path, tmp_path: Path, told: pytest.LogCaptureFixture
) -> None:
    repeated(faces, tmp_path / "one", **all_outputs(tmp_path / "one"))
    before = [text.replace("/one/", "/") for text in told.messages]
    told.clear()
    repeated(faces, tmp_path / "two", jobs=2, **all_outputs(tmp_path / "two"))
    assert [text.replace("/two/", "/") for text in told.messages] == before
    assert contents(tmp_path / "two") == contents(tmp_path / "one") == contents(undisturbed)


def test_the_split_may_differ_in_place_of_the_seed(faces: Path, tmp_path: Path) -> None:
    data, config = open_data(faces), train_config(**SETTINGS)
    rules = fold_rules(data, 2)
    folds = [Repeat(f"fold{number}", 5, rule) for number, rule in enumerate(rules, 1)]
    found = train_repeats(data, config, folds, Outputs(model=str(tmp_path / "m.st")))
    assert [Path(each.path).name for each in found.outcomes] == ["m.fold1.st", "m.fold2.st"]
    assert [checkpoint.read(each.path).split for each in found.outcomes] == [*rules]


def outcome(seed: int, train_accuracy: float, val_accuracy: float | None) -> Outcome:
    verdict = Verdict(1, train_accuracy, val_accuracy, 0.25, 0.3, "", ())
    return Outcome(f"seed{seed}", seed, f"m.seed{seed}.st", verdict)


VALUES = (0.5, 0.75, 0.625, 0.75)


@pytest.mark.parametrize("part", ["train", "val"])
def test_mean_deviation_and_interval_are_those_of_students_t(part: str) -> None:
    pairs = [(0.9, value) if part == "val" else (value, None) for value in VALUES]
    found = Repeats(tuple(outcome(seed, *pair) for seed, pair in enumerate(pairs)))
    record = found.record()
    low, high = stats.t.interval(0.95, 3, np.mean(VALUES), stats.sem(VALUES))
    assert (record["part"], record["n"]) == (part, 4)
    assert record["mean"] == pytest.approx(0.65625)
    assert record["deviation"] == pytest.approx(np.std(VALUES, ddof=1))
    assert (record["low"], record["high"]) == (pytest.approx(low), pytest.approx(high))


def test_the_best_is_told_apart_from_the_mean(told: pytest.LogCaptureFixture) -> None:
    found = Repeats(tuple(outcome(seed, 0.9, value) for seed, value in enumerate(VALUES)))
    # the first of equals
    assert found.best.seed == 1
    found.tell()
    mean, best = told.messages
    assert mean == (
        "4 trainings: mean 65.6% of val, standard deviation 12.0%, 95% interval of the mean 46.6% to 84.7%"
    )
    assert best == "m.seed1.st: 75.0%, best of 4, chosen on val, not an estimate"


@contextmanager
def watched(interrupt: int | None = None) -> Iterator[list[Work]]:
    """A list of the epochs that are trained within; Ctrl-C is pressed at one of them."""
    seen = list[Work]()

    @contextmanager
    def hook(work: Work) -> Iterator[Advance]:
        def advance(steps: int = 1, text: str | None = None) -> None:
            if work.label == "epoch":
                seen.append(work)
                if len(seen) == interrupt:
                    raise KeyboardInterrupt

        yield advance

    with events.showing(hook):
        yield seen


def test_what_was_interrupted_goes_on_and_what_is_done_is_not_trained_again(
    undisturbed: Path, faces: Path, tmp_path: Path, told: pytest.LogCaptureFixture
) -> None:
    outputs = all_outputs(tmp_path)
    with watched(interrupt=6), pytest.raises(KeyboardInterrupt):
        repeated(faces, tmp_path, **outputs)
    assert told.messages[-1] == "the same with `resume=True` goes on from what is done"
    with pytest.raises(EmopruneError, match="exists already"):
        repeated(faces, tmp_path, **outputs)
    with watched() as seen:
        repeated(faces, tmp_path, resume=True, **outputs)
    assert "goes on: of 3 trainings 1 are done, and 1 were interrupted" in told.messages
    # of seed6 the state is of epoch 1 or 2, and seed7 was not begun
    assert len(seen) in (4 + 2, 4 + 3)
    assert contents(tmp_path) == contents(undisturbed)


def test_another_training_is_not_gone_on_with(faces: Path, tmp_path: Path) -> None:
    with watched(interrupt=6), pytest.raises(KeyboardInterrupt):
        repeated(faces, tmp_path)
    other = {**SETTINGS, "lr": 0.02}
    with pytest.raises(BadCheckpoint, match="of another training"):
        repeated(faces, tmp_path, settings=other, resume=True)
    (tmp_path / "model.seed5.st.done").write_bytes(b"\xff{")
    with pytest.raises(BadCheckpoint, match="not the record of a training"):
        repeated(faces, tmp_path, resume=True)
    found = repeated(faces, tmp_path, settings=other, force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        Path(each.path).name for each in found.outcomes
    ]


def test_a_checkpoint_that_was_replaced_is_trained_again(
    undisturbed: Path, faces: Path, tmp_path: Path
) -> None:
    with watched(interrupt=6), pytest.raises(KeyboardInterrupt):
        repeated(faces, tmp_path)
    (tmp_path / "model.seed5.st").write_bytes(b"another")
    repeated(faces, tmp_path, resume=True)
    name = "model.seed5.st"
    assert (tmp_path / name).read_bytes() == (undisturbed / name).read_bytes()


def test_ctrl_c_ends_all_processes_and_resume_goes_on(undisturbed: Path, faces: Path, tmp_path: Path) -> None:
    long = {**SETTINGS, "epochs": 100_000}
    words = [word for name, value in long.items() for word in (f"--{name}", str(value)) if value is not True]
    argv = [*PROGRAM, "train", str(faces), "model.st", *words, "--gray", "--repeats", "3", "--jobs", "2"]
    with child(argv, cwd=tmp_path, env=clean_environment(), stderr=subprocess.PIPE) as started:
        states = [tmp_path / f"model.seed{seed}.st.state" for seed in (5, 6)]
        wait_until(lambda: all(state.exists() for state in states), started)
        os.kill(started.pid, signal.SIGINT)
        _, err = started.communicate()
    assert started.returncode == 130
    note, complaint = err.splitlines()[-2:]
    assert note == b"note: the same with --resume goes on from what is done"
    assert complaint == b"emoprune: interrupted"
    assert sorted(path.name for path in tmp_path.iterdir()) == [state.name for state in states]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_loss_that_diverges_ends_all_and_names_its_training(faces: Path, tmp_path: Path, jobs: int) -> None:
    wild = {**SETTINGS, "lr": 1e30, "optimizer": "sgd", "activation": "relu"}
    with pytest.raises(TrainingFault, match=r"^seed5: the loss is .* `lr`"):
        repeated(faces, tmp_path, settings=wild, jobs=jobs)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"arch": "svm"}, "the same with every seed"),
        ({"epochs": 0}, "without epochs"),
        ({"seed": 2**32 - 2}, "out of range"),
    ],
)
def test_trainings_that_tell_nothing_are_refused(
    faces: Path, tmp_path: Path, more: dict[str, Any], says: str
) -> None:
    with pytest.raises(EmopruneError, match=says):
        repeated(faces, tmp_path, settings={**SETTINGS, **more})
    assert list(tmp_path.iterdir()) == []


def test_what_any_training_could_not_write_is_refused_before_all_work(faces: Path, tmp_path: Path) -> None:
    (tmp_path / "model.seed7.st").write_bytes(b"mine")
    with pytest.raises(EmopruneError, match=r"model\.seed7\.st: exists already"):
        repeated(faces, tmp_path)
    with pytest.raises(EmopruneError, match="cannot be two files at once"):
        repeated(faces, tmp_path, curve=str(tmp_path / "model.seed6.st"))
    data, config = open_data(faces), train_config(**SETTINGS)
    with pytest.raises(EmopruneError, match="standard output is one"):
        train_repeats(data, config, by_seed(data, config, 2), Outputs(model="-"))
    assert tree(tmp_path) == {"model.seed7.st": b"mine"}


FOLDS: Mapping[str, Any] = {**CONV1, "epochs": 3, "lr": 0.01}


def test_train_folds_answers_each_sample_by_the_network_that_has_not_seen_it(
    faces: Path, tmp_path: Path
) -> None:
    data, config = open_data(faces), train_config(**FOLDS)
    found, metrics = train_folds(data, config, 3, Outputs(model=str(tmp_path / "m.st")), data_name="faces/")
    assert [Path(each.path).name for each in found.outcomes] == ["m.fold1.st", "m.fold2.st", "m.fold3.st"]
    right = 0
    for each in found.outcomes:
        made = checkpoint.read(each.path)
        assert made.history[-1].parameters["keep"] == "last", "the best would be chosen on the fold"
        own = evaluate(made, data, part="val", device="cpu")
        assert isinstance(own, Metrics)
        assert own.accuracy == pytest.approx(each.accuracy)
        right += round(own.accuracy * own.n)
    assert (metrics.n, metrics.split, metrics.data) == (60, "out of fold", "faces/")
    assert metrics.accuracy == pytest.approx(right / 60)


def test_by_fold_refuses_a_start_that_has_seen_the_folds_and_warns_of_a_teacher_that_has(
    faces: Path, model: Path, told: pytest.LogCaptureFixture
) -> None:
    data, config, seen = open_data(faces), train_config(**FOLDS), checkpoint.read(str(model))
    with pytest.raises(EmopruneError, match="have all been seen"):
        by_fold(data, config, 3, past=seen)
    by_fold(data, config, 3, teacher=seen)
    assert "the teacher was trained on this data" in told.text
    told.clear()
    by_fold(data, train_config(**FOLDS, patience=1), 3)
    assert "choose on the fold that is reported" in told.text


@pytest.mark.parametrize("count", [1, 21])
def test_by_fold_refuses_too_few_and_more_than_a_class_has_samples(faces: Path, count: int) -> None:
    with pytest.raises(EmopruneError, match="2 or more" if count == 1 else "20"):
        by_fold(open_data(faces), train_config(**FOLDS), count)


def test_by_fold_leaves_out_the_split_of_a_preset_for_data_in_parts(faces: Path, tmp_path: Path) -> None:
    for path in faces.glob("*/*.*"):
        for part in ("train", "test"):
            place = tmp_path / part / path.parent.name / path.name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(path)
    found = by_fold(open_data(tmp_path), train_config("jain2020-conv1"), 2)
    assert [each.name for each in found] == ["fold1", "fold2"]
