"""The storage of a search: what it remembers, whoever wrote it and however that process ended."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from emoprune.errors import OutputFault, UsageFault
from emoprune.search.space import Space, Trial
from emoprune.search.storage import Claim, Study

SPACES = (
    Space("lr", "log", 1e-4, 1.0),
    Space("dropout", "linear", 0.0, 0.5),
    Space("layers", "linear", 1, 3, True),
    Space("hidden", "choice", choices=(10, 20, "10+20")),
)


def whole(number: int, ended: Sequence[Trial]) -> Sequence[Space]:
    return SPACES


def opened(path: Path, seed: int = 0) -> Study:
    return Study(str(path), spaces=SPACES, seed=seed)


def optuna_study(path: Path) -> optuna.Study:
    storage = JournalStorage(JournalFileBackend(str(path)))
    return optuna.load_study(study_name="emoprune", storage=storage)


def claimed(study: Study, total: int) -> Claim:
    claim = study.claim(total, whole)
    assert claim is not None
    return claim


def drawn(path: Path, *, seed: int = 0, total: int = 6) -> list[dict[str, int | float | str]]:
    """The values of all trials of a search."""
    with opened(path, seed) as study:
        for _ in range(total):
            claim = claimed(study, total)
            study.made(claim, f"f{claim.number}")
            study.finish(claim, accuracy=0.5, line="{}")
        return [dict(trial.values) for trial in study.trials()]


def test_claim_draws_values_in_their_spaces_that_follow_from_the_seed(tmp_path: Path) -> None:
    found = drawn(tmp_path / "a")
    for values in found:
        assert 1e-4 <= float(values["lr"]) <= 1
        assert 0 <= float(values["dropout"]) <= 0.5
        assert values["layers"] in (1, 2, 3)
        assert values["hidden"] in (10, 20, "10+20")
    assert drawn(tmp_path / "b") == found
    assert drawn(tmp_path / "c", seed=1) != found
    assert len({values["lr"] for values in found}) == len(found)


def test_claim_takes_of_a_storage_only_what_is_searched(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with opened(path):
        foreign = {"arch": "foreign:make", "lr": 0.1}
        distributions: dict[str, optuna.distributions.BaseDistribution] = {
            "arch": optuna.distributions.CategoricalDistribution(["foreign:make"]),
            "lr": optuna.distributions.FloatDistribution(1e-4, 1.0, log=True),
        }
        entry = optuna.trial.create_trial(
            state=optuna.trial.TrialState.WAITING,
            params=foreign,
            distributions=distributions,
            user_attrs={"trial": 0},
        )
        optuna_study(path).add_trial(entry)
    with opened(path) as study:
        claim = claimed(study, 1)
    assert claim.values.keys() == {space.name for space in SPACES}
    assert claim.values["lr"] == 0.1


def test_claim_draws_the_same_when_a_search_continues(tmp_path: Path) -> None:
    drawn(tmp_path / "a", total=2)
    with opened(tmp_path / "a") as study:
        later = claimed(study, 3)
    assert later.number == 2
    assert dict(later.values) == drawn(tmp_path / "b", total=3)[2]


def test_trials_are_those_that_ended_by_number_with_failures(tmp_path: Path) -> None:
    with opened(tmp_path / "a") as study:
        first, second = claimed(study, 2), claimed(study, 2)
        assert study.claim(2, whole) is None
        study.fail(second, "the loss is nan")
        study.made(first, "f")
        study.finish(first, accuracy=0.25, line='{"a": 1}')
    with opened(tmp_path / "a") as study:
        assert study.trials() == (
            Trial(0, first.values, 0.25, '{"a": 1}', "f"),
            Trial(1, second.values),
        )
        assert study.fingerprints() == {"f"}
        assert study.claim(2, whole) is None


def test_optuna_reads_parameters_states_values_and_attributes(tmp_path: Path) -> None:
    with opened(tmp_path / "a") as study:
        done, failed, running = (claimed(study, 3) for _ in range(3))
        study.made(done, "f")
        study.finish(done, accuracy=0.25, line='{"a": 1}')
        study.fail(failed, "the loss is nan")
    first, second, third = optuna_study(tmp_path / "a").trials
    assert [entry.state.name for entry in (first, second, third)] == ["COMPLETE", "FAIL", "RUNNING"]
    assert (first.value, first.params, third.params) == (0.25, done.values, running.values)
    assert (first.user_attrs["metrics"], second.user_attrs["reason"]) == ('{"a": 1}', "the loss is nan")


def test_claim_takes_what_a_killed_process_left_in_the_queue(tmp_path: Path) -> None:
    with opened(tmp_path / "a") as study:
        assert claimed(study, 9).number == 0
        values = dict(claimed(study, 9).values)
        optuna_study(tmp_path / "a").enqueue_trial(values, user_attrs={"trial": 2})
        assert (claimed(study, 9).number, claimed(study, 9).number) == (2, 3)


def test_identity_is_what_the_first_process_says(tmp_path: Path) -> None:
    with opened(tmp_path / "a") as study:
        assert study.identity({"seed": "0"}) == {"seed": "0"}
    with opened(tmp_path / "a") as study:
        assert study.identity({"seed": "1"}) == {"seed": "0"}


def test_claim_waits_for_a_proposal(tmp_path: Path) -> None:
    with opened(tmp_path / "a") as study:
        assert study.claim(3, lambda number, ended: None) is None
        assert claimed(study, 3).number == 0


def test_claim_draws_from_a_narrower_space(tmp_path: Path) -> None:
    narrow = (
        Space("lr", "log", 0.01, 0.02),
        Space("dropout", "linear", 0.1, 0.1),
        Space("layers", "choice", choices=(2,)),
        Space("hidden", "choice", choices=("10+20", 10)),
    )
    with opened(tmp_path / "a") as study:
        claimed(study, 9)
        for _ in range(8):
            claim = study.claim(9, lambda number, ended: narrow)
            assert claim is not None
            values = claim.values
            assert 0.01 <= float(values["lr"]) <= 0.02
            assert (values["dropout"], values["layers"]) == (0.1, 2)
            assert values["hidden"] in ("10+20", 10)


def _claim_and_hold(path: str, pipe: Connection) -> None:
    with opened(Path(path)) as study:
        pipe.send(claimed(study, 3).number)
        signal.pause()


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Callable[[], tuple[int, int]]]:
    """Starts another process that holds a trial of `tmp_path`/a: the trial's number, and the process's."""
    context = multiprocessing.get_context("spawn")
    started = []

    def start() -> tuple[int, int]:
        ours, theirs = context.Pipe()
        other = context.Process(target=_claim_and_hold, args=(str(tmp_path / "a"), theirs))
        other.start()
        started.append(other)
        assert other.pid is not None
        return ours.recv(), other.pid

    yield start
    for other in started:
        other.kill()
        other.join()


def test_claim_takes_the_trial_of_a_killed_process_but_not_of_a_running_one(
    tmp_path: Path, holder: Callable[[], tuple[int, int]]
) -> None:
    number, pid = holder()
    assert number == 0
    with opened(tmp_path / "a") as study:
        assert claimed(study, 3).number == 1
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        assert study.trials() == ()
        again = claimed(study, 3)
    assert again.number == 0
    assert dict(again.values) == drawn(tmp_path / "b", total=1)[0]


def test_opening_cuts_off_a_half_written_line(tmp_path: Path) -> None:
    path = tmp_path / "a"
    drawn(path, total=2)
    whole_journal = path.read_bytes()
    with path.open("ab") as stream:
        stream.write(b'{"op_code":4,"worker')
    with opened(path) as study:
        assert len(study.trials()) == 2
        assert path.read_bytes() == whole_journal
        assert claimed(study, 3).number == 2


@pytest.mark.parametrize(
    "data", [b"\x80PNG", b"notes\n", b"{}\n", b'{"op_code":0}\n', b'{"op_code":0,"wo\nx\n']
)
def test_opening_refuses_a_foreign_or_damaged_file_and_leaves_it(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(OutputFault, match="not a storage of a search"):
        opened(tmp_path / "a")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", data)]


def test_opening_refuses_a_storage_that_has_only_studies_of_others(tmp_path: Path) -> None:
    for place in (str(tmp_path / "a"), f"sqlite:///{tmp_path / 'b'}"):
        backend = JournalStorage(JournalFileBackend(place)) if "://" not in place else place
        optuna.create_study(study_name="theirs", storage=backend)
        with pytest.raises(OutputFault, match="not a storage of a search"):
            Study(place, spaces=SPACES, seed=0)


def test_opening_refuses_a_database_of_another_program_and_leaves_it(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "a")) as database:
        database.execute("CREATE TABLE bookmarks (url TEXT)")
    data = (tmp_path / "a").read_bytes()
    with pytest.raises(OutputFault, match="not a storage of a search"):
        Study(f"sqlite:///{tmp_path / 'a'}", spaces=SPACES, seed=0)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", data)]


@pytest.mark.parametrize(
    "storage",
    [
        *("sqlite:///", "sqlite:///:memory:", "sqlite:///a?mode=ro", "sqlite://a", "redis://here:1/0"),
        *("sqlite:///b://c", "", "://"),
    ],
)
def test_opening_refuses_addresses_that_are_not_of_a_file(in_folder: Path, storage: str) -> None:
    with pytest.raises(UsageFault, match="is not a file; give a file, or sqlite:///FILE"):
        Study(storage, spaces=SPACES, seed=0)
    assert list(in_folder.iterdir()) == []


GOOD = {"trial": 0, "metrics": "{}", "fingerprint": "f"}


@pytest.mark.parametrize(
    "attributes",
    [
        *({key: value for key, value in GOOD.items() if key != lost} for lost in GOOD),
        *({**GOOD, "trial": value} for value in ("x", -1, None, [0])),
        *({**GOOD, "metrics": value} for value in ("{", "NaN", 5, None)),
    ],
)
def test_trials_refuse_what_no_search_has_written(tmp_path: Path, attributes: dict[str, Any]) -> None:
    storage = JournalStorage(JournalFileBackend(str(tmp_path / "a")))
    study = optuna.create_study(study_name="emoprune", storage=storage, direction="maximize")
    for entry in (GOOD, attributes):
        trial = study.ask()
        trial.suggest_float("lr", 1e-4, 1.0, log=True)
        for key, value in entry.items():
            trial.set_user_attr(key, value)
        study.tell(trial, 0.5)
    ours = Study(str(tmp_path / "a"), spaces=SPACES[:1], seed=0)
    with ours, pytest.raises(OutputFault, match="is damaged") as caught:
        ours.trials()
    assert caught.value.place == str(tmp_path / "a")


@pytest.mark.parametrize("kind", ["", "sqlite:///"])
def test_a_search_ends_when_its_storage_is_removed_or_replaced(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a"
    with Study(f"{kind}{path}", spaces=SPACES, seed=0) as study:
        claim = claimed(study, 3)
        data = path.read_bytes()
        path.rename(tmp_path / "moved")
        for replaced in (False, True):
            if replaced:
                path.write_bytes(data)
            for use in (study.trials, lambda: claimed(study, 3), lambda: study.fail(claim, "a reason")):
                with pytest.raises(OutputFault, match="removed or replaced during the search"):
                    use()
    assert (tmp_path / "moved").read_bytes() == data


def test_opening_explains_a_lock_that_is_a_folder_and_a_file_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.mutex").mkdir()
    with pytest.raises(OutputFault, match=r"cannot be locked.*; remove it") as caught:
        opened(tmp_path / "a")
    assert caught.value.place == str(tmp_path / "a.mutex")
    drawn(tmp_path / "b", total=1)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(OutputFault, match="cannot be written; change its permissions") as caught:
        opened(tmp_path / "b")
    assert caught.value.place == str(tmp_path / "b")
