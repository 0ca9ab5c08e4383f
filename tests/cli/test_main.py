"""The program as a whole: help, exit codes, interruptions, and what it does not load."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from emoprune.cli.main import app, main
from emoprune.errors import EmopruneError, UsageFault
from emoprune.networks import checkpoint as checkpoints
from emoprune.pruning.methods import METHODS
from emoprune.version import __version__
from tests.conftest import draw_faces
from tests.support.answers import answers
from tests.support.children import child, wait_until
from tests.support.command_line import PROGRAM, SMALL, Runner, clean_environment, process, scores, tree

METRICS = json.dumps(scores("m.st")) + "\n"
COMMANDS = (
    *("crop", "features", "train", "search", "angles", "prune", "sweep", "eval", "report", "export"),
    *("predict", "inspect", "demo"),
)


def test_the_version_is_printed_on_stdout(emoprune: Runner) -> None:
    result = emoprune.done("--version")
    assert result.out == f"emoprune {__version__}\n"
    assert result.err == ""


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_names_every_command(emoprune: Runner, flag: str) -> None:
    listed = {line.split()[0] for line in emoprune.done(flag).out.splitlines() if line.strip()}
    assert set(COMMANDS) <= listed
    assert set(COMMANDS) == {entry.name for entry in app.registered_commands}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_examples_of_its_own(emoprune: Runner, command: str) -> None:
    text = emoprune.done(command, "--help").out
    assert f"  emoprune {command}" in text.partition("Examples:")[2]
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("command", [*COMMANDS, ""])
def test_help_fits_eighty_columns(emoprune: Runner, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = emoprune.done(*command.split(), "--help").out
    assert [line for line in text.splitlines() if len(line) > 80] == []


def test_every_method_has_a_line_of_the_help(emoprune: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = [line.strip() for line in emoprune.done("prune", "--help").out.splitlines()]
    for name, entry in METHODS.items():
        assert any(line.endswith(f"{name}: {entry.meaning}") for line in lines)


def test_without_a_command_help_goes_to_stderr(emoprune: Runner) -> None:
    result = emoprune()
    assert result.code == 2
    assert result.raw == b""
    assert "Commands:" in result.err


@pytest.mark.parametrize(
    ("argv", "word", "help_of"),
    [
        (["prun"], "(did you mean 'prune'?)", "emoprune --help"),
        (["--nonsense"], "--nonsense", "emoprune --help"),
        (["prune", "m.st", "--nonsense"], "--nonsense", "emoprune prune --help"),
        (["prune"], "MODEL", "emoprune prune --help"),
        (["train", "faces"], "MODEL", "emoprune train --help"),
        (["prune", "m.st", "more.st"], "more.st", "emoprune prune --help"),
        (["prune", "m.st", "--angle"], "--angle", "emoprune"),
        (["train", "faces", "m.st", "--epochs", "some"], "--epochs", "emoprune train --help"),
        (["train", "faces", "m.st", "--keep", "middle"], "middle", "emoprune train --help"),
        (
            ["prune", "m.st", "--method", "reconstrct"],
            "(did you mean reconstruct?)",
            "emoprune prune --help",
        ),
        (["prune", "m.st", "--macs", "50"], "(did you mean 0.5?)", "emoprune prune --help"),
        (["prune", "m.st", "--params", "300"], "0 to 1", "emoprune prune --help"),
        (["prune", "m.st", "--merge", "average"], "average", "emoprune prune --help"),
        (["crop", "raw", "faces", "--select", "smallest"], "smallest", "emoprune crop --help"),
    ],
)
def test_a_wrong_command_line_names_the_word_and_the_help(
    emoprune: Runner, argv: list[str], word: str, help_of: str
) -> None:
    emoprune.check_refused(*argv, code=2, says=(word, f"; see {help_of}"))


@pytest.mark.parametrize(
    ("error", "code"), [(EmopruneError("a fact", "a remedy", place="here"), 1), (UsageFault("a", "b"), 2)]
)
def test_an_error_of_the_tree_is_one_line_with_its_exit_code(
    emoprune: Runner, monkeypatch: pytest.MonkeyPatch, error: EmopruneError, code: int
) -> None:
    def fail(*_: object) -> bytes:
        raise error

    monkeypatch.setattr("emoprune.io.files.reading", fail)
    result = emoprune("report", "x.json")
    assert (result.code, result.err) == (code, f"emoprune: {error}\n")


def test_an_error_shows_foreign_names_on_one_line(emoprune: Runner, in_folder: Path) -> None:
    (in_folder / "a\x1b[31m\nb").write_text(json.dumps(scores("m.st", classes=["\u202e"])))
    result = emoprune("report", "a\x1b[31m\nb")
    fact = r"a\x1b[31m\nb, line 1: confusion or per_class contradict the classes"
    assert result.complaints == [f"emoprune: {fact}; run emoprune eval again"]
    (line,) = emoprune("report", "x" * 10_000 + "\x9b").complaints
    assert line.startswith(f"emoprune: {'x' * 100}…")
    assert line.endswith("; check its name and disk")
    (line,) = emoprune("\x1b[31m" + "y" * 10_000).complaints
    assert line.startswith(r"emoprune: No such command '\x1b[31m")
    assert len(line) < 1300


@pytest.mark.parametrize("command", ["train", "crop", "search", "demo", "features"])
def test_a_name_that_the_system_refuses_is_one_line(emoprune: Runner, command: str) -> None:
    words = ["n" * 300, "x.csv"][: WORDS.get(command, 1)]
    emoprune.check_refused(command, *words, says=("n" * 40, "; check "))


def test_a_bug_prints_its_traceback_and_ends_with_70(
    emoprune: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bytes:
        raise ValueError("nobody expects this\x1b]0;x\x07")

    monkeypatch.setattr("emoprune.io.files.reading", fail)
    result = emoprune("report", "x.json")
    assert result.code == 70
    assert "Traceback" in result.err
    assert r"ValueError: nobody expects this\x1b]0;x\x07" in result.err
    assert result.err.splitlines()[-1].startswith("emoprune: this is a bug")


WORDS = {"train": 2, "crop": 2, "features": 2, "sweep": 2, "eval": 2, "export": 2, "predict": 2}
"""Arguments of the commands that take more than one."""


@pytest.mark.parametrize(
    ("command", "place"), [(command, place) for command in COMMANDS for place in range(WORDS.get(command, 1))]
)
def test_an_empty_argument_is_not_the_working_folder(emoprune: Runner, command: str, place: int) -> None:
    words = ["x.onnx"] * WORDS.get(command, 1)
    words[place] = ""
    emoprune.check_refused(command, *words, code=2, says=(": is empty; give it a name",))


SPRINGING = """
import pathlib
from tests.support.own_networks import small
pathlib.Path("sprung").touch()
"""


def test_code_that_only_a_file_names_is_run_by_no_command(
    emoprune: Runner, faces: Path, in_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(in_folder), *sys.path])
    name = "springing_networks"
    (in_folder / f"{name}.py").write_text(SPRINGING)
    own, sprung = ("--arch", f"{name}:small"), in_folder / "sprung"
    small = ("--size", "12", "--epochs", "1")
    emoprune.done("train", faces, "m.st", *own, *small)
    trained = checkpoints.read("m.st")
    whole = dataclasses.replace(trained, layers=(), statistics={}, moments={}, sensitivities={})
    whole.save("whole.st")
    del sys.modules[name]
    sprung.unlink()
    says = f"whole.st: its network is made by {name}:small, which is code; give --arch {name}:small to run it"
    for argv in (
        *(("angles", "whole.st"), ("angles", "whole.st", "--data", faces)),
        *(
            ("prune", "whole.st", "-o", "p.st"),
            ("prune", "whole.st", "--sensitivity"),
            ("eval", "whole.st", faces),
        ),
        *(
            ("export", "whole.st", "m.onnx"),
            ("predict", "whole.st", faces),
            ("train", faces, "q.st", "--from", "whole.st", "--epochs", "1"),
        ),
    ):
        emoprune.check_refused(*argv, says=(says,))
    # nor is code that neither needs
    emoprune.done("angles", "m.st")
    emoprune("train", faces, "q.st", "--arch", "conv1", *small, "--weights", "m.st")
    emoprune("features", faces, "f.csv", "--kind", "deep", "--arch", "resnet18", "--weights", "m.st")
    other = ("--arch", "tests.support.own_networks:closed")
    emoprune.check_refused("eval", "m.st", faces, *other, says=(f"its network is {name}:small, not tests.",))
    assert not sprung.exists()
    assert name not in sys.modules
    amount = ("--method", "reconstruct", "--macs", "0.5", "--max-error", "100")
    emoprune.done("prune", "m.st", *own, *amount, "-o", "p.st")
    assert sprung.exists()
    before, after = (emoprune.done("eval", path, faces, *own).record for path in ("m.st", "p.st"))
    assert after["macs"] < before["macs"]
    exported = emoprune.done("export", "p.st", "p.onnx", *own).record
    assert exported["macs"] == after["macs"]
    assert emoprune.done("eval", "p.onnx", faces).record["confusion"] == after["confusion"]


@pytest.mark.parametrize("option", ["--paper", "--figures", "--section"])
def test_an_empty_option_is_refused(emoprune: Runner, option: str) -> None:
    emoprune.check_refused("report", "x", option, "", code=2, says=(option,))


def test_ctrl_c_while_writing_leaves_the_old_file(
    emoprune: Runner, monkeypatch: pytest.MonkeyPatch, model: Path, in_folder: Path
) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    (in_folder / "out.st").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", interrupt)
    result = emoprune("prune", model, "-o", "out.st", "--force")
    assert (result.code, result.complaints) == (130, ["emoprune: interrupted"])
    assert result.raw == b""
    assert tree(in_folder) == {"out.st": b"old"}


def interrupted(
    argv: list[str], cwd: Path, begun: Callable[[subprocess.Popen[bytes]], None]
) -> tuple[int, str]:
    """Exit code and stderr of a process that gets a SIGINT once `begun` returns."""
    streams = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    with child([*PROGRAM, *argv], cwd=cwd, env=clean_environment(), **streams) as started:
        begun(started)
        started.send_signal(signal.SIGINT)
        _, err = started.communicate()
    return started.returncode, err.decode()


INTERRUPTED = """
import sys
class Finder:
    def find_spec(name, *_):
        if name == "emoprune.{module}":
            # as dataclasses make their methods
            exec("import os, signal; os.kill(os.getpid(), signal.SIGINT)")
