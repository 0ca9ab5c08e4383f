import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emoprune.errors import BadMetrics, EmopruneError, InvalidRecord
from emoprune.evaluation.types import ClassScore, Intervals, Latency, Metrics, ReliabilityBin
from emoprune.reporting import records_io
from emoprune.reporting.records_io import Foreign

FLOATS = st.floats(-1e99, 1e99)
SHARES = st.none() | st.floats(0, 1)
ENDS = st.tuples(st.floats(-1, 0), st.floats(0, 9))
INTERVALS = st.builds(
    Intervals,
    *(st.text(max_size=6), st.sampled_from(["samples", "groups"]), st.integers(2, 99), st.just(2000)),
    st.dictionaries(st.text(max_size=6), ENDS, max_size=3),
)
TIMES = st.tuples(st.just(Latency(1, 2, "cpu", 20, 0.5, 1.0, 1.5)))


@st.composite
def any_metrics(draw: st.DrawFn) -> Metrics:
    classes = tuple(draw(st.lists(st.text(max_size=6), min_size=1, max_size=4, unique=True)))
    row = st.lists(st.integers(0, 50), min_size=len(classes), max_size=len(classes)).map(tuple)
    confusion = tuple(draw(st.lists(row, min_size=len(classes), max_size=len(classes))))
    scores = st.builds(ClassScore, SHARES, SHARES, SHARES, st.integers(0, 99))
    return Metrics(
        model=draw(st.text(max_size=6)),
        model_fingerprint="ab",
        data=draw(st.text(max_size=6)),
        data_fingerprint="cd",
        split="test",
        n=sum(map(sum, confusion)),
        classes=classes,
        accuracy=draw(st.floats(0, 1)),
        accuracy_interval=(0.0, 1.0),
        macro_f1=draw(st.floats(0, 1)),
        per_class={name: draw(scores) for name in classes},
        confusion=confusion,
        log_loss=draw(FLOATS),
        calibration_error=draw(st.floats(0, 1)),
        parameters=3,
        nonzero_parameters=2,
        macs=5,
        bytes=7,
        units=1,
        auc=draw(SHARES),
        intervals=draw(st.none() | INTERVALS),
        latency=draw(st.none() | TIMES),
        reliability=draw(st.sampled_from([None, (ReliabilityBin(sum(map(sum, confusion)), 0.5, None),)])),
    )


SCORE = {"precision": None, "recall": 0.5, "f1": None, "support": 2}


def parsed(text: str, *, place: str) -> list[Any]:
    # dumps writes infinite numbers as JSON does not have them
    found = list(records_io.parse(io.StringIO(text.replace("Infinity", "1e999")), place=place))
    for each in found:
        if isinstance(each, Foreign):
            raise each
    return found


def good(**changes: Any) -> dict[str, Any]:
    """One object as `eval` prints it, written out by hand."""
    record: dict[str, Any] = {
        "schema": "emoprune.metrics/1",
        "model": "model.st",
        "model_fingerprint": "ab",
        "data": "faces",
        "data_fingerprint": "cd",
        "split": "test",
        "n": 4,
        "classes": ["angry", "happy"],
        "accuracy": 0.5,
        "accuracy_interval": [0.15, 0.85],
        "macro_f1": 0.4,
        "per_class": {"angry": SCORE, "happy": SCORE},
        "confusion": [[0, 2], [0, 2]],
        "log_loss": 0.7,
        "calibration_error": 0.1,
        "parameters": 100,
        "nonzero_parameters": 100,
        "macs": 90,
        "bytes": 1000,
        "units": 10,
    }
    return {**record, **changes}


@given(st.lists(any_metrics(), min_size=1, max_size=3), st.sampled_from([None, 2]))
@settings(max_examples=50, deadline=None)
def test_parse_gives_back_what_eval_prints(found: list[Metrics], indent: int | None) -> None:
    text = "\n".join(json.dumps(records_io.to_record(entry), indent=indent) for entry in found)
    assert list(parsed(text, place="here")) == found


def test_parse_takes_records_of_older_versions() -> None:
    (found,) = parsed(json.dumps(good()), place="here")
    assert (found.top2_accuracy, found.auc, found.reliability, found.intervals, found.latency) == (None,) * 5
    assert (found.majority, found.balanced_accuracy) == (0.5, 0.5)


def test_parse_derives_what_follows_from_the_confusion() -> None:
    (found,) = parsed(json.dumps(good(kappa=0.9, majority=0.1)), place="here")
    assert (found.kappa, found.majority) == (0, 0.5)
    assert records_io.to_record(found)["kappa"] == 0


