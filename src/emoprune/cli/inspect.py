"""emoprune inspect: what a file is, and where it comes from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from emoprune import events
from emoprune.cli import options, output
from emoprune.errors import UsageFault
from emoprune.faces.types import CropSettings
from emoprune.io.files import shown
from emoprune.reporting.tables import FILE, WEIGHTS, Prose, Table, cell, table

if TYPE_CHECKING:
    from emoprune.deployment.inspect import Inspection
    from emoprune.networks.types import HistoryEntry

EXAMPLES = """\b
Examples:
  emoprune inspect model.st
  emoprune inspect model.onnx --json | jq .classes
  emoprune inspect model.st --no-macs"""

UNSAID = frozenset(
    (
        *("data_fingerprint", "data_license", "weights_license", "command", "amount"),
        # of a pruning what it found, not what it was given
        *("images", "refitted_on", "drawn", "resolved_on"),
    )
)
"""Parameters that the table says elsewhere, or in other words."""


def command(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A checkpoint (.st, - for standard input) or .onnx file.")
    ],
    macs: Annotated[
        bool,
        typer.Option(
            "--macs/--no-macs",
            help="Whether to count what each layer of a checkpoint multiplies, which takes seconds to begin.",
        ),
    ] = True,
    form: Annotated[
        Literal["table", "json"] | None,
        typer.Option("--format", help="[default: table on a terminal, JSON in a pipe]", show_default=False),
    ] = None,
    arch: options.Arch = None,
    as_json: options.Json = False,
) -> None:
    """Say what a checkpoint or ONNX file is, without running it.

    Architecture, input, classes, preprocessing, widths before and after pruning, size by layer; the commands
    that made it, the split of its data, how often its test part was looked at, and licenses.
    """
    from emoprune.deployment.inspect import inspect

    if as_json and form == "table":
        raise UsageFault("--json and --format table name two formats", "give one of them")
    found = inspect(model, arch=arch, macs=macs)
    if form == "table":
        output.show(tables_of(found))
    else:
        output.emit([found.to_record()], lambda: tables_of(found), as_json=as_json or form == "json")


def tables_of(found: Inspection) -> Iterator[Table]:
    """What a terminal shows of a file."""
    rows = [(name, value) for name, value in _overview(found) if value is not None]
    yield _texts(shown(found.model), ["", ""], ((name, Prose(cell(value))) for name, value in rows))
    if found.onnx is not None:
        values = (("input", found.onnx.inputs), ("output", found.onnx.outputs))
        yield _texts(
            "Inputs and outputs",
            ["", "name", "type", "shape"],
            ((side, each.name, each.type, _sides(each.shape)) for side, all_of in values for each in all_of),
        )
    if found.lineage:
        yield _lineage(found.lineage)
    if found.layers:
        yield table(
            "Layers that can be pruned",
            ["layer", "activation", "units before", "units"],
            ((each.layer, each.activation, each.units_before, each.units) for each in found.layers),
            left=2,
        )
    if found.sizes:
        yield table(
            "Size by layer",
            ["layer", "kind", "shape", "parameters", "share", "MACs"],
            (
                (
                    each.layer or "(network)",
                    each.kind,
                    _sides(each.shape),
                    each.parameters,
                    None if each.share is None else f"{each.share:.1%}",
                    each.macs,
                )
                for each in found.sizes
            ),
            left=3,
        )
    if found.onnx is not None and not found.ours:
        yield table("Operators", ["operator", "nodes"], found.onnx.operators.items())


def _texts(title: str, columns: list[str], rows: Iterable[Iterable[object]]) -> Table:
    """A table of texts that go on in another line."""
    return table(title, columns, rows, left=len(columns), breaks=True)


def _lineage(history: Sequence[HistoryEntry]) -> Table:
    rows = [
        (f"{number} {entry.command}", Prose(_given(entry)), Prose(_result(entry)), _version(entry))
        for number, entry in enumerate(history, start=1)
    ]
    columns = ["command", "given", "result", "version"]
    # an ONNX file does not say what came of each command
    kept = [place for place in range(4) if place < 2 or any(row[place] for row in rows)]
    return _texts("Lineage", [columns[place] for place in kept], ([row[p] for p in kept] for row in rows))


def _sides(shape: Iterable[int | str]) -> str:
    return "x".join(map(str, shape))


def _overview(found: Inspection) -> Iterator[tuple[str, object]]:
    kinds = {"checkpoint": "checkpoint", "onnx": "ONNX file"}
    yield "kind", kinds[found.kind] if found.ours else f"{kinds[found.kind]}, not of emoprune"
    yield "schema", found.file_schema
    yield from _network(found)
    if found.onnx is not None:
        yield "producer", found.onnx.producer or None
        yield "description", found.onnx.description or None
        versions = (f"{domain or 'ONNX'} {version}" for domain, version in found.onnx.opsets.items())
        yield "opset", f"{', '.join(versions)}; IR {found.onnx.ir_version}"
        numbers = (f"{count:,} {kind}" for kind, count in found.onnx.numbers.items())
        yield "numbers", ", ".join(numbers) or None
        yield "weights elsewhere", "in other files, which are not read" if found.onnx.external else None
    yield "parameters", found.parameters
    if found.nonzero_parameters not in (None, found.parameters):
        yield "non-zero", found.nonzero_parameters
    yield "MACs", found.macs
    yield WEIGHTS, found.weight_bytes
    yield FILE, found.file_bytes
    if found.statistics is not None:
        yield "statistics", _statistics(found)
    yield "held at zero", events.counted(found.masked, "weight") if found.masked else None
    yield from _data(found)
    yield "checkpoint", found.checkpoint
    yield "SHA-256", found.sha256


def _network(found: Inspection) -> Iterator[tuple[str, object]]:
    if found.card is None:
        return
    spec, preprocess = found.card.spec, found.card.preprocess
    yield "architecture", spec.arch
    yield "arguments", _words(spec.args) or None
    yield "task", found.task
    if preprocess.kind == "table":
        yield "input", f"table of {events.counted(spec.input[0], 'column')}"
        yield "preprocessing", "fills missing values" if preprocess.fills else None
    else:
        yield "input", f"{_sides(spec.input)}, {preprocess.color} pictures"
        mean, std = (
            ", ".join(f"{value:.4g}" for value in each) for each in (preprocess.mean, preprocess.std)
        )
        yield "preprocessing", f"resize to {_sides(preprocess.size)}, scale to 0..1, mean {mean}, std {std}"
        yield "crop", _words(_crop(preprocess.crop)) if preprocess.crop else "not known"
    yield "takes", found.takes
    classes = found.card.classes
    yield ("classes" if found.task == "classify" else "outputs"), f"{len(classes):,}: {', '.join(classes)}"
    if found.units is not None:
        before = [layer.units_before for layer in found.layers]
        known = [each for each in before if each is not None]
        pruned = len(known) == len(before) and sum(known) > found.units
        yield "hidden units", f"{found.units:,}" + (f", of {sum(known):,} before pruning" if pruned else "")


def _crop(crop: CropSettings) -> dict[str, Any]:
    """The settings of a crop that decide how a face looks, and others that are not the usual ones."""
    usual = asdict(CropSettings())
    return {
        name: value
        for name, value in asdict(crop).items()
        if name in ("size", "margin", "align") or value != usual[name]
    }


def _statistics(found: Inspection) -> str:
    told = found.statistics
    assert told is not None
    if not told.layers:
        return "none in the file"
    patterns = f", over {events.counted(told.patterns, 'pattern')}" if told.patterns else ""
    return f"of {events.counted(told.layers, 'layer')}{patterns}; {told.bytes:,} bytes"


def _data(found: Inspection) -> Iterator[tuple[str, object]]:
    """What the network was trained on, and who has looked at what was not."""
    if found.card is None:
        return
    rule = found.card.split
    words = {"folders": "as the data came", "file": "from a split file", "all": "in folds"}
    says = [words.get(rule.shares, f"{rule.shares}, seed {rule.seed}")]
    says += [f"grouped by {rule.group_by}"] * (rule.group_by is not None)
    says += [f"fold {rule.fold[0]} of {rule.fold[1]}"] if rule.fold else []
    duplicates = len(rule.together)
    says += [f"{events.counted(duplicates, 'group')} of near-duplicates kept together"] * bool(duplicates)
    yield "split", ", ".join(says)
    yield "parts", _words(found.split_counts or {}) or None
    yield "data fingerprint", rule.fingerprint
    yield "has seen", None if found.trained is None else events.counted(found.trained, "sample")
    told = found.looks
    if told is None:
        yield "test part", "looks at it are not known"
    elif not told.data:
        yield "test part", "this user has not looked at it"
    else:
        networks = events.counted(told.networks, "network")
        yield (
            "test part",
            f"{events.counted(told.file, 'look')} with this file, {told.training:,} with its training; "
            f"{told.data:,} at this data, with {networks}",
        )
    for each in found.licenses:
        name = "" if each.name is None else f" of {each.name}"
        yield f"{each.of} license", f"{each.license}{name and f' ({name.strip()})'}"


def _words(values: Mapping[str, Any]) -> str:
    """Values by name, in words: "size 224, margin 0.2"."""
    found = ((name.replace("_", " "), value) for name, value in values.items())
    return ", ".join(f"{name} {_word(value)}" for name, value in found if value not in (None, (), [], {}))


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return _words(value)
    return " ".join(map(_word, value)) if isinstance(value, list | tuple) else cell(value)


def _given(entry: HistoryEntry) -> str:
    """What a command was given: all but defaults."""
    defaults = _defaults(entry.command)
    amount = entry.parameters.get("amount")
    told = {
        name: value
        for name, value in entry.parameters.items()
        if name not in UNSAID and value is not None and value != defaults.get(name)
    }
    first = ("data", "arch", "weights", "preset", "recipe", "teacher", "epochs", "method", "merge")
    ordered = {name: told[name] for name in (*first, *sorted(told.keys() - set(first))) if name in told}
    if isinstance(amount, Mapping):
        ordered = {**ordered, **amount}
    return _words(ordered)


def _defaults(name: str) -> Mapping[str, Any]:
    """The defaults of a command's settings, but for those that are worth saying."""
    from emoprune.pruning.types import PruneConfig
    from emoprune.training.config import TrainConfig

    configs = {"train": TrainConfig, "prune": PruneConfig}
    if name not in configs:
        return {}
    said = ("epochs", "lr", "seed", "method", "merge")
    found = {key: value for key, value in asdict(configs[name]()).items() if key not in said}
    # as history has them
    return {**found, "augment": {}, "layer": found.get("layer"), "round_to": 1}


