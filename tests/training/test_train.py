"""What a training leaves in a checkpoint, and how a checkpoint is trained on: as narrow and as sparse."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor
from torchvision import models

from emoprune.choices import Part
from emoprune.cli.main import main
from emoprune.data.datasets import open_data
from emoprune.data.loader import batches
from emoprune.data.splits import partition
from emoprune.data.types import Preprocess, Samples
from emoprune.errors import BadCheckpoint
from emoprune.evaluation.evaluate import evaluate
from emoprune.evaluation.types import Metrics
from emoprune.io.content_hash import content_key
from emoprune.networks import checkpoint, memory
from emoprune.networks.types import Checkpoint
from emoprune.pruning.angles import angles_deg
from emoprune.pruning.prune import plan, prune
from emoprune.pruning.types import PruneConfig
from emoprune.training.config import TrainConfig, train_config
from emoprune.training.loop import fit
from emoprune.training.setup import prepare
from emoprune.training.train import RECORDED, train
from tests.conftest import draw_faces
from tests.support.command_line import opened
from tests.support.feature_tables import draw_table
from tests.support.training import CONV1, refusal, trained

ON: dict[str, Any] = {"lr": 0.003, "epochs": 4}
DEEP: dict[str, Any] = {"arch": "squeezenet1_1", "size": "64"}
MLP: dict[str, Any] = {"arch": "mlp", "hidden": 10, "lr": 0.05}


def read(path: Path) -> Checkpoint:
    return checkpoint.read(str(path))


def same_tensors(one: Checkpoint, other: Checkpoint) -> bool:
    return one.tensors.keys() == other.tensors.keys() and all(
        torch.equal(one.tensors[name], other.tensors[name]) for name in one.tensors
    )


def training_part(made: Checkpoint, data: Path) -> set[str]:
    """Names of the pictures in the training part of a checkpoint."""
    catalog = open_data(data).catalog
    return {catalog.names[index] for index in partition(catalog, made.split)["train"]}


def metrics(made: Checkpoint, data: Path, part: Part = "train") -> Metrics:
    found = evaluate(made, open_data(data), part=part, device="cpu")
    assert isinstance(found, Metrics)
    return found


ANY_ERROR = ("--max-error", "1000")


@pytest.fixture(scope="session")
def narrow(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`model` with a third of its units; read only."""
    path = tmp_path_factory.mktemp("narrow") / "narrow.st"
    options = ("--method", "random-units", "--amount", "0.67", "--scope", "layer", "--merge", "sum")
    assert main(["prune", str(model), "-o", str(path), *options, "--data", "none", *ANY_ERROR]) == 0
    return path


