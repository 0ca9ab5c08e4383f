"""The program: its commands, and how every fault becomes one line and an exit code."""

from __future__ import annotations

import errno
import io
import os
import re
import sys
import traceback
from typing import Annotated

import typer

from emoprune.cli import (
    angles,
    crop,
    demo,
    export,
    features,
    inspect,
    options,
    output,
    predict,
    prune,
    report,
    search,
    sweep,
    train,
)
from emoprune.cli import eval as evaluate
from emoprune.errors import EmopruneError
from emoprune.io.visible_text import visible
from emoprune.version import __version__

BUG, INTERRUPTED, BROKEN_PIPE = 70, 130, 141

OF_NAMES = (errno.EACCES, errno.ELOOP, errno.ENAMETOOLONG)
"""What the system says of a path before it looks there; any look at a path of the user's may meet it."""

app = typer.Typer(
    name="emoprune",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Turn photos of faces into a small, fast expression classifier, and measure what that costs.",
    epilog="""\b
A pipeline:
  emoprune crop raw/ faces/
  emoprune train faces/ model.st
  emoprune angles model.st
  emoprune prune model.st --method distinct --angle 15
  emoprune eval model.distinct.st faces/ | emoprune report
  emoprune export model.distinct.st model.onnx
  emoprune predict model.onnx photo.jpg

No photos at hand? emoprune demo draws some and runs all of it.""",
)

for command in (
    *(crop, features, train, search, angles, prune, sweep, evaluate, report),
    *(export, predict, inspect, demo),
):
    name = command.__name__.rpartition(".")[2]
    kind = getattr(command, "Command", options.FilledCommand)
    app.command(name, cls=kind, epilog=command.EXAMPLES)(command.command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"emoprune {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)


def main(argv: list[str] | None = None) -> int:
    """Run a command line (without the program's name) and return its exit code.

    0 done, 1 the input is at fault, 2 the command line is, 70 our bug, 130 Ctrl-C, 141 broken pipe.
    """
    with output.guarded():
        try:
            with output.telling():
                return _ended(argv)
        except KeyboardInterrupt:
            return _complain("interrupted", INTERRUPTED)


def _ended(argv: list[str] | None) -> int:
    try:
        code = _dispatch(argv)
        sys.stdout.flush()
        return code
    except EmopruneError as error:
        # a name is shorter than a sentence
        error.place = visible(error.place)
        return _complain(str(error), error.exit_code)
    except typer.TyperException as error:
        return _complain(_usage(error), error.exit_code)
    except BrokenPipeError:
        return BROKEN_PIPE
    except Exception as error:
        if isinstance(error, OSError) and error.errno in OF_NAMES and isinstance(error.filename, str):
            place = visible(error.filename)
            return _complain(f"{place}: cannot be used ({error.strerror}); check its name and permissions", 1)
        for line in traceback.format_exc().rstrip("\n").split("\n"):
            output.tell(line)
        return _complain("this is a bug of emoprune; please report the lines above", BUG)


def _dispatch(argv: list[str] | None) -> int:
    try:
        code: int | None = app(args=argv, prog_name="emoprune", standalone_mode=False)
        # typer makes a Ctrl-C an exit code of its own
        if code == INTERRUPTED:
            raise KeyboardInterrupt
    except SystemExit as end:
        # typer ends on its own after shell completion and for a broken pipe, which it takes for a fault; the
        # demo ends with the code of a command that has said why
        if isinstance(end.__context__, BrokenPipeError):
            raise end.__context__ from None
        code = end.code if isinstance(end.code, int) else 0
    return code or 0


def _usage(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "emoprune"
    line = " ".join(error.format_message().split()).rstrip(".")
    # a question ends in a mark of its own
    line = re.sub(r"[.;]? did you mean (.+)\?$", r" (did you mean \1?)", line, flags=re.IGNORECASE)
    return f"{line}; see {path} --help"


def _complain(line: str, code: int) -> int:
    output.tell(f"emoprune: {line}")
    return code


def run() -> None:
    """The console script."""
    # streams that the caller has closed (`>&-`) lead nowhere; Python has None there
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # of the numbers that are free the least, so the one that was closed
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))
    # idle threads that spin instead of sleeping keep a second run on the machine from its cores; torch
    # reads this when it is imported, which no command has done yet
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # a file name that the terminal's encoding lacks is shown escaped rather than ending the program
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(main())
