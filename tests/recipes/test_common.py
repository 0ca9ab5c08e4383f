"""recipes/common.sh, in a recipe that the test writes."""

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
def test_each_seed_ends_the_recipe_and_its_other_jobs_when_one_seed_fails(
    mine: Run, tmp_path: Path, jobs: int
) -> None:
    (tmp_path / "data" / "there").touch()
    # the other job holds the output too: once it is read to its end, both have ended
    done = mine("--seeds", "0 1 2", jobs=jobs, lasts=120)
    assert (done.returncode, done.stdout) == (3, "")
    assert not (tmp_path / "out" / "ended").exists()


def test_each_seed_runs_the_seeds_in_order_and_the_recipe_continues(mine: Run, tmp_path: Path) -> None:
    (tmp_path / "data" / "there").touch()
    done = mine("--seeds", "2 1")
    assert (done.returncode, done.stdout) == (0, "on\n")
    assert (tmp_path / "out" / "ended").read_text().split() == ["2", "1"]


def test_need_refuses_missing_data_before_a_folder_is_made(mine: Run, tmp_path: Path) -> None:
    done = mine()
    assert (done.returncode, "data/there: not found" in done.stderr) == (1, True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("argv", "says"),
    [(("--weights", "f"), "unknown option --weights"), (("--seeds",), "--seeds needs a value")],
)
def test_arguments_refuse_an_unknown_option_and_a_missing_value(
    mine: Run, argv: tuple[str, ...], says: str
) -> None:
    done = mine(*argv)
    assert (done.returncode, says in done.stderr) == (2, True)
