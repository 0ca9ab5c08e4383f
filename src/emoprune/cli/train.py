"""emoprune train: from faces or features to a checkpoint that can be pruned without them."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emoprune import events
from emoprune.cli import options
from emoprune.cli import output as console
from emoprune.errors import UsageFault
from emoprune.reporting import tables
from emoprune.training import settings_files
from emoprune.training.config import OF_THE_NETWORK, SETTINGS, TrainConfig, chosen_files, train_config
from emoprune.training.presets import PRESETS
from emoprune.training.recipes import RECIPES
from emoprune.training.settings_files import SettingsFile

if TYPE_CHECKING:
    from emoprune.data.datasets import Data as OpenedData
    from emoprune.networks.types import Checkpoint
    from emoprune.training.outputs import Outputs
    from emoprune.training.repeats import Repeats
    from emoprune.training.types import Trained

SCHEMA = "emoprune.train/1"
FEW = 5
"""Layers beyond which their units are shown in sum."""
PLOTTED = 5
"""Epochs from which a learning curve is shown."""

GROUPS: Mapping[str, Sequence[str]] = {
    "Settings from files": ("preset", "recipe", "config", "save_config"),
    "Network": (
        *("arch", "arch_args", "weights", "classes", "past", "new_classes"),
        *("hidden", "channels", "activation", "dropout", "penalty"),
    ),
    "What the network sees": ("size", "gray", "mean", "std", "scale", "augment"),
    "Parts of the data": ("split", "split_file", "group_by", "split_by", "save_split"),
    "What learns": ("freeze", "views", "unfreeze_last", "unfreeze_every", "adapt_bn", "freeze_bn"),
    "Steps": (
        *("epochs", "batch_size", "accumulate", "optimizer", "momentum", "weight_decay", "clip_grad"),
        *("lr", "backbone_lr", "schedule", "warmup", "lr_factor", "lr_every", "lr_decay", "precision"),
    ),
    "Loss and averages": ("label_smoothing", "balance", "mixup", "cutmix", "ema"),
    "Distillation": ("teacher", "temperature", "teacher_weight", "match_features"),
    "Which epoch is kept": ("keep", "keep_by", "patience"),
    "Several trainings": ("repeats", "folds", "jobs"),
    "Running": ("seed", "overfit", "device", "memory", "cache_dir", "resume", "save_every"),
    "What is written": (
        *(
            "data_license",
            "weights_license",
            "statistics",
            "save_init",
            "curve",
            "label",
            "log_dir",
            "keep_paths",
            "force",
            "as_json",
        ),
    ),
}
"""Options by the headings of the help."""
Command = options.grouped(GROUPS)

EXAMPLES = """\b
Examples:
  emoprune train faces/ model.st
  emoprune train faces/ m.st --arch conv2 --size 48 --augment flip,rotate:10
  emoprune train faces/ m.st --arch resnet18 --freeze backbone --hidden 200
  emoprune train faces/ m.st --arch resnet18 --weights resnet18.st --epochs 0
  emoprune train frames/ model.st --split 75/10/15 --group-by '^[^_]+'
  emoprune train fer2013.csv model.st --arch conv2 --size 48 --gray
  emoprune train SFEW.xlsx model.st --preset jain2020-ff
  emoprune train faces/ model.st --preset jain2020-alexnet
  emoprune train faces/ model.st --recipe modern --save-config run.toml
  emoprune train other/ model.st --config run.toml --lr 3e-4
  emoprune train faces/ healed.st --from model.reconstruct.st --epochs 5"""


def _settings_file(path: str) -> SettingsFile:
    if not path:
        raise UsageFault("is empty", "give it a name or a value", place="--config")
    return settings_files.read(path)


def _take_defaults(context: typer.Context, option: typer.CallbackParam, value: Any) -> Any:
    """Let help show the defaults of a preset, a recipe and a file of settings, as far as they are read."""
    if value is not None and option.name in KNOWN:
        options.one_of(KNOWN[option.name])(value)
    read = {name: context.params.get(name) for name in ("preset", "recipe", "config")} | {option.name: value}
    files = chosen_files(read["preset"], read["recipe"], read["config"])
    context.default_map = {name: each for file in files.values() for name, each in file.settings.items()}
    return value


KNOWN = {"preset": PRESETS, "recipe": RECIPES}


Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A folder of faces by class, a CSV of faces as FER-2013's (emotion,pixels[,Usage]), or a "
        "feature table: .csv or .xlsx (name, label, features; or the sheet published with SFEW) or .st; - is "
        "CSV on standard input. Of data in parts, DATA:train is one.",
    ),
]
Output = Annotated[
    str, typer.Argument(metavar="MODEL", help="The checkpoint to write, or - for standard output.")
]
PresetOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        is_eager=True,
        callback=_take_defaults,
        autocompletion=options.completing(PRESETS),
        help=f"All defaults as a paper has them: {', '.join(PRESETS)}. Other options still count.",
    ),
]
RecipeOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        is_eager=True,
        callback=_take_defaults,
        autocompletion=options.completing(RECIPES),
        help="How to train, whatever the network, above a preset. paper: as defaults and presets have it; "
        "modern: adamw, cosine rate, mixup, averaged weights, augmentation. heal: two epochs of a "
        "pruned network.",
    ),
]
Config = Annotated[
    SettingsFile | None,
    typer.Option(
        parser=_settings_file,
        metavar="FILE",
        is_eager=True,
        callback=_take_defaults,
        help="Options of train from a TOML file, above a preset and a recipe, which it may name; options "
        "that are written win.",
    ),
]
SaveConfig = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Also write all options that decide this training, for --config."),
]
Past = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="MODEL",
        help="Train this checkpoint on: widths stay narrow, zeros zero, its split on the same data.",
    ),
]
TeacherOption = Annotated[
    str | None,
    typer.Option(
        "--teacher",
        metavar="MODEL",
        help="Learn the answers of this checkpoint as well as the labels: the network before pruning.",
    ),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on from MODEL.state, which an interrupted training has left.")
]
SaveInit = Annotated[
    str | None, typer.Option(metavar="FILE", help="Also write the network as it is before the first step.")
]
Curve = Annotated[
    str | None,
    typer.Option(
        metavar="FILE", help="Also write loss and accuracy per epoch, for emoprune report --figures."
    ),
]
SaveSplit = Annotated[
    str | None, typer.Option(metavar="FILE", help="Also write the part of every sample, for --split-file.")
]
Label = Annotated[str | None, options.label("What --curve is of, for emoprune report.")]
RepeatsOption = Annotated[
    int | None,
    typer.Option(
        "--repeats",
        metavar="N",
        min=2,
        help="Train with N seeds, --seed and those after it, on one split, into MODEL.seed0.st and so on; "
        "tells mean, standard deviation and 95% interval of the accuracy.",
    ),
]
FoldsOption = Annotated[
    int | None,
    typer.Option(
        "--folds",
        metavar="K",
        min=2,
        help="Train K networks, each with another of K folds as its val part, into MODEL.fold1.st and so on; "
        "tells the accuracy on all samples, each answered by the network that has not seen it.",
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs", metavar="N", min=1, help="Processes of one thread each, for --repeats and --folds."
    ),
]
LogDir = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER",
        help="Also write curve.csv there, a row after each epoch, and TensorBoard's events where that is "
        "installed.",
    ),
]


@options.with_settings(TrainConfig)
def command(
    data: Data,
    output: Output,
    *,
    preset: PresetOption = None,
    recipe: RecipeOption = None,
    config: Config = None,
    given: options.Given,
    past: Past = None,
    save_config: SaveConfig = None,
    teacher: TeacherOption = None,
    resume: Resume = False,
    save_init: SaveInit = None,
    save_split: SaveSplit = None,
    curve: Curve = None,
    label: Label = None,
    log_dir: LogDir = None,
    repeats: RepeatsOption = None,
    folds: FoldsOption = None,
    jobs: Jobs = None,
    keep_paths: options.KeepPaths = False,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Train a classifier, ready to be pruned.

    The checkpoint holds weights, classes, preprocessing, split, learning curve and, for every layer that
    can be pruned, one-pass statistics of its units over the training part.
    """
    from emoprune.evaluation.taught_data import open_taught
    from emoprune.io.files import STANDARD
    from emoprune.networks import checkpoint
    from emoprune.training.loop import Diverged
    from emoprune.training.outputs import Outputs
    from emoprune.training.train import train

    written = {name: given.values[name] for name in given.written}
    chosen = train_config(preset, recipe=recipe, config=config, **written)
    outputs = Outputs(
        model=output,
        save_init=save_init,
        save_config=save_config,
        save_split=save_split,
        curve=curve,
        label=label,
        log_dir=log_dir,
        keep_paths=keep_paths,
        resume=resume,
        force=force,
    )
    _check_several(repeats, folds, jobs)
    one = repeats is None and folds is None
    if one:
        outputs.check(chosen, past=past is not None)
    _note_files(chosen, without=OF_THE_NETWORK if past else frozenset())
    taught, named = (_teacher(teacher, chosen.arch) if teacher else None), teacher or ""
    opened = open_taught(data, taught, name=named, device=chosen.device)
    outputs.check_names(opened)
    of_others: dict[str, Any] = {
        "past": checkpoint.read(past) if past else None,
        "past_name": past or "",
        "teacher": taught,
        "teacher_name": named,
        "data_name": data,
    }
    if not one:
        _several(opened, chosen, outputs, (repeats, folds, jobs or 1), of_others, as_json=as_json)
        return
    fault = None
    try:
        trained = train(
            opened,
            chosen,
            **of_others,
            state=outputs.state,
            log=outputs.log,
            on_start=outputs.write_first,
        )
    except Diverged as error:
        trained, fault = error.learned, error
    outputs.write(trained, opened)
    outputs.remove_state()
    if trained.verdict is not None:
        trained.verdict.tell()
    _note_next(data, output, trained)
    if STANDARD not in outputs.paths:
        summary = _summary(data, output, trained)
        console.emit([summary], lambda: _tables(summary), as_json=as_json)
    _plot(trained, apart=as_json or STANDARD in outputs.paths)
    if fault is not None:
        raise fault


