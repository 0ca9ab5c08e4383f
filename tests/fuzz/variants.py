"""What strategies make of the seeds of each reader."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from functools import partial
from typing import Any

import av  # noqa: F401  # once, for all processes; as are the others that a reader imports when it needs them
import onnx
import openpyxl  # noqa: F401
import sklearn.model_selection  # noqa: F401
import torchvision.models  # noqa: F401
from hypothesis.strategies import SearchStrategy, binary, one_of, sampled_from

from tests.fuzz import strategies
from tests.support.records import card_of_file, header_of, with_card, with_header, workbook


def of_checkpoints(seeds: Sequence[bytes]) -> SearchStrategy[bytes]:
    """Checkpoints with other cards, headers that lie, and both."""
    cards = [strategies.edited(card_of_file(data)).map(partial(_carded, data)) for data in seeds]
    return one_of(one_of(cards), of_headers(seeds))


def _carded(data: bytes, card: Any) -> bytes:
    return with_card(data, strategies.json_text(card).decode("utf-8", "replace"))


def of_headers(seeds: Sequence[bytes]) -> SearchStrategy[bytes]:
    """Safetensors files whose headers lie."""
    return one_of([strategies.headers(header_of(data)).map(partial(_headed, data)) for data in seeds])


def _headed(data: bytes, header: Any) -> bytes:
    found: bytes = with_header(data, strategies.json_text(header))  # type: ignore[arg-type]
    return found


def of_safe_tables(seeds: Sequence[bytes]) -> SearchStrategy[bytes]:
    """Feature tables with other cards, or headers that lie."""
    (data,) = seeds
    cards = strategies.edited(card_of_file(data)).map(partial(_carded, data))
    return one_of(cards, of_headers(seeds))


def of_onnx(seeds: Sequence[bytes]) -> SearchStrategy[bytes]:
    """ONNX files with other cards."""
    model = onnx.load_from_string(seeds[0])
    props = {each.key: each.value for each in model.metadata_props}

    def carded(card: Any) -> bytes:
        text = strategies.json_text(card).decode("utf-8", "replace")
        onnx.helper.set_model_props(model, {**props, "emoprune": text})
        data: bytes = model.SerializeToString()
        return data

    return strategies.edited(json.loads(props["emoprune"])).map(carded)


def of_workbooks(seeds: Sequence[bytes]) -> SearchStrategy[bytes]:
    """Workbooks of other cells."""

    def saved(sheet: Any) -> bytes:
        rows = sheet if isinstance(sheet, list) else [[sheet]]
        with contextlib.suppress(Exception):
            # openpyxl refuses control characters and numbers without an end
            return workbook([row if isinstance(row, list) else [row] for row in rows])
        return seeds[0]

    cells: list[list[object]] = [["name", "label", "x", "y"]]
    cells += [[f"a_{n}", "ab"[n % 2], n, n / 2] for n in range(6)]
    return strategies.edited(cells).map(saved)


CROP_NAMES = (
    *(
        "crops.csv",
        "failures.csv",
        "crop.json",
        "contact-sheet.jpg",
        ".crop",
        ".crop/crop.json",
        ".crop/lock",
    ),
    *(".crop/journal.jsonl", ".crop/scratch", ".crop/made", ".crop/made/angry", ".crop/made/angry/a.jpg"),
    *(".crop/made/crops.csv", "angry", "happy", "angry/a.jpg", "angry/b.jpg", "angry/mine.txt", "notes.txt"),
)
OUTPUTS = (
    *("../outside/face.jpg", "angry/../../outside/face.jpg", "notes.txt", ".crop/lock", "crops.csv", "", "."),
    *("a/b", "angry/a.jpg", "happy/c.jpg", "angry", "angry/a.jpg/x", "link/face.jpg"),
)


def of_crop_folders(seeds: Sequence[bytes]) -> SearchStrategy[bytes]:
    """Folders of faces with other lists and journals, links, pipes and files of somebody else."""
    trees = [json.loads(seed) for seed in seeds]
    texts = {
        name: entry["file"].encode("latin-1")
        for tree in trees
        for name, entry in tree.items()
        if name.endswith((".csv", ".json", ".jsonl"))
    }
    lists = strategies.csv_files(
        [text for name, text in texts.items() if name.endswith(".csv")], sampled_from(OUTPUTS)
    )
    journals = strategies.json_files(
        [text for name, text in texts.items() if name.endswith(".jsonl")], sampled_from(OUTPUTS)
    )
    settings = strategies.json_files([json.dumps(json.loads(texts["crop.json"])).encode()])
    contents = one_of(lists, lists, journals, journals, settings, binary(max_size=9))
    fitting = {
        "crops.csv": lists, "failures.csv": lists, ".crop/journal.jsonl": journals,
        "crop.json": settings, ".crop/crop.json": settings,
    }  # fmt: skip
    return one_of([strategies.folders(tree, CROP_NAMES, contents, fitting) for tree in trees])


FACE_NAMES = (
    *(
        "angry",
        "happy",
        "angry/a.png",
        "angry/x.jpg",
        "happy/y.png",
        "train",
        "train/angry/a.png",
        "val",
        "test",
    ),
    *(
        "loose.png",
        ".hidden/a.png",
        ".crop",
        "crops.csv",
        "contact-sheet.jpg",
        "angry/deep/er/z.png",
        "film.mp4",
    ),
    *(
        "angry/\x1b[2J.png",
        "angry/new\nline.png",
        "happy/\x9b31m.png",
        "\x1b[2J/a.png",
        "angry/.png",
        "angry/a" * 40,
    ),
)


def of_folders(seeds: Sequence[bytes]) -> SearchStrategy[bytes]:
    """Folders of pictures with odd names, links, pipes, parts beside classes."""
    tree = json.loads(seeds[0])
    pictures = sampled_from([entry["file"].encode("latin-1") for entry in tree.values()])
    return strategies.folders(tree, FACE_NAMES, one_of(pictures, pictures, binary(max_size=9)), {})
