"""Small valid inputs of every reader, made by the program itself, and hostile ones made by hand."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import safetensors.torch
import torch
from PIL import Image

from emoprune.choices import PARTS
from emoprune.data import split_files
from emoprune.data.datasets import Data, open_data
from emoprune.data.formats import feature_tables
from emoprune.data.formats.fer2013 import USAGES
from emoprune.deployment.export import export
from emoprune.evaluation.looks import Look
from emoprune.evaluation.predictions import Predictions
from emoprune.faces import manifest
from emoprune.faces.crop_folder import crop_folder
from emoprune.faces.output_folder import CropFolder
from emoprune.faces.types import CropConfig, CropRow
from emoprune.networks.checkpoint import to_bytes
from emoprune.networks.costs.layer_timing import SCHEMA, Measured
from emoprune.networks.types import Checkpoint
from emoprune.pruning import prune
from emoprune.pruning.types import STEPS_SCHEMA, PruneConfig, PruningStep
from emoprune.reporting import records_io
from emoprune.search.space import Space
from emoprune.search.storage import Study
from emoprune.sweeping.lines import WHOLE, Lines
from emoprune.training import settings_files
from emoprune.training.config import SETTINGS, train_config
from emoprune.training.train import train
from emoprune.training.types import TRAINING_SCHEMA
from tests.fuzz import command_texts, hostile_inputs
from tests.fuzz.hostile_inputs import Inputs, saved
from tests.fuzz.strategies import LONG
from tests.support import runs
from tests.support.films import film
from tests.support.image_bytes import deep_png, p3_profile
from tests.support.records import fer2013_csv, noise_pixels, raw_safetensors, workbook

SWEEP = {"model": "ab" * 32, "data": "cd" * 32, "version": "1", "part": "val"}
SPACES = (Space("lr", "log", 1e-3, 1e-1), Space("hidden", "choice", choices=(4, 8)))
PHOTOS = ("angry/a.png", "angry/b.png", "happy/c.png", "happy/d.png")
LOOK = Look("ab" * 32, "cd" * 32, "f" * 64, "a" * 64)
BOXES = "source,x1,y1,x2,y2\n" + "".join(f"{name},2,2,20,18\n" for name in PHOTOS)


def made(room: Path) -> Inputs:
    """All of them by name; `room` is a folder for what they are made from."""
    table = room / "table.csv"
    table.write_bytes(table_csv())
    photos(room / "raw")
    networks = checkpoints(room, table)
    onnx_file = exported(room, networks["mlp"])
    return {
        **hostile_inputs.made(networks, table.read_bytes(), onnx_file),
        **command_texts.own_seeds(),
        **data_files(table),
        **records(networks["mlp"]),
        **crops(room),
        **storages(room),
        "sweeps": [swept(room)],
        "checkpoints": [to_bytes(each) for each in networks.values()],
        "pickled weights": list(pickled(networks["mlp"])),
        "safe weights": list(safe_weights(networks["mlp"])),
        "onnx": [onnx_file],
        "pictures": list(pictures()),
        "films": list(films()),
        "trees": [tree_bytes(room / "raw")],
        "settings files": [
            b"preset = 'wright2019-ff'\nrecipe = 'modern'\n[settings]\nlr = 1\nhidden = [20, 0x10]\n",
            settings_files.to_toml({"augment": ("flip", 'a"\\'), "lr": 1e-5, "gray": True}, SETTINGS),
        ],
        "split files": list(split_files_of(open_data(str(table)))),
        "predictions": [*predictions(), b"".join(predictions())],
        "looks": [
            "".join(json.dumps(dataclasses.asdict(look)) + "\n" for look in looks).encode()
            for looks in ([LOOK], [LOOK, dataclasses.replace(LOOK, model="e" * 64, descent=None)])
        ],
        "latencies": [Measured(SCHEMA, "a processor", 1, {"dense 1 widths 16>16": 0.5}).to_bytes()],
    }


def predictions() -> list[bytes]:
    """Of two runs, one of which has groups."""
    answers: dict[str, Any] = {
        **{"model_fingerprint": "ab", "data_fingerprint": "cd", "classes": ("angry", 'a "b"')},
        **{"names": ("a,b", "c"), "labels": np.array([0, 1]), "predicted": np.array([0, 0])},
        "probabilities": np.array([[0.75, 0.25], [0.5, 0.5]]),
    }
    runs_of = (("m.st", None), ("whole, before", ("f1", "f2")))
    return [Predictions(run=run, groups=groups, **answers).to_bytes() for run, groups in runs_of]


def table_csv(rows: int = 12) -> bytes:
    """A feature table of three columns; one name is long, one value is missing."""
    chance = np.random.default_rng(0)
    lines = ["name,label,x,y,z"]
    for index in range(rows):
        name = LONG if index == 0 else f"film{index // 2}_{index}"
        values = chance.random(3) + index % 2
        lines.append(
            f"{name},{('angry', 'happy')[index % 2]}," + ",".join(f"{value:.3f}" for value in values)
        )
    return ("\n".join(lines) + ",\n").replace(",\n", "\n").encode()


def split_files_of(data: Data) -> Iterator[bytes]:
    """Two and three parts of a data set."""
    for count in (2, 3):
        parts = {
            part: tuple(index for index in range(12) if index // 2 % count == place)
            for place, part in enumerate(PARTS[:count])
        }
        yield split_files.to_bytes(data.catalog, parts)


def drawn(seed: int, size: tuple[int, int] = (24, 20)) -> Image.Image:
    """Noise with a gradient, so that no part of it is like another."""
    chance = np.random.default_rng(seed)
    return Image.fromarray(chance.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8))


def photos(raw: Path) -> None:
    """Four little photos of two classes."""
    for index, name in enumerate(PHOTOS):
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        drawn(index).save(raw / name)


def checkpoints(room: Path, table: Path) -> dict[str, Checkpoint]:
    """One of each kind of network that is small, whole and pruned."""
    data = open_data(str(table))
    mlp = train(data, train_config(arch="mlp", hidden=(4,), epochs=2)).checkpoint
    masked = PruneConfig(method="magnitude", amount=0.5, data="none", max_error=1000)
    fewer = PruneConfig(method="reconstruct", units=2, data="none", max_error=1000)
    faces = open_data(str(room / "raw"), split="50/50")
    conv = train_config(
        arch="conv1", size="8", gray=True, hidden=(4,), channels=(3,), epochs=1, split="50/50"
    )
    return {
        "mlp": mlp,
        "masked": prune.prune(mlp, prune.plan(mlp, masked)).checkpoint,
        "pruned": prune.prune(mlp, prune.plan(mlp, fewer)).checkpoint,
        "autoencoder": train(data, train_config(arch="autoencoder", hidden=(3,), epochs=1)).checkpoint,
        "svm": train(data, train_config(arch="svm")).checkpoint,
        "conv1": train(faces, conv).checkpoint,
    }


def pickled(checkpoint: Checkpoint) -> Iterator[bytes]:
    """The weights of a checkpoint as torch.save writes them, in all the ways that are read."""
    tensors = dict(checkpoint.tensors)
    for value in (
        tensors,
        {"state_dict": tensors},
        {f"module.{name}": each for name, each in tensors.items()},
    ):
        yield saved(value)
    stream = io.BytesIO()
    torch.save(tensors, stream, _use_new_zipfile_serialization=False)
    yield stream.getvalue()


def safe_weights(checkpoint: Checkpoint) -> Iterator[bytes]:
    """The weights of a checkpoint as safetensors, and the checkpoint itself."""
    yield safetensors.torch.save({name: value.contiguous() for name, value in checkpoint.tensors.items()})
    yield to_bytes(checkpoint)
    yield raw_safetensors({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"1234")


def exported(room: Path, checkpoint: Checkpoint) -> bytes:
    """A checkpoint as ONNX."""
    export(checkpoint, room / "model.onnx", data=None)
    return (room / "model.onnx").read_bytes()


def pictures() -> Iterator[bytes]:
    """A little picture in every format and mode that is read."""
    image = drawn(0)
    forms: dict[str, dict[str, Any]] = {
        "JPEG": {"progressive": True}, "PNG": {}, "WEBP": {}, "GIF": {}, "TIFF": {"compression": "tiff_lzw"},
        "BMP": {}, "PPM": {}, "JPEG2000": {}, "AVIF": {},
    }  # fmt: skip
    for form, options in forms.items():
        yield encoded(image, form, **options)
    exif = Image.Exif()
    exif[0x0112] = 6
    yield encoded(image, "JPEG", exif=exif, icc_profile=p3_profile())
    yield encoded(image, "WEBP", lossless=True, exif=exif)
    yield encoded(image.convert("CMYK"), "JPEG")
    yield encoded(image.convert("P"), "PNG", transparency=3)
    yield encoded(image.convert("RGBA"), "PNG", icc_profile=p3_profile())
    yield encoded(image.convert("1"), "TIFF", compression="group4")
    yield encoded(Image.fromarray(np.linspace(0, 9, 480, dtype=np.float32).reshape(20, 24)), "TIFF")
    yield encoded(image.convert("P"), "GIF", save_all=True, append_images=[drawn(1), drawn(2)])
    yield encoded(image, "PNG", save_all=True, append_images=[drawn(1)])
    yield deep_png(np.arange(480, dtype=np.uint16).reshape(20, 24, 1) * 100, 0)


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    """A picture as bytes of a format."""
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def films() -> Iterator[bytes]:
    """Three frames in several formats."""
    for codec, form in (
        *(("libx264", "mp4"), ("mpeg4", "avi"), ("libvpx", "webm"), ("mpeg4", "matroska")),
        *(("mpeg1video", "mpeg"), ("libx264", "mov"), ("wmv2", "asf")),
    ):
        yield film(lambda index: drawn(index, (32, 32)), 3, rate=25, codec=codec, form=form)


def data_files(table: Path) -> Inputs:
    """Pictures as CSV, and feature tables in every format."""
    features = open_data(str(table))
    csv_text = table.read_bytes()
    pixels = fer2013_csv(noise_pixels(6), [(n % 2, part) for part in USAGES for n in range(2)])
    rows = [line.split(",") for line in csv_text.decode().splitlines()]
    sheet = [["Image\nname", "Label", "LPQ features", "", "PHOG", ""]]
    sheet += [
        [f"Film_{index}.mat", str(index % 2 + 1), "0.5", "NaN" if index else "1", "1", "2"]
        for index in range(8)
    ]
    sfew = "\n".join(",".join(f'"{cell}"' for cell in row) for row in sheet).encode() + b"\n"
    return {
        "tables": [csv_text, sfew],
        "pixels": [pixels],
        "safe tables": [feature_tables.to_bytes(features, suffix=".st")],  # type: ignore[arg-type]
        "workbooks": [
            workbook(rows),
            workbook([[float(x) if x[:1].isdigit() else x for x in row] for row in sheet]),
        ],
        "papers": [
            b"label,measure,value,where\nwhole,accuracy,34.5%,Table 4\nwhole,precision angry,0.5,Table 5\n"
            b'"sum, 9 units",loss,1.62,Figure 3\n"sum, 8 units",smallest angle,12,Figure 3\n'
        ],
    }


def records(checkpoint: Checkpoint) -> Inputs:
    """Lines of metrics, learning curves and steps of prunings."""
    evaluations = [
        runs.run("whole, before", 0.5, units=10, hidden=10, seed=0),
        runs.run("whole, before", 0.6, units=10, hidden=20, seed=1),
        runs.run("whole, after", 0.4, units=8, hidden=10, seed=0),
        runs.run(None, 0.4, pruned=0.5),
    ]
    lines = [records_io.to_record(each) for each in evaluations]
    curve = {"schema": TRAINING_SCHEMA, **dataclasses.asdict(runs.curve("whole", (0.5, 0.4), (0.6, None)))}
    step = PruningStep(9, loss=0.5, accuracy=0.5, smallest_angle_deg=12.0, least_importance=0.1)
    steps = {"schema": STEPS_SCHEMA, **dataclasses.asdict(runs.pruning("sum", step, step))}
    joined = [
        "\n".join(map(json.dumps, each)).encode() + b"\n"
        for each in (lines, [curve, steps], [*lines[:2], curve, steps])
    ]
    return {"records": joined}


def crops(room: Path) -> Inputs:
    """Folders of faces, finished and interrupted, as trees, and the lists in them."""
    boxes = room / "boxes.csv"
    boxes.write_text(BOXES)
    faces = room / "faces"
    crop_folder(str(room / "raw"), str(faces), CropConfig(size=16), boxes=str(boxes), jobs=1)
    lists = (faces / manifest.MANIFEST).read_bytes()
    # of which no reader reads more than that it is there
    (faces / manifest.SHEET).write_bytes(b"sheet")
    finished = tree_bytes(faces)
    return {
        "manifests": [lists],
        "boxes": [BOXES.encode(), lists, BOXES.replace(",", ";").encode()],
        "crop folders": [finished, interrupted(room / "raw", room / "again", boxes)],
    }


def interrupted(raw: Path, folder: Path, lists: Path) -> bytes:
    """A folder of faces whose first run ended before its last photo, as a tree."""
    add, done = CropFolder.add, 0

    class Ended(Exception):
        pass

    def counted(self: CropFolder, rows: Sequence[CropRow], pictures: Sequence[bytes]) -> list[CropRow]:
        nonlocal done
        done += 1
        if done == len(PHOTOS):
            raise Ended
        return add(self, rows, pictures)

    with contextlib.suppress(Ended), mock.patch.object(CropFolder, "add", counted):
        crop_folder(str(raw), str(folder), CropConfig(size=16), boxes=str(lists), jobs=1)
    return tree_bytes(folder)


def tree_bytes(folder: Path) -> bytes:
    """The files of a folder by path, as JSON."""
    files = {
        path.relative_to(folder).as_posix(): {"file": path.read_bytes().decode("latin-1")}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    return json.dumps(files).encode()


def storages(room: Path) -> Inputs:
    """The storage of a search with two trials that ended, one that failed and one that was killed."""
    found: Inputs = {}
    for name, place in (("journals", room / "s.journal"), ("databases", room / "s.db")):
        where = f"sqlite:///{place}" if name == "databases" else str(place)
        with Study(where, spaces=SPACES, seed=0) as study:
            study.identity({"data": "abc", "sampler": "random"})
            claims = [study.claim(4, lambda number, ended: SPACES) for _ in range(4)]
            for claim in claims[:2]:
                assert claim is not None
                study.made(claim, "f" * 64)
                study.finish(claim, accuracy=0.5, line="{}")
            assert claims[2] is not None
            study.fail(claims[2], "the loss is nan")
        found[name] = [place.read_bytes()]
    return found


def swept(room: Path) -> bytes:
    """The file of a sweep with two lines and one combination that was not met."""
    path = room / "s.jsonl"
    whole, half = runs.run("whole network", 0.5, macs=1), runs.run("reconstruct", 0.4, macs=0.5)
    Lines(str(path), SWEEP).add(
        {WHOLE: whole, "reconstruct.macs0.5": half}, {"reconstruct.macs0.1": "cannot be met"}
    )
    return path.read_bytes()
