"""READERS: everything that turns bytes and paths from outside into values.

Each reads one input as a command does, and goes on with it as far as the command would go.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args
from unittest import mock

import av  # noqa: F401  # once, for all processes; as are the others that a reader imports when it needs them
import openpyxl  # noqa: F401
import sklearn.model_selection  # noqa: F401
import torch
import torchvision.models  # noqa: F401

from emoprune.choices import MethodName
from emoprune.cli import output
from emoprune.cli.inspect import tables_of
from emoprune.data import near_duplicates, splits
from emoprune.data.config import SplitConfig
from emoprune.data.datasets import Data, open_data
from emoprune.data.formats.parts import declared_parts
from emoprune.data.image_dataset import to_array
from emoprune.data.splits import partition, split_rule
from emoprune.data.types import Preprocess, Table
from emoprune.deployment.inspect import inspect
from emoprune.errors import EmopruneError
from emoprune.evaluation import looks as ledger
from emoprune.evaluation import model as models
from emoprune.evaluation.evaluate import evaluate
from emoprune.evaluation.types import Metrics
from emoprune.faces import contact_sheet, crop_photo, manifest, text_layout
from emoprune.faces.crop_folder import crop_folder
from emoprune.faces.sources import PhotoFolder
from emoprune.faces.types import CropConfig, CropRow
from emoprune.io.pictures import images, video
from emoprune.networks import checkpoint as checkpoints
from emoprune.networks import inputs
from emoprune.networks.costs import layer_timing
from emoprune.networks.types import Spec
from emoprune.pruning import prune
from emoprune.pruning.angles import survey_layers
from emoprune.pruning.types import AnglesConfig, PruneConfig
from emoprune.reporting import error_tables, figures, records_io, sections, tables
from emoprune.reporting import inputs as given
from emoprune.reporting.types import ReportConfig, Runs
from emoprune.search.storage import Study
from emoprune.sweeping import lines as sweep_lines
from emoprune.training import settings_files
from emoprune.training.config import SETTINGS, train_config
from tests.fuzz import command_texts, strategies, variants
from tests.fuzz.engine import Place, Reader
from tests.fuzz.mutations import checked, repacked
from tests.fuzz.seeds import BOXES, SPACES, SWEEP, photos, table_csv

CPU = torch.device("cpu")
METHODS = get_args(MethodName)
DRAWN_OF = 100
"""Of so many reports and crops one is drawn; the others are decided only, a hundredth of the time."""

_tables: dict[Path, Data] = {}


def begin(given: Path) -> None:
    """Make, once per process, what readers find beside their input in the folder `given`."""
    torch.set_num_threads(1)
    (given / "table.csv").write_bytes(table_csv())
    (given / "boxes.csv").write_text(BOXES)
    photos(given / "raw")
    _tables[given] = open_data(str(given / "table.csv"))


def number(place: Place) -> int:
    """A number that follows from the input, by which readers choose among what they can do with it."""
    return zlib.crc32(place.input.read_bytes())


def shown(parts: Iterable[Any]) -> str:
    """What the command line prints of tables and lines."""
    stream = io.StringIO()
    output.show(parts, stream)
    return stream.getvalue()


def as_lines(records: Sequence[Any]) -> None:
    """What the command line makes of records in a pipe."""
    with contextlib.redirect_stdout(io.StringIO()):
        output.emit(records, lambda: (), as_json=True)


def evaluated(place: Place) -> str:
    """As `eval`: load a model, and score it on a table."""
    loaded = models.load(str(place.input), CPU)
    data = _tables[place.input.parent]
    card = loaded.card
    # the same split as the one that the model was trained with
    with contextlib.suppress(EmopruneError):
        models.chosen_part(data, replace(card.split, fingerprint=data.catalog.fingerprint), None)
    result = evaluate(loaded, data, part="all")
    if not isinstance(result, Metrics):
        as_lines([asdict(result)])
        return ""
    as_lines([records_io.to_record(result)])
    return shown(sections.report(Runs((result,))).tables())


def checkpoint(place: Place) -> str:
    """As `angles`, then as `eval`."""
    found = checkpoints.read(str(place.input))
    surveys = survey_layers(found, AnglesConfig(everything=bool(number(place) % 2)))
    as_lines([asdict(survey) for survey in surveys.values()])
    text = shown(error_tables.angle_tables(surveys))
    return text + evaluated(place)


def inspected(place: Place) -> str:
    """As `inspect`."""
    found = inspect(place.input, macs=bool(number(place) % 2))
    as_lines([found.to_record()])
    return shown(tables_of(found))


def pruned(place: Place) -> str:
    """As `prune` with one of its methods, without data or, rarely, with that of the checkpoint."""
    found, chosen = checkpoints.read(str(place.input)), number(place)
    amount: dict[str, Any] = (
        {"angle": 30} if METHODS[chosen % len(METHODS)] == "distinct" else {"amount": 0.5}
    )
    if METHODS[chosen % len(METHODS)] == "progressive":
        amount = {"units": 2}
    data = None if chosen % 8 == 0 else "none"
    # how large an error is predicted hangs on what has been trained
    amount["max_error"] = 1000
    planned = prune.plan(found, PruneConfig(method=METHODS[chosen % len(METHODS)], data=data, **amount))
    done = prune.prune(found, planned)
    as_lines([{**planned.settings, **done.outcome.to_record()}])
    checkpoints.from_bytes(checkpoints.to_bytes(done.checkpoint))
    return shown(error_tables.error_tables(planned.settings, done.outcome))


def weights(place: Place) -> None:
    """As `train` that starts from them."""
    inputs.pretrained(Spec("mlp", 2, (3,), hidden=(4,)), str(place.input), seed=0)


def picture(place: Place) -> None:
    """As `crop`, with and without `max_side`, then as `train`."""
    images.read_reduced(place.input, 16)
    to_array(images.read_photo(place.input), Preprocess("image", (8, 8), "gray", (0.5,), (0.5,)))


def film(place: Place) -> None:
    """As `crop` of its first frames."""
    for count, _ in enumerate(video.frames(place.input, 0.04)):
        if count > 3:
            break


def data_set(place: Place) -> None:
    """As `train` before its first epoch."""
    _split(open_data(str(place.input)))


def _split(data: Data) -> None:
    declared = declared_parts(data.catalog.names)
    rule = split_rule(data, SplitConfig(split=None if declared else "50/50"), 0)
    splits.note_split(data, rule, partition(data.catalog, rule))
    if isinstance(data, Table):
        models.samples(data, Preprocess("table", fills=True), (len(data.columns),))


def split_file(place: Place) -> None:
    """As `train` with a split file, and as `eval` of what it makes."""
    data = _tables[place.input.parent]
    rule = split_rule(data, SplitConfig(split_file=str(place.input)), 0)
    partition(data.catalog, rule)
    for found in splits.fold_rules(rule, 2):
        partition(data.catalog, found)


def predictions(place: Place) -> str:
    """As `report`, listed and compared with the first run."""
    runs = given.read([str(place.input)])
    text = reported(sections.report(runs))
    first = next(iter(runs.predictions), None)
    if first is None or len(runs.predictions) < 2:
        return text
    first.write(place.out / "base.csv", force=True)
    config = ReportConfig(baseline=str(place.out / "base.csv"))
    return text + reported(sections.report(runs, config, force=bool(number(place) % 2)))


def looks(place: Place) -> None:
    """As `eval` of a test part."""
    earlier = ledger.read_looks(place.input)
    ledger.read_looks(place.input, "ab" * 32)
    for look in earlier:
        ledger.tell_looks(earlier, look, data="faces")


def rows(place: Place) -> None:
    """As `crop` and `train` read a manifest."""
    shutil.copy(place.input, place.out / manifest.MANIFEST)
    manifest.read_hashes(place.out)
    manifest.to_bytes(manifest.rows_of(place.input.read_bytes(), str(place.input)))


def boxes(place: Place) -> None:
    """As `crop` reads boxes by hand."""
    manifest.read_boxes(str(place.input))


def laid_out(place: Place) -> None:
    """Lay a tree of files out in the output, as JSON says by path; what cannot be is left out."""
    outside = place.out.parent / "outside"
    for name, entry in json.loads(place.input.read_bytes()).items():
        if ".." in Path(name).parts or Path(name).is_absolute():
            continue
        # names that the system cannot have
        with contextlib.suppress(OSError, ValueError, AttributeError, TypeError):
            path = place.out / name.encode("utf-8", "replace").decode()
            if not Path(os.path.realpath(path.parent)).is_relative_to(place.out):
                # below a link that was laid out before
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            if "file" in entry:
                path.unlink(missing_ok=True)
                path.write_bytes(entry["file"].encode("latin-1"))
            elif "link" in entry:
                path.symlink_to(entry["link"])
            elif "hard" in entry:
                path.hardlink_to(outside / entry["hard"])
            elif "fifo" in entry:
                os.mkfifo(path)
            else:
                path.mkdir(exist_ok=True)


def faces_folder(place: Place) -> None:
    """As `train` on a folder of faces."""
    data = open_data(str(place.out))
    for index in range(len(data.catalog.names)):
        assert not isinstance(data, Table)
        with contextlib.suppress(EmopruneError):
            data.picture(index)
    _split(data)
    near_duplicates.kept_together(data)


def photo_folder(place: Place) -> None:
    """As `crop` of a folder of photos."""
    source = PhotoFolder(place.out, place.out / "faces")
    photos = source.remaining(set(), {}, 1.0)
    names = source.output_names(())
    for photo in photos:
        for name in names.take(photo.source, 2):
            assert not Path(name).is_absolute()
            assert ".." not in Path(name).parts
    found = [CropRow(photo.source, "", manifest.NO_FACE, sha256="0") for photo in photos]
    assert source.unchanged(found) == []
    assert manifest.rows_of(manifest.to_bytes(found), "list.csv") == found


def crop(place: Place) -> None:
    """As `crop` with boxes for all photos, which needs no detector, into a folder that is there already."""
    chosen = number(place)
    force, given = bool(chosen % 2), bool(chosen // 2 % 4)
    raw, lists = place.input.parent / "raw", place.input.parent / "boxes.csv"
    drawn = contextlib.nullcontext() if chosen % DRAWN_OF == 0 else _sheet_not_drawn()
    with drawn, _no_detector():
        config = CropConfig(size=16 if given else None, on_missing="whole" if chosen % 3 else None)
        crop_folder(str(raw), str(place.out), config, boxes=str(lists), jobs=1, force=force)


def _sheet_not_drawn() -> Any:
    return mock.patch.object(contact_sheet, "crop_sheet", return_value=b"sheet")


class _FindsNothing:
    def detect(self, image: object) -> list[object]:
        return []

    def rescue(self, image: object) -> None:
        return None


def _no_detector() -> Any:
    """Photos without a box have no face: the detector takes a second to load, and is not what is tested."""
    return mock.patch.object(crop_photo, "_detector", return_value=_FindsNothing())


def report(place: Place) -> str:
    """As `report` in all formats."""
    runs = given.read([str(place.input)])
    text = ""
    for config in (ReportConfig(), ReportConfig(by_label=True)):
        text += reported(sections.report(runs, config))
    return text


def reported(made: sections.Report) -> str:
    """A report in all formats."""
    found = made.tables()
    for section in made.sections:
        tables.to_csv(made.flat(section))
    as_lines([made.to_record()])
    return "\n".join([*made.warnings, shown(found), *map(tables.to_markdown, found)])


def drawn(place: Place) -> None:
    """As `report` that draws figures; most are only named."""
    runs = given.read([str(place.input)])
    blank = {"svg": b"", "png": b""}
    named = mock.patch.object(figures, "render", return_value=blank)
    with contextlib.nullcontext() if number(place) % DRAWN_OF == 0 else named:
        figures.save(runs, str(place.out / "figures"))


def paper(place: Place) -> str:
    """As `report` beside the numbers of a paper."""
    (whole,) = records_io.parse(io.StringIO(PAPER_RUNS), place="runs.json")
    assert isinstance(whole, Metrics)
    made = sections.report(Runs((whole,)), ReportConfig(by_label=True, paper=str(place.input)))
    as_lines([made.to_record()])
    return shown(made.tables())


def storage(place: Place, form: str = "{}") -> None:
    """As `search` that continues."""
    shutil.copy(place.input, place.out / "storage")
    with Study(form.format(place.out / "storage"), spaces=SPACES, seed=0) as study:
        dict(study.identity({"data": "abc"}))
        study.fingerprints()
        for trial in study.trials():
            assert isinstance(trial.number, int)
            assert {*trial.values} == {space.name for space in SPACES}
            str((trial.rank, trial.line and trial.line.encode(), trial.accuracy and f"{trial.accuracy:.1%}"))
        study.claim(3, lambda number, ended: SPACES)


def database(place: Place) -> None:
    """As `search` that continues, with a database."""
    storage(place, "sqlite:///{}")


def swept(place: Place) -> None:
    """As `sweep` that goes on."""
    shutil.copy(place.input, place.out / "s.jsonl")
    found = sweep_lines.read(str(place.out / "s.jsonl"), SWEEP, model="m.st", data="faces")
    found.add({}, {"more": "cannot be met"})
    str([(each.name, each.settings, each.accuracy) for each in found.metrics.values()])


def latencies(place: Place) -> None:
    """As `prune` with a speed finds the times of layers in the cache."""
    layer_timing.read_cache(str(place.input))


def settings_file(place: Place) -> None:
    """As `train --config`, then as `train --save-config`."""
    config = train_config(config=str(place.input))
    values = {name: getattr(config, name) for name in SETTINGS}
    written = settings_files.to_toml(values, SETTINGS)
    again = settings_files.parse(written, "again").settings
    assert again == {name: value for name, value in values.items() if value is not None}


def captions(place: Place) -> None:
    """As a contact sheet writes the names of files and the reasons of failures."""
    text = place.input.read_bytes().decode("utf-8", "surrogateescape")
    font = text_layout.font_of(11)
    text_layout.caption(text, 1, font, 84)
    text_layout.lines(text, font, 84, most=4)


PAPER_RUNS = json.dumps(
    {
        "schema": "emoprune.metrics/1", "model": "m", "model_fingerprint": "a", "data": "d",
        "data_fingerprint": "f", "split": "test", "n": 2, "classes": ["angry", "happy"], "accuracy": 0.5,
        "accuracy_interval": [0.1, 0.9], "macro_f1": 0.5, "confusion": [[1, 0], [1, 0]], "log_loss": 0.5,
        "per_class": {
            "angry": {"precision": 0.5, "recall": 1.0, "f1": 0.5, "support": 1},
            "happy": {"precision": None, "recall": 0.0, "f1": 0.0, "support": 1},
        },
        "calibration_error": 0.1, "parameters": 1, "nonzero_parameters": 1, "macs": 1, "bytes": 1, "units": 1,
        "label": "whole",
    }
)  # fmt: skip


OF_CHECKPOINTS: dict[str, Any] = {
    "seeds": "checkpoints",
    "hostile": "hostile checkpoints",
    "suffix": ".st",
    "strategy": variants.of_checkpoints,
}
OF_ONNX: dict[str, Any] = {
    "seeds": "onnx",
    "hostile": "hostile onnx",
    "suffix": ".onnx",
    "strategy": variants.of_onnx,
}
OF_RECORDS: dict[str, Any] = {"seeds": "records", "suffix": ".json", "strategy": strategies.json_files}
OF_TREES: dict[str, Any] = {"mutate": None, "prepare": laid_out}
OF_CSV: dict[str, Any] = {"suffix": ".csv", "strategy": strategies.csv_files}

READERS: dict[str, Reader] = {
    "checkpoint": Reader(read=checkpoint, **OF_CHECKPOINTS),
    "prune": Reader(read=pruned, **OF_CHECKPOINTS),
    "inspect .st": Reader(read=inspected, **OF_CHECKPOINTS),
    "weights .pth": Reader(
        read=weights, seeds="pickled weights", suffix=".pth", mutate=repacked, hostile="hostile weights"
    ),
    "weights .st": Reader(read=weights, seeds="safe weights", suffix=".st", strategy=variants.of_headers),
    "onnx": Reader(read=evaluated, **OF_ONNX),
    "inspect .onnx": Reader(read=inspected, **OF_ONNX),
    "picture": Reader(read=picture, seeds="pictures", mutate=checked, hostile="hostile pictures"),
    "video": Reader(read=film, seeds="films", suffix=".mp4"),
    "pixels .csv": Reader(read=data_set, seeds="pixels", **OF_CSV),
    "table .csv": Reader(read=data_set, seeds="tables", **OF_CSV),
    "table .st": Reader(read=data_set, seeds="safe tables", suffix=".st", strategy=variants.of_safe_tables),
    "table .xlsx": Reader(
        read=data_set,
        seeds="workbooks",
        suffix=".xlsx",
        strategy=variants.of_workbooks,
        mutate=repacked,
        hostile="hostile workbooks",
    ),
    "split file": Reader(read=split_file, seeds="split files", **OF_CSV),
    "predictions": Reader(read=predictions, seeds="predictions", **OF_CSV),
    "test looks": Reader(read=looks, seeds="looks", suffix=".jsonl", strategy=strategies.json_files),
    "crops.csv": Reader(read=rows, seeds="manifests", **OF_CSV),
    "failures.csv": Reader(read=boxes, seeds="boxes", **OF_CSV),
    "crop folder": Reader(read=crop, seeds="crop folders", strategy=variants.of_crop_folders, **OF_TREES),
    "faces folder": Reader(read=faces_folder, seeds="trees", strategy=variants.of_folders, **OF_TREES),
    "photo folder": Reader(read=photo_folder, seeds="trees", strategy=variants.of_folders, **OF_TREES),
    "metrics": Reader(read=report, **OF_RECORDS),
    "figures": Reader(read=drawn, **OF_RECORDS),
    "paper": Reader(read=paper, seeds="papers", **OF_CSV),
    "journal": Reader(read=storage, seeds="journals", strategy=strategies.json_files),
    "database": Reader(read=database, seeds="databases"),
    "sweep": Reader(read=swept, seeds="sweeps", suffix=".jsonl", strategy=strategies.json_files),
    "latencies": Reader(read=latencies, seeds="latencies", suffix=".json", strategy=strategies.json_files),
    "settings file": Reader(read=settings_file, seeds="settings files", suffix=".toml"),
    "captions": Reader(read=captions, seeds="boxes"),
    "settings": Reader(
        read=command_texts.setting, seeds="settings", strategy=command_texts.of_settings, mutate=None
    ),
    "command line": Reader(
        read=command_texts.command_line, seeds="lines", strategy=command_texts.of_lines, mutate=None
    ),
}
