"""A command line run inside the test, and small networks that several commands look at."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from emoprune.cli.main import main
from emoprune.networks import build
from emoprune.networks import checkpoint as checkpoints
from emoprune.networks.types import Checkpoint
from tests.conftest import draw_faces

CLASSES = ("angry", "happy", "surprise")
SMALL = ("--arch", "conv1", "--size", "16", "--gray", "--hidden", "12", "--epochs", "2")
TOLD = re.compile(r"note: |warning: |\w[\w ]* [\d,]+/[\d,]+(: |; |, |$)")
PROGRAM = (sys.executable, "-m", "emoprune")


@dataclass(frozen=True)
class Result:
    """What a command line left behind."""

    code: int
    raw: bytes
    err: str

    @property
    def out(self) -> str:
        return self.raw.decode()

    @property
    def record(self) -> dict[str, Any]:
        """The one JSON line on stdout."""
        (line,) = self.out.splitlines()
        found: dict[str, Any] = json.loads(line)
        return found

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Any number of JSON lines on stdout."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def complaints(self) -> list[str]:
        """Lines on stderr that are neither notes, nor warnings, nor progress, which slow machines tell."""
        return [line for line in self.err.splitlines() if not TOLD.match(line)]


class Runner:
    """Runs command lines in this process; `stdin` is what they find on standard input."""

    def __init__(
        self, capture: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, folder: Path
    ) -> None:
        self._capture = capture
        self._monkeypatch = monkeypatch
        self.folder = folder

    def __call__(self, *argv: object, stdin: bytes = b"") -> Result:
        self._capture.readouterr()
        with self._monkeypatch.context() as patch:
            patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
            code = main([str(part) for part in argv])
        out, err = self._capture.readouterr()
        return Result(code, out, err.decode())

    def done(self, *argv: object, stdin: bytes = b"") -> Result:
        """A run that must succeed without a complaint."""
        result = self(*argv, stdin=stdin)
        assert (result.code, result.complaints) == (0, []), result.err
        return result

    def check_refused(
        self, *argv: object, code: int = 1, says: tuple[str, ...] = (), stdin: bytes = b""
    ) -> str:
        """The one line of a run that must fail cleanly: nothing on stdout, no file made or changed."""
        before = tree(self.folder)
        result = self(*argv, stdin=stdin)
        assert result.code == code, result.err
        assert result.raw == b""
        (line,) = result.complaints
        assert line.startswith("emoprune: ")
        assert "; " in line, "a fact and a remedy"
        for word in says:
            assert word in line
        assert tree(self.folder) == before
        return line


@pytest.fixture
def emoprune(
    capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, in_folder: Path
) -> Runner:
    """The program, in an empty working folder."""
    return Runner(capsysbinary, monkeypatch, in_folder)


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every path below `folder` with its contents, None for a folder."""
    return {
        path.relative_to(folder).as_posix(): None if path.is_dir() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }


def unfollowed(folder: Path) -> dict[str, tuple[int, int, bytes | str]]:
    """Mode, time of change in nanoseconds and contents of `folder` and of all below it, links as they are."""
    found = {}
    for path in (folder, *sorted(folder.rglob("*"))):
        status = path.lstat()
        content: bytes | str = b""
        if path.is_symlink():
            content = str(path.readlink())
        elif path.is_file():
            content = path.read_bytes()
        found[path.relative_to(folder).as_posix()] = (status.st_mode, status.st_mtime_ns, content)
    return found


def process(
    *argv: object, stdin: bytes = b"", environment: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[bytes]:
    """The program as a process of its own, with pipes at all ends."""
    command = [*PROGRAM, *(str(part) for part in argv)]
    return subprocess.run(
        command, input=stdin, capture_output=True, env=clean_environment(environment), cwd=cwd, check=False
    )


def clean_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what changes how terminals are treated."""
    dropped = ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
    kept = {key: value for key, value in os.environ.items() if key not in dropped}
    return {**kept, "OMP_NUM_THREADS": "1", **(more or {})}


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of ten little drawn faces each; read only."""
    return draw_faces(tmp_path_factory.mktemp("small") / "faces", CLASSES, 10, side=32)


@pytest.fixture
def faces_here(in_folder: Path) -> Callable[..., Path]:
    """Draws faces below the working folder: `make("faces", {"angry": 4, "happy": 4})`."""

    def make(name: str, counts: Mapping[str, int]) -> Path:
        for top, each in counts.items():
            part, _, label = top.rpartition("/")
            draw_faces(in_folder / name / part, (label,), each, side=32)
        return in_folder / name

    return make


@pytest.fixture(scope="session")
def table(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pixels of `faces` as a table of 64 columns; read only."""
    path = tmp_path_factory.mktemp("table") / "pixels.csv"
    assert main(["features", str(faces), str(path), "--size", "8", "--gray"]) == 0
    return path


@pytest.fixture(scope="session")
def table_model(table: Path) -> Path:
    """A perceptron with two hidden layers beside its `table`; read only."""
    path = table.with_name("table_model.st")
    argv = ["train", str(table), str(path), "--arch", "mlp", "--hidden", "12", "--hidden", "8"]
    assert main([*argv, "--epochs", "6"]) == 0
    return path


@pytest.fixture(scope="session")
def zoo(small: Path, table_model: Path) -> Callable[[str], Path]:
    """Checkpoints by name, read only: "conv2", "table", or a torchvision network of few units at random.

    They are beside the data that they were trained on.
    """
    folder = small.parent

    def model(name: str) -> Path:
        if name == "table":
            return table_model
        path = folder / f"{name}.st"
        if not path.exists() and name == "conv2":
            options = ("--size", "24", "--gray", "--hidden", "12", "--epochs", "2")
            assert main(["train", str(small), str(path), "--arch", name, *options]) == 0
        elif not path.exists():
            whole = str(folder / f"{name}.whole.st")
            adopt = ("--size", "32", "--weights", "none", "--epochs", "0")
            assert main(["train", str(small), whole, "--arch", name, *adopt]) == 0
            fewer = ("--method", "random-units", "--scope", "layer", "--amount", "0.9", "--merge", "sum")
            assert main(["prune", whole, "-o", str(path), *fewer, "--max-error", "1000"]) == 0
        return path

    return model


@pytest.fixture(scope="session")
def onnx_model(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`model` as ONNX; read only."""
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    assert main(["export", str(model), str(path)]) == 0
    return path


def scores(model: str, **changes: Any) -> dict[str, Any]:
    """Metrics of a model that gets 7 of 10 right."""
    record = {
        "schema": "emoprune.metrics/1",
        "model": model,
        "model_fingerprint": model,
        "data": "faces",
        "data_fingerprint": "f",
        "split": "test",
        "n": 10,
        "classes": ["angry", "happy"],
        "accuracy": 0.7,
        "accuracy_interval": [0.4, 0.9],
        "macro_f1": 0.65,
        "per_class": {
            "angry": {"precision": 0.6, "recall": 0.75, "f1": 0.67, "support": 4},
            "happy": {"precision": None, "recall": 0.67, "f1": 0.63, "support": 6},
        },
        "confusion": [[3, 1], [2, 4]],
        "log_loss": 0.5,
        "calibration_error": 0.1,
        "parameters": 2000,
        "nonzero_parameters": 1990,
        "macs": 40000,
        "bytes": 9000,
        "units": 24,
    }
    return {**record, **changes}


def opened(path: Path) -> tuple[Checkpoint, nn.Module]:
    """A checkpoint and its network."""
    checkpoint = checkpoints.read(str(path))
    return checkpoint, build.restore(checkpoint.spec, checkpoint.tensors)
