"""Hypothesis strategies for inputs with a structure: JSON, CSV, headers, folders, command lines."""

from __future__ import annotations

import copy
import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from emoprune.networks.registry import ARCHITECTURES

LONG = "a" * 40 + "!"
"""A name on which (a+)+$ takes longer than anybody waits."""

Key = str | int
Path = tuple[Key, ...]

TEXTS = (
    *(
        "",
        " ",
        "\0",
        "\x1b[2Jx",
        "\x1b]0;x\x07",
        "\x9b31m",
        "\x7f",
        "a\nb",
        "a\r\nb",
        "a\u2028b",
        "\u202e",
        "\ud800",
    ),
    *("..", "../outside/secret", "/etc/passwd", "-", "--help", "~", "a/../../b", "NaN", "inf", "1e999", "-0"),
    *(
        "\u0663",
        "\uff11\uff12",
        "\u00b2",
        "1_000",
        "0x10",
        "9" * 400,
        "9" * 5000,
        "%s",
        "{0}",
        "`a=1`",
        "[bold]x[/bold]",
    ),
    *(
        "(a+)+$",
        "(",
        "[",
        "(?P<x>",
        "*" * 50,
        "*a" * 30,
        "a" * 300,
        "a" * 70_000,
        "true",
        "null",
        "=1+1",
        "\\",
    ),
    *("first, 9 units", "x, before", "classifier.*", "net.", "train/x", "Training"),
)
NUMBERS = (
    *(0, 1, -1, 2, 3, 255, 256, 4096, 65536, 2**22, 2**31 - 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64),
    *(10**400, 0.0, -0.0, 0.5, 1e-320, 1e38, 1e39, 1e308, float("nan"), float("inf"), float("-inf")),
)
# networks of torchvision take from tenths of a second to build, so few of them
ARCHS = (
    *(name for name, entry in ARCHITECTURES.items() if entry.own),
    "alexnet",
    "squeezenet1_1",
    "resnet18",
)

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from(TEXTS),
    st.sampled_from(NUMBERS),
    st.sampled_from(ARCHS),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=8),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
SET, REMOVE, REPEAT, ADD, COPY = "set", "remove", "repeat", "add", "copy"


def examples(strategy: SearchStrategy[bytes], count: int, seed: str) -> Iterator[bytes]:
    """Up to `count` values of a strategy, the same ones for one seed."""
    found: list[bytes] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        derandomize=False,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(strategy)
    def collect(value: bytes) -> None:
        found.append(value)

    collect()
    yield from found[:count]


