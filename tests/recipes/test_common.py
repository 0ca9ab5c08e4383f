"""What the recipes share, in a recipe of the test's own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.recipes.conftest import ROOT

Run = Callable[..., subprocess.CompletedProcess[str]]

RECIPE = """#!/usr/bin/env bash
usage="mine.sh DATA OUT [--seeds '0 1 2']"
. {common}
need there
begin
seeds=${{seeds:-0 1 2}}
one() {{
  if [ "$1" = 0 ]; then emoprune; fi
  # a descendant of the background job, as the commands of a recipe are
  bash -c 'sleep "$LASTS"; echo "$2" >> "$1/ended"' - "$out" "$1"
}}
each_seed one
echo on
"""


@pytest.fixture
def mine(tmp_path: Path) -> Run:
    """Runs the recipe, in which seed 0 fails, with JOBS of it at once."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "data").mkdir()
    for path, text in (("bin/emoprune", "#!/bin/sh\nexit 3\n"), ("mine.sh", RECIPE)):
        (tmp_path / path).write_text(text.format(common=ROOT / "recipes" / "common.sh"))
        (tmp_path / path).chmod(0o755)

    def run(*argv: str, jobs: int = 1, lasts: int = 0) -> subprocess.CompletedProcess[str]:
        places = os.pathsep.join([str(tmp_path / "bin"), os.environ["PATH"]])
        environment = {**os.environ, "PATH": places, "JOBS": str(jobs), "LASTS": str(lasts)}
        return subprocess.run(
            ["./mine.sh", "data", "out", *argv],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_seed_that_fails_ends_the_recipe_and_what_runs_beside_it(
    mine: Run, tmp_path: Path, jobs: int
) -> None:
    (tmp_path / "data" / "there").touch()
    # the output that is read to its end is held by what runs beside it, too: back here, none of it is left
    done = mine("--seeds", "0 1 2", jobs=jobs, lasts=20)
    assert (done.returncode, done.stdout) == (3, "")
    assert not (tmp_path / "out" / "ended").exists()


def test_seeds_run_one_after_the_other_and_the_recipe_goes_on(mine: Run, tmp_path: Path) -> None:
    (tmp_path / "data" / "there").touch()
    done = mine("--seeds", "2 1")
    assert (done.returncode, done.stdout) == (0, "on\n")
    assert (tmp_path / "out" / "ended").read_text().split() == ["2", "1"]


def test_data_that_is_not_there_leaves_no_folder_behind(mine: Run, tmp_path: Path) -> None:
    done = mine()
    assert (done.returncode, "data/there: not there" in done.stderr) == (1, True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("argv", "says"),
    [(("--weights", "f"), "unknown option --weights"), (("--seeds",), "--seeds needs a value")],
)
def test_an_option_that_the_recipe_lacks_or_that_lacks_its_value_is_refused(
    mine: Run, argv: tuple[str, ...], says: str
) -> None:
    done = mine(*argv)
    assert (done.returncode, says in done.stderr) == (2, True)
