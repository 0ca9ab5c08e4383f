"""Files of predictions: written, read by us and by pandas, and what is refused of them."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from emoprune.data.datasets import open_data
from emoprune.data.splits import partition
from emoprune.errors import BadData, EmopruneError, InvalidRecord, OutputFault
from emoprune.evaluation.bootstrap import intervals
from emoprune.evaluation.evaluate import evaluate
from emoprune.evaluation.model import load
from emoprune.evaluation.predictions import Predictions, read
from emoprune.evaluation.types import Metrics
from emoprune.networks import checkpoint as checkpoints
from tests.support.training import CONV1, trained

ANY = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=6)
"""With commas, quotes, line ends and right-to-left letters among them."""
NASTY = ('a,b".jpg', "two\nlines\r\n", "وجه\u202e.png", "name", " ; \t| ")


@st.composite
def predictions(draw: st.DrawFn) -> Predictions:
    classes = draw(st.lists(ANY | st.sampled_from(NASTY), min_size=1, max_size=4, unique=True))
    names = draw(st.lists(ANY | st.sampled_from(NASTY), min_size=1, max_size=6, unique=True))
    n, generator = len(names), np.random.default_rng(draw(st.integers(0, 10**6)))
    groups = st.none() | st.lists(ANY | st.just(""), min_size=n, max_size=n).filter(any).map(tuple)
    return Predictions(
        run=draw(ANY),
        model_fingerprint=draw(st.sampled_from(["ab", "cd"])),
        data_fingerprint="ef",
        classes=tuple(classes),
        names=tuple(names),
        groups=draw(groups),
        labels=generator.integers(len(classes), size=n),
        predicted=generator.integers(len(classes), size=n),
        probabilities=generator.dirichlet(np.full(len(classes), 0.1), size=n),
    )


def fields(found: Predictions) -> dict[str, Any]:
    """The fields, arrays as lists."""
    return {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in vars(found).items()
    }


def simple(**changes: Any) -> Predictions:
    given: dict[str, Any] = {
        **{"run": "m.st", "model_fingerprint": "ab", "data_fingerprint": "cd", "classes": ("angry", "happy")},
        **{
            "names": ("a.jpg", "b.jpg"),
            "groups": None,
            "labels": np.array([0, 1]),
            "predicted": np.array([0, 0]),
        },
        "probabilities": np.array([[0.75, 0.25], [0.5, 0.5]]),
    }
    return Predictions(**{**given, **changes})


def read_bytes(folder: Path, data: bytes) -> tuple[Predictions, ...]:
    (folder / "p.csv").write_bytes(data)
    return read(folder / "p.csv")


def test_to_bytes_has_a_row_per_sample() -> None:
    assert simple(groups=("f1", "f2")).to_bytes().decode().splitlines() == [
        "run,model_fingerprint,data_fingerprint,name,group,label,predicted,p_angry,p_happy",
        "m.st,ab,cd,a.jpg,f1,angry,angry,0.75,0.25",
        "m.st,ab,cd,b.jpg,f2,happy,angry,0.5,0.5",
    ]


@given(st.lists(predictions(), min_size=1, max_size=3))
def test_files_behind_one_another_are_read_again(
    tmp_path_factory: pytest.TempPathFactory, found: list[Predictions]
) -> None:
    # of one run there is one file
    found = list({(each.run, each.model_fingerprint, each.classes): each for each in found}.values())
    again = read_bytes(tmp_path_factory.mktemp("p"), b"".join(each.to_bytes() for each in found))
    assert list(map(fields, again)) == list(map(fields, found))


def test_pandas_reads_and_writes_what_is_read_again(tmp_path: Path) -> None:
    names = ('a,b".jpg', "two\nlines", "وجه\u202e.png")
    both = [
        simple(
            run=run,
            names=names,
            labels=np.array([0, 1, 1]),
            predicted=np.array([1, 1, 0]),
            probabilities=np.random.default_rng(seed).dirichlet([1, 1], size=3),
            groups=("f", "", "g"),
        )
        for seed, run in enumerate(("one", "two"))
    ]
    frames = [pandas.read_csv(io.BytesIO(each.to_bytes())) for each in both]
    assert frames[0]["name"].tolist() == list(names)
    assert frames[0][["p_angry", "p_happy"]].to_numpy() == pytest.approx(both[0].probabilities)
    shuffled = pandas.concat(frames).sort_values("name", kind="stable")
    shuffled["more"] = 1
    shuffled.to_csv(tmp_path / "p.csv")
    again = read(tmp_path / "p.csv")
    assert [each.run for each in again] == ["one", "two"]
    for ours, theirs in zip(both, again, strict=True):
        order = [ours.names.index(name) for name in theirs.names]
        assert theirs.probabilities == pytest.approx(ours.probabilities[order])
        assert theirs.groups == tuple((ours.groups or ())[index] for index in order)


LINES = simple().to_bytes().decode().splitlines()
CELLS = LINES[0].split(",")


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([LINES[0]], "has no rows"),
        ([], "the file is empty"),
        (LINES[1:], "line 1 has no column run, model_fingerprint, data_fingerprint, name, group, label,"),
        (["run,name", "a,b"], "line 1 has no column model_fingerprint"),
        ([",".join(CELLS[:-2]), "m.st,ab,cd,a.jpg,,angry,angry"], "line 1 has no column p_CLASS"),
        ([f"{LINES[0]},name", f"{LINES[1]},b"], "line 1 has the column name twice"),
        ([*LINES[:2], "m.st,ab,cd,b.jpg,,happy,angry,0.5"], "line 3 has 8 cells, not 9; correct the line"),
        ([*LINES, LINES[1]], "line 4: name a.jpg is there again, of the same run"),
        ([*LINES, *LINES], "line 5: name a.jpg is there again, of the same run"),
        ([*LINES[:2], LINES[2].replace("happy", "sad")], "line 3: label is 'sad', not one of angry, happy"),
        ([LINES[0], "m.st,ab,cd,a.jpg,,angry,ANGRY,0.75,0.25"], "line 2: predicted is 'ANGRY', not one of"),
        ([*LINES[:2], LINES[2].replace("0.5,", "x,")], "line 3: p_angry is 'x', not a number from 0 to 1"),
        ([LINES[0], LINES[1].replace("0.25", "nan")], "line 2: p_happy is 'nan', not a number from 0 to 1"),
        ([LINES[0], LINES[1].replace("0.25", "")], "line 2: p_happy is '', not a number"),
        ([LINES[0], LINES[1].replace("0.25", "1.25")], "line 2: p_happy is '1.25', not a number from 0 to 1"),
        ([LINES[0], LINES[1].replace("0.25", "0.2")], "line 2: p_angry to p_happy add up to 0.95, not 1"),
        ([LINES[0], '"m.st,ab'], "not a CSV table"),
        (["\x89PNG\r\n\x1a\n"], "p.csv: "),
    ],
)
def test_read_refuses_in_one_line(tmp_path: Path, lines: list[str], says: str) -> None:
    with pytest.raises(EmopruneError) as caught:
        read_bytes(tmp_path, "".join(f"{line}\n" for line in lines).encode())
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 'p.csv'}: ")
    assert "\n" not in str(caught.value)


def test_read_of_no_file_is_bad_data(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="no such file"):
        read(tmp_path / "none.csv")


@pytest.mark.parametrize(
    "changes",
    [
        {"names": ("a.jpg", "a.jpg")},
        {"names": ("a.jpg",)},
        {"names": (), "labels": np.array([]), "predicted": np.array([]), "probabilities": np.zeros((0, 2))},
        {"groups": ("f",)},
        {"groups": ("", "")},
        {"classes": ("angry", "angry")},
        {"labels": np.array([0, 2])},
        {"predicted": np.array([-1, 0])},
        {"probabilities": np.array([[0.5, 0.5]])},
        {"probabilities": np.array([[0.5, np.nan], [0.5, 0.5]])},
        {"probabilities": np.array([[2.0, -1.0], [0.5, 0.5]])},
    ],
    ids=str,
)
def test_predictions_do_not_contradict_one_another(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidRecord):
        simple(**changes)


def test_write_replaces_only_with_force(tmp_path: Path) -> None:
    place = tmp_path / "p.csv"
    place.write_text("mine")
    with pytest.raises(OutputFault, match="exists already"):
        simple().write(place)
    assert place.read_text() == "mine"
    simple().write(place, force=True)
    assert fields(read(place)[0]) == fields(simple())
    assert [path.name for path in tmp_path.iterdir()] == ["p.csv"]


def test_predictions_are_read_without_torch() -> None:
    code = (
        "import sys, emoprune.evaluation.predictions; print('torch' in sys.modules, 'scipy' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert ended.stdout.split() == ["False", "False"]


def scored(model: Path, data: Path | str, **options: Any) -> Metrics:
    found = evaluate(load(str(model), torch.device("cpu")), open_data(data), **options)
    assert isinstance(found, Metrics)
    return found


def test_evaluate_writes_the_predictions_that_its_metrics_are_of(
    model: Path, faces: Path, tmp_path: Path
) -> None:
    place = tmp_path / "p.csv"
    found = scored(model, faces, part="train", group_by="^[^_]+", predictions=place, label="mine")
    (kept,) = read(place)
    assert (kept.run, kept.model_fingerprint, kept.data_fingerprint, kept.classes) == (
        *("mine", found.model_fingerprint, found.data_fingerprint, found.classes),
    )
    catalog = open_data(faces).catalog
    indices = partition(catalog, checkpoints.read(str(model)).split)["train"]
    assert kept.names == tuple(catalog.names[index] for index in indices)
    assert kept.labels.tolist() == [catalog.labels[index] for index in indices]
    assert kept.groups == tuple(Path(name).name.partition("_")[0] for name in kept.names)
    every = range(len(kept.classes))
    confusion = metrics.confusion_matrix(kept.labels, kept.predicted, labels=every)
    assert found.confusion == tuple(map(tuple, confusion.tolist()))
    assert found.log_loss == pytest.approx(metrics.log_loss(kept.labels, kept.probabilities, labels=every))
    assert found.intervals is not None
    assert (found.intervals.over, found.intervals.count) == ("groups", 5)
    again = intervals(np.log(kept.probabilities), kept.labels, kept.groups)
    assert again is not None
    for name, ends in again.of.items():
        assert found.intervals.of[name] == pytest.approx(ends), name
    plain = scored(model, faces, part="train", predictions=place, force=True)
    assert plain.intervals is not None
    assert (plain.intervals.over, plain.intervals.count) == ("samples", 48)
    assert (read(place)[0].run, read(place)[0].groups) == (str(model), None)


def test_evaluate_names_samples_of_a_part_as_the_whole_does(faces_here: Callable[..., Path]) -> None:
    counts = {f"{part}/{label}": 4 for part in ("train", "test") for label in ("happy", "sad")}
    faces_here("faces", counts)
    trained("faces", **CONV1).save("m.st")
    written = []
    for number, data in enumerate(("faces:test", "faces")):
        scored(Path("m.st"), data, predictions=f"{number}.csv")
        written.append(Path(f"{number}.csv").read_bytes())
    assert written[0] == written[1]
    trained("faces:train", **CONV1).save("n.st")
    found = scored(Path("n.st"), "faces:test", predictions="n.csv")
    (kept,) = read("n.csv")
    assert kept.data_fingerprint == found.data_fingerprint
    assert kept.names[0].startswith("happy/")


def test_evaluate_refuses_predictions_of_samples_of_one_name(tmp_path: Path) -> None:
    rows = [f"{name},{label},{x}" for name, label in ("ax", "ay", "bx", "cy") for x in (1, 2)]
    (tmp_path / "t.csv").write_text("\n".join(["name,label,x", *rows]))
    made = trained(str(tmp_path / "t.csv"), arch="mlp", hidden=2, epochs=1, split="50/50")
    data = open_data(tmp_path / "t.csv")
    with pytest.raises(InvalidRecord, match=r"t\.csv: a is the name of several samples"):
        evaluate(made, data, part="all", predictions=tmp_path / "p.csv")
    assert not (tmp_path / "p.csv").exists()
