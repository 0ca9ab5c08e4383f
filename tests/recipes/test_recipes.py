"""Each paper's recipe makes its tables, beside the paper's numbers, and its figures."""

from __future__ import annotations

import csv
import html
import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.recipes.conftest import ROOT, Recipe

NEEDS = {
    "luan2020": (),
    "jain2020": ("--weights", "."),
    "zhang2020": (),
    "elazar2020": ("--weights", "resnet18_faces.pth"),
    "wright2019": (),
}
FIGURES = {
    "luan2020": ("random/curves", "compression/steps", "kernels/steps"),
    "jain2020": ("accuracy-by-hidden", "compression-by-hidden", "before-after"),
    "zhang2020": (),
    "elazar2020": ("random/curves",),
    "wright2019": ("curves",),
}


@pytest.mark.parametrize("name", NEEDS)
def test_recipe_makes_tables_and_figures(
    recipe: Recipe, data: Path, weights: Path, tmp_path: Path, name: str
) -> None:
    options = [weights / option if index % 2 else option for index, option in enumerate(NEEDS[name])]
    out = tmp_path / "out"
    done = recipe(name, data, out, "--quick", *options)
    assert done.returncode == 0, done.stderr[-3000:]
    records = [
        json.loads(line) for path in out.glob("runs-*.jsonl") for line in path.read_text().splitlines()
    ]
    labels = {record["label"] for record in records}
    paper = (ROOT / "recipes" / "papers" / f"{name}.csv").read_text().splitlines()
    printed = {row["label"] for row in csv.DictReader(paper)}
    assert len(labels) >= 2
    # runs have the labels of the paper's numbers
    assert any(entry == label or entry.startswith(f"{label}, ") for label in labels for entry in printed)
    page = re.sub("<wbr>", "", html.unescape((out / "report.html").read_text()))
    assert all(label in page for label in labels)
    assert f"The systems of {name}" in page
    assert f"Made by recipes/{name}.sh DATA OUT --quick" in page
    assert "Table" in page or "section" in page
    folder = out / "figures"
    drawn = {path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.svg")}
    assert drawn >= set(FIGURES[name])
    assert any(stem.startswith("confusion") for stem in drawn)
    assert done.stdout.strip().splitlines()


def test_evidence_makes_a_page_with_verdicts_on_networks_named_beforehand(
    recipe: Recipe, data: Path, tmp_path: Path
) -> None:
    done = recipe("evidence", data / "fer2013", tmp_path / "out", "--quick")
    assert done.returncode == 0, done.stderr[-3000:]
    page = (tmp_path / "out" / "evidence.html").read_text()
    assert "What pruning a conv2 costs" in page
    assert all(f">{name}" in page for name in ("half", "quarter", "healed", "rule"))
    lines = (tmp_path / "out" / "sweep.jsonl").read_text().splitlines()
    # the whole network, and three methods with two merges at two budgets
    assert len(lines) == 1 + 3 * 2 * 2
    assert "Verdicts against whole" in done.stdout


def test_wright2019_refuses_a_csv_without_a_split_before_anything_runs(
    recipe: Recipe, tmp_path: Path
) -> None:
    (tmp_path / "fer2013.csv").write_text("emotion,pixels\n")
    refused = recipe("wright2019", tmp_path, tmp_path / "out", "--quick")
    assert (refused.returncode, "no column Usage" in refused.stderr) == (1, True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", NEEDS)
def test_recipe_help_names_the_data_and_a_bad_command_line_writes_nothing(
    recipe: Recipe, data: Path, tmp_path: Path, name: str
) -> None:
    shown = recipe(name, "--help")
    assert (shown.returncode, "DATA" in shown.stdout, "--quick" in shown.stdout) == (0, True, True)
    assert recipe(name).returncode == 2
    assert recipe(name, data, tmp_path / "out", "--slow").returncode == 2
    assert not (tmp_path / "out").exists()
    (tmp_path / "mine").mkdir()
    refused = recipe(name, data, tmp_path / "mine", "--quick")
    assert (refused.returncode, "exists already" in refused.stderr) == (1, True)
    assert not any((tmp_path / "mine").iterdir())


@pytest.mark.parametrize("name", NEEDS)
def test_recipe_names_the_folder_that_lacks_its_data(recipe: Recipe, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    refused: subprocess.CompletedProcess[str] = recipe(name, tmp_path / "empty", tmp_path / "out", "--quick")
    assert refused.returncode == 1
    assert "not found" in refused.stderr
    assert str(tmp_path / "empty") in refused.stderr
