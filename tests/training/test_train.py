"""emoprune train --from: a checkpoint goes on learning, as narrow and as sparse as it is."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from emoprune.cli.main import main
from emoprune.data.datasets import open_data
from emoprune.data.splits import partition
from emoprune.networks import checkpoint
from emoprune.networks.types import Checkpoint
from emoprune.training.config import TrainConfig
from emoprune.training.loop import fit
from tests.conftest import draw_faces
from tests.support.command_line import SMALL, Runner, opened, tree

ON = ("--lr", "0.003", "--epochs", "4")


def read(path: str | Path) -> Checkpoint:
    return checkpoint.read(str(path))


def same_tensors(one: Checkpoint, other: Checkpoint) -> bool:
    return one.tensors.keys() == other.tensors.keys() and all(
        torch.equal(one.tensors[name], other.tensors[name]) for name in one.tensors
    )


def trained_on(path: str | Path, data: Path) -> set[str]:
    """Names of the pictures in the training part of a checkpoint."""
    catalog = open_data(str(data)).catalog
    return {catalog.names[index] for index in partition(catalog, read(path).split)["train"]}


@pytest.fixture(scope="session")
def narrow(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`model` with a third of its units; read only."""
    path = tmp_path_factory.mktemp("narrow") / "narrow.st"
    options = ("--method", "random-units", "--amount", "0.67", "--scope", "layer", "--merge", "sum")
    assert main(["prune", str(model), "-o", str(path), *options, "--data", "none"]) == 0
    return path


