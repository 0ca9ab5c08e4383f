"""What an ONNX file says of its network: enough to feed it, to evaluate it, and to know where it is from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from emoprune.io.json_records import decode
from emoprune.networks.cards import canonical, card_record, descent, without_paths
from emoprune.networks.types import Card, Checkpoint, Cost, HistoryEntry

SCHEMA = "emoprune.onnx/1"
LINEAGE = (
    *("preset", "weights", "data", "data_fingerprint", "epochs", "seed"),
    *("data_license", "weights_license", "method", "merge", "amount", "rewind"),
)
"""Parameters of a command that tell what it did to the network."""

IMAGES = {
    "resize": "bilinear, antialiased",
    "layout": "NCHW",
    "scaling": "(pixel / 255 - mean) / std",
}
"""How a picture becomes input, beside its size, color, mean and std."""

LOGITS = {"name": "logits", "kind": "logits, without softmax"}
FLOAT_INPUT = "network input: float32, resized and normalized"
PICTURE_INPUT = "pictures: uint8 (n, height, width, 3), RGB, of any size; the file resizes and normalizes"


@dataclass(frozen=True)
class OnnxCard:
    """What the metadata of an ONNX file says: its card, what it costs, and how many units are hidden.

    `descent` is that of the checkpoint.
    """

    card: Card
    cost: Cost
    units: int
    descent: str | None = None


def to_json(
    checkpoint: Checkpoint, *, cost: Cost, units: int, fingerprint: str, takes_pictures: bool = False
) -> str:
    """Canonical JSON (schema emoprune.onnx/1) of the network in a checkpoint, without a path of this machine.

    `fingerprint` is the SHA-256 of the checkpoint.
    """
    spec, preprocess = checkpoint.spec, checkpoint.preprocess
    return canonical(
        {
            "schema": SCHEMA,
            "spec": {"arch": spec.arch, "classes": spec.classes, "input": spec.input},
            "classes": checkpoint.classes,
            "preprocess": {**asdict(preprocess), **(IMAGES if preprocess.kind == "image" else {})},
            "input": PICTURE_INPUT if takes_pictures else FLOAT_INPUT,
            "output": LOGITS,
            "split": checkpoint.split,
            "cost": cost,
            "units": units,
            "checkpoint": fingerprint,
            "descent": descent(checkpoint.history),
            "lineage": [_lineage(entry) for entry in checkpoint.history],
        }
    )


def _lineage(entry: HistoryEntry) -> Mapping[str, Any]:
    kept = {name: entry.parameters[name] for name in LINEAGE if entry.parameters.get(name) is not None}
    version = {"emoprune": entry.versions["emoprune"]} if "emoprune" in entry.versions else {}
    return {"command": entry.command, **version, **without_paths(kept)}


def lineage(text: str) -> tuple[HistoryEntry, ...]:
    """What is told of the commands that made the network, as history; that of older versions is whole."""
    record = card_record(text, SCHEMA)
    if "lineage" not in record:
        return decode(Card, record).history
    entries = decode(tuple[dict[str, Any], ...], record["lineage"], path="lineage")
    return tuple(map(_entry, entries))


def _entry(told: Mapping[str, Any]) -> HistoryEntry:
    versions = {"emoprune": decode(str, told["emoprune"], path="emoprune")} if "emoprune" in told else {}
    parameters = {name: value for name, value in told.items() if name not in ("command", "emoprune")}
    return HistoryEntry(decode(str, told.get("command"), path="command"), parameters, {}, versions)


def from_json(text: str) -> OnnxCard:
    """What `to_json` wrote, or an older version; BadCheckpoint or InvalidRecord for anything else."""
    record = card_record(text, SCHEMA)
    return OnnxCard(
        decode(Card, record),
        decode(Cost, record.get("cost"), path="cost"),
        decode(int, record.get("units"), path="units"),
        None if record.get("descent") is None else decode(str, record["descent"], path="descent"),
    )
