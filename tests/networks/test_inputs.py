"""What input options mean: sizes, means, defaults by architecture, and what networks start from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.models import get_model_weights

from emoprune.data.formats.image_folders import Folder
from emoprune.data.types import Catalog, Preprocess, SplitRule, Table
from emoprune.errors import BadCheckpoint, UsageFault
from emoprune.faces.types import CropSettings
from emoprune.networks import checkpoint, inputs
from emoprune.networks.build import build
from emoprune.networks.registry import ARCHITECTURES
from emoprune.networks.types import Checkpoint, Spec

FOLDER = Folder(Catalog("faces", ("a/1.jpg",), (0,), ("a",), "f"), (Path("faces/a/1.jpg"),))
TABLE = Table(Catalog("t.csv", ("a",), (0,), ("a",), "f"), ("x", "y"), torch.zeros(1, 2))


@given(st.integers(1, 4096), st.integers(1, 4096))
@settings(max_examples=25, deadline=None)
def test_parse_size_takes_one_or_two_sides(height: int, width: int) -> None:
    assert inputs.parse_size(f"{height}x{width}") == (height, width)
    assert inputs.parse_size(str(height)) == (height, height)


@pytest.mark.parametrize(
    "text", ["", "0", "0x5", "5x0", "4097", "16x5000", "-3", "3x", "x3", "3x3x3", "3.5", "big", "³", " "]
)
def test_parse_size_refuses_other_text(text: str) -> None:
    with pytest.raises(UsageFault, match="`size="):
        inputs.parse_size(text)


@pytest.mark.parametrize("arch", ["resnet18", "inception_v3", "vit_b_16", "mobilenet_v2"])
def test_preprocess_gives_torchvision_the_input_of_its_weights(arch: str) -> None:
    found = inputs.preprocess(FOLDER, arch, None, gray=False, mean=None, std=None)
    transforms = get_model_weights(arch).DEFAULT.transforms()
    assert (found.mean, found.std) == (tuple(transforms.mean), tuple(transforms.std))
    assert found.size == ARCHITECTURES[arch].size
    assert transforms.crop_size == [found.size[0]]


def test_preprocess_keeps_how_the_faces_were_cropped() -> None:
    crop = CropSettings(margin=0.3, align="eyes")
    given = {"gray": False, "mean": None, "std": None}
    found = inputs.preprocess(replace(FOLDER, crop=crop), "resnet18", None, **given)  # type: ignore[arg-type]
    assert found.crop == crop
    assert inputs.preprocess(TABLE, "mlp", None, **given).crop is None  # type: ignore[arg-type]


def test_preprocess_takes_the_input_of_imagenet_weights_where_none_is_given() -> None:
    given = {"gray": False, "mean": None, "std": None, "weights": "imagenet"}
    found = inputs.preprocess(FOLDER, "efficientnet_v2_l", None, **given)  # type: ignore[arg-type]  # kinds
    assert (found.size, found.mean, found.std) == ((480, 480), (0.5,) * 3, (0.5,) * 3)
    found = inputs.preprocess(FOLDER, "efficientnet_v2_l", "64", **(given | {"mean": "0.1"}))  # type: ignore[arg-type]
    assert (found.size, found.mean, found.std) == ((64, 64), (0.1,) * 3, (0.5,) * 3)
    found = inputs.preprocess(FOLDER, "efficientnet_v2_l", None, **(given | {"weights": "w.pth"}))  # type: ignore[arg-type]
    assert (found.size, found.mean) == ((224, 224), inputs.IMAGENET_MEAN)


@pytest.mark.parametrize(
    ("arch", "size", "mean", "says"),
    [
        ("efficientnet_v2_l", None, None, "with `size=480` `mean=0.5` `std=0.5`"),
        ("efficientnet_v2_l", "64", "0.5", "with `std=0.5`"),
        ("swin_v2_t", None, None, "with `size=256`"),
        ("swin_v2_t", "64", None, None),
        ("resnet18", None, None, None),
    ],
)
def test_note_usual_input_tells_what_differs_and_is_taken(
    arch: str, size: str | None, mean: str | None, says: str | None, told: pytest.LogCaptureFixture
) -> None:
    inputs.note_usual_input(arch, "imagenet", size, mean=mean, std=None)
    assert [says in text for text in told.messages if says] == [True] * (says is not None)


def test_preprocess_takes_the_input_of_a_published_file_by_its_name(told: pytest.LogCaptureFixture) -> None:
    path = "a/vit_b_16_swag-9ac1b537.pth"
    found = inputs.preprocess(FOLDER, "vit_b_16", None, gray=False, mean=None, std=None, weights=path)
    assert found.size == (384, 384)
    inputs.note_usual_input("vit_b_16", path, None, mean=None, std=None)
    assert told.messages == [
        f"the weights in {path} of vit_b_16 were trained with `size=384`, so it is taken"
    ]


def test_preprocess_gives_gray_one_channel_or_torchvision_three() -> None:
    for arch, channels in (("conv1", 1), ("mlp", 1), ("resnet18", 3)):
        found = inputs.preprocess(FOLDER, arch, "64x32", gray=True, mean=None, std=None)
        assert found.color == "gray"
        assert inputs.input_shape(FOLDER, found) == (channels, 64, 32)
    assert inputs.preprocess(FOLDER, "conv1", None, gray=False, mean=None, std=None).channels == 3


def test_preprocess_does_not_change_tables() -> None:
    found = inputs.preprocess(TABLE, "mlp", "64", gray=True, mean="1", std="1")
    assert found.kind == "table"
    assert inputs.input_shape(TABLE, found) == (2,)


def test_preprocess_takes_one_mean_or_one_per_channel() -> None:
    found = inputs.preprocess(FOLDER, "conv1", None, gray=False, mean="0.25", std="0.1,0.2,0.3")
    assert (found.mean, found.std) == ((0.25,) * 3, (0.1, 0.2, 0.3))


@pytest.mark.parametrize(
    ("mean", "std", "says"),
    [
        *(("a", None, "`mean=a`"), ("", None, "`mean="), ("0.5,", None, "`mean="), ("inf", None, "`mean=")),
        *((None, "0", "`std=0`"), (None, "-1", "`std=-1`"), (None, "nan", "`std=nan`")),
        *(("1,2", None, "`mean` has 2 numbers for 3"), (None, "1,2,3,4", "`std` has 4 numbers for 3")),
    ],
)
def test_preprocess_refuses_a_wrong_mean_or_std(mean: str | None, std: str | None, says: str) -> None:
    with pytest.raises(UsageFault, match=says):
        inputs.preprocess(FOLDER, "conv1", None, gray=False, mean=mean, std=std)


def test_pretrained_initializes_from_the_seed() -> None:
    spec = Spec("conv1", 3, (1, 16, 16), hidden=(4,))
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = inputs.pretrained(spec, "none", seed=5)[0].state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again = inputs.pretrained(spec, "none", seed=5)[0].state_dict()
    other = inputs.pretrained(spec, "none", seed=6)[0].state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_pretrained_names_the_file_and_tensor_that_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    wide, _ = inputs.pretrained(Spec("conv1", 3, (3, 16, 16), hidden=(4,)), "none", seed=0)
    torch.save(wide.state_dict(), path)
    with pytest.raises(BadCheckpoint, match=rf"{path}: .*features\.0\.weight.*16x3x5x5.*16x1x5x5"):
        inputs.pretrained(Spec("conv1", 3, (1, 16, 16), hidden=(4,)), str(path), seed=0)


def saved(path: Path, **changes: Any) -> str:
    """A checkpoint of conv1 on gray 16x16 pictures, untrained."""
    spec = Spec("conv1", 3, (1, 16, 16), hidden=(4,), **changes)
    net = build(spec)
    preprocess = Preprocess("image", (16, 16), "gray", (0.5,), (0.25,))
    rule = SplitRule("80/20", 0, None, "f")
    Checkpoint(spec, CLASSES, preprocess, rule, tensors=net.state_dict()).save(path)
    return str(path)


CLASSES = ("angry", "happy", "sad")
OTHER = Preprocess("image", (16, 16), "rgb", (0.5,) * 3, (0.5,) * 3)


def test_pretrained_takes_rows_of_a_checkpoint_by_class(tmp_path: Path) -> None:
    spec, path = Spec("conv1", 3, (1, 16, 16), hidden=(4,)), saved(tmp_path / "m.st")
    net, made = inputs.pretrained(spec, path, seed=1, classes=("Sadness", "happy", "ANGRY"))
    assert made is not None
    assert made.fresh == ()
    own, theirs = net.state_dict(), checkpoint.read(path).tensors
    assert torch.equal(own["classifier.output.weight"], theirs["classifier.output.weight"].flip(0))


def test_pretrained_refuses_a_pruned_checkpoint(tmp_path: Path) -> None:
    widths = {"classifier.hidden1": (576, 2), "classifier.output": (2, 3)}
    path = saved(tmp_path / "m.st", widths=widths)
    with pytest.raises(BadCheckpoint, match=r"m\.st: is a pruned conv1, .*`past`"):
        inputs.pretrained(Spec("conv1", 3, (1, 16, 16), hidden=(4,)), path, seed=0, classes=CLASSES)


def test_pretrained_notes_where_a_checkpoint_saw_other_pictures(
    tmp_path: Path, told: pytest.LogCaptureFixture
) -> None:
    spec, path = Spec("conv1", 3, (1, 16, 16), hidden=(4,)), saved(tmp_path / "m.st")
    same = checkpoint.read(path).preprocess
    for preprocess, notes in ((same, []), (OTHER, ["`mean=0.5`, `std=0.25`, gray pictures"])):
        told.clear()
        inputs.pretrained(spec, path, seed=0, classes=CLASSES, preprocess=preprocess)
        assert len(told.messages) == len(notes)
        assert all(note in text for note, text in zip(notes, told.messages, strict=True))
