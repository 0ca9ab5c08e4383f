"""Small, fast expression classifiers from photos of faces, and what making them small costs.

Every function here is one use case of the library, as the commands are. Each takes values and returns new
objects; nothing given is changed in place. Notes, warnings and progress go through `emoprune.events`: nothing
is printed. Importing this package imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emoprune.errors import EmopruneError
from emoprune.version import __version__

if TYPE_CHECKING:
    from torch import Tensor, nn

    from emoprune.choices import DeviceName, Part, Section, SplitBy
    from emoprune.data.datasets import Data
    from emoprune.deployment.inspect import Inspection
    from emoprune.deployment.types import ExportSummary, Prediction
    from emoprune.evaluation.model import LoadedModel
    from emoprune.evaluation.predictions import Predictions
    from emoprune.evaluation.significance.compare import Comparison
    from emoprune.evaluation.types import Metrics, ReconstructionMetrics
    from emoprune.faces.types import CropSummary
    from emoprune.networks.types import Checkpoint
    from emoprune.pruning.prune import PrunePlan
    from emoprune.pruning.types import PruneOutcome, Survey
    from emoprune.reporting.sections import Report
    from emoprune.sweeping.sweep import Sweep
    from emoprune.training.repeats import Repeats

__all__ = [
    "EmopruneError",
    "__version__",
    "angles",
    "compare",
    "crop",
    "evaluate",
    "export",
    "inspect",
    "load",
    "open_data",
    "plan",
    "predict",
    "prune",
    "prune_module",
    "report",
    "sweep",
    "train",
    "train_repeats",
]


def crop(
    raw: str | Path,
    faces: str | Path,
    *,
    boxes: str | Path | None = None,
    device: DeviceName = "auto",
    jobs: int | None = None,
    force: bool = False,
    **settings: Any,
) -> CropSummary:
    """Cut the faces out of the photos below `raw`, or of a video, into the folder `faces`.

    Settings are those of CropConfig: size, margin, align, pad, select and others. The same call goes on
    where an earlier one ended, and crops only what is new. Raises BadData for a folder without photos,
    OutputFault for a folder that holds other files or was cropped with other settings.
    """
    from emoprune.faces.crop_folder import crop_folder
    from emoprune.faces.types import CropConfig

    by_hand = None if boxes is None else str(boxes)
    config = CropConfig(**settings)
    return crop_folder(str(raw), str(faces), config, boxes=by_hand, device=device, jobs=jobs, force=force)


def open_data(
    path: str | Path,
    *,
    split: str | None = None,
    group_by: str | None = None,
    split_by: SplitBy | None = None,
    split_file: str | Path | None = None,
) -> Data:
    """A folder of faces by class, FER-2013's CSV, or a feature table, and how it is to be split.

    Of data that come in parts "faces/:val" is one part alone. `split` is "80/20", "75/10/15" (percent) or
    "346/329" (counts), and `split_file` a CSV titled name,part; samples whose names match the regular
    expression `group_by` with the same text stay on one side, and with `split_by="duplicates"` so do
    near-duplicates. Raises BadData for what is none of these.
    """
    from emoprune.data.datasets import open_data as opened

    file = None if split_file is None else str(split_file)
    return opened(str(path), split=split, group_by=group_by, split_by=split_by, split_file=file)


def train(
    data: Data | str | Path,
    *,
    start: Checkpoint | None = None,
    preset: str | None = None,
    recipe: str | None = None,
    config: str | Path | None = None,
    teacher: Checkpoint | None = None,
    state: str | Path | None = None,
    resume: bool = False,
    log_dir: str | Path | None = None,
    force: bool = False,
    **settings: Any,
) -> Checkpoint:
    """A trained network with the statistics of its layers, ready to be pruned.

    Settings are those of TrainConfig: arch, weights, epochs, lr, hidden, freeze, augment, seed and others. A
    `preset` has all of them from a paper; a `recipe` ("paper", "modern", "heal") says how to train, whatever
    the network; `config` is a TOML file of settings. What is given wins over the file, the file over the
    recipe, that over the preset. The split is that of the data, if it has one. `start` is a checkpoint to
    train on: its widths and zeros stay. `teacher` is one whose answers are learned along; a folder without
    classes is labeled by them. While it trains, the file `state` has what it needs to go on after an
    interruption, with `resume`. The folder `log_dir` gets the figures of each epoch in curve.csv, and as
    events of TensorBoard if that is installed. The state and the log of another training are replaced with
    `force`. Raises UsageFault for settings that contradict one another or the data, BadSettings for a file
    that is not one of settings, TrainingFault where the loss diverges.
    """
    from emoprune.errors import UsageFault
    from emoprune.evaluation.taught_data import open_taught
    from emoprune.training.config import train_config
    from emoprune.training.log_folder import LogFolder
    from emoprune.training.state import StateFile
    from emoprune.training.train import train as trained

    if resume and state is None:
        raise UsageFault("`resume` goes on from a state", "give `state`, the name of its file")
    kept = None if state is None else StateFile(str(state), resume=resume, force=force)
    log = None if log_dir is None else LogFolder(str(log_dir), resume=resume, force=force)
    opened = open_taught(str(data), teacher) if isinstance(data, str | Path) else data
    given = {name: value for name, value in vars(opened.split).items() if value is not None} | settings
    chosen = train_config(preset, recipe=recipe, config=config, **given)
    found = trained(opened, chosen, past=start, teacher=teacher, state=kept, log=log)
    if kept is not None:
        kept.remove()
    if found.verdict is not None:
        found.verdict.tell()
    return found.checkpoint


def train_repeats(
    data: Data | str | Path,
    path: str | Path,
    repeats: int,
    *,
    jobs: int = 1,
    start: Checkpoint | None = None,
    preset: str | None = None,
    recipe: str | None = None,
    config: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    **settings: Any,
) -> Repeats:
    """The mean accuracy of several trainings, its interval, and what each has come to.

    They have the seed of the settings and those after it, and all the split of the first. Their checkpoints
    are beside `path`: for "model.st" they are model.seed0.st and so on. `jobs` processes share the work. With
    `resume` an interrupted call goes on. Other arguments are those of `train`, and so are errors.
    """
    from emoprune.training.config import train_config
    from emoprune.training.outputs import Outputs
    from emoprune.training.repeats import by_seed
    from emoprune.training.repeats import train_repeats as repeated

    opened = _opened(data)
    given = {name: value for name, value in vars(opened.split).items() if value is not None} | settings
    chosen = train_config(preset, recipe=recipe, config=config, **given)
    outputs = Outputs(model=str(path), resume=resume, force=force)
    found = repeated(
        opened, chosen, by_seed(opened, chosen, repeats, past=start), outputs, jobs=jobs, past=start
    )
    found.tell()
    return found


def load(path: str | Path, *, arch: str | None = None) -> Checkpoint:
    """The checkpoint in a file; BadCheckpoint where it is not one, names what is wrong.

    A network of your own is made by code, which a file only names: it runs where you name it too, as `arch`,
    "package.module:function". Functions that take the path of a checkpoint take `arch` as well.
    """
    from emoprune.networks.checkpoint import read

    return read(str(path), arch)


def angles(model: Checkpoint | str | Path, *, arch: str | None = None, **settings: Any) -> dict[str, Survey]:
    """The angles between the hidden units of every layer, in degrees, by the layer's name.

    Settings are those of AnglesConfig: layer, center, below, above, everything. No image is needed: they
    follow from the statistics in the checkpoint.
    """
    from emoprune.pruning.angles import survey_layers
    from emoprune.pruning.types import AnglesConfig

    return survey_layers(_loaded(model, arch), AnglesConfig(**settings))


def plan(
    model: Checkpoint | str | Path,
    *,
    data: Data | str | Path | None = None,
    arch: str | None = None,
    **settings: Any,
) -> PrunePlan:
    """What pruning would remove and, as `error_estimate`, what that is predicted to cost; nothing is changed.

    Settings are those of PruneConfig: method, merge, and one amount, as `macs=0.5`, `speedup=2` or
    `max_drop=1`. `data` calibrates. Without it layers are refitted on the training data if that is still
    there, else on drawn faces, as with "drawn"; with "none" they are not refitted. Raises UsageFault with the
    nearest amount where one cannot be met.
    """
    from emoprune.pruning import prune as pruning
    from emoprune.pruning.types import PruneConfig

    loaded = _loaded(model, arch)
    if isinstance(data, str | Path):
        return pruning.plan(loaded, PruneConfig(data=str(data), **settings))
    return pruning.plan(loaded, PruneConfig(**settings), data=data)


def prune(
    model: Checkpoint | str | Path,
    planned: PrunePlan | None = None,
    *,
    data: Data | str | Path | None = None,
    arch: str | None = None,
    **settings: Any,
) -> Checkpoint:
    """A physically smaller checkpoint: by a plan, or by the settings that `plan` takes.

    What it did is the last entry of its history.
    """
    from emoprune.errors import UsageFault
    from emoprune.pruning import prune as pruning

    loaded = _loaded(model, arch)
    if planned is not None and (settings or data is not None):
        raise UsageFault("a plan and settings both say what to remove", "give one of them")
    return pruning.prune(loaded, planned or plan(loaded, data=data, **settings)).checkpoint


def evaluate(
    model: Checkpoint | str | Path,
    data: Data | str | Path,
    *,
    part: Part | None = None,
    arch: str | None = None,
    device: DeviceName = "auto",
    latency: bool = False,
    group_by: str | None = None,
    predictions: str | Path | None = None,
    force: bool = False,
    label: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Metrics | ReconstructionMetrics:
    """How well a model does on a part of the data ("test", else "val", by the model's own split).

    `model` is a checkpoint or the path of one, or of an .onnx file that `export` wrote. With `latency` 1 and
    32 samples at once are timed, too. Samples whose names match `group_by` with the same text are of one film
    or person, and intervals are over these; by default those of the model's split. `predictions` is a CSV to
    write, with a row per sample, for `emoprune.evaluation.predictions.read` or pandas; one that exists is
    replaced with `force`. `label` and `settings` are kept in the metrics, for reports. How often this user
    has looked at a test part is counted. Raises BadData for data that the model was not trained on, unless
    the part is "all".
    """
    from emoprune.evaluation.evaluate import evaluate as evaluated

    return evaluated(
        _ready(model, device, arch),
        _opened(data),
        part=part,
        device=device,
        latency=latency,
        group_by=group_by,
        predictions=predictions,
        force=force,
        label=label,
        settings=settings,
    )


def compare(
    first: Predictions | str | Path, second: Predictions | str | Path, *, force: bool = False
) -> Comparison:
    """A second model against a first one on the same images: accuracy, and the recall of each class.

    Each is a file that `evaluate` wrote as `predictions`, or a run of `emoprune.evaluation.predictions.read`.
    `sentence(margin_points=1)` of the result says whether the difference is chance. Raises BadData for
    predictions of other data or images, unless `force`, which compares the images in common; and for classes,
    labels or groups that contradict one another.
    """
    from emoprune.evaluation.predictions import read_one
    from emoprune.evaluation.significance.pairing import pair

    one, other = (read_one(each) if isinstance(each, str | Path) else each for each in (first, second))
    return pair(one, other, force=force).compared()


def sweep(
    model: Checkpoint | str | Path,
    data: Data | str | Path,
    path: str | Path | None = None,
    *,
    save: str | Path | None = None,
    jobs: int = 1,
    resume: bool = False,
    arch: str | None = None,
    force: bool = False,
    **settings: Any,
) -> Sweep:
    """The metrics of a model, and of it pruned by several methods to several sizes.

    Settings are those of SweepConfig, as `methods=("distinct", "reconstruct")`, `macs=(0.5, 0.25)` and
    `heal=2`. All are compared on the val part, else on the test part, unless `part` says another. The file
    `path` gets a line for each, as `emoprune report` reads them; with `resume` an interrupted call goes on
    from there, with `force` it is replaced. The folder `save` gets the pruned checkpoints. `jobs` processes
    share the work. What cannot be met is in `unmet`, with the reason. Raises UsageFault for settings that
    contradict one another or the file, BadData for data that the model was not trained on.
    """
    from emoprune.sweeping.config import SweepConfig
    from emoprune.sweeping.sweep import Outputs
    from emoprune.sweeping.sweep import sweep as swept

    name = str(model) if isinstance(model, str | Path) else "model.st"
    lines, folder = (None if place is None else str(place) for place in (path, save))
    outputs = Outputs(lines, folder, resume=resume, force=force)
    loaded, config = _loaded(model, arch), SweepConfig(**settings)
    return swept(loaded, _opened(data), config, outputs, jobs=jobs, model_name=name)


def report(
    files: str | Path | Iterable[str | Path],
    output: str | Path | None = None,
    *,
    title: str | None = None,
    note: str | None = None,
    sections: Iterable[Section] = (),
    force: bool = False,
    **settings: Any,
) -> Report:
    """What `evaluate`, `sweep` and the other commands have measured, side by side.

    `files` are of metrics, of predictions, of learning curves, or folders of them. `output` is written as its
    suffix says: .html (a page with figures), .tex, .md, .csv or .json; one that exists is replaced with
    `force`. `sections` choose what is in it, `title` and `note` stand above it. Settings are those of
    ReportConfig: by_label, paper, baseline, margin. Raises BadMetrics for files of something else,
    UsageFault for another suffix.
    """
    from emoprune.reporting import documents
    from emoprune.reporting.types import ReportConfig

    places = [str(files)] if isinstance(files, str | Path) else [*map(str, files)]
    written, config = None if output is None else str(output), ReportConfig(**settings)
    heading = documents.Heading(title, note)
    documents.check(written, None if written is None else documents.form_of(written), heading, force=force)
    made = documents.document(places, config, sections=tuple(sections), heading=heading, force=force)
    if written is not None:
        made.write(written, force=force)
    return made.report


def export(
    model: Checkpoint | str | Path,
    path: str | Path,
    *,
    data: Data | str | Path | None = None,
    arch: str | None = None,
    force: bool = False,
    **settings: Any,
) -> ExportSummary:
    """Write one ONNX file with a free batch size, checked in onnxruntime to compute the same.

    Settings are those of ExportConfig: input, quantize, max_drop, opset, tolerance and seed. Raises
    ToleranceExceeded, and writes nothing, if any logit differs by more than the tolerance, or if smaller
    numbers cost more than `max_drop` points of accuracy.
    """
    from emoprune.deployment.config import ExportConfig
    from emoprune.deployment.export import export as exported

    real = None if data is None else _opened(data)
    return exported(_loaded(model, arch), path, ExportConfig(**settings), data=real, force=force)


def predict(
    model: Checkpoint | str | Path,
    photos: str | Path,
    *,
    arch: str | None = None,
    device: DeviceName = "auto",
    jobs: int | None = None,
    draw: str | Path | None = None,
    force: bool = False,
    **settings: Any,
) -> Iterator[Prediction]:
    """The probability of each class for every face in a photo, a folder of photos, or a video.

    `model` is a checkpoint or the path of one, or of an .onnx file that `export` wrote. Answers come as they
    are made, in the order of the photos. Settings are those of PredictConfig: crop, faces, every; faces are
    cropped as the model's training faces were, with `crop=False` a picture is a face already. The folder
    `draw` gets copies of the photos with boxes and answers; those that exist are replaced with `force`.
    Photos without a face are counted in notes; BadData where none has one.
    """
    from emoprune.deployment.config import PredictConfig
    from emoprune.deployment.predict import predict as predicted

    loaded = _ready(model, device, arch)
    config = PredictConfig(**settings)
    return predicted(loaded, photos, config, draw=draw, device=device, jobs=jobs, force=force)


def inspect(path: str | Path, *, arch: str | None = None, macs: bool = True) -> Inspection:
    """What the checkpoint or ONNX file at `path` is, and where it comes from, without running it.

    Without `macs` nothing is counted that needs torch. `arch` names the network of a checkpoint, which
    counting needs for a network of your own. Raises BadCheckpoint for another file, or a damaged one.
    """
    from emoprune.deployment.inspect import inspect as inspected

    return inspected(path, arch=arch, macs=macs)


def prune_module(
    net: nn.Module, example_inputs: Tensor, *, images: Iterable[Any] | None = None, **settings: Any
) -> tuple[nn.Module, PruneOutcome]:
    """A smaller module that computes nearly the same as any that torch.fx can trace, and what was removed.

    `example_inputs` (n, ...) show the shape of its input; `images` are batches as data loaders give, for
    statistics and for refitting layers. Settings are those of PruneConfig, as `macs=0.5`. `net` is left as it
    was. Raises UsageFault that names the part which cannot be followed.
    """
    from emoprune.pruning.module import prune_module as pruned

    return pruned(net, example_inputs, images=images, **settings)


def _opened(data: Data | str | Path) -> Data:
    return open_data(data) if isinstance(data, str | Path) else data


def _ready(model: Checkpoint | str | Path, device: DeviceName, arch: str | None) -> LoadedModel | Checkpoint:
    """What runs: the network in a file, which may be ONNX, or a checkpoint."""
    from emoprune.evaluation.model import load as loaded
    from emoprune.io.devices import device as chosen

    is_file = isinstance(model, str | Path)
    return loaded(str(model), chosen(device), arch) if is_file else _loaded(model, arch)


def _loaded(model: Checkpoint | str | Path, arch: str | None = None) -> Checkpoint:
    from emoprune.networks.checkpoint import trusting

    return load(model, arch=arch) if isinstance(model, str | Path) else trusting(model, arch)
