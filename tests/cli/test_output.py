"""Terminals get tables, colors and progress; pipes get plain data."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from emoprune import events
from emoprune.cli import output
from emoprune.io.visible_text import visible
from emoprune.reporting import tables
from tests.support.children import child
from tests.support.command_line import PROGRAM, SMALL, clean_environment, process, scores
from tests.support.terminal import bytes_on_terminal

ESCAPE = b"\x1b"
COLOR = re.compile(rb"\x1b\[(?:\d+;)*(?:3[0-7]|4[0-7]|38|48|9[0-7]|10[0-7])[;\dm]")


PROGRESS = """
from emoprune import events
from emoprune.cli import output
with output.telling():
    for number in events.tracked(range(3), "counting", 3):
        print(number)
"""


def on_terminal(
    *argv: object,
    both: bool = True,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    program: Sequence[str] = PROGRAM,
) -> tuple[int, bytes, bytes]:
    """Exit code, stdout and what a terminal at stderr, and at stdout with `both`, has shown."""
    ours, theirs = pty.openpty()
    streams = {"stdin": subprocess.DEVNULL, "stdout": theirs if both else subprocess.PIPE, "stderr": theirs}
    terminal = {"TERM": "xterm-256color", "COLUMNS": "100", **(environment or {})}
    with child([*program, *map(str, argv)], cwd=cwd, env=clean_environment(terminal), **streams) as started:
        os.close(theirs)
        shown = b""
        while True:
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # how Linux says that the other end of a terminal is closed
                break
            if not chunk:
                break
            shown += chunk
        os.close(ours)
        out, _ = started.communicate()
    return started.returncode, out or b"", shown


@pytest.fixture
def printed(in_folder: Path) -> Path:
    """What eval prints, in a file."""
    path = in_folder / "m.json"
    path.write_text(json.dumps(scores("m.st")) + "\n")
    return path


def test_a_terminal_shows_a_table_and_a_pipe_json(printed: Path) -> None:
    code, _, shown = on_terminal("report", printed)
    assert code == 0
    assert b"95% interval" in shown
    assert b'"schema"' not in shown
    piped = process("report", printed)
    assert json.loads(piped.stdout)["schema"] == "emoprune.report/1"


def test_json_can_be_asked_for_on_a_terminal(printed: Path) -> None:
    _, _, shown = on_terminal("report", printed, "--json")
    assert json.loads(shown)["schema"] == "emoprune.report/1"


def test_not_even_a_wish_for_color_puts_escape_bytes_into_a_pipe(printed: Path) -> None:
    wishes = {"FORCE_COLOR": "1", "CLICOLOR_FORCE": "1", "TTY_COMPATIBLE": "1"}
    result = process("report", printed, "--format", "table", environment=wishes)
    assert result.returncode == 0
    assert b"\x1b" not in result.stdout + result.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("form", ["json", "table", "csv", "markdown"])
def test_a_full_disk_behind_standard_output_is_one_line(printed: Path, form: str) -> None:
    with Path("/dev/full").open("wb") as full:
        result = subprocess.run(
            [*PROGRAM, "report", str(printed), "--format", form],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert result.returncode == 1
    assert result.stderr.startswith(b"emoprune: standard output: cannot be written")
    assert result.stderr.count(b"\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("stream", ["2>/dev/full", "2>&-", "2>&1 >out | exit"])
def test_messages_that_cannot_be_written_end_nothing_and_change_no_exit_code(
    in_folder: Path, stream: str
) -> None:
    lines = (scores("m.st"), scores("n.st", split="val"))
    (in_folder / "m.json").write_text("\n".join(map(json.dumps, lines)))
    for file, expected in (("m.json", 0), ("none.json", 1)):
        script = f"({shlex.join([*PROGRAM, 'report', file])}; echo $? >code) {stream}"
        subprocess.run(["sh", "-c", script], capture_output=True, check=False)
        assert (in_folder / "code").read_text().strip() == str(expected)


def test_a_table_in_a_pipe_has_no_escape_byte(printed: Path) -> None:
    ended = process("report", printed, "--format", "table", environment={"TERM": "xterm-256color"})
    assert b"accuracy" in ended.stdout
    assert ESCAPE not in ended.stdout + ended.stderr


def test_progress_shows_on_a_terminal_and_leaves_stdout_clean(
    small: Path, in_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (in_folder / "out.json").open("w") as out:
        shown = bytes_on_terminal(monkeypatch, "train", small, "a.st", *SMALL, columns=100, out=out)
    data = (in_folder / "out.json").read_bytes()
    assert json.loads(data)["output"] == "a.st"
    assert ESCAPE not in data
    assert b"train" in shown
    assert b"2/2" in shown
    assert COLOR.search(shown)


SCRIPT = (sys.executable, "-c", PROGRESS)


def test_progress_is_colored_unless_no_color_forbids() -> None:
    _, _, plain = on_terminal(program=SCRIPT, environment={"NO_COLOR": "1"})
    _, _, colored = on_terminal(program=SCRIPT)
    assert b"counting" in plain
    assert b"3/3" in plain
    assert COLOR.search(colored)
    assert not COLOR.search(plain)


def test_progress_never_goes_into_a_pipe() -> None:
    ended = subprocess.run(
        SCRIPT, capture_output=True, env=clean_environment({"TERM": "xterm-256color"}), check=True
    )
    assert (ended.stdout, ended.stderr) == (b"0\n1\n2\n", b"")


def test_a_fault_on_a_terminal_is_still_one_plain_line(in_folder: Path) -> None:
    code, _, shown = on_terminal("report", "no.json", cwd=in_folder)
    assert (code, shown) == (1, b"emoprune: no.json: no such file; check the name\r\n")


def test_without_a_terminal_no_cell_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    columns = ["name", *(f"a column with a long name {index}" for index in range(6))]
    row = ["x" * 60, *(123456789 + index for index in range(6))]
    output.show([tables.table("T", columns, [row])])
    text = capsys.readouterr().out
    assert "x" * 60 in text
    for index in range(6):
        assert f"{123456789 + index:,}" in text
    assert "…" not in text


def test_markup_in_data_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    output.show(["[bold]line[/bold]", tables.table("[red]T", ["[i]c"], [["[link=x]cell[/link]"]])])
    text = capsys.readouterr().out
    for words in ("[bold]line[/bold]", "[red]T", "[i]c", "[link=x]cell[/link]"):
        assert words in text
    assert "\\" not in text


def test_notes_and_warnings_go_to_stderr_while_they_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    events.note("none")
    with output.telling(), output.telling():
        events.note("one")
        events.warn("two")
    events.warn("none")
    assert capsys.readouterr() == ("", "note: one\nwarning: two\n")


EVIL = "a\x1b]0;x\x07\nb\u202e" + "c" * 2000
ESCAPED = r"a\x1b]0;x\x07\nb\u202eccc"


def test_a_note_shows_foreign_names_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with output.telling():
        events.warn(EVIL)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: {ESCAPED}")
    assert len(line) < 1300


def test_paste_writes_words_that_a_shell_reads_back(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["a b", "é", "--set=x", EVIL[:12], "it's \\ \x1b\udce9"]
    output.paste(words)
    (line,) = capsys.readouterr().err.splitlines()
    assert line == visible(line, most=None)
    read = subprocess.run(["bash", "-c", rf"printf '%s\0' {line}"], capture_output=True, check=True)
    assert read.stdout.split(b"\0")[:-1] == [os.fsencode(word) for word in words]


def test_a_terminal_gets_data_without_control_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(shown, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdout", shown)
    output.write("a,b\n\x1b[2J,2\n")
    monkeypatch.setenv("COLUMNS", "1000")
    output.show([EVIL, tables.table(EVIL, [EVIL], [[EVIL]])])
    assert shown.getvalue().startswith("a,b\n\\x1b[2J,2\n")
    assert shown.getvalue().count(ESCAPED) == 4
    assert not set(COLOR.sub(b"", shown.getvalue().encode())) & {7, 0x9B}


def test_show_leaves_out_what_nobody_reads_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = [
        tables.table("T", map(str, range(150)), [[0] * 150] * 3000),
        tables.table("U", ["a"], [[1], [2]]),
    ]
    output.show(parts)
    assert len(capsys.readouterr().out.splitlines()) == 3002 + 2 * 5
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "1000")
    output.show(parts)
    *_, last = lines = capsys.readouterr().out.splitlines()
    assert last == "  not shown: 1,002 rows and 50 columns; --json prints all"
    assert (len(lines), len(lines[-3].split())) == (2006, 100)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("`max_drop` needs images", "--max-drop needs images"),
        ("give `macs=0.5` or more", "give --macs 0.5 or more"),
        ("leave out `no_progress=True`", "leave out --no-progress"),
        ("`layer=*` prunes all", "--layer '*' prunes all"),
        ("`past` names a checkpoint", "--from names a checkpoint"),
        ("no layer matches `layer=\ud800`", "no layer matches --layer '\ud800'"),
        ("write `A B` or `0.5`", "write `A B` or `0.5`"),
    ],
)
def test_arguments_of_the_library_are_shown_as_options(message: str, shown: str) -> None:
    assert output.as_options(message) == shown


def test_json_lines_are_whole_and_refuse_what_json_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    output.emit([{"a": "é"}, {"a": None}], lambda: [], as_json=True)
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line) for line in lines] == [{"a": "é"}, {"a": None}]
    # so that any terminal and any encoding can print it
    assert lines[0].isascii()
    with pytest.raises(ValueError, match="JSON"):
        output.emit([{"a": float("nan")}], lambda: [], as_json=True)