def _check_several(repeats: int | None, folds: int | None, jobs: int | None) -> None:
    if repeats is not None and folds is not None:
        raise UsageFault("--repeats and --folds both say how often to train", "give one of them")
    if jobs is not None and repeats is None and folds is None:
        raise UsageFault("--jobs are processes for --repeats and --folds", "give one of them as well")


def _several(
    data: OpenedData,
    config: TrainConfig,
    outputs: Outputs,
    counts: tuple[int | None, int | None, int],
    of_others: Mapping[str, Any],
    *,
    as_json: bool,
) -> None:
    """Train several seeds or folds, and show what they come to; `counts` are those and jobs."""
    from emoprune.io.files import STANDARD
    from emoprune.reporting import records_io
    from emoprune.reporting.sections import report
    from emoprune.reporting.types import Runs
    from emoprune.training.repeats import SCHEMA as REPEATS_SCHEMA
    from emoprune.training.repeats import by_seed, train_folds, train_repeats

    repeats, folds, jobs = counts
    metrics = None
    if folds is not None:
        found, metrics = train_folds(data, config, folds, outputs, jobs=jobs, **of_others)
    else:
        each = by_seed(data, config, repeats or 1, past=of_others["past"])
        found = train_repeats(data, config, each, outputs, jobs=jobs, **of_others)
    found.tell()
    if outputs.curve == STANDARD:
        return
    named = {"input": of_others["data_name"], "output": outputs.model}
    pooled = {} if metrics is None else {"out_of_fold": records_io.to_record(metrics)}
    summary = {"schema": REPEATS_SCHEMA, **named, **found.record(), **pooled}
    tables_of = [*_repeats_table(found), *(report(Runs((metrics,))).tables() if metrics else ())]
    console.emit([summary], lambda: tables_of, as_json=as_json)


