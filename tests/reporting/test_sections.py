"""The report: which sections it has, what it warns of, what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from emoprune import choices
from emoprune.choices import Section
from emoprune.errors import BadData, BadMetrics, UsageFault
from emoprune.pruning.types import PruningCurve, PruningStep
from emoprune.reporting.sections import FLAT, TABLES, report
from emoprune.reporting.types import ReportConfig, Runs
from tests.support.answers import answers
from tests.support.runs import curve, layer_angles, pruning, run, summary

STEPS = (pruning("sum", PruningStep(10, loss=1.5, accuracy=0.6)),)
EVERYTHING = Runs(
    (run("a", 0.5),),
    (curve("a", (0.5, None)),),
    STEPS,
    pruned=(summary((4, 3)),),
    angles=(layer_angles((0, 1, 3.0)),),
)
LABELS = ReportConfig(by_label=True)
ANSWERS = answers("m", "aab")
COMPARED: tuple[Section, ...] = ("verdicts", "payers", "flipped")


def test_every_section_has_tables_and_flat_rows() -> None:
    assert tuple(TABLES) == tuple(FLAT) == get_args(choices.Section)


@pytest.mark.parametrize("config", [ReportConfig(), LABELS])
def test_report_has_the_sections_that_have_something(config: ReportConfig) -> None:
    rest = [name for name in get_args(choices.Section) if name not in ("predictions", *COMPARED)]
    assert report(EVERYTHING, config).sections == rest
    assert report(Runs(curves=EVERYTHING.curves), config).sections == ["curves"]
    assert report(Runs(prunings=STEPS), config).sections == ["steps"]


@pytest.mark.parametrize("by_label", [False, True])
def test_report_lists_predictions_or_compares_them_with_a_baseline(in_folder: Path, by_label: bool) -> None:
    runs = replace(EVERYTHING, predictions=(ANSWERS, answers("n", "abb")))
    assert report(runs, ReportConfig(by_label=by_label)).sections[3] == "predictions"
    (in_folder / "b.csv").write_bytes(ANSWERS.to_bytes())
    made = report(runs, ReportConfig(by_label=by_label, baseline="b.csv"))
    assert [*made.sections] == [name for name in get_args(choices.Section) if name != "predictions"]
    assert [each.run for each in made.verdicts.found] == ["n"]
    record = made.to_record()
    assert [len(record[key]) for key in ("predictions", *COMPARED)] == [2, 1, 1, 1]
    assert report(EVERYTHING).to_record()["verdicts"] == []


def test_report_compares_other_images_with_force(in_folder: Path) -> None:
    (in_folder / "b.csv").write_bytes(ANSWERS.to_bytes())
    runs, config = Runs(predictions=(answers("n", "abba"),)), ReportConfig(baseline="b.csv")
    with pytest.raises(BadData, match="1 image of it and 0 of m are not in the other"):
        report(runs, config)
    assert report(runs, config, force=True).verdicts.found[0].comparison.accuracy.images == 3


@pytest.mark.parametrize("sections", [(), ("summary",), ("classes",), ("confusion", "classes")])
def test_warnings_on_models_stand_once_below_the_first_table_of_them(sections: tuple[Section, ...]) -> None:
    looked = replace(run("a", 0.5), test_looks=3)
    made = report(replace(EVERYTHING, evaluations=(looked,)))
    warning = "a: its test part was looked at before, 3 times"
    first, *rest = made.tables(*sections)
    assert first.warnings == (warning,)
    assert not any(table.warnings for table in (*rest, *made.tables("steps")))
    assert made.to_record()["warnings"] == (warning,)


def test_tables_come_in_the_order_of_sections_or_of_one_alone() -> None:
    titles = [table.title for table in report(EVERYTHING).tables()]
    assert [title.split()[0] for title in titles] == [
        *("Summary", "Precision", "Recall", "F1", "Confusion", "Step", "Predicted", "Angles", "Learning")
    ]
    assert [table.title for table in report(EVERYTHING).tables("steps")] == ["Step by step"]
    assert report(EVERYTHING, LABELS).tables()[0].title == "Summary by label: means over runs"


def test_flat_is_the_first_section_unless_another_is_wanted() -> None:
    assert report(EVERYTHING).flat().title == "summary"
    assert report(EVERYTHING).flat("curves") == report(Runs(curves=EVERYTHING.curves)).flat()


def test_to_record_has_all_sections() -> None:
    record = report(EVERYTHING).to_record()
    assert (record["schema"], len(record["models"])) == ("emoprune.report/1", 1)
    assert [len(record[key]) for key in ("steps", "layers", "angles", "curves")] == [1] * 4
    record = report(Runs(prunings=STEPS), LABELS).to_record()
    assert (record["schema"], record["labels"], record["curves"]) == ("emoprune.labels/1", [], [])


@pytest.mark.parametrize("config", [ReportConfig(), LABELS])
@pytest.mark.parametrize(
    ("section", "fact"),
    [
        *(("summary", "no metrics"), ("classes", "no metrics"), ("confusion", "no metrics")),
        *(
            ("steps", "no steps"),
            ("curves", "no learning curves"),
            ("layers", "no layers"),
            ("angles", "no angles"),
            ("predictions", "no predictions"),
        ),
        *((name, "no comparison") for name in COMPARED),
    ],
)
def test_a_section_without_records_is_refused(config: ReportConfig, section: Section, fact: str) -> None:
    others = Runs(curves=EVERYTHING.curves) if section != "curves" else Runs(prunings=STEPS)
    made = report(others, config)
    for show in (made.chosen, made.tables, made.flat):
        with pytest.raises(BadMetrics, match=fact):
            show(section)


def test_report_refuses_no_runs() -> None:
    with pytest.raises(BadMetrics, match="no runs"):
        report(Runs())


def test_report_warns_of_different_samples_and_of_a_mean_over_different_methods() -> None:
    assert report(EVERYTHING, LABELS).warnings == ()
    other = PruningCurve("m.st", "importance", STEPS[0].steps, "sum")
    mixed = Runs((run("a", 0.5), replace(run("b", 0.5), split="val")), prunings=(*STEPS, other))
    (samples,) = report(mixed).warnings
    assert samples == "not all were measured on the same part of the same data"
    assert report(mixed, LABELS).warnings == (
        samples,
        "steps of label 'sum' differ in method; their mean is over all of these",
    )


def test_a_papers_accuracy_of_a_step_goes_to_an_evaluation_of_the_same_label(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text(
        'label,measure,value,where\n"sum, 9 units",loss,1.62,\n"sum, 9 units",accuracy,34.5%,\n'
    )
    config = ReportConfig(by_label=True, paper=str(tmp_path / "p.csv"))
    made = report(Runs((run("sum, 9 units", 0.5),)), config)
    assert made.flat("summary").columns.count("paper_accuracy") == 1
    assert "paper_accuracy" not in made.flat("steps").columns
    assert "paper_accuracy" in report(Runs(prunings=STEPS), config).flat("steps").columns


def test_a_paper_needs_labels() -> None:
    with pytest.raises(UsageFault, match="`paper` has numbers of labels; give `by_label=True`"):
        ReportConfig(paper="p.csv")
