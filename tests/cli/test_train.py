"""emoprune train: what the checkpoint holds, and that it is what was asked for."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn
from torchvision import models

from emoprune.networks import checkpoint
from emoprune.networks.types import Checkpoint
from tests.support.command_line import SMALL, Runner, tree

DEEP = ("--arch", "squeezenet1_1", "--size", "64")


def read(path: Path) -> Checkpoint:
    return checkpoint.read(str(path))


def state(seed: int, classes: int = 1000) -> dict[str, Tensor]:
    """A torchvision network's tensors with random weights."""
    torch.manual_seed(seed)
    tensors: dict[str, Tensor] = models.squeezenet1_1(weights=None, num_classes=classes).state_dict()
    return tensors


def same(one: Checkpoint, other: dict[str, Tensor], names: list[str]) -> bool:
    return bool(names) and all(torch.equal(one.tensors[name], other[name]) for name in names)


def test_the_summary_says_what_was_trained(emoprune: Runner, small: Path, in_folder: Path) -> None:
    summary = emoprune.done("train", small, "m.st", *SMALL).record
    assert {key: summary[key] for key in ("schema", "output", "arch", "classes", "parts", "layers")} == {
        "schema": "emoprune.train/1",
        "output": "m.st",
        "arch": "conv1",
        "classes": ["angry", "happy", "surprise"],
        "parts": {"train": 24, "test": 6},
        "layers": {"features.0": 16, "classifier.hidden1": 12},
    }
    assert summary["training"]["index"] == 2
    assert set(tree(in_folder)) == {"m.st"}


def test_a_random_split_is_pointed_out(emoprune: Runner, small: Path) -> None:
    assert "--group-by" in emoprune.done("train", small, "m.st", *SMALL).err
    assert emoprune.done("train", small, "n.st", *SMALL, "--group-by", "^[^_]+").err == ""


def test_the_same_command_writes_the_same_bytes(emoprune: Runner, small: Path, in_folder: Path) -> None:
    options = (*SMALL, "--augment", "flip", "--augment", "rotate:10", "--dropout", "0.2")
    emoprune.done("train", small, "a.st", *options)
    torch.rand(7)
    emoprune.done("train", small, "b.st", *options)
    assert (in_folder / "a.st").read_bytes() == (in_folder / "b.st").read_bytes()
    emoprune.done("train", small, "c.st", *options, "--seed", "1")
    assert (in_folder / "a.st").read_bytes() != (in_folder / "c.st").read_bytes()


def test_augmentations_may_be_joined_by_commas(emoprune: Runner, small: Path, in_folder: Path) -> None:
    emoprune.done("train", small, "a.st", *SMALL, "--augment", "flip,rotate:10")
    emoprune.done("train", small, "b.st", *SMALL, "--augment", "flip", "--augment", "rotate:10")
    assert (in_folder / "a.st").read_bytes() == (in_folder / "b.st").read_bytes()