def _repeats_table(repeats: Repeats) -> Iterator[tables.Table]:
    rows = list[dict[str, object]]()
    for each in repeats.outcomes:
        found = each.verdict
        row: dict[str, object] = {"": each.path, "seed": each.seed}
        if found.best_epoch is not None:
            row["best epoch"] = found.best_epoch
        for name, value in (("train", found.train_accuracy), ("val", found.val_accuracy)):
            if value is not None:
                row[f"{name} accuracy"] = f"{value:.1%}"
        rows.append(row)
    yield tables.from_rows(f"{len(rows)} trainings", rows)


def _teacher(path: str, arch: str | None) -> Checkpoint:
    from emoprune.networks import checkpoint

    found = checkpoint.read(path)
    # code of the user that the command line names, too
    return checkpoint.trusting(found, arch) if found.spec.arch == arch else found


def _note_files(config: TrainConfig, *, without: frozenset[str]) -> None:
    """Say what a preset, a recipe and a file come to with the options that were written, and their source."""
    for name, file in chosen_files(config.preset, config.recipe, config.file).items():
        shown = words(config, [key for key in file.settings if key not in without])
        events.note(f"{name}: {' '.join(shown) or 'the defaults'}")
        chosen = f"; not in the paper, chosen here: {file.ours}" if file.ours else ""
        if file.source:
            events.note(file.source + chosen)


