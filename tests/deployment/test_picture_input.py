"""What a file does with pictures, beside what Pillow and torch do."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from torch import nn

from emoprune.data.types import Preprocess
from emoprune.deployment.picture_input import take_pictures
from emoprune.errors import UsageFault
from emoprune.io import onnx_files

HEIGHT, WIDTH = 20, 14
COLOR = Preprocess("image", (HEIGHT, WIDTH), "rgb", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
GRAY = Preprocess("image", (HEIGHT, WIDTH), "gray", (0.5,), (0.25,))
REPEATED = Preprocess("image", (HEIGHT, WIDTH), "gray", (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
SIZES = [(HEIGHT, WIDTH), (48, 48), (11, 90), (301, 200), (HEIGHT, 40), (3, 5), (1, 1)]
every_kind = pytest.mark.parametrize(
    "preprocess", [COLOR, GRAY, REPEATED], ids=["color", "gray", "gray repeated"]
)


def session(preprocess: Preprocess, opset: int = 18) -> onnxruntime.InferenceSession:
    """A file whose logits are all numbers that its network would see."""
    example = torch.zeros(2, preprocess.channels, HEIGHT, WIDTH)
    graph = onnx_files.traced(nn.Flatten().eval(), example, opset=opset)
    take_pictures(graph, preprocess)
    data = onnx_files.finished(graph, {}, opset=opset)
    return onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])


def pictures(count: int, height: int, width: int) -> np.ndarray:
    """Noise, half of it smooth."""
    generator = np.random.default_rng(height * width)
    made = generator.integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    small = Image.fromarray(made[0]).resize((max(1, width // 6), max(1, height // 6)))
    made[0] = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))
    return made


def levels(picture: np.ndarray, preprocess: Preprocess) -> np.ndarray:
    """What Pillow makes of a picture: (channels, HEIGHT, WIDTH), 0 to 255."""
    image = Image.fromarray(picture)
    image = image.convert("L") if preprocess.color == "gray" else image
    found = np.atleast_3d(np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)))
    return np.repeat(found, preprocess.channels // found.shape[2], 2).transpose(2, 0, 1)


@every_kind
@pytest.mark.parametrize("size", SIZES, ids=lambda size: "x".join(map(str, size)))
def test_a_file_sees_pictures_of_any_size_as_training_did(
    preprocess: Preprocess, size: tuple[int, int]
) -> None:
    given = pictures(3, *size)
    (found,) = session(preprocess).run(["logits"], {"images": given})
    mean, std = (np.array(each)[:, None, None] for each in (preprocess.mean, preprocess.std))
    seen = 255 * (found.reshape(3, preprocess.channels, HEIGHT, WIDTH) * std + mean)
    wanted = np.stack([levels(picture, preprocess) for picture in given])
    difference = np.abs(seen - wanted)
    # resizing may round to the next level
    assert difference.max() < 1.01
    assert (difference > 0.01).mean() < 0.05
    if size == (HEIGHT, WIDTH):
        assert difference.max() < 0.01


@every_kind
def test_a_file_gives_probabilities_beside_logits(preprocess: Preprocess) -> None:
    logits, probabilities = session(preprocess).run(None, {"images": pictures(2, 9, 9)})
    assert np.allclose(probabilities, torch.from_numpy(logits).softmax(1), atol=1e-6)


def test_pictures_need_an_opset_that_averages_when_it_shrinks() -> None:
    with pytest.raises(UsageFault, match=r"opset=17.*give `opset=18`"):
        session(COLOR, opset=17)
    assert session(COLOR, opset=20).run(None, {"images": pictures(1, 30, 30)})