@pytest.fixture(scope="session")
def sparse(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`model` with a tenth of its weights; read only."""
    path = tmp_path_factory.mktemp("sparse") / "sparse.st"
    options = ("--method", "magnitude", "--amount", "0.9", "--data", "none")
    assert main(["prune", str(model), "-o", str(path), *options]) == 0
    return path


def accuracy(emoprune: Runner, model: str | Path, faces: Path, part: str = "train") -> float:
    found: float = emoprune.done("eval", model, faces, "--split", part).record["accuracy"]
    return found


def test_a_narrow_network_stays_narrow_and_recovers(emoprune: Runner, narrow: Path, faces: Path) -> None:
    emoprune.done("train", faces, "healed.st", "--from", narrow, "--lr", "0.02", "--epochs", "25")
    before, after = read(narrow), read("healed.st")
    assert after.spec == before.spec
    assert after.units == before.units < 40
    assert not same_tensors(before, after)
    healed = accuracy(emoprune, "healed.st", faces)
    assert healed >= accuracy(emoprune, narrow, faces)
    assert healed >= 0.9
    assert emoprune.done("eval", "healed.st", faces).record["n"] == 12


def test_a_healed_network_can_be_pruned_and_healed_again(emoprune: Runner, narrow: Path, faces: Path) -> None:
    emoprune.done("train", faces, "a.st", "--from", narrow, *ON)
    options = ("--method", "reconstruct", "--amount", "0.5", "--data", "none")
    emoprune.done("prune", "a.st", *options, "-o", "b.st")
    emoprune.done("train", faces, "c.st", "--from", "b.st", *ON)
    assert read("c.st").units < read(narrow).units
    assert [entry.command for entry in read("c.st").history] == [
        *("train", "prune", "train", "prune", "train"),
    ]


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_zeros_of_a_sparse_network_stay_zero(
    emoprune: Runner, sparse: Path, faces: Path, optimizer: str
) -> None:
    how = ("--optimizer", optimizer, "--weight-decay", "0.01")
    emoprune.done("train", faces, "on.st", "--from", sparse, *ON, *how)
    before, after = read(sparse), read("on.st")
    assert before.masks
    assert after.masks.keys() == before.masks.keys()
    for name, mask in before.masks.items():
        assert torch.equal(after.masks[name], mask)
        assert bool((after.tensors[name][~mask] == 0).all())
        assert bool((after.tensors[name] != before.tensors[name])[mask].any())


def test_zeros_of_a_head_stay_zero_behind_a_frozen_backbone(
    emoprune: Runner, sparse: Path, faces: Path
) -> None:
    emoprune.done("train", faces, "on.st", "--from", sparse, *ON, "--freeze", "backbone")
    before, after = read(sparse), read("on.st")
    for name, mask in before.masks.items():
        assert bool((after.tensors[name][~mask] == 0).all())
    moved = {name for name in before.tensors if not torch.equal(before.tensors[name], after.tensors[name])}
    assert moved
    assert all(name.startswith("classifier.") for name in moved)


def test_the_test_part_is_never_trained_on_whatever_the_seed(
    emoprune: Runner, model: Path, faces: Path
) -> None:
    for seed in (1, 2):
        result = emoprune.done("train", faces, "on.st", "--from", model, *ON, "--seed", seed, "--force")
        assert result.err == "", "the split is the same, so there is nothing to tell"
        assert read("on.st").split == read(model).split
        assert trained_on("on.st", faces) == trained_on(model, faces)
        assert result.record["parts"] == {"train": 48, "test": 12}


def test_another_seed_shuffles_otherwise(emoprune: Runner, model: Path, faces: Path) -> None:
    for seed in (1, 2):
        emoprune.done("train", faces, f"{seed}.st", "--from", model, *ON, "--seed", seed)
    assert not same_tensors(read("1.st"), read("2.st"))


@pytest.mark.parametrize("option", [("--split", "60/40"), ("--group-by", "^film[0-9]")])
def test_a_split_that_is_asked_for_counts_and_is_told(
    emoprune: Runner, model: Path, faces: Path, option: tuple[str, str]
) -> None:
    result = emoprune.done("train", faces, "on.st", "--from", model, "--epochs", "1", *option)
    assert "note: " in result.err
    assert "test part" in result.err
    assert read("on.st").split != read(model).split


def test_other_data_is_told_and_split_anew(emoprune: Runner, model: Path, small: Path) -> None:
    result = emoprune.done("train", small, "on.st", "--from", model, "--epochs", "1", "--seed", "4")
    assert "the split is not that of the earlier training" in result.err
    found = read("on.st")
    assert found.split.seed == 4
    assert found.split.fingerprint == open_data(str(small)).catalog.fingerprint
    assert emoprune.done("eval", "on.st", small).record["n"] == 6


@pytest.mark.parametrize(
    "option",
    [
        *(("--arch", "conv1"), ("--hidden", "24"), ("--size", "24"), ("--gray",), ("--color",)),
        *(("--channels", "16"), ("--activation", "relu"), ("--dropout", "0.1"), ("--mean", "0.5")),
        *(("--std", "0.5"), ("--weights", "none"), ("--scale", "none")),
    ],
)
def test_what_a_network_is_cannot_be_said_twice(
    emoprune: Runner, model: Path, faces: Path, option: tuple[str, ...]
) -> None:
    name = "--gray" if option[0] == "--color" else option[0]
    says = (name, "--from", f"leave out {name}")
    emoprune.check_refused("train", faces, "on.st", "--from", model, *option, code=2, says=says)


def test_a_class_that_the_model_does_not_know_is_named(
    emoprune: Runner, model: Path, in_folder: Path
) -> None:
    draw_faces(in_folder / "more", ("angry", "fear"), 6)
    says = ("more: ", "class fear", "angry, happy, surprise")
    emoprune.check_refused("train", "more", "on.st", "--from", model, *ON, says=says)


def test_some_of_the_classes_keep_the_places_that_the_model_gave_them(
    emoprune: Runner, in_folder: Path, faces: Path
) -> None:
    # of a network that knows nothing yet; "happy" and "surprise" are its second and third class
    emoprune.done("train", faces, "m.st", *SMALL, "--epochs", "0")
    (in_folder / "two").mkdir()
    for label in ("happy", "surprise"):
        (in_folder / "two" / label).symlink_to(faces / label)
    result = emoprune.done("train", "two", "on.st", "--from", "m.st", "--lr", "0.01", "--epochs", "40")
    assert "warning: two has no angry, which m.st tells apart" in result.err
    found = read("on.st")
    assert found.classes == ("angry", "happy", "surprise")
    record = emoprune.done("eval", "on.st", "two", "--split", "train").record
    assert record["classes"] == ["angry", "happy", "surprise"]
    assert record["accuracy"] >= 0.9
    assert record["confusion"][0] == [0, 0, 0]
    assert [row[0] for row in record["confusion"]] == [0, 0, 0], "none is taken for the class without samples"


def test_the_history_has_one_entry_more(emoprune: Runner, narrow: Path, faces: Path) -> None:
    emoprune.done("train", faces, "on.st", "--from", narrow, *ON)
    before, after = read(narrow), read("on.st")
    assert after.history[:-1] == before.history
    entry = after.history[-1]
    assert entry.command == "train"
    assert entry.parameters["weights"] == str(narrow)
    assert (entry.parameters["lr"], entry.parameters["epochs"]) == (0.003, 4)
    assert len(after.training) == 4


def test_no_epochs_give_the_same_tensors_and_statistics_measured_anew(
    emoprune: Runner, model: Path, faces: Path, in_folder: Path
) -> None:
    emoprune.done("train", faces, "on.st", "--from", model, "--epochs", "0")
    before, after = read(model), read("on.st")
    assert same_tensors(before, after)
    for name, entry in before.statistics.items():
        torch.testing.assert_close(after.statistics[name].gram, entry.gram)
    doubled = dataclasses.replace(
        before,
        statistics={
            name: dataclasses.replace(entry, gram=2 * entry.gram) for name, entry in before.statistics.items()
        },
    )
    (in_folder / "stale.st").write_bytes(checkpoint.to_bytes(doubled))
    emoprune.done("train", faces, "fresh.st", "--from", "stale.st", "--epochs", "0")
    for name, entry in before.statistics.items():
        torch.testing.assert_close(read("fresh.st").statistics[name].gram, entry.gram)


def test_one_command_gives_the_same_bytes(emoprune: Runner, narrow: Path, faces: Path) -> None:
    raw = [emoprune.done("train", faces, "-", "--from", narrow, *ON).raw for _ in range(2)]
    assert raw[0] == raw[1]
    checkpoint.from_bytes(raw[0])


def test_a_checkpoint_from_stdin_is_gone_on_with(emoprune: Runner, model: Path, faces: Path) -> None:
    emoprune.done("train", faces, "a.st", "--from", "-", *ON, stdin=model.read_bytes())
    emoprune.done("train", faces, "b.st", "--from", model, *ON)
    assert same_tensors(read("a.st"), read("b.st"))


def test_the_checkpoint_can_be_replaced_with_force_alone(
    emoprune: Runner, model: Path, faces: Path, in_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (in_folder / "m.st").write_bytes(model.read_bytes())
    emoprune.done("train", faces, "m.st", "--from", "m.st", "--epochs", "1", "--force")
    assert len(read("m.st").history) == 2

    def never(*_: object, **__: object) -> None:
        raise AssertionError("hours of work would have been lost")

    monkeypatch.setattr("emoprune.training.train.fit", never)
    says = ("m.st: exists", "--force")
    emoprune.check_refused("train", faces, "m.st", "--from", "m.st", "--epochs", "1", says=says)
    emoprune.check_refused(
        "train", faces, "n.st", "--from", "m.st", "--epochs", "1", "--save-init", "m.st", says=says
    )


@pytest.mark.parametrize(
    ("data", "says"), [(None, "no such file"), (b"", "empty"), (b"some text", "not a safetensors")]
)
def test_what_is_no_checkpoint_is_refused(
    emoprune: Runner, faces: Path, in_folder: Path, data: bytes | None, says: str
) -> None:
    if data is not None:
        (in_folder / "old.st").write_bytes(data)
    emoprune.check_refused("train", faces, "on.st", "--from", "old.st", says=("old.st: ", says))


def test_data_of_another_kind_is_refused(
    emoprune: Runner, model: Path, table_model: Path, faces: Path, table: Path
) -> None:
    says = (f"{table}: ", "feature table", "photos")
    emoprune.check_refused("train", table, "on.st", "--from", model, *ON, says=says)
    says = (f"{faces}: ", "folder of photos", "emoprune features")
    emoprune.check_refused("train", faces, "on.st", "--from", table_model, *ON, says=says)


def test_a_preset_trains_a_given_network_on_by_its_own_rates(
    emoprune: Runner, model: Path, faces: Path
) -> None:
    options = ("--preset", "wright2019-cnn", "--epochs", "1")
    emoprune.done("train", faces, "on.st", "--from", model, *options)
    found = read("on.st")
    assert found.spec == read(model).spec
    recorded = found.history[-1].parameters
    assert (recorded["optimizer"], recorded["momentum"], recorded["lr_decay"]) == ("sgd", 0.9, 1e-5)


def test_a_healed_table_network_scales_as_before(emoprune: Runner, table_model: Path, table: Path) -> None:
    emoprune.done("train", table, "on.st", "--from", table_model, "--epochs", "3")
    before, after = read(table_model), read("on.st")
    for name in ("scaling.shift", "scaling.scale"):
        assert torch.equal(before.tensors[name], after.tensors[name])
    assert opened(Path("on.st"))[1] is not None


MLP = ("--arch", "mlp", "--hidden", "10", "--lr", "0.05")


def test_the_first_state_is_that_of_no_steps_at_all(emoprune: Runner, small: Path, in_folder: Path) -> None:
    emoprune.done("train", small, "m.st", *SMALL, "--save-init", "init.st")
    emoprune.done("train", small, "zero.st", *SMALL, "--epochs", "0")
    assert same_tensors(read("init.st"), read("zero.st"))
    assert not same_tensors(read("init.st"), read("m.st"))
    assert read("init.st").spec == read("m.st").spec
    assert set(tree(in_folder)) == {"m.st", "init.st", "zero.st"}


def test_saving_the_first_state_changes_nothing_of_the_last(emoprune: Runner, small: Path) -> None:
    emoprune.done("train", small, "m.st", *SMALL, "--save-init", "init.st")
    assert emoprune.done("train", small, "-", *SMALL).raw == Path("m.st").read_bytes()


def test_going_on_from_the_first_state_is_the_whole_training(emoprune: Runner, small: Path) -> None:
    emoprune.done("train", small, "m.st", *SMALL, "--save-init", "init.st")
    emoprune.done("train", small, "again.st", "--from", "init.st", "--epochs", "2")
    one, other = read("m.st"), read("again.st")
    assert same_tensors(one, other)
    assert one.training == other.training


def test_the_first_state_has_no_statistics_and_is_a_model_like_any(
    emoprune: Runner, small: Path, in_folder: Path
) -> None:
    emoprune.done("train", small, "m.st", *SMALL, "--save-init", "init.st")
    found = read("init.st")
    assert (found.layers, found.statistics, found.moments, found.training) == ((), {}, {}, ())
    assert found.classes == ("angry", "happy", "surprise")
    assert emoprune.done("eval", "init.st", small).record["n"] == 6
    emoprune.check_refused("angles", "init.st", says=("init.st: ", "no statistics", "--data"))
    assert len(emoprune.done("angles", "init.st", "--data", small).out.splitlines()) == 2


def test_the_first_state_of_going_on_is_the_checkpoint_gone_on_with(
    emoprune: Runner, model: Path, faces: Path
) -> None:
    emoprune.done("train", faces, "on.st", "--from", model, "--epochs", "1", "--save-init", "init.st")
    assert same_tensors(read("init.st"), read(model))
    assert len(read("init.st").history) == 2


@pytest.mark.parametrize("place", ["nowhere/init.st", ".", "there.st"])
def test_a_first_state_that_cannot_be_written_is_refused_before_any_step(
    emoprune: Runner, small: Path, in_folder: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("it was trained for nothing")

    (in_folder / "there.st").write_text("mine")
    monkeypatch.setattr("emoprune.training.train.fit", never)
    emoprune.check_refused("train", small, "m.st", *SMALL, "--save-init", place)
    monkeypatch.undo()


def test_an_old_first_state_is_replaced_with_force(emoprune: Runner, small: Path, in_folder: Path) -> None:
    (in_folder / "init.st").write_text("mine")
    emoprune.done("train", small, "m.st", *SMALL, "--save-init", "init.st", "--force")
    assert read("init.st").spec.arch == "conv1"


def test_a_sanity_check_learns_so_many_samples_and_says_so(
    emoprune: Runner, table: Path, in_folder: Path
) -> None:
    result = emoprune.done("train", table, "m.st", *MLP, "--overfit", "7", "--epochs", "60")
    assert result.record["parts"] == {"train": 7, "test": 12}
    found = read("m.st")
    assert found.statistics["classifier.hidden1"].count == 7
    first = next(epoch.index for epoch in found.training if (epoch.train_accuracy or 0) >= 0.99)
    assert f"note: 7 samples are learned by epoch {first}" in result.err
    assert found.history[-1].parameters["overfit"] == 7


def test_what_is_not_learned_is_told_with_the_best_there_was(
    emoprune: Runner, table: Path, in_folder: Path
) -> None:
    result = emoprune.done("train", table, "m.st", *MLP, "--lr", "0", "--overfit", "9", "--epochs", "3")
    best = max(epoch.train_accuracy or 0 for epoch in read("m.st").training)
    assert best < 0.99
    assert f"warning: 9 samples are not learned: at best {best:.1%} of them" in result.err


def test_without_a_sanity_check_nothing_is_told(emoprune: Runner, table: Path) -> None:
    err = emoprune.done("train", table, "m.st", *MLP, "--epochs", "3").err
    assert "learned" not in err


def test_the_few_samples_are_of_the_training_part_and_follow_from_the_seed(
    emoprune: Runner, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[int]] = []

    def watched(net, samples, parts, *rest, **more):  # type: ignore[no-untyped-def]  # whatever fit takes
        seen.append(parts["train"].tolist())
        return fit(net, samples, parts, *rest, **more)

    monkeypatch.setattr("emoprune.training.train.fit", watched)
    for options in (("--overfit", "6"), ("--overfit", "6"), ("--overfit", "6", "--seed", "1"), ()):
        emoprune.done("train", table, "m.st", *MLP, "--epochs", "1", *options, "--force")
    few, again, other, whole = seen
    assert few == again != other
    assert len(set(few)) == 6
    assert set(few) <= set(whole)
    assert len(whole) == 48
    seen.clear()
    # going on the split stays, so that what differs is the choice from one part
    for seed in (1, 2):
        on = ("--from", "m.st", "--overfit", "6", "--seed", seed)
        emoprune.done("train", table, "on.st", *on, "--epochs", "1", "--force")
    assert seen[0] != seen[1]
    assert {*seen[0], *seen[1]} <= set(whole)


def test_pictures_behind_a_frozen_backbone_are_as_few(emoprune: Runner, small: Path) -> None:
    frozen = ("--freeze", "backbone", "--overfit", "6")
    emoprune.done("train", small, "m.st", *SMALL, *frozen)
    assert read("m.st").statistics["classifier.hidden1"].count == 6


def test_as_many_as_there_are_is_all_of_them(emoprune: Runner, table: Path) -> None:
    emoprune.done("train", table, "few.st", *MLP, "--overfit", "48", "--epochs", "2")
    emoprune.done("train", table, "all.st", *MLP, "--epochs", "2")
    assert same_tensors(read("few.st"), read("all.st"))


@pytest.mark.parametrize(
    ("count", "says"), [("49", ("--overfit 49", "48")), ("0", ("--overfit",)), ("-3", ("--overfit",))]
)
def test_a_count_that_cannot_be_is_refused(
    emoprune: Runner, table: Path, count: str, says: tuple[str, ...]
) -> None:
    emoprune.check_refused("train", table, "m.st", *MLP, "--overfit", count, code=2, says=says)


@pytest.mark.parametrize(
    ("option", "recorded"), [(("--lr-factor", "0.5"), "lr_factor"), (("--lr-decay", "0.5"), "lr_decay")]
)
def test_a_falling_rate_is_recorded_and_changes_what_is_learned(
    emoprune: Runner, table: Path, option: tuple[str, str], recorded: str
) -> None:
    emoprune.done("train", table, "plain.st", *MLP, "--epochs", "3")
    emoprune.done("train", table, "falling.st", *MLP, "--epochs", "3", *option)
    plain, falling = read("plain.st"), read("falling.st")
    assert falling.history[-1].parameters[recorded] == 0.5
    assert plain.history[-1].parameters[recorded] == getattr(TrainConfig, recorded)
    assert plain.training[0].train_loss == pytest.approx(falling.training[0].train_loss, rel=0.2)
    assert not same_tensors(plain, falling)


@pytest.mark.parametrize(
    "options",
    [
        *(("--lr-factor", "1.1"), ("--lr-factor", "-0.1"), ("--lr-factor", "nan"), ("--lr-decay", "-1")),
        *(("--lr-decay", "nan"), ("--hidden", "0"), ("--channels", "0"), ("--channels", "-2")),
        *(
            ("--channels", "many"),
            ("--arch", "conv2", "--channels", "3"),
            ("--channels", "3", "--channels", "4"),
        ),
        *(("--arch", "mlp", "--channels", "3"), ("--arch", "resnet18", "--size", "32", "--channels", "3")),
        *(("--augment", "none,flip"), ("--augment", "none", "--augment", "flip"), ("--augment", "None")),
    ],
    ids=" ".join,
)
def test_values_that_make_no_sense_are_usage_faults(
    emoprune: Runner, small: Path, options: tuple[str, ...]
) -> None:
    says = (options[-2],)
    emoprune.check_refused("train", small, "m.st", *SMALL, *options, code=2, says=says)


def test_channels_are_the_widths_of_the_convolutions(emoprune: Runner, small: Path) -> None:
    options = ("--arch", "conv2", "--size", "20", "--channels", "3", "--channels", "5", "--epochs", "1")
    summary = emoprune.done("train", small, "m.st", *options).record
    assert summary["layers"] == {"features.0": 3, "features.3": 5, "classifier.hidden1": 200}
    assert read("m.st").spec.channels == (3, 5)
    emoprune.done("prune", "m.st", "--method", "reconstruct", "--amount", "0.5", "-o", "half.st")
    assert emoprune.done("eval", "half.st", small).record["n"] == 6
    emoprune.done("export", "half.st", "half.onnx")