def test_to_record_begins_with_its_schema_and_has_every_key() -> None:
    (found,) = parsed(json.dumps(good()), place="here")
    record = records_io.to_record(found)
    assert next(iter(record.items())) == ("schema", "emoprune.metrics/1")
    assert set(good()) <= set(record)
    assert json.loads(json.dumps(record)) | good() == json.loads(json.dumps(record))


@pytest.mark.parametrize("between", ["\n", "", " ", "\r\n", "\n\n\n", "\t"])
@pytest.mark.parametrize("indent", [None, 2], ids=["one line", "pretty"])
def test_parse_reads_several_objects_with_any_blanks_between(between: str, indent: int | None) -> None:
    text = between.join(json.dumps(good(model=name), indent=indent) for name in ("a", "b", "c"))
    found = parsed(f"\n {text}\n", place="here")
    assert [entry.model for entry in found] == ["a", "b", "c"]


@pytest.mark.parametrize("indent", [None, 2], ids=["one line", "pretty"])
def test_parse_says_which_number_is_none_of_json(indent: int | None) -> None:
    text = json.dumps(good(log_loss=float("nan")), indent=indent)
    with pytest.raises(BadMetrics, match=r"^runs.json, line 1: NaN is not JSON; give"):
        parsed(text, place="runs.json")


def test_parse_refuses_a_key_that_is_there_twice() -> None:
    text = json.dumps(good()).replace("{", '{"n": 1, ', 1)
    with pytest.raises(BadMetrics, match="a key is there twice"):
        parsed(text, place="runs.json")


@pytest.mark.parametrize(
    "broken", ["Traceback (most recent call last):", "{", '{"schema": ', "1" * 5000, "[" * 100_000]
)
def test_parse_names_the_number_of_a_broken_line(broken: str) -> None:
    line = json.dumps(good())
    with pytest.raises(BadMetrics, match="not JSON") as caught:
        parsed(f"{line}\n{line}\n{broken}\n{line}\n", place="runs.json")
    assert caught.value.place == "runs.json, line 3"


@pytest.mark.parametrize("size", [1, 7, 400, 5000])
@pytest.mark.parametrize("between", ["\n", "", "\n\n \n"])
def test_parse_reads_objects_and_counts_lines_however_little_it_reads_at_a_time(
    monkeypatch: pytest.MonkeyPatch, size: int, between: str
) -> None:
    monkeypatch.setattr(records_io, "CHUNK", size)
    texts = [json.dumps(good(model=f"m{index}"), indent=index % 3) for index in range(7)]
    text = between.join(texts)
    assert [entry.model for entry in parsed(text, place="here")] == [f"m{index}" for index in range(7)]
    with pytest.raises(BadMetrics) as caught:
        parsed(f"{text}\n\nbroken\n{text}", place="here")
    assert caught.value.place == f"here, line {text.count(chr(10)) + 3}"


@pytest.mark.parametrize("begins", ['{"schema": "', '{"schema": [', '{"schema": [\n', "x"])
def test_parse_refuses_a_long_line_and_a_long_object_before_it_has_read_them(
    monkeypatch: pytest.MonkeyPatch, begins: str
) -> None:
    monkeypatch.setattr(records_io, "CHUNK", 100)
    monkeypatch.setattr(records_io, "LONGEST", 2000)
    text = io.StringIO(
        f"{json.dumps(good())}\n{begins}" + "1,\n" * 10_000 * (begins[-1] == "\n") + "1" * 50_000
    )
    with pytest.raises(BadMetrics, match="longer than 2,000 characters") as caught:
        list(records_io.parse(text, place="here"))
    assert caught.value.place == "here, line 2"
    assert text.tell() < 10_000


def test_parse_reads_on_after_many_empty_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records_io, "CHUNK", 100)
    monkeypatch.setattr(records_io, "LONGEST", 2000)
    line = json.dumps(good())
    assert len(parsed(f"{line}\n" + " \n" * 9000 + line, place="here")) == 2


def test_parse_names_the_line_where_a_cut_object_begins() -> None:
    pretty = json.dumps(good(), indent=2)
    with pytest.raises(BadMetrics) as caught:
        parsed(f"{pretty}\n{pretty[:-4]}", place="runs.json")
    assert caught.value.place == f"runs.json, line {pretty.count(chr(10)) + 2}"