@pytest.fixture(scope="session")
def sparse(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`model` with a tenth of its weights; read only."""
    path = tmp_path_factory.mktemp("sparse") / "sparse.st"
    options = ("--method", "magnitude", "--amount", "0.9", "--data", "none")
    assert main(["prune", str(model), "-o", str(path), *options, *ANY_ERROR]) == 0
    return path


def state(seed: int, classes: int = 1000) -> dict[str, Tensor]:
    """A torchvision network's tensors with random weights."""
    torch.manual_seed(seed)
    tensors: dict[str, Tensor] = models.squeezenet1_1(weights=None, num_classes=classes).state_dict()
    return tensors


def same(one: Checkpoint, other: Mapping[str, Tensor], names: list[str]) -> bool:
    return bool(names) and all(torch.equal(one.tensors[name], other[name]) for name in names)


def test_the_same_training_gives_the_same_bytes_whatever_was_drawn_before(small: Path) -> None:
    given: dict[str, Any] = {**CONV1, "augment": ("flip", "rotate:10"), "dropout": 0.2}
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one = checkpoint.to_bytes(trained(small, **given))
    assert torch.equal(torch.rand(3), expected), "the global generator is left alone"
    assert checkpoint.to_bytes(trained(small, **given)) == one
    assert checkpoint.to_bytes(trained(small, **given, seed=1)) != one


def test_training_without_statistics_leaves_them_to_prune(small: Path) -> None:
    whole = trained(small, **CONV1)
    bare = trained(small, **CONV1, statistics=False)
    assert not bare.layers
    assert not bare.moments
    assert bare.tensors.keys() == whole.tensors.keys()
    assert all(torch.equal(bare.tensors[name], whole.tensors[name]) for name in bare.tensors)
    with pytest.raises(BadCheckpoint, match="give `data` to measure them"):
        plan(bare, PruneConfig(macs=0.5))
    config = PruneConfig(method="reconstruct", macs=0.5, data=str(small), samples=10_000)
    given, stored = plan(bare, config), plan(whole, config)
    assert given.plan == stored.plan


def test_what_does_not_fit_in_memory_is_refused_before_the_first_epoch(small: Path) -> None:
    # a rate that diverges at once
    given: dict[str, Any] = {**CONV1, "optimizer": "sgd", "lr": 1e30, "memory": 0.1}
    assert "the loss is" in refusal(small, **given)
    said = refusal(small, **given | {"hidden": 4096})
    # of each unit's pairs: 16 bytes for covariances, and 12 for what the answer depends on
    assert "statistics of 2 layers take 0.47 GB, and 0.1 GB may be taken; give `statistics=False`" in said
    assert "may be taken; give `batch_size=" in refusal(
        small, **given | {"size": "128", "memory": 0.02}, statistics=False
    )


def test_pictures_that_do_not_fit_in_memory_are_decoded_again_and_train_the_same(
    faces: Path, monkeypatch: pytest.MonkeyPatch, told: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(memory, "GIGABYTE", 1e6)
    # 60 pictures take 553 kB, and half of the memory may be for them
    given: dict[str, Any] = {
        "arch": "mlp",
        "hidden": 1,
        "size": "96",
        "gray": True,
        "epochs": 2,
        "batch_size": 4,
    }
    whole, less = (trained(faces, **given, statistics=False, memory=limit) for limit in (9, 0.5))
    assert told.text.count("0.000553 GB of pictures do not fit in memory") == 1
    assert same_tensors(whole, less)


def test_the_checkpoint_holds_the_curve_statistics_and_every_resolved_setting(small: Path) -> None:
    found = trained(small, **CONV1, split="60/20/20", optimizer="sgd", lr=0.02)
    assert [epoch.index for epoch in found.training] == [1, 2]
    assert all(epoch.val_accuracy is not None for epoch in found.training)
    (entry,) = found.history
    assert entry.command == "train"
    settings = {name: getattr(TrainConfig(), name) for name in RECORDED}
    assert entry.parameters == settings | {
        **{"data": str(small), "data_fingerprint": open_data(str(small)).catalog.fingerprint},
        **{"preset": None, "recipe": None, "weights": "none", "scale": "minmax", "augment": {}},
        **{"precision": "fp32", "epochs": 2, "lr": 0.02, "optimizer": "sgd", "keep": "best"},
    }
    assert (found.preprocess.size, found.preprocess.color, found.preprocess.mean) == (
        (16, 16),
        "gray",
        (0.5,),
    )
    assert found.split.shares == "60/20/20"
    statistics = found.statistics["classifier.hidden1"]
    assert (statistics.count, statistics.units) == (18, 12)
    assert bool(((statistics.low > 0) & (statistics.high < 1)).all()), "sigmoid units"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("optimizer", name) for name in ("adam", "sgd", "adamw")),
        *(("scale", name) for name in ("minmax", "standard", "none")),
        *(("activation", name) for name in ("sigmoid", "relu", "tanh")),
        *(("batch_size", size) for size in (0, 1, 7)),
    ],
)
def test_every_choice_trains(table: Path, name: str, value: object) -> None:
    given: dict[str, Any] = {"arch": "mlp", "hidden": 6, "epochs": 2, name: value}
    first, second = trained(table, **given).training
    assert first.train_loss != second.train_loss


def test_two_hidden_layers_both_have_statistics(table_model: Path) -> None:
    found = read(table_model)
    assert [(layer.name, layer.consumers) for layer in found.layers] == [
        ("classifier.hidden1", ("classifier.hidden2",)),
        ("classifier.hidden2", ("classifier.output",)),
    ]
    assert [found.statistics[layer.name].units for layer in found.layers] == [12, 8]


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("hidden", [(), (6,)])
def test_zero_epochs_adopt_weights_exactly(
    small: Path, in_folder: Path, suffix: str, hidden: tuple[int, ...]
) -> None:
    tensors = state(1, classes=3)
    if suffix == ".pth":
        torch.save({"state_dict": tensors}, "w.pth")
    else:
        safetensors.torch.save_file(tensors, "w.safetensors")
    found = trained(small, **DEEP, weights=f"w{suffix}", epochs=0, hidden=hidden)
    assert same(found, tensors, [name for name in tensors if not hidden or name.startswith("features.")])
    assert set(found.tensors) == set(tensors) or hidden
    assert found.training == ()


def test_a_checkpoint_serves_as_weights(small: Path, model: Path) -> None:
    found = trained(small, **{**CONV1, "size": "24", "hidden": 24, "epochs": 0}, weights=str(model))
    tensors = read(model).tensors
    assert same(found, tensors, [name for name in tensors if name.startswith("features.")])