def paths(tree: Any, above: Path = ()) -> Iterator[Path]:
    """The place of every value in a tree of JSON, the tree itself last."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from paths(value, (*above, key))
    elif isinstance(tree, list):
        for index, value in enumerate(tree[:6]):
            yield from paths(value, (*above, index))
    yield above


def edited(tree: Any, values: SearchStrategy[Any] = VALUES, *, most: int = 3) -> SearchStrategy[Any]:
    """Copies of a tree of JSON in which one to `most` values are others, missing, or there twice."""
    places = list(paths(tree))
    kinds = st.sampled_from((SET, SET, SET, SET, REMOVE, REPEAT, ADD, COPY))
    edit = st.tuples(st.sampled_from(places), kinds, values, st.sampled_from(places))
    return st.lists(edit, min_size=1, max_size=most).map(lambda edits: _edited(tree, edits))


def _edited(tree: Any, edits: Sequence[tuple[Path, str, Any, Path]]) -> Any:
    root = [copy.deepcopy(tree)]
    for path, kind, value, other in edits:
        parent: Any = root
        steps: list[Key] = [0, *path]
        try:
            for step in steps[:-1]:
                parent = parent[step]
            _edit(parent, steps[-1], kind, value if kind != COPY else at(tree, other))
        except (LookupError, TypeError, ValueError, AttributeError):
            # an edit before has removed the place
            continue
    return root[0] if root else None


def _edit(parent: Any, key: Key, kind: str, value: Any) -> None:
    if kind in (SET, COPY):
        parent[key] = copy.deepcopy(value)
    elif kind == REMOVE:
        del parent[key]
    elif kind == REPEAT and isinstance(parent, list):
        parent.insert(int(key), copy.deepcopy(parent[int(key)]))
    elif isinstance(parent, dict):
        parent[value if isinstance(value, str) else str(value)[:20]] = parent[key]
    else:
        parent.append(value)


def at(tree: Any, path: Path) -> Any:
    """The value at a place of a tree."""
    for step in path:
        tree = tree[step]
    return tree


def json_text(tree: Any) -> bytes:
    """A tree as JSON; numbers of more digits than Python writes, as 1e999."""
    try:
        return json.dumps(tree).encode("utf-8", "surrogatepass")
    except ValueError:
        return json.dumps(str(tree)[:100]).encode("utf-8", "surrogatepass")


def json_files(seeds: Sequence[bytes], more: SearchStrategy[Any] | None = None) -> SearchStrategy[bytes]:
    """Edited files of JSON lines, with `more` values."""
    lines = [[json.loads(line) for line in seed.splitlines()] for seed in seeds]
    values = VALUES if more is None else st.one_of(more, VALUES)
    return st.one_of([edited(each, values).map(_joined) for each in lines])


def _joined(records: Any) -> bytes:
    if not isinstance(records, list):
        return json_text(records)
    return b"\n".join(map(json_text, records)) + b"\n"


def as_text(value: object) -> str:
    """A value as a cell or a word."""
    return str(value)[:80_000]


CELLS = st.one_of(st.sampled_from(TEXTS), st.sampled_from(NUMBERS).map(as_text), st.text(max_size=6))


def csv_files(seeds: Sequence[bytes], more: SearchStrategy[Any] | None = None) -> SearchStrategy[bytes]:
    """Edited tables, with `more` cells, other delimiters, quotes and encodings."""
    cells = CELLS if more is None else st.one_of(more, CELLS)
    tables = [list(csv.reader(io.StringIO(seed.decode()))) for seed in seeds]
    forms = st.sampled_from((",", ",", ",", ",", ";", "\t", "|"))
    ends = st.sampled_from(("\n", "\n", "\n", "\r\n", "\r"))
    codes = st.sampled_from(("utf-8", "utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1"))
    return st.one_of(
        [
            st.tuples(edited(each, cells), forms, ends, codes).map(lambda parts: _csv(*parts))
            for each in tables
        ]
    )


def _csv(rows: Any, form: str, end: str, code: str) -> bytes:
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=form, lineterminator=end, quoting=csv.QUOTE_MINIMAL)
    for row in rows if isinstance(rows, list) else [[rows]]:
        writer.writerow([as_text(cell) for cell in row] if isinstance(row, list) else [as_text(row)])
    return stream.getvalue().encode(code, "replace" if code == "latin-1" else "surrogatepass")


ENTRY = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(
            ("F32", "F64", "F16", "BF16", "I64", "BOOL", "U8", "F8_E4M3", "C64", "F4", "X", 5)
        ),
        "shape": st.lists(
            st.sampled_from((0, 1, 2, 3, 4, -1, 2**31, 2**32, 2**63, 2**64, 1.5, "3")), max_size=4
        ),
        "data_offsets": st.lists(
            st.sampled_from((0, 1, 4, 8, 16, -4, 10**9, 2**63, 2**64, 0.5, "4")), max_size=3
        ),
    }
)


def headers(header: Mapping[str, Any]) -> SearchStrategy[Any]:
    """Edited headers of a safetensors file: other types, shapes and offsets, names that are not there."""
    tensors = [name for name in header if name != "__metadata__"]
    lies = st.tuples(st.sampled_from(tensors or ["x"]), ENTRY).map(lambda pair: {**header, pair[0]: pair[1]})
    shapes = {name: header[name]["shape"] for name in tensors}
    renamed = st.tuples(st.sampled_from(tensors or ["x"]), st.sampled_from([*TEXTS, *tensors]))
    return st.one_of(
        edited(dict(header)),
        lies,
        renamed.map(
            lambda pair: {pair[1] if name == pair[0] else name: value for name, value in header.items()}
        ),
        edited(shapes, st.sampled_from(NUMBERS)).map(lambda made: _with_shapes(header, made)),
    )


def _with_shapes(header: Mapping[str, Any], shapes: Any) -> Any:
    entries = shapes.items() if isinstance(shapes, dict) else ()
    changed = {name: {**header[name], "shape": shape} for name, shape in entries if name in header}
    return {**header, **changed}


LINKS = (
    *(
        "../outside/secret.txt",
        "../../outside/secret.txt",
        "../outside",
        "../../outside",
        "outside",
        "nowhere",
    ),
    *(".", "..", "../given", "/dev/zero", "loop"),
)


def folders(
    tree: Mapping[str, Any],
    names: Sequence[str],
    contents: SearchStrategy[bytes],
    fitting: Mapping[str, SearchStrategy[bytes]],
) -> SearchStrategy[bytes]:
    """A folder by the paths in it, as `tree_bytes` has it, with one to four files that are others.

    `names` are the paths that matter, `contents` what a file may hold, `fitting` what some of them hold.
    """
    links = st.sampled_from(LINKS).map(lambda target: {"link": target})
    files = contents.map(_file)
    right = [st.tuples(st.just(name), made.map(_file)) for name, made in fitting.items()]
    others = st.sampled_from(({"fifo": 1}, {"folder": 1}, None, {"file": ""}))
    hard = st.sampled_from(("secret.txt", "face.jpg")).map(lambda target: {"hard": target})
    odd = st.tuples(st.sampled_from(names), st.text(min_size=1, max_size=6)).map("".join)
    change = st.tuples(st.sampled_from(names) | odd, st.one_of(files, files, links, hard, others))
    return st.lists(st.one_of(change, *right), min_size=1, max_size=4).map(
        lambda changes: json_text({name: value for name, value in {**tree, **dict(changes)}.items() if value})
    )


def _file(data: bytes) -> dict[str, str]:
    return {"file": data.decode("latin-1")}


def texts(kinds: Mapping[str, Sequence[str]]) -> SearchStrategy[bytes]:
    """A kind and a text that is asked for of this kind, as JSON; valid ones are given by kind."""

    def of(kind: str) -> SearchStrategy[Any]:
        glued = st.lists(st.sampled_from((*kinds[kind], *TEXTS, *":,=+/x.-")), max_size=4).map("".join)
        return st.tuples(st.just(kind), st.one_of(glued, st.text(max_size=12), *_damaged(kinds[kind])))

    return st.one_of([of(kind) for kind in kinds]).map(lambda pair: json_text(list(pair)))


def _damaged(valid: Sequence[str]) -> list[SearchStrategy[str]]:
    """Valid texts in which some letters are others."""
    letters = st.lists(
        st.tuples(st.integers(0, 20), st.sampled_from((*"0129-+.:,=/x e\0\n\x1b٣²", ""))), max_size=3
    )

    def changed(pair: tuple[str, list[tuple[int, str]]]) -> str:
        made = list(pair[0])
        for place, letter in pair[1]:
            made[place % (len(made) or 1) : place % (len(made) or 1) + 1] = [letter]
        return "".join(made)

    return [st.tuples(st.sampled_from(valid), letters).map(changed)]


def command_lines(lines: Sequence[Sequence[str]], words: Sequence[str]) -> SearchStrategy[bytes]:
    """Command lines with words that are others, too many or too few."""
    word = st.one_of(st.sampled_from(words), st.sampled_from(TEXTS), st.sampled_from(NUMBERS).map(as_text))
    return st.one_of([edited(list(line), word) for line in lines]).map(
        lambda line: json_text([as_text(each) for each in (line if isinstance(line, list) else [line])])
    )


Strategy = Callable[[Sequence[bytes]], SearchStrategy[bytes]]