@pytest.mark.parametrize("text", ["", " ", "\n\n"])
def test_parse_refuses_a_text_without_metrics(text: str) -> None:
    with pytest.raises(BadMetrics, match="no metrics") as caught:
        parsed(text, place="runs.json")
    assert caught.value.place == "runs.json"


@pytest.mark.parametrize(
    "value",
    [good(schema="emoprune.export/2"), good(schema=None), good(schema=1), {}, [], [good()], 5, None, "x"],
)
def test_parse_refuses_another_schema_or_no_object_by_line(value: object) -> None:
    with pytest.raises(BadMetrics, match=r"schema .*, not emoprune\.metrics/1") as caught:
        parsed(f"{json.dumps(good())}\n{json.dumps(value)}", place="runs.json")
    assert caught.value.place == "runs.json, line 2"


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        ({"n": 5}, "does not add up to n = 5"),
        ({"bytes": 10**400}, "bytes cannot be 1000"),
        ({"units": -1}, "units cannot be -1"),
        ({"accuracy": 1.5}, "accuracy"),
        ({"accuracy_interval": [0.9, 0.1]}, "interval"),
        ({"confusion": [[0, 2], [0, 3]]}, "does not add up"),
        ({"confusion": [[0, 2]]}, "confusion"),
        ({"confusion": [[0, 2, 0], [0, 2, 0]]}, "confusion"),
        ({"per_class": {"angry": good()["per_class"]["angry"]}}, "per_class"),
        ({"classes": ["angry", "sad"]}, "per_class"),
        ({"n": True}, "n: expected int"),
        ({"confusion": [[-1, 3], [0, 2]]}, "confusion cannot be -1"),
        ({"classes": [], "confusion": [], "per_class": {}, "n": 0}, "classes"),
        ({"per_class": {**good()["per_class"], "angry": {**SCORE, "support": -1}}}, "support cannot be -1"),
        *(({"log_loss": value}, "log_loss.*out of range") for value in (1e999, -1e999, 1e200)),
        ({"accuracy_interval": [0.1, 1e999]}, "not a fraction"),
        ({"per_class": {**good()["per_class"], "angry": {**SCORE, "f1": 1e999}}}, "per_class"),
    ],
    ids=lambda value: "" if isinstance(value, str) else str(value)[:30],
)
def test_parse_refuses_numbers_that_are_wrong_or_contradict_each_other(
    change: dict[str, Any], fact: str
) -> None:
    with pytest.raises(InvalidRecord, match=fact) as caught:
        parsed(json.dumps(good(**change)), place="runs.json")
    assert caught.value.place == "runs.json, line 1"


@given(st.text(max_size=40))
@settings(max_examples=100, deadline=None)
def test_parse_refuses_random_text(text: str) -> None:
    with pytest.raises(EmopruneError) as caught:
        parsed(text, place="runs.json")
    assert caught.value.place.startswith("runs.json")


TRAINING: dict[str, Any] = {
    "schema": "emoprune.training/1",
    "model": "m.st",
    "label": "a",
    "training": [
        {"index": 1, "train_loss": 1.5, "train_accuracy": 0.2, "val_loss": None, "val_accuracy": None}
    ],
}
STEPS: dict[str, Any] = {
    "schema": "emoprune.steps/1",
    "model": "m.st",
    "method": "progressive",
    "label": None,
    "steps": [{"units": 9, "loss": None, "accuracy": 0.5, "smallest_angle_deg": 3, "least_importance": None}],
}
PRUNED: dict[str, Any] = {
    "schema": "emoprune.prune/2",
    "input": "m.st",
    "output": None,
    "method": "reconstruct",
    "merge": "lstsq",
    "amount": {"macs": 0.5},
    "images": 0,
    "refitted_on": 3,
    "drawn": True,
    **{name: {"before": 9, "after": 8} for name in ("units", "parameters", "macs", "bytes")},
    "layers": [
        {
            **{"layer": "first", "before": 9, "after": 8, "similar": 0, "complementary": 0},
            **{"insignificant": 0, "error_sum": 0.5, "error_lstsq": None, "center": "half"},
            **{"removed": [3], "merges": {"3": 0}, "spared": False},
        }
    ],
    "frozen": [],
}
ANGLES: dict[str, Any] = {
    **{"schema": "emoprune.angles/2", "model": "m.st", "layer": "first", "units": 2, "center": "half"},
    **{"similar": 2, "complementary": 0, "insignificant": 0, "smallest_deg": 3.5, "largest_deg": 3.5},
    "pairs": [{"i": 0, "j": 1, "angle_deg": 3.5}],
}