def test_training_leaves_the_global_generator_alone(emoprune: Runner, small: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    emoprune.done("train", small, "a.st", *SMALL)
    assert torch.equal(torch.rand(3), expected)


def test_the_checkpoint_holds_the_curve_and_every_resolved_option(
    emoprune: Runner, small: Path, in_folder: Path
) -> None:
    emoprune.done("train", small, "m.st", *SMALL, "--split", "60/20/20", "--optimizer", "sgd", "--lr", "0.02")
    found = read(in_folder / "m.st")
    assert [epoch.index for epoch in found.training] == [1, 2]
    assert all(epoch.val_accuracy is not None for epoch in found.training)
    (entry,) = found.history
    parameters = entry.parameters
    assert entry.command == "train"
    assert {
        key: parameters[key] for key in ("optimizer", "lr", "epochs", "batch_size", "keep", "weights")
    } == {
        **{"optimizer": "sgd", "lr": 0.02, "epochs": 2, "batch_size": 32, "keep": "best", "weights": "none"}
    }
    assert found.preprocess.size == (16, 16)
    assert (found.preprocess.color, found.preprocess.mean) == ("gray", (0.5,))
    assert found.split.shares == "60/20/20"


def test_statistics_are_over_the_training_part(emoprune: Runner, small: Path, in_folder: Path) -> None:
    emoprune.done("train", small, "m.st", *SMALL, "--split", "60/20/20")
    statistics = read(in_folder / "m.st").statistics["classifier.hidden1"]
    assert (statistics.count, statistics.units) == (18, 12)
    assert bool(((statistics.low > 0) & (statistics.high < 1)).all()), "sigmoid units"


@pytest.mark.parametrize(
    "option",
    [
        *(("--optimizer", name) for name in ("adam", "sgd", "adamw")),
        *(("--scale", name) for name in ("minmax", "standard", "none")),
        *(("--activation", name) for name in ("sigmoid", "relu", "tanh")),
        *(("--batch-size", size) for size in ("0", "1", "7")),
    ],
)
def test_every_choice_trains(emoprune: Runner, table: Path, in_folder: Path, option: tuple[str, str]) -> None:
    options = ("--arch", "mlp", "--hidden", "6", "--epochs", "2", *option)
    emoprune.done("train", table, "m.st", *options)
    first, second = read(in_folder / "m.st").training
    assert first.train_loss != second.train_loss
    assert emoprune.done("eval", "m.st", table).record["n"] == 12


def test_two_hidden_layers_both_have_statistics(table_model: Path) -> None:
    found = read(table_model)
    assert [(layer.name, layer.consumers) for layer in found.layers] == [
        ("classifier.hidden1", ("classifier.hidden2",)),
        ("classifier.hidden2", ("classifier.output",)),
    ]
    assert [found.statistics[layer.name].units for layer in found.layers] == [12, 8]


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("hidden", [(), ("--hidden", "6")])
def test_zero_epochs_adopt_weights_exactly(
    emoprune: Runner, small: Path, in_folder: Path, suffix: str, hidden: tuple[str, ...]
) -> None:
    tensors = state(1, classes=3)
    if suffix == ".pth":
        torch.save({"state_dict": tensors}, in_folder / "w.pth")
    else:
        safetensors.torch.save_file(tensors, in_folder / "w.safetensors")
    emoprune.done("train", small, "m.st", *DEEP, "--weights", f"w{suffix}", "--epochs", "0", *hidden)
    found = read(in_folder / "m.st")
    names = [name for name in tensors if not hidden or name.startswith("features.")]
    assert same(found, tensors, names)
    assert set(found.tensors) == set(tensors) or hidden
    assert found.training == ()


def test_a_checkpoint_serves_as_weights(emoprune: Runner, small: Path, model: Path, in_folder: Path) -> None:
    options = ("--arch", "conv1", "--size", "24", "--gray", "--hidden", "24", "--epochs", "0")
    emoprune.done("train", small, "m.st", *options, "--weights", model)
    tensors = dict(read(model).tensors)
    assert same(read(in_folder / "m.st"), tensors, [name for name in tensors if name.startswith("features.")])


@pytest.mark.parametrize("augment", [(), ("--augment", "flip")])
def test_a_frozen_backbone_does_not_move_and_its_head_does(
    emoprune: Runner, small: Path, in_folder: Path, augment: tuple[str, ...]
) -> None:
    tensors = state(2)
    torch.save(tensors, in_folder / "w.pth")
    common = (*DEEP, "--weights", "w.pth", "--hidden", "6", "--freeze", "backbone", *augment)
    emoprune.done("train", small, "start.st", *common, "--epochs", "0")
    emoprune.done("train", small, "end.st", *common, "--epochs", "1")
    start, end = read(in_folder / "start.st"), read(in_folder / "end.st")
    backbone = [name for name in tensors if name.startswith("features.")]
    assert same(end, tensors, backbone)
    head = [name for name in end.tensors if name.startswith("classifier.")]
    assert head
    assert not any(torch.equal(start.tensors[name], end.tensors[name]) for name in head)


def test_a_frozen_batch_norm_keeps_its_statistics(emoprune: Runner, small: Path, in_folder: Path) -> None:
    torch.manual_seed(0)
    net: nn.Module = models.shufflenet_v2_x0_5(weights=None)
    torch.save(net.state_dict(), in_folder / "w.pth")
    emoprune.done(
        *("train", small, "m.st", "--arch", "shufflenet_v2_x0_5", "--size", "32", "--weights", "w.pth"),
        *("--freeze", "backbone", "--epochs", "1", "--augment", "flip"),
    )
    tensors = net.state_dict()
    assert same(read(in_folder / "m.st"), tensors, [name for name in tensors if not name.startswith("fc.")])


def test_statistics_of_a_frozen_run_are_those_of_the_whole_network(
    emoprune: Runner, small: Path, in_folder: Path
) -> None:
    torch.save(state(4), in_folder / "w.pth")
    common = (*DEEP, "--weights", "w.pth", "--hidden", "6", "--epochs", "1")
    emoprune.done("train", small, "frozen.st", *common, "--freeze", "backbone")
    options = (*DEEP, "--weights", "frozen.st", "--hidden", "6", "--epochs", "0")
    emoprune.done("train", small, "whole.st", *options)
    frozen, whole = read(in_folder / "frozen.st"), read(in_folder / "whole.st")
    (name,) = frozen.statistics
    torch.testing.assert_close(frozen.statistics[name].gram, whole.statistics[name].gram)


def test_keep_best_ends_as_the_epoch_with_the_best_validation(
    emoprune: Runner, faces: Path, in_folder: Path
) -> None:
    common = ("--arch", "conv1", "--size", "16", "--gray", "--hidden", "8", "--split", "60/20/20")
    options = (*common, "--lr", "0.03", "--epochs", "6")
    emoprune.done("train", faces, "best.st", *options)
    emoprune.done("train", faces, "last.st", *options, "--keep", "last")
    curve = read(in_folder / "best.st").training
    assert curve == read(in_folder / "last.st").training
    accuracies = [epoch.val_accuracy or 0.0 for epoch in curve]
    assert len(set(accuracies)) > 1
    for name, accuracy in (("best.st", max(accuracies)), ("last.st", accuracies[-1])):
        measured = emoprune.done("eval", name, faces, "--split", "val").record["accuracy"]
        assert measured == pytest.approx(accuracy)
    stopped = accuracies.index(max(accuracies)) + 1
    emoprune.done(
        "train", faces, "stopped.st", *common, "--lr", "0.03", "--epochs", stopped, "--keep", "last"
    )
    tensors = dict(read(in_folder / "stopped.st").tensors)
    assert same(read(in_folder / "best.st"), tensors, list(tensors))


def test_a_checkpoint_can_go_to_stdout(emoprune: Runner, small: Path, in_folder: Path) -> None:
    emoprune.done("train", small, "m.st", *SMALL)
    piped = emoprune.done("train", small, "-", *SMALL)
    assert piped.raw == (in_folder / "m.st").read_bytes()


def test_scaling_is_fitted_on_the_training_part_alone(emoprune: Runner, in_folder: Path, small: Path) -> None:
    rows = ["name,label,x,y"]
    for part, values in {"train": (1, 3), "test": (0, 100)}.items():
        rows += [f"{part}/{label}{value},{label},{value},7" for label in "ab" for value in values]
    (in_folder / "t.csv").write_text("\n".join(rows) + "\n")
    emoprune.done("train", "t.csv", "m.st", "--arch", "mlp", "--hidden", "2", "--epochs", "1")
    found = read(in_folder / "m.st").tensors
    assert found["scaling.shift"].tolist() == [1, 7]
    assert found["scaling.scale"].tolist() == [0.5, 1]


def test_parts_of_the_data_are_used_as_they_are(emoprune: Runner, faces_here: Callable[..., Path]) -> None:
    faces_here("faces", {"train/happy": 4, "train/sad": 3, "test/happy": 2, "test/sad": 1})
    result = emoprune.done("train", "faces", "m.st", *SMALL)
    assert result.record["parts"] == {"train": 7, "test": 3}
    assert result.err == ""


def test_groups_go_to_one_side_whole(emoprune: Runner, small: Path, in_folder: Path) -> None:
    summary = emoprune.done("train", small, "m.st", *SMALL, "--group-by", "^film([0-9])_").record
    # each of the five films has six pictures
    assert summary["parts"] == {"train": 24, "test": 6}
    assert read(in_folder / "m.st").split.group_by == "^film([0-9])_"


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