sys.meta_path.insert(0, Finder)
sys.argv = ["emoprune", "report", "m.json"]
from emoprune.__main__ import run
run()
"""


@pytest.mark.parametrize("module", ["cli.main", "cli.search", "reporting.sections"])
def test_ctrl_c_during_imports_is_one_line(in_folder: Path, module: str) -> None:
    (in_folder / "m.json").write_text(METRICS)
    script = INTERRUPTED.format(module=module)
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr, ended.stdout) == (130, "emoprune: interrupted\n", "")


def test_ctrl_c_during_training_leaves_nothing(small: Path, in_folder: Path) -> None:
    def training(started: subprocess.Popen[bytes]) -> None:
        assert started.stderr is not None
        # the last thing that is said before training begins
        assert started.stderr.readline().startswith(b"note: ")

    argv = ["train", str(small), "model.st", *SMALL, "--epochs", "1000000"]
    code, err = interrupted(argv, in_folder, training)
    assert (code, err) == (130, "emoprune: interrupted\n")
    assert tree(in_folder) == {}


def test_ctrl_c_during_cropping_shows_no_face_and_keeps_what_is_done(in_folder: Path) -> None:
    journal = in_folder / "faces" / ".crop" / "journal.jsonl"

    def cropping(started: subprocess.Popen[bytes]) -> None:
        # a photo that is done: what is imported, is imported
        wait_until(lambda: journal.is_file() and journal.read_text() != "", started)

    draw_faces(in_folder / "raw", ("happy",), 1, side=640)
    photo = (in_folder / "raw" / "happy" / "film0_happy000.jpg").read_bytes()
    for index in range(200):
        (in_folder / "raw" / "happy" / f"{index}.jpg").write_bytes(photo)
    code, err = interrupted(["crop", "raw", "faces"], in_folder, cropping)
    assert code == 130
    note, complaint = err.splitlines()
    assert "the same command continues" in note
    assert complaint == "emoprune: interrupted"
    assert list((in_folder / "faces").iterdir()) == [journal.parent]
    assert 0 < len(journal.read_text().splitlines()) < 200


@pytest.mark.parametrize("lines", [1, 1000])
def test_a_closed_pipe_ends_with_141_and_without_a_word(in_folder: Path, lines: int) -> None:
    # little output fails when it is flushed, much while it is written
    found = [{**json.loads(METRICS), "label": str(number)} for number in range(lines)]
    (in_folder / "m.json").write_text("".join(f"{json.dumps(each)}\n" for each in found))
    reading, writing = os.pipe()
    os.close(reading)
    argv = [*PROGRAM, "report", "m.json"]
    ended = subprocess.run(argv, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, b"")


@pytest.mark.parametrize(
    ("closed", "file", "code"), [(">&-", "m.json", 0), ("2>&-", "m.json", 0), ("<&-", "-", 1)]
)
def test_streams_that_are_closed_lead_nowhere(in_folder: Path, closed: str, file: str, code: int) -> None:
    (in_folder / "m.json").write_text(METRICS)
    line = shlex.join([*PROGRAM, "report", file])
    ended = subprocess.run(["sh", "-c", f"{line} {closed}"], capture_output=True, text=True, check=False)
    assert ended.returncode == code
    assert (ended.stdout != "") == (closed == "2>&-")
    assert "Traceback" not in ended.stderr


def test_a_closed_pipe_ends_binary_output_too(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert main(["prune", str(model), "-o", "-"]) == 141


HEAVY = {"torch", "torchvision", "facenet_pytorch", "onnx", "onnxruntime", "sklearn", "numpy", "PIL"}
HEAVY |= {"matplotlib", "scipy", "optuna", "jinja2"}
LOADED = """
import sys
from emoprune.cli.main import main
code = main({argv!r})
print(code, *(set(name.partition(".")[0] for name in sys.modules) & {heavy!r}), file=sys.stderr)
"""


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_loads_nothing_heavy(command: str) -> None:
    script = LOADED.format(argv=[*command.split(), "--help"], heavy=HEAVY)
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.stderr.split() == ["0"]


PAPER = ["--by-label", "--paper", "p.csv"]


@pytest.mark.parametrize("option", [[], ["--by-label"], PAPER, ["-o", "out.csv"], ["-o", "out.tex"]])
def test_report_loads_nothing_heavy(in_folder: Path, option: list[str]) -> None:
    (in_folder / "m.json").write_text(METRICS)
    (in_folder / "p.csv").write_text("label,measure,value,where\nm.st,accuracy,50%,Table 1\n")
    form = [] if "-o" in option else ["--format", "table"]
    script = LOADED.format(argv=["report", "m.json", *form, *option], heavy=HEAVY)
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.stderr.splitlines()[-1] == "0"
    assert "accuracy" in ended.stdout or "-o" in option


@pytest.mark.parametrize("option", [[], ["--baseline", "b.csv"]])
def test_report_compares_predictions_without_torch(in_folder: Path, option: list[str]) -> None:
    for name in "bp":
        (in_folder / f"{name}.csv").write_bytes(answers(name, "aab").to_bytes())
    script = LOADED.format(argv=["report", "p.csv", *option], heavy=HEAVY - {"numpy", "scipy"})
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.stderr.splitlines()[-1] == "0"


@pytest.mark.parametrize(
    ("option", "made"), [(["--figures", "out"], "out/confusion-m.st.svg"), (["-o", "out.html"], "out.html")]
)
def test_report_draws_without_torch(in_folder: Path, option: list[str], made: str) -> None:
    (in_folder / "m.json").write_text(METRICS)
    drawn = {"matplotlib", "numpy", "PIL", "jinja2"}
    script = LOADED.format(argv=["report", "m.json", *option], heavy=HEAVY - drawn)
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ended.stderr.splitlines()[-1] == "0"
    assert (in_folder / made).is_file()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_loads_nothing_heavy(shell: str) -> None:
    wanted = {
        "_EMOPRUNE_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": "emoprune train a b --arch resnet1",
        "COMP_CWORD": "5",
        "_TYPER_COMPLETE_ARGS": "emoprune train a b --arch resnet1",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    script = LOADED.format(argv=[], heavy=HEAVY)
    ended = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=clean_environment(wanted),
        check=False,
    )
    assert "resnet18" in ended.stdout
    assert ended.stderr.split() == ["0"]


def test_python_m_emoprune_is_the_program() -> None:
    ended = process("--version")
    assert (ended.returncode, ended.stdout.decode(), ended.stderr) == (0, f"emoprune {__version__}\n", b"")
    assert process("nonsense").returncode == 2