def _result(entry: HistoryEntry) -> str:
    """What came of a command."""
    return ", ".join(_learned(entry.metrics) if entry.command == "train" else _changed(entry.metrics))


def _learned(found: Mapping[str, Any]) -> Iterator[str]:
    if "index" in found:
        yield f"epoch {found['index']}"
    measure = "loss" if found.get("train_accuracy") is None else "accuracy"
    for part in ("train", "val"):
        value = found.get(f"{part}_{measure}")
        if isinstance(value, int | float):
            yield f"{part} {measure} {cell(value) if measure == 'loss' else format(value, '.1%')}"


def _changed(found: Mapping[str, Any]) -> Iterator[str]:
    names = {"units": "units", "parameters": "parameters", "nonzero_parameters": "non-zero", "macs": "MACs"}
    for key, name in {**names, "accuracy": "accuracy", "loss": "loss"}.items():
        change = found.get(key)
        if not isinstance(change, Mapping) or not {"before", "after"} <= change.keys():
            continue
        # of dense weights these are all
        again = key == "nonzero_parameters" and change == found.get("parameters")
        if change["before"] != change["after"] and not again:
            yield f"{name} {cell(change['before'])} to {cell(change['after'])}"


def _version(entry: HistoryEntry) -> str:
    return entry.versions.get("emoprune", "")