@pytest.mark.parametrize("augment", [(), ("flip",)])
def test_a_frozen_backbone_does_not_move_and_its_head_does(
    small: Path, in_folder: Path, augment: tuple[str, ...]
) -> None:
    tensors = state(2)
    torch.save(tensors, "w.pth")
    given: dict[str, Any] = {
        **DEEP,
        "weights": "w.pth",
        "hidden": 6,
        "freeze": "backbone",
        "augment": augment,
    }
    start, end = (trained(small, **given, epochs=epochs) for epochs in (0, 1))
    assert same(end, tensors, [name for name in tensors if name.startswith("features.")])
    head = [name for name in end.tensors if name.startswith("classifier.")]
    assert head
    assert not any(torch.equal(start.tensors[name], end.tensors[name]) for name in head)


def test_a_frozen_batch_norm_keeps_its_statistics(small: Path, in_folder: Path) -> None:
    torch.manual_seed(0)
    tensors = models.shufflenet_v2_x0_5(weights=None).state_dict()
    torch.save(tensors, "w.pth")
    given: dict[str, Any] = {"arch": "shufflenet_v2_x0_5", "size": "32", "weights": "w.pth"}
    found = trained(small, **given, freeze="backbone", epochs=1, augment="flip")
    assert same(found, tensors, [name for name in tensors if not name.startswith("fc.")])