def test_parse_takes_what_prune_prints() -> None:
    (found,) = parsed(json.dumps(PRUNED), place="here")
    assert (found.name, found.units.after) == ("m.st, reconstruct macs 0.5", 8)
    assert (found.layers[0].layer, found.layers[0].error_sum, found.drawn) == ("first", 0.5, True)


def test_parse_takes_what_angles_prints_with_a_histogram_or_of_older_versions() -> None:
    (found,) = parsed(json.dumps(ANGLES), place="here")
    assert (found.name, found.pairs[0].angle_deg) == ("m.st, first", 3.5)
    assert (found.below_deg, found.histogram) == (None, None)
    counts = [0] * 3 + [1] + [0] * 176
    (found,) = parsed(json.dumps({**ANGLES, "below_deg": 15, "histogram": counts}), place="here")
    assert (found.below_deg, found.histogram) == (15, tuple(counts))


@pytest.mark.parametrize("ours", [True, False])
def test_parse_tells_other_records_of_emoprune_from_foreign_ones(ours: bool) -> None:
    record = {"schema": "emoprune.train/1" if ours else "other.train/1"}
    (found,) = records_io.parse(io.StringIO(json.dumps(record)), place="here")
    assert isinstance(found, Foreign)
    assert found.ours == ours


@pytest.mark.parametrize(
    ("record", "fact"),
    [
        ({**PRUNED, "amount": {}}, "not one amount"),
        ({**PRUNED, "method": "x"}, "no method is called 'x'"),
        ({**PRUNED, "layers": [{**PRUNED["layers"][0], "after": -1}]}, "units cannot be -1"),
        ({**PRUNED, "schema": "emoprune.prune/1"}, "prune/1' is of another version"),
        ({**ANGLES, "histogram": [1]}, "a histogram of 1 degrees"),
        ({**ANGLES, "histogram": [-1] * 180}, "a count of angles cannot be -1"),
        ({**TRAINING, "training": []}, "without epochs"),
        ({**TRAINING, "training": [{"index": 1, "train_loss": 1.0}]}, "lacks training.*train_accuracy"),
        ({**STEPS, "steps": []}, "without steps"),
        ({**STEPS, "steps": [{"loss": 0.5}]}, "lacks steps.*units"),
        ({**STEPS, "label": " "}, "empty label"),
        *(
            (
                {**TRAINING, "schema": schema},
                f"{schema}' is of another version; use the emoprune that wrote it",
            )
            for schema in ("emoprune.training/2", "emoprune.metrics/10", "emoprune.steps/0")
        ),
        ({**TRAINING, "training": [{**TRAINING["training"][0], "index": 10**400}]}, "epoch cannot be 1000"),
        ({**STEPS, "steps": [{"units": -1}]}, "units cannot be -1"),
        ({**STEPS, "steps": [{"units": 1, "loss": 1e999}]}, r"steps\[0\]\.loss"),
    ],
)
def test_parse_names_a_bad_line_of_any_kind(record: dict[str, Any], fact: str) -> None:
    with pytest.raises(EmopruneError, match=fact) as caught:
        parsed(f"{json.dumps(good())}\n{json.dumps(record)}", place="runs.json")
    assert caught.value.place == "runs.json, line 2"


def test_parse_reads_label_and_settings_where_there_are_any() -> None:
    tagged = good(label="whole, random split", settings={"hidden": 200, "rule": "film", "share": 0.5})
    first, second = parsed(json.dumps(tagged) + json.dumps(good()), place="here")
    assert (first.name, first.number("hidden"), first.number("rule")) == ("whole, random split", 200.0, None)
    assert (second.label, second.name, second.settings) == (None, "model.st", {})
    assert json.loads(json.dumps(records_io.to_record(first)))["settings"] == tagged["settings"]


DEEP = json.loads("[" * 900 + "]" * 900)


@pytest.mark.parametrize(
    "settings",
    [{"a": None}, {"a": True}, {"": 1}, {"a": [1]}, {"a": 10**400}, {"a": 1e999}, {"a": DEEP}, [], 3],
)
def test_parse_refuses_a_setting_that_is_neither_number_nor_text(settings: object) -> None:
    with pytest.raises(InvalidRecord, match=r"setting|nested"):
        parsed(json.dumps(good(settings=settings)), place="here")