def _note_next(data: str, output: str, trained: Trained) -> None:
    """Say what was written, and the command to type next."""
    from emoprune.io.files import STANDARD

    if output == STANDARD:
        return
    argv = ["emoprune", "eval", output, data]
    # what has learned nothing is not worth pruning
    if trained.checkpoint.statistics and (trained.verdict is None or trained.verdict.learned):
        argv = ["emoprune", "prune", output, "--method", "reconstruct", "--macs", "0.5"]
    events.note(f"wrote {output}; next: {' '.join(map(console.quoted, argv))}")


def words(config: TrainConfig, names: Iterable[str]) -> list[str]:
    """These settings as the options that ask for them."""
    return [word for name in names for word in _words(name, getattr(config, name))]


def _words(name: str, value: Any) -> list[str]:
    on, _, off = (SETTINGS[name].option or console.spelled(name)).partition("/")
    if isinstance(value, bool):
        return [on if value else off]
    return [word for each in (value if isinstance(value, tuple) else (value,)) for word in (on, str(each))]


def _summary(data: str, output: str, trained: Trained) -> dict[str, Any]:
    from emoprune.training.verdict import JUDGED

    made, found = trained.checkpoint, trained.verdict
    return {
        "schema": SCHEMA,
        "input": data,
        "output": output,
        "arch": made.spec.arch,
        "classes": made.classes,
        "parts": trained.parts,
        "layers": {layer.name: made.statistics[layer.name].units for layer in made.layers},
        **({"training": dataclasses.asdict(made.training[-1])} if made.training else {}),
        **({name: getattr(found, name) for name in JUDGED} if found else {}),
    }


def _tables(summary: dict[str, Any]) -> Iterable[tables.Table]:
    def text(key: str, value: Any) -> str:
        if key == "layers" and len(value) > FEW:
            return f"{sum(value.values()):,} in {len(value)}"
        if isinstance(value, dict):
            return ", ".join(
                f"{key} {tables.cell(entry)}" for key, entry in value.items() if entry is not None
            )
        return ", ".join(value) if isinstance(value, tuple) else tables.cell(value)

    rows = [(key, text(key, value)) for key, value in summary.items() if key != "schema"]
    yield tables.table("Trained", ["", ""], rows, left=2)


def _plot(trained: Trained, *, apart: bool) -> None:
    """Show the learning curve on a terminal, once it is long enough; `apart` from standard output."""
    from emoprune.reporting import line_charts, text_charts
    from emoprune.reporting.types import Runs
    from emoprune.training.types import LearningCurve

    epochs, stream = trained.checkpoint.training, sys.stderr if apart else sys.stdout
    stream = stream if stream.isatty() else sys.stderr
    if len(epochs) < PLOTTED or not stream.isatty():
        return
    runs = Runs(curves=(LearningCurve("", epochs),))
    for chart in line_charts.curves(runs) or line_charts.curves(runs, "loss"):
        console.show(text_charts.to_lines(chart), stream)
