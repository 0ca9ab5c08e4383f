"""emoprune train: its options, streams, files and line, and what other commands make of its models."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from emoprune.networks import checkpoint
from tests.conftest import draw_faces
from tests.support.command_line import SMALL, Runner, tree
from tests.support.feature_tables import draw_table
from tests.support.terminal import bytes_on_terminal, lines_of
from tests.support.training import CONV1, trained

MLP = ("--arch", "mlp", "--epochs", "1")


def test_the_summary_says_what_was_trained_and_the_options_are_those_of_the_library(
    emoprune: Runner, small: Path, in_folder: Path
) -> None:
    result = emoprune.done("train", small, "m.st", *SMALL)
    assert "--group-by" in result.err, "a random split is pointed out"
    summary = result.record
    assert summary.pop("training")["index"] == 2
    assert [summary.pop(name) for name in ("best_epoch", "val_accuracy")] == [None, None]
    assert 0 <= summary.pop("train_accuracy") <= 1
    assert summary.pop("chance") == summary.pop("majority") == pytest.approx(1 / 3)
    assert "\nnote: epoch 2 is kept, the last: " in result.err
    # as many are right as by always answering one class
    assert result.err.splitlines()[-1] == f"note: wrote m.st; next: emoprune eval m.st {small}"
    assert list(summary.items()) == [
        *(("schema", "emoprune.train/1"), ("input", str(small)), ("output", "m.st"), ("arch", "conv1")),
        *(("classes", ["angry", "happy", "surprise"]), ("parts", {"train": 24, "test": 6})),
        ("layers", {"features.0": 16, "classifier.hidden1": 12}),
    ]
    assert set(tree(in_folder)) == {"m.st"}
    assert Path("m.st").read_bytes() == checkpoint.to_bytes(trained(small, **CONV1))
    assert emoprune.done("train", small, "-", *SMALL).raw == Path("m.st").read_bytes()


def test_options_may_be_repeated_or_joined_by_commas(emoprune: Runner, small: Path, in_folder: Path) -> None:
    wanted = trained(small, **CONV1, augment=("flip", "rotate:10"), group_by="^[^_]+")
    for augment in (("flip,rotate:10",), ("flip", "--augment", "rotate:10")):
        options = ("--augment", *augment, "--group-by", "^[^_]+", "--force")
        assert "random split" not in emoprune.done("train", small, "m.st", *SMALL, *options).err
        assert Path("m.st").read_bytes() == checkpoint.to_bytes(wanted)


def test_a_file_of_settings_is_saved_and_read_and_written_options_win(
    emoprune: Runner, small: Path, in_folder: Path
) -> None:
    emoprune.done("train", small, "a.st", *SMALL, "--recipe", "modern", "--save-config", "run.toml")
    assert Path("a.st").read_bytes() == checkpoint.to_bytes(trained(small, **CONV1, recipe="modern"))
    text = Path("run.toml").read_bytes()
    result = emoprune.done("train", small, "b.st", "--config", "-", "--save-config", "again.toml", stdin=text)
    assert Path("b.st").read_bytes() == Path("a.st").read_bytes()
    assert Path("again.toml").read_bytes() == text
    recipe, _, file = result.err.splitlines()[:3]
    assert recipe.startswith("note: recipe modern: --optimizer adamw --weight-decay 0.05 --schedule ")
    assert file.startswith("note: standard input: --arch conv1 ")
    emoprune.done("train", small, "c.st", "--lr", "0.5", "--config", "run.toml", "--recipe", "paper")
    parameters = checkpoint.read("c.st").history[-1].parameters
    assert (parameters["lr"], parameters["recipe"], parameters["optimizer"]) == (0.5, "paper", "adamw")


def test_help_shows_the_defaults_of_a_recipe_and_a_file(emoprune: Runner, in_folder: Path) -> None:
    Path("c.toml").write_text("preset = 'zhang2020-vgg'\nlr = 0.25\nepochs = 7\n")
    for argv in (("--config", "c.toml", "--recipe", "modern"), ("--recipe", "modern", "--config", "c.toml")):
        text = " ".join(emoprune.done("train", *argv, "--help").out.split())
        assert "Learning rate. [default: 0.25;" in text
        assert "0 is the whole training part at once. [default: 128;" in text
        assert "How gradients become steps. [default: adamw]" in text
        assert "0 adopts finished weights as they are. [default: 7;" in text


def test_a_file_of_settings_is_refused_before_any_step(emoprune: Runner, small: Path) -> None:
    Path("c.toml").write_text("learning_rat = 1\n")
    unknown = ("c.toml: learning_rat is not a setting",)
    emoprune.check_refused("train", small, "m.st", "--config", "c.toml", says=unknown)
    emoprune.check_refused("train", small, "m.st", "--config", "no.toml", says=("no.toml: no such file",))
    emoprune.check_refused("train", small, "m.st", "--config", "", code=2, says=("--config: is empty",))
    says = ("modem", "did you mean modern?")
    emoprune.check_refused("train", small, "m.st", "--recipe", "modem", code=2, says=says)
    argv = ("train", small, "m.st", *SMALL, "--save-config")
    emoprune.check_refused(*argv, "c.toml", says=("c.toml", "--force"))
    emoprune.check_refused(*argv, "new.toml", "--weights", "\udcff.pth", says=("not UTF-8",))


def test_a_training_that_blew_up_says_so_and_what_is_next_can_be_pasted(
    emoprune: Runner, small: Path, in_folder: Path
) -> None:
    (in_folder / "my faces").symlink_to(small)
    options = ("--no-statistics", "--lr", "50", "--split", "60/20/20")
    result = emoprune.done("train", "my faces", "my m.st", *SMALL, *options)
    warnings = [line for line in result.err.splitlines() if line.startswith("warning: the loss ends at ")]
    assert len(warnings) == 1
    assert warnings[0].endswith("; try a lower --lr")
    assert result.record["val_accuracy"] <= 0.5
    note, _, command = result.err.splitlines()[-1].partition("next: ")
    assert note == "note: wrote my m.st; "
    argv = shlex.split(command)
    assert argv == ["emoprune", "eval", "my m.st", "my faces"]
    emoprune.done(*argv[1:])


def test_data_and_the_checkpoint_to_train_on_may_come_from_standard_input(
    emoprune: Runner, table: Path, table_model: Path
) -> None:
    emoprune.done("train", "-", "a.st", *MLP, stdin=table.read_bytes())
    emoprune.done("train", table, "b.st", "--from", "-", "--epochs", "1", stdin=table_model.read_bytes())
    one, other = checkpoint.read("a.st"), checkpoint.read("b.st")
    assert one.history[-1].parameters["data"] == "-"
    assert other.history[-1].parameters["weights"] == "-"
    assert other.spec == checkpoint.read(str(table_model)).spec


def test_parts_of_the_data_are_used_as_they_are(emoprune: Runner, faces_here: Callable[..., Path]) -> None:
    faces_here("faces", {"train/happy": 4, "train/sad": 3, "test/happy": 2, "test/sad": 1})
    result = emoprune.done("train", "faces", "m.st", *SMALL)
    assert result.record["parts"] == {"train": 7, "test": 3}
    # the faces of a class are drawn alike in both
    assert result.err.startswith("warning: faces: holds 3 pictures more than once\nepoch 1/2: ")


def test_no_clock_and_no_folder_of_this_machine_is_in_a_checkpoint(
    emoprune: Runner, in_folder: Path, small: Path
) -> None:
    (in_folder / "faces").symlink_to(small)
    data = emoprune.done("train", "faces", "-", *SMALL).raw
    header = json.loads(io.BytesIO(data[8:]).read(int.from_bytes(data[:8], "little")))
    assert set(header["__metadata__"]) == {"emoprune"}
    card = json.loads(header["__metadata__"]["emoprune"])
    canonical = json.dumps(card, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert header["__metadata__"]["emoprune"] == canonical
    assert str(in_folder) not in canonical
    assert str(small) not in canonical


@pytest.mark.parametrize(
    "options",
    [
        *(("--epochs", "-1"), ("--lr", "-1"), ("--lr", "nan"), ("--hidden", "0"), ("--hidden", "many")),
        *(("--dropout", "1"), ("--seed", "-1"), ("--seed", str(2**32)), ("--overfit", "0")),
        *(("--lr-factor", "1.1"), ("--lr-factor", "nan"), ("--lr-decay", "-1"), ("--channels", "0")),
        *(("--keep", "best"), ("--augment", "flip:2"), ("--scale", "standard"), ("--overfit", "49")),
        *(("--split", "80-20"), ("--group-by", "("), ("--size", "24x"), ("--mean", "nan")),
    ],
    ids=" ".join,
)
def test_values_that_make_no_sense_are_refused_by_their_option(
    emoprune: Runner, small: Path, options: tuple[str, ...]
) -> None:
    emoprune.check_refused("train", small, "m.st", *SMALL, *options, code=2, says=(options[0],))


def test_classes_are_an_option_of_weights(emoprune: Runner, model: Path, faces: Path) -> None:
    options = ("--arch", "conv1", "--size", "24", "--gray", "--hidden", "24", "--epochs", "0")
    argv = ("train", faces, "m.st", *options, "--weights", model)
    wrong = ("--classes", "angr,happy,surprise")
    emoprune.check_refused(*argv, *wrong, code=2, says=("--classes names angr, and the data has angry",))
    emoprune.done(*argv, "--classes", "surprise", "--classes", "Angry,happiness")
    made = checkpoint.read("m.st")
    wanted = checkpoint.read(str(model)).tensors["classifier.output.bias"][[1, 2, 0]]
    assert made.tensors["classifier.output.bias"].tolist() == wanted.tolist()
    says = ("--classes and --from both say", "leave out --classes")
    emoprune.check_refused("train", faces, "on.st", "--from", model, "--classes", "a", code=2, says=says)


def test_an_unknown_architecture_is_refused_with_the_nearest(emoprune: Runner, small: Path) -> None:
    says = ("resnet19", "resnet18")
    emoprune.check_refused("train", small, "m.st", "--arch", "resnet19", code=2, says=says)


@pytest.mark.parametrize("option", ["--gray", "--color"])
def test_what_a_checkpoint_decides_is_refused_by_its_option(
    emoprune: Runner, model: Path, faces: Path, option: str
) -> None:
    says = ("--gray and --from both say", "leave out --gray")
    emoprune.check_refused("train", faces, "on.st", "--from", model, option, code=2, says=says)


def test_a_preset_says_nothing_of_a_network_that_is_given(emoprune: Runner, model: Path, faces: Path) -> None:
    options = ("--preset", "wright2019-cnn", "--epochs", "1")
    err = emoprune.done("train", faces, "on.st", "--from", model, *options).err
    assert "--lr-decay 1e-05" in err
    assert "--arch" not in err


@pytest.mark.parametrize("option", ["MODEL", "--save-init", "--curve"])
@pytest.mark.parametrize(
    ("place", "says"), [("nowhere/m.st", "mkdir -p nowhere"), (".", "folder"), ("mine.st", "--force")]
)
def test_an_output_that_cannot_be_written_is_refused_before_any_step(
    emoprune: Runner,
    table: Path,
    in_folder: Path,
    option: str,
    place: str,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("hours of work would have been lost")

    Path("mine.st").write_text("mine")
    outputs = (place,) if option == "MODEL" else ("m.st", option, place)
    with monkeypatch.context() as patch:
        patch.setattr("emoprune.training.run.fit", never)
        emoprune.check_refused("train", table, *outputs, *MLP, says=(says,))
    if place == "mine.st":
        emoprune.done("train", table, *outputs, *MLP, "--force")
        assert Path(place).stat().st_size > 100


@pytest.mark.parametrize("option", ["--save-init", "--curve"])
@pytest.mark.parametrize(("place", "again"), [("m.st", "m.st"), ("m.st", "./m.st"), ("-", "-")])
def test_two_outputs_cannot_be_one_file(
    emoprune: Runner, table: Path, option: str, place: str, again: str
) -> None:
    argv = ("train", table, place, *MLP, option, again, "--force")
    emoprune.check_refused(*argv, code=2, says=("two files at once",))


def test_a_checkpoint_may_replace_the_one_it_was_trained_from(
    emoprune: Runner, model: Path, faces: Path, in_folder: Path
) -> None:
    (in_folder / "m.st").write_bytes(model.read_bytes())
    emoprune.done("train", faces, "m.st", "--from", "m.st", "--epochs", "1", "--force")
    assert len(checkpoint.read("m.st").history) == 2


def test_a_full_disk_leaves_the_old_file(
    emoprune: Runner, small: Path, in_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (in_folder / "m.st").write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    emoprune.check_refused("train", small, "m.st", *SMALL, "--force", says=("m.st", "No space left"))
    emoprune.check_refused("train", small, "new.st", *SMALL, says=("new.st", "No space left"))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--curve", "c.json", "--epochs", "0"), "--curve needs at least one epoch"),
        (("--curve", "c.json", "--arch", "svm"), "--curve needs at least one epoch"),
        (("--curve", "c.json", "--label", " "), "an empty label"),
        (("--label", "whole"), "give --curve FILE"),
    ],
)
def test_a_curve_that_could_not_be_written_is_refused_before_anything_is_done(
    emoprune: Runner, table: Path, options: tuple[str, ...], says: str
) -> None:
    arch = () if "svm" in options else MLP
    argv = ("train", table, "m.st", *arch, "--save-init", "init.st", *options)
    emoprune.check_refused(*argv, code=2, says=(says,))


def test_a_curve_on_standard_output_stands_there_alone(emoprune: Runner, small: Path) -> None:
    options = ("--epochs", "1", "--curve", "-", "--label", "mine")
    record = emoprune.done("train", small, "m.st", *SMALL, *options).record
    assert list(record) == ["schema", "model", "training", "label"]
    assert (record["schema"], record["label"], len(record["training"])) == ("emoprune.training/1", "mine", 1)


def test_an_initial_network_is_a_model_and_is_not_left_behind_by_data_that_is_refused(
    emoprune: Runner, small: Path, model: Path, in_folder: Path
) -> None:
    draw_faces(in_folder / "more", ("angry", "fear"), 6)
    argv = ("train", "more", "on.st", "--from", model, "--save-init", "init.st")
    emoprune.check_refused(*argv, says=("class fear",))
    diverging = ("--optimizer", "sgd", "--lr", "1e30")
    assert emoprune("train", small, "m.st", *SMALL, *diverging, "--save-init", "init.st").code == 1
    assert "init.st" in tree(in_folder), "a training that breaks off leaves it"
    emoprune.done("train", small, "m.st", *SMALL, "--save-init", "init.st", "--force")
    assert emoprune.done("eval", "init.st", small).record["n"] == 6
    emoprune.check_refused("angles", "init.st", says=("init.st: ", "no statistics", "--data"))
    assert len(emoprune.done("angles", "init.st", "--data", small).out.splitlines()) == 2


def test_a_network_that_was_trained_on_is_pruned_and_exported_with_its_last_data(
    emoprune: Runner, model: Path, small: Path
) -> None:
    # without it only the last name would be kept of the absolute path
    emoprune.done("train", small, "on.st", "--from", model, "--epochs", "1", "--keep-paths")
    options = ("--method", "reconstruct", "--max-drop", "100", "-o", "less.st")
    assert emoprune.done("prune", "on.st", *options).record["images"] == 24
    assert emoprune.done("export", "on.st", "on.onnx").record["real_samples"] == 30
    emoprune.done("train", small, "again.st", "--from", "less.st", "--epochs", "1")
    commands = [entry.command for entry in checkpoint.read("again.st").history]
    assert commands == ["train", "train", "prune", "train"]


def test_an_autoencoder_is_timed_and_exported_but_not_evaluated_as_onnx(
    emoprune: Runner, in_folder: Path
) -> None:
    draw_table(in_folder / "t.csv")
    emoprune.done("train", "t.csv", "ae.st", "--arch", "autoencoder", "--epochs", "1")
    assert emoprune.done("eval", "ae.st", "t.csv", "--latency").record["latency_ms"] > 0
    emoprune.done("export", "ae.st", "ae.onnx")
    emoprune.check_refused("eval", "ae.onnx", "t.csv", says=("ae.onnx: ",))


def test_an_svm_has_no_angles_and_no_remedy_for_it(emoprune: Runner, table: Path) -> None:
    emoprune.done("train", table, "svm.st", "--arch", "svm")
    assert "--data" not in emoprune.check_refused("angles", "svm.st", "--data", table, says=("svm.st: ",))


def test_train_saves_the_split_that_another_run_takes(emoprune: Runner, small: Path, in_folder: Path) -> None:
    argv = ("train", small, "m.st", *SMALL, "--split", "60/20/20", "--group-by", "^film[0-9]", "--seed", "3")
    made = emoprune.done(*argv, "--save-split", "s.csv").record
    lines = (in_folder / "s.csv").read_text().splitlines()
    assert lines[0] == "name,part"
    assert {part: sum(line.endswith(f",{part}") for line in lines) for part in made["parts"]} == made["parts"]
    again = emoprune.done("train", small, "n.st", *SMALL, "--split-file", "s.csv", "--seed", "3").record
    assert again["parts"] == made["parts"]
    assert again["training"] == made["training"]
    for part, count in made["parts"].items():
        scores = [emoprune.done("eval", name, small, "--split", part).record for name in ("m.st", "n.st")]
        assert scores[0]["n"] == count
        assert scores[0]["confusion"] == scores[1]["confusion"]
    emoprune.check_refused(*argv, "--force", "--save-split", "s.csv", "--split-file", "s.csv", code=2)
    emoprune.check_refused("train", small, "o.st", *SMALL, "--save-split", "o.st", code=2)


def test_a_log_has_the_first_epoch_and_the_last(emoprune: Runner, small: Path) -> None:
    result = emoprune.done("train", small, "m.st", *SMALL, "--epochs", "20", "--split", "60/20/20")
    first, last = (line for line in result.err.splitlines() if line.startswith("epoch "))
    figures = r"loss \d\.\d{3}, \d+\.\d%; val \d\.\d{3}, \d+\.\d%; rate 0\.001; [\d,.]+ pictures/s"
    assert re.fullmatch(rf"epoch 1/20: {figures}; \d+ s left", first)
    assert re.fullmatch(rf"epoch 20/20: {figures}", last)
    wrote = "note: wrote m.st; next: emoprune prune m.st --method reconstruct --macs 0.5"
    assert result.err.splitlines()[-1] == wrote


def test_a_log_folder_gets_a_row_for_each_epoch_and_is_not_overwritten(
    emoprune: Runner, small: Path, in_folder: Path
) -> None:
    emoprune.done("train", small, "m.st", *SMALL, "--log-dir", "log")
    assert len((in_folder / "log/curve.csv").read_text().splitlines()) == 1 + 2
    emoprune.check_refused(
        "train", small, "n.st", *SMALL, "--log-dir", "log", says=("log/curve.csv: exists",)
    )
    argv = ("train", small, "log/curve.csv", *SMALL, "--log-dir", "log", "--force")
    emoprune.check_refused(*argv, code=2, says=("two files at once",))
    no_epochs = ("train", small, "n.st", *SMALL, "--epochs", "0", "--log-dir", "other")
    emoprune.check_refused(*no_epochs, code=2, says=("--log-dir needs at least one epoch",))


@pytest.mark.parametrize("epochs", [4, 5])
def test_a_terminal_shows_the_learning_curve_of_five_epochs_or_more(
    small: Path, in_folder: Path, monkeypatch: pytest.MonkeyPatch, epochs: int
) -> None:
    argv = ("train", small, "m.st", *SMALL, "--epochs", epochs)
    shown = lines_of(bytes_on_terminal(monkeypatch, *argv, columns=150))
    assert ("accuracy by epoch: t train" in shown) == (epochs == 5)
    (figures,) = [line for line in shown if line.startswith(" training ")]
    assert f"index {epochs}, train_loss 1." in figures
    with (in_folder / "out.json").open("w") as out:
        shown = lines_of(bytes_on_terminal(monkeypatch, *argv, "--force", columns=150, out=out))
    assert ("accuracy by epoch: t train" in shown) == (epochs == 5)
    assert len((in_folder / "out.json").read_text().splitlines()) == 1


def test_repeats_report_their_mean_and_each_training(emoprune: Runner, small: Path, in_folder: Path) -> None:
    options = (*SMALL, "--split", "60/20/20", "--seed", "3", "--repeats", "2")
    result = emoprune.done("train", small, "m.st", *options)
    record = result.record
    assert (record["schema"], record["part"], record["n"]) == ("emoprune.repeats/1", "val", 2)
    assert [each["path"] for each in record["trainings"]] == ["m.seed3.st", "m.seed4.st"]
    accuracies = [each["val_accuracy"] for each in record["trainings"]]
    assert record["mean"] == pytest.approx(sum(accuracies) / 2)
    assert record["best"]["accuracy"] == max(accuracies)
    assert "best of 2, chosen on val, not an estimate" in result.err.splitlines()[-1]
    assert "\ntrainings 1/2, epoch 1/2: loss " in result.err
    assert sorted(path.name for path in in_folder.iterdir()) == ["m.seed3.st", "m.seed4.st"]
    emoprune.check_refused("train", small, "m.st", *options, says=("m.seed3.st: exists already",))


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("-", "--repeats", "2"), "several files, and standard output is one"),
        (("m.st", "--jobs", "2"), "give one of them as well"),
        (("m.st", "--repeats", "1"), "--repeats"),
        (("m.st", "--repeats", "2", "--label", "x"), "give --curve FILE"),
        (("m.st", "--repeats", "2", "--curve", "m.seed0.st"), "two files at once"),
    ],
)
def test_repeats_that_make_no_sense_are_refused(
    emoprune: Runner, small: Path, argv: tuple[str, ...], says: str
) -> None:
    emoprune.check_refused("train", small, *argv, *SMALL, code=2, says=(says,))


def test_a_terminal_shows_a_table_of_repeats(
    small: Path, in_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = ("train", small, "m.st", *SMALL, "--repeats", "2")
    shown = lines_of(bytes_on_terminal(monkeypatch, *argv, columns=150))
    (row,) = [line.split() for line in shown if line.startswith(" m.seed1.st")]
    assert row[:2] == ["m.seed1.st", "1"]
    assert row[-1].endswith("%")