@pytest.mark.parametrize(
    "given",
    [
        # a flattened map, a single layer as the head, a map
        {"arch": "conv2", "size": "24", "gray": True, "hidden": 9},
        {"arch": "conv2", "size": "24", "gray": True, "hidden": 9, "augment": "flip"},
        {"arch": "shufflenet_v2_x0_5", "size": "32", "weights": "none"},
        {"arch": "squeezenet1_1", "size": "32", "weights": "none", "hidden": 6},
    ],
    ids=lambda given: " ".join(map(str, given.values())),
)
def test_statistics_behind_a_frozen_backbone_are_those_of_a_pass_over_the_whole_network(
    small: Path, in_folder: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]
) -> None:
    read_pictures = list[int]()

    def counted(samples: Samples, indices: Tensor, preprocess: Preprocess, *rest: Any) -> Iterator[Tensor]:
        if preprocess.kind == "image":
            read_pictures.append(len(indices))
        return batches(samples, indices, preprocess, *rest)

    for reader in ("run", "feature_bank"):
        monkeypatch.setattr(f"emoprune.training.{reader}.batches", counted)
    frozen = trained(small, **given, freeze="backbone", epochs=1, split="60/20/20")
    # one to know the width of the features, then once for each, and once for what the answer depends on
    assert read_pictures == [1, 18, 6, 18]
    frozen.save("frozen.st")
    whole = trained(small, past=Path("frozen.st"), epochs=0)
    assert frozen.layers == whole.layers
    assert len(frozen.layers) > 1
    for found, expected in ((frozen.statistics, whole.statistics), (frozen.moments, whole.moments)):
        assert found.keys() == expected.keys()
        for name, entry in expected.items():
            assert found[name].count == entry.count
            torch.testing.assert_close(found[name].mean, entry.mean, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(found[name].covariance, entry.covariance, rtol=1e-4, atol=1e-5)
    for name, units in whole.statistics.items():
        one, other = (angles_deg(entry, center="range") for entry in (frozen.statistics[name], units))
        torch.testing.assert_close(one, other, rtol=0, atol=1e-3, equal_nan=True)


def test_statistics_behind_a_frozen_backbone_are_those_of_the_head_where_all_do_not_fit(
    small: Path, told: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "GIGABYTE", 1e6)
    given: dict[str, Any] = {"arch": "conv2", "size": "24", "gray": True, "hidden": 9, "freeze": "backbone"}
    found = trained(small, **given, epochs=1, memory=0.03)
    assert found.statistics.keys() == {"classifier.hidden1"}
    assert "statistics are measured of 1 of 3 layers: those of all do not fit in memory" in told.text
    bare = trained(small, **given, epochs=1, memory=0.03, statistics=False)
    assert (bare.layers, bare.statistics, bare.moments) == ((), {}, {})


def test_keep_best_ends_as_the_epoch_with_the_best_validation(faces: Path) -> None:
    given: dict[str, Any] = {**CONV1, "hidden": 8, "split": "60/20/20", "lr": 0.03, "epochs": 6}
    best, last = trained(faces, **given), trained(faces, **given, keep="last")
    assert best.training == last.training
    accuracies = [epoch.val_accuracy or 0.0 for epoch in best.training]
    assert len(set(accuracies)) > 1
    assert metrics(best, faces, "val").accuracy == pytest.approx(max(accuracies))
    assert metrics(last, faces, "val").accuracy == pytest.approx(accuracies[-1])
    given["epochs"] = accuracies.index(max(accuracies)) + 1
    assert same_tensors(best, trained(faces, **given, keep="last"))


def test_scaling_is_fitted_on_the_training_part_alone(in_folder: Path) -> None:
    rows = ["name,label,x,y"]
    for part, values in {"train": (1, 3), "test": (0, 100)}.items():
        rows += [f"{part}/{label}{value},{label},{value},7" for label in "ab" for value in values]
    (in_folder / "t.csv").write_text("\n".join(rows) + "\n")
    found = trained("t.csv", arch="mlp", hidden=2, epochs=1).tensors
    assert found["scaling.shift"].tolist() == [1, 7]
    assert found["scaling.scale"].tolist() == [0.5, 1]


def test_a_narrow_network_stays_narrow_and_recovers(narrow: Path, faces: Path) -> None:
    before, after = read(narrow), trained(faces, past=narrow, lr=0.02, epochs=25)
    assert after.spec == before.spec
    assert after.units == before.units < 40
    assert not same_tensors(before, after)
    assert metrics(after, faces).accuracy >= max(0.9, metrics(before, faces).accuracy)


def test_the_history_has_one_entry_more(narrow: Path, faces: Path) -> None:
    before, after = read(narrow), trained(faces, past=narrow, **ON)
    assert after.history[:-1] == before.history
    assert [entry.command for entry in after.history] == ["train", "prune", "train"]
    parameters = after.history[-1].parameters
    assert (parameters["weights"], parameters["data"]) == (str(narrow), str(faces))
    assert (parameters["lr"], parameters["epochs"]) == (0.003, 4)
    assert len(after.training) == 4


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_zeros_of_a_sparse_network_stay_zero(sparse: Path, faces: Path, optimizer: str) -> None:
    before = read(sparse)
    after = trained(faces, past=sparse, **ON, optimizer=optimizer, weight_decay=0.01)
    assert before.masks
    assert after.masks.keys() == before.masks.keys()
    for name, mask in before.masks.items():
        assert torch.equal(after.masks[name], mask)
        assert bool((after.tensors[name][~mask] == 0).all())
        assert bool((after.tensors[name] != before.tensors[name])[mask].any())


def test_zeros_of_a_head_stay_zero_behind_a_frozen_backbone(sparse: Path, faces: Path) -> None:
    before, after = read(sparse), trained(faces, past=sparse, **ON, freeze="backbone")
    for name, mask in before.masks.items():
        assert bool((after.tensors[name][~mask] == 0).all())
    moved = {name for name in before.tensors if not torch.equal(before.tensors[name], after.tensors[name])}
    assert moved
    assert all(name.startswith("classifier.") for name in moved)


def test_the_test_part_is_never_trained_on_whatever_the_seed(
    model: Path, faces: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        one, other = (trained(faces, past=model, **ON, seed=seed) for seed in (1, 2))
    assert caplog.messages == [], "the split is the same"
    assert one.split == other.split == read(model).split
    assert training_part(one, faces) == training_part(read(model), faces)
    assert not same_tensors(one, other), "another seed shuffles otherwise"


@pytest.mark.parametrize(
    ("given", "noted"),
    [
        ({"split": "60/40"}, True),
        ({"group_by": "^film[0-9]"}, True),
        ({"split": "80/20"}, False),
    ],
)
def test_a_split_that_is_asked_for_counts_and_is_noted(
    model: Path, faces: Path, caplog: pytest.LogCaptureFixture, given: dict[str, Any], noted: bool
) -> None:
    with caplog.at_level("INFO"):
        found = trained(faces, past=model, epochs=1, **given)
    assert any("the split is not that of the earlier training" in text for text in caplog.messages) == noted
    assert (found.split != read(model).split) == noted


def test_other_data_is_noted_and_split_again(
    model: Path, small: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        found = trained(small, past=model, epochs=1, seed=4)
    assert any("the split is not that of the earlier training" in text for text in caplog.messages)
    assert found.split.seed == 4
    assert found.split.fingerprint == open_data(small).catalog.fingerprint


@pytest.mark.parametrize(
    "given",
    [
        *({"arch_args": "{}"}, {"hidden": 24}, {"size": "24"}, {"gray": True}, {"gray": False}),
        *({"channels": 16}, {"activation": "relu"}, {"dropout": 0.1}, {"mean": "0.5"}),
        *({"std": "0.5"}, {"weights": "none"}, {"scale": "none"}),
    ],
)
def test_what_a_network_is_cannot_be_said_twice(model: Path, faces: Path, given: dict[str, Any]) -> None:
    said = refusal(faces, past=model, **given)
    (name,) = given
    assert said == f"`{name}` and `past` both say what the network is; leave out `{name}`"


def test_the_network_of_a_past_training_may_be_named_again_but_not_another(model: Path, faces: Path) -> None:
    assert trained(faces, past=model, arch="conv1", epochs=1).spec.arch == "conv1"
    said = refusal(faces, past=model, arch="conv2")
    assert said == f"{model}: its network is conv1, not conv2; give `arch=conv1`"


OWN = "tests.support.own_networks"


def test_a_network_of_the_users_own_is_trained_and_trained_on_where_it_is_named(
    faces: Path, tmp_path: Path
) -> None:
    given: dict[str, Any] = {"size": "16", "epochs": 1, "split": "80/20"}
    first = trained(faces, arch=f"{OWN}:small", arch_args={"width": 6}, **given)
    assert (first.spec.args, first.layers[0].name) == ({"width": 6}, "stem.0")
    path = tmp_path / "m.st"
    first.save(path)
    said = refusal(faces, past=path, epochs=1)
    assert f"its network is made by {OWN}:small, which is code; give `arch={OWN}:small` to run it" in said
    assert trained(faces, past=path, epochs=1, arch=f"{OWN}:small").spec.args == {"width": 6}
    # tensors alone are no code
    adopted = trained(
        faces, arch=f"{OWN}:small", arch_args='{"width": 6}', weights=str(path), **{**given, "epochs": 0}
    )
    assert all(torch.equal(value, first.tensors[name]) for name, value in adopted.tensors.items())


def test_a_settings_file_only_names_code_and_a_grown_head_is_of_the_named_function(
    faces: Path, small: Path, tmp_path: Path
) -> None:
    path, arch = tmp_path / "run.toml", f"{OWN}:small"
    path.write_text(f"arch = '{arch}'\narch_args = '{{\"width\": 6}}'\nsize = '16'\nepochs = 1\n")
    said = refusal(faces, config=path)
    assert said == f"{path}: its network is made by {arch}, which is code; give `arch={arch}` to run it"
    first = trained(faces, config=path, arch=arch)
    assert first.spec.args == {"width": 6}
    first.save(tmp_path / "m.st")
    draw_faces(tmp_path / "more", (*first.classes, "sad"), 6)
    grown = trained(tmp_path / "more", past=tmp_path / "m.st", arch=arch, epochs=0)
    assert torch.equal(grown.tensors["out.weight"][:3], first.tensors["out.weight"])


def test_a_network_without_a_head_of_its_own_is_trained_whole(faces: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {"size": "16", "epochs": 1, "arch": f"{OWN}:closed"}
    first = trained(faces, **given)
    first.save(tmp_path / "m.st")
    for more in ({"freeze": "backbone"}, {"hidden": 5}):
        assert f"{OWN}:closed: its head cannot be found" in refusal(faces, **given, **more)
    adopted = trained(faces, **{**given, "epochs": 0}, weights=str(tmp_path / "m.st"))
    assert all(torch.equal(value, first.tensors[name]) for name, value in adopted.tensors.items())


@pytest.mark.parametrize(
    ("arch", "weights", "others"),
    [
        ("resnet18", "vggface2", "imagenet none"),
        ("inception_resnet_v1", "imagenet", "vggface2 casia-webface none"),
        (f"{OWN}:small", "imagenet", "none"),
    ],
)
def test_weights_that_nobody_publishes_are_refused(faces: Path, arch: str, weights: str, others: str) -> None:
    said = refusal(faces, arch=arch, weights=weights, epochs=1)
    wanted = " or ".join(f"`weights={name}`" for name in others.split())
    assert said == f"there are no {weights} weights of {arch}; give {wanted}, or a file"


def test_a_class_that_the_model_does_not_know_is_named(model: Path, in_folder: Path) -> None:
    draw_faces(in_folder / "more", ("angry", "fear"), 6)
    said = refusal("more", past=model)
    assert all(words in said for words in ("more: ", "class fear", "angry, happy, surprise"))


@pytest.fixture
def more(in_folder: Path, faces: Path) -> Path:
    """The classes of `faces`, and one that sorts before the last of them."""
    draw_faces(in_folder / "more", ("neutral",), 20)
    for folder in faces.iterdir():
        (in_folder / "more" / folder.name).symlink_to(folder)
    return in_folder / "more"


@pytest.mark.parametrize("start", ["model", "narrow", "sparse"])
def test_a_class_more_grows_the_head_and_is_learned(
    request: pytest.FixtureRequest, more: Path, start: str, told: pytest.LogCaptureFixture
) -> None:
    past = request.getfixturevalue(start)
    before, after = read(past), trained(more, past=past, lr=0.01, epochs=60)
    assert after.classes == ("angry", "happy", "surprise", "neutral")
    names = "neutral, which start fresh; rows of angry, happy, surprise are kept"
    assert f"{past}: the output layer grows by {names}" in told.messages
    assert after.units == before.units
    assert after.history[-1].parameters["new_classes"] == ("neutral",)
    scores = metrics(after, more)
    assert scores.accuracy >= 0.7
    assert (scores.per_class["neutral"].recall or 0) > 0.25
    for name, mask in before.masks.items():
        assert bool((after.tensors[name][: len(mask)][~mask] == 0).all())
    assert checkpoint.from_bytes(checkpoint.to_bytes(after)).classes == after.classes
    smaller = plan(after, PruneConfig(method="random-units", amount=0.5, data="none", max_error=1000))
    assert smaller.plan


def test_a_grown_head_without_epochs_is_warned_of(
    model: Path, more: Path, told: pytest.LogCaptureFixture
) -> None:
    found = trained(more, past=model, epochs=0)
    assert "without epochs the rows of neutral stay random" in told.messages
    old = read(model).tensors["classifier.output.weight"]
    assert torch.equal(found.tensors["classifier.output.weight"][:3], old)


def test_a_class_that_may_be_renamed_is_refused_until_it_is_called_new(
    model: Path, more: Path, told: pytest.LogCaptureFixture
) -> None:
    (more / "happy").unlink()
    said = refusal(more, past=model)
    assert "class neutral is not one of the model's (angry, happy, surprise), and there is no happy" in said
    assert "rename it if they are the same, or give `new_classes=neutral`" in said
    found = trained(more, past=model, epochs=1, new_classes="neutral")
    assert found.classes == ("angry", "happy", "surprise", "neutral")
    assert any("has no happy, which" in text for text in told.messages)
    assert "`new_classes` names sad, and" in refusal(more, past=model, new_classes="neutral,sad")
    assert "give `past`" in refusal(more, **CONV1, new_classes="neutral")
    assert "`new_classes` has sad twice" in refusal(more, past=model, new_classes="sad,sad")


def test_some_of_the_classes_keep_the_places_that_the_model_gave_them(
    in_folder: Path, faces: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # of a network that knows nothing yet; "happy" and "surprise" are its second and third class
    trained(faces, **{**CONV1, "epochs": 0}).save("m.st")
    (in_folder / "two").mkdir()
    for label in ("happy", "surprise"):
        (in_folder / "two" / label).symlink_to(faces / label)
    found = trained("two", past=Path("m.st"), lr=0.01, epochs=40)
    assert any("two has no angry, which m.st tells apart" in text for text in caplog.messages)
    assert found.classes == ("angry", "happy", "surprise")
    scores = metrics(found, in_folder / "two")
    assert scores.accuracy >= 0.9
    assert scores.confusion[0] == (0, 0, 0)
    assert [row[0] for row in scores.confusion] == [0, 0, 0], "none is taken for the class without samples"


def test_no_epochs_give_the_same_tensors_and_statistics_measured_again(
    model: Path, faces: Path, in_folder: Path
) -> None:
    before = read(model)
    doubled = dataclasses.replace(
        before,
        statistics={
            name: dataclasses.replace(entry, covariance=2 * entry.covariance)
            for name, entry in before.statistics.items()
        },
    )
    doubled.save("stale.st")
    for past in (model, Path("stale.st")):
        after = trained(faces, past=past, epochs=0)
        assert same_tensors(before, after)
        for name, entry in before.statistics.items():
            torch.testing.assert_close(after.statistics[name].covariance, entry.covariance)


def test_train_goes_on_from_a_checkpoint_without_history(model: Path, faces: Path) -> None:
    bare = dataclasses.replace(read(model), history=())
    after = train(open_data(faces), train_config(epochs=0), past=bare).checkpoint
    (entry,) = after.history
    assert (entry.command, entry.parameters["scale"]) == ("train", None)
    assert entry.parameters["data_fingerprint"] == after.split.fingerprint


def test_one_training_gives_the_same_bytes(narrow: Path, faces: Path) -> None:
    one, other = (checkpoint.to_bytes(trained(faces, past=narrow, **ON)) for _ in range(2))
    assert one == other


@pytest.mark.parametrize(
    ("data", "says"), [(None, "no such file"), (b"", "empty"), (b"some text", "not a safetensors")]
)
def test_other_files_are_not_checkpoints(faces: Path, in_folder: Path, data: bytes | None, says: str) -> None:
    if data is not None:
        (in_folder / "old.st").write_bytes(data)
    said = refusal(faces, past=Path("old.st"))
    assert said.startswith("old.st: ")
    assert says in said


def test_data_of_another_kind_is_refused(model: Path, table_model: Path, faces: Path, table: Path) -> None:
    for data, past, says in ((table, model, "photos"), (faces, table_model, "emoprune features")):
        said = refusal(data, past=past, **ON)
        assert said.startswith(f"{data}: ")
        assert "feature table" in said
        assert says in said


def test_a_preset_trains_a_given_network_on_by_its_own_rates(model: Path, faces: Path) -> None:
    found = trained(faces, past=model, preset="wright2019-cnn", epochs=1)
    assert found.spec == read(model).spec
    recorded = found.history[-1].parameters
    assert (recorded["optimizer"], recorded["momentum"], recorded["lr_decay"]) == ("sgd", 0.9, 1e-5)


def test_a_table_network_that_is_trained_on_scales_as_before(table: Path, in_folder: Path) -> None:
    before = trained(table, **MLP, scale="none", epochs=1)
    before.save("m.st")
    after = trained(table, past=Path("m.st"), epochs=3)
    for name in ("scaling.shift", "scaling.scale"):
        assert torch.equal(before.tensors[name], after.tensors[name])
    assert after.history[-1].parameters["scale"] == "none"
    after.save("on.st")
    assert opened(Path("on.st"))[1] is not None


def test_the_initial_network_is_that_of_no_steps_at_all(small: Path, in_folder: Path) -> None:
    data, config = open_data(small), train_config(**CONV1)
    given: list[Checkpoint] = []
    found = train(data, config, on_start=given.append)
    (initial,) = given
    assert same_tensors(initial, trained(small, **{**CONV1, "epochs": 0}))
    assert not same_tensors(initial, found.checkpoint)
    assert checkpoint.to_bytes(found.checkpoint) == checkpoint.to_bytes(train(data, config).checkpoint)
    assert (initial.layers, initial.statistics, initial.moments) == ((), {}, {})
    assert (initial.spec, initial.training) == (found.checkpoint.spec, ())
    # trained on, it is the whole training
    initial.save("init.st")
    again = trained(small, past=Path("init.st"), epochs=2)
    assert same_tensors(found.checkpoint, again)
    assert found.checkpoint.training == again.training


def test_the_initial_network_of_a_past_is_the_past(model: Path, faces: Path) -> None:
    given: list[Checkpoint] = []
    train(open_data(faces), train_config(epochs=1), past=read(model), on_start=given.append)
    assert same_tensors(given[0], read(model))
    assert len(given[0].history) == 2


def test_a_sanity_check_overfits_so_many_samples_and_says_so(
    table: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        found = trained(table, **MLP, overfit=7, epochs=60)
        assert found.statistics["classifier.hidden1"].count == 7
        first = next(epoch.index for epoch in found.training if (epoch.train_accuracy or 0) >= 0.99)
        assert f"7 samples are learned by epoch {first}" in caplog.messages
        assert found.history[-1].parameters["overfit"] == 7
        caplog.clear()
        found = trained(table, **{**MLP, "lr": 0}, overfit=9, epochs=3)
        best = max(epoch.train_accuracy or 0 for epoch in found.training)
        assert best < 0.99
        assert f"9 samples are not learned: at best {best:.1%} of them" in caplog.messages
        caplog.clear()
        trained(table, **MLP, epochs=3)
        assert not any("learned" in text for text in caplog.messages)


def test_the_few_samples_are_of_the_training_part_and_follow_from_the_seed(
    table: Path, in_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[int]] = []

    def watched(feed, *rest, **more):  # type: ignore[no-untyped-def]  # whatever fit takes
        seen.append(feed.parts["train"].tolist())
        return fit(feed, *rest, **more)

    monkeypatch.setattr("emoprune.training.run.fit", watched)
    for count, seed in ((6, 0), (6, 0), (6, 1), (None, 0)):
        found = trained(table, **MLP, epochs=1, overfit=count, seed=seed)
    few, again, other, whole = seen
    assert few == again != other
    assert len(set(few)) == 6
    assert set(few) <= set(whole)
    assert len(whole) == 48
    seen.clear()
    # a past training's split stays, so that what differs is the choice from one part
    found.save("m.st")
    for seed in (1, 2):
        trained(table, past=Path("m.st"), overfit=6, seed=seed, epochs=1)
    assert seen[0] != seen[1]
    assert {*seen[0], *seen[1]} <= set(whole)


def test_few_samples_behind_a_frozen_backbone_and_as_many_as_there_are(small: Path, table: Path) -> None:
    found = trained(small, **CONV1, freeze="backbone", overfit=6)
    assert found.statistics["classifier.hidden1"].count == 6
    few, whole = (trained(table, **MLP, overfit=count, epochs=2) for count in (48, None))
    assert same_tensors(few, whole)


@pytest.mark.parametrize("name", ["lr_factor", "lr_decay"])
def test_a_falling_rate_is_recorded_and_changes_what_is_learned(table: Path, name: str) -> None:
    falling_rate: dict[str, Any] = {name: 0.5}
    plain, falling = trained(table, **MLP, epochs=3), trained(table, **MLP, epochs=3, **falling_rate)
    assert falling.history[-1].parameters[name] == 0.5
    assert plain.history[-1].parameters[name] == getattr(TrainConfig, name)
    assert plain.training[0].train_loss == pytest.approx(falling.training[0].train_loss, rel=0.2)
    assert not same_tensors(plain, falling)


def test_channels_are_the_widths_of_the_convolutions(small: Path) -> None:
    found = trained(small, arch="conv2", size="20", channels=(3, 5), epochs=1)
    assert {layer.name: found.statistics[layer.name].units for layer in found.layers} == {
        **{"features.0": 3, "features.3": 5, "classifier.hidden1": 200}
    }
    assert found.spec.channels == (3, 5)


def keys_of(data: Path, made: Checkpoint, *parts: str) -> list[int]:
    """The content keys of these parts of the data, as the file of a checkpoint has them."""
    catalog = open_data(data).catalog
    dealt = partition(catalog, made.split)
    return sorted({content_key(catalog.contents[index]) for part in parts for index in dealt[part]})


def test_train_keeps_what_it_learned_from_and_chose_by(small: Path) -> None:
    found = trained(small, **CONV1, split="60/20/20")
    assert found.trained is not None
    assert found.trained.tolist() == keys_of(small, found, "train", "val")
    few = trained(small, **CONV1, split="60/20/20", overfit=6)
    assert few.trained is not None
    assert len(few.trained) == 6 + len(keys_of(small, found, "val"))
    # nothing was learned yet
    assert trained(small, **{**CONV1, "epochs": 0}).trained is None


def test_training_on_unites_what_was_learned_from(
    model: Path, faces: Path, small: Path, tmp_path: Path
) -> None:

    before = read(model)
    assert before.trained is not None
    own = before.trained.tolist()
    assert own == keys_of(faces, before, "train")
    pruned = prune(before, plan(before, PruneConfig(angle=30, max_error=1000, data="none"))).checkpoint
    pruned.save(tmp_path / "p.st")
    for made in (
        trained(small, past=tmp_path / "p.st", epochs=1),
        trained(small, arch="conv1", size="24", gray=True, hidden=24, epochs=1, weights=str(model)),
    ):
        assert made.trained is not None
        assert made.trained.tolist() == sorted({*own, *keys_of(small, made, "train")})
    adopted = trained(small, arch="conv1", size="24", gray=True, hidden=24, epochs=0, weights=str(model))
    assert adopted.trained is not None
    assert adopted.trained.tolist() == own


def test_rows_of_a_table_are_kept_as_they_are_read_again(tmp_path: Path) -> None:
    table = draw_table(tmp_path / "t.csv")
    made = trained(table, arch="mlp", epochs=1)
    assert made.trained is not None
    assert made.trained.tolist() == keys_of(table, made, "train")
    svm = trained(table, arch="svm")
    assert svm.trained is not None
    assert len(svm.trained) == 72


def test_batch_norms_adapt_to_the_training_part_before_the_first_step(small: Path) -> None:
    given: dict[str, Any] = {"arch": "resnet18", "weights": "none", "size": "32", "statistics": False}
    before, after = (trained(small, **given, epochs=0, adapt_bn=adapt) for adapt in (False, True))
    changed = {name for name, value in after.tensors.items() if not torch.equal(value, before.tensors[name])}
    assert {name.rpartition(".")[2] for name in changed} == {
        *("running_mean", "running_var", "num_batches_tracked"),
    }
    assert before.trained is None
    assert after.trained is not None
    read = prepare(open_data(small), train_config(**given))
    # one batch has all of them
    (inputs,) = batches(read.start.samples, read.parts["train"], after.preprocess, torch.device("cpu"))
    found = after.module().get_submodule("conv1")(inputs)
    torch.testing.assert_close(after.tensors["bn1.running_mean"], found.mean((0, 2, 3)))
    torch.testing.assert_close(after.tensors["bn1.running_var"], found.var((0, 2, 3)))
    kept = trained(small, **given, epochs=1, adapt_bn=True, freeze_bn=True)
    torch.testing.assert_close(kept.tensors["bn1.running_mean"], after.tensors["bn1.running_mean"])


def test_the_history_has_the_size_of_each_part_and_licenses_that_are_given(faces: Path) -> None:
    made = trained(faces, **{**CONV1, "epochs": 0, "split": "60/20/20", "data_license": "CC BY 4.0"})
    parts = partition(open_data(faces).catalog, made.split)
    assert made.history[-1].metrics["parts"] == {name: len(indices) for name, indices in parts.items()}
    assert made.history[-1].parameters["data_license"] == "CC BY 4.0"
    assert "weights_license" not in made.history[-1].parameters
