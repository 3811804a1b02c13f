"""Searches in a real storage, in this process: what is counted, what is kept from a trial, and what becomes of one that fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.errors import RunFailed, UsageError
from bench.materials import SEEN, gather
from bench.progress import Silent
from bench.study.search.attempts import STUCK, Row, wall_seconds
from bench.study.search.searching import Searching
from bench.study.workers import work
from tests.small_study import conducted, opened, searches, write
from tests.small_study import plugged as plugged


def told(rows: list[Row]) -> list[tuple[Any, ...]]:
    """All of a trial that time does not change."""
    return [(row.number, row.state, row.values, row.params, row.metrics, row.curve, row.epochs) for row in rows]


class Dies(BaseException):
    """The end of a process, as a test can bring it about."""


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Searching:
    return conducted(write(tmp_path_factory.mktemp("unbroken"), budget={"trials": 5}))


def test_a_search_completes_its_budget(unbroken: Searching) -> None:
    rows = unbroken.rows()
    assert [row.state for row in rows] == ["complete"] * 5
    assert [row.number for row in rows] == list(range(5))
    assert unbroken.over() == "5 trials are complete"
    (best,) = unbroken.best()
    assert best.values == (max(row.values[0] for row in rows if row.values),)
    assert all(row.metrics["selected/val/t2i/R1"] == row.values[0] for row in rows if row.values)
    assert all(row.values[0] == max(row.curve.values()) for row in rows if row.values)
    assert all(row.epochs == 4 and row.seconds > 0 for row in rows)


def test_a_search_starts_from_the_preset_where_the_space_holds_it(unbroken: Searching, tmp_path: Path) -> None:
    """The toys' own learning rate, 8e-5, is outside of that space."""
    search, first = unbroken.search, unbroken.rows()[0].params
    assert first["model.width"] == search.own("model.width") == "6"
    assert search.own("train.lr") < 1e-4 <= first["train.lr"]
    wider = {"train.lr": {"low": 1e-5, "high": 0.3, "log": True}}
    assert conducted(write(tmp_path, budget={"trials": 1}, space=wider)).rows()[0].params == {"train.lr": search.own("train.lr")}
    elsewhere = conducted(write(tmp_path, "drawn", budget={"trials": 1}, space=wider, sampler={"preset_first": False}))
    assert elsewhere.rows()[0].params != {"train.lr": search.own("train.lr")}


def test_a_trials_numbers_are_kept_and_its_weights_are_not(unbroken: Searching) -> None:
    folder = unbroken.search.folder / "trial003" / "seed0"
    assert sorted(path.name for path in folder.iterdir()) == ["config.yaml", "metrics.jsonl"]
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["val/t2i/R1"] for line in lines] == [unbroken.rows()[3].curve[epoch] for epoch in range(1, 5)]


def test_a_search_cannot_open_test(tmp_path: Path) -> None:
    (search,) = searches(write(tmp_path, dataset="toy-whole"))
    materials = gather(search.base, Silent(), tmp_path / "tokenizer", SEEN)
    dataset = materials.dataset
    for ask in (materials.split, materials.encoded, materials.captions, dataset.split, dataset.ceiling, dataset.grounding, dataset.columns):
        with pytest.raises(RunFailed, match="never opens the test split"):
            ask("test")
    assert gather(search.base, Silent(), tmp_path / "tokenizer").split("test").n_identities == 5


@pytest.mark.parametrize("dying_at", [1, 4])
def test_a_process_that_dies_anywhere_changes_nothing(
    unbroken: Searching, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dying_at: int
) -> None:
    """Each attempt dies at its so-maneth fact that is kept; every other one is let through."""
    from bench.study.search.searching import Attempt

    searching = opened(write(tmp_path, budget={"trials": 5}))
    know, attempts = Attempt.know, 0

    def dies(self: Attempt, **facts: Any) -> None:
        nonlocal attempts
        self.kept = getattr(self, "kept", 0) + 1  # type: ignore[attr-defined]
        if self.kept == 1:  # type: ignore[attr-defined]
            attempts += 1
        know(self, **facts)
        if self.kept == dying_at and attempts % 2:  # type: ignore[attr-defined]
            raise Dies

    monkeypatch.setattr(Attempt, "know", dies)
    deaths = 0
    while True:
        try:
            work(searching, Silent())
            break
        except Dies:
            deaths += 1
    assert deaths >= 5
    assert told(searching.rows()) == told(unbroken.rows())
    assert max(row.attempts for row in searching.rows()) > 1


def test_what_a_trial_is_depends_on_its_number_not_on_the_process(unbroken: Searching, tmp_path: Path) -> None:
    searching = opened(write(tmp_path, budget={"trials": 3}))
    work(searching, Silent())
    again = opened(write(tmp_path, budget={"trials": 5}))  # a larger budget is the same study
    work(again, Silent())
    assert told(again.rows()) == told(unbroken.rows())


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ("memory", "out of memory: CUDA out of memory. Tried to allocate 20.00 GiB"),
        ("host memory", "out of memory"),
        ("error", "ZeroDivisionError: a defect of the model"),
        ("nan", "nan"),
    ],
)
def test_a_failed_trial_is_no_failed_study(tmp_path: Path, trouble: str, reason: str) -> None:
    space = {"model.trouble": {"choices": ["none", trouble]}, "train.lr": {"low": 0.001, "high": 0.1}}
    searching = conducted(write(tmp_path, space=space, sampler={"name": "random", "seed": 2}, budget={"trials": 3}))
    rows = searching.rows()
    failed = [row for row in rows if row.state == "failed"]
    assert sum(row.state == "complete" for row in rows) == 3
    assert failed
    assert all(reason in row.reason and row.params["model.trouble"] == trouble for row in failed)


def test_a_study_in_which_all_fails_ends(tmp_path: Path) -> None:
    searching = conducted(write(tmp_path, base={"model.trouble": "error", "train.epochs": 1}, budget={"trials": 3, "failures": 2}))
    assert searching.over() == "2 trials failed (budget.failures), the first: ZeroDivisionError: a defect of the model"
    assert searching.best() == []


def test_pruning_saves_epochs_and_loses_nothing(tmp_path: Path) -> None:
    """The same trials, since a random sampler's hang on their numbers alone, once with pruning and once without."""
    base = {"train": {"epochs": 10, "batch_size": 8, "workers": 0}}
    common: dict[str, Any] = {"base": base, "sampler": {"name": "random", "seed": 2}, "space": {"train.lr": {"choices": [1e-6, 0.05]}}}
    pruner = {"name": "percentile", "keep": 60, "startup": 2, "warmup": 2}
    pruned = conducted(write(tmp_path, "pruned", **common, pruner=pruner, budget={"trials": 5}))
    whole = conducted(write(tmp_path, "whole", **common, budget={"trials": len(pruned.rows())}))
    assert [row.params for row in pruned.rows()] == [row.params for row in whole.rows()]
    spent, without = (sum(row.epochs for row in searching.rows()) for searching in (pruned, whole))
    assert spent <= 0.7 * without, (spent, without)
    assert pruned.best()[0].values == whole.best()[0].values
    given_up = [row for row in pruned.rows() if row.state == "pruned"]
    assert sum(row.state == "complete" for row in pruned.rows()) == 5
    assert given_up
    assert all(row.epochs < 10 and "below the best 60 % of the others" in row.reason for row in given_up)


def test_a_pruner_that_lets_none_pass_ends_the_study(tmp_path: Path) -> None:
    pruner = {"name": "percentile", "keep": 1, "startup": 1, "warmup": 0}
    searching = conducted(write(tmp_path, pruner=pruner, budget={"trials": 9, "begun": 5}))
    rows = searching.rows()
    assert len(rows) == 5
    assert searching.over() == f"5 trials were begun (budget.begun), of which {sum(row.state == 'complete' for row in rows)} are complete"


def test_other_budgets(tmp_path: Path) -> None:
    file = write(tmp_path, budget={"accelerator_seconds": 0.2})
    searching = conducted(file)
    assert "accelerator-seconds are spent" in (searching.over() or "")
    assert sum(row.seconds for row in searching.rows()[:-1]) < 0.2
    hours = wall_seconds(searching.rows()) / 3600
    assert 0 < hours <= sum(row.seconds for row in searching.rows()) / 3600
    write(tmp_path, budget={"hours": hours / 2})
    assert "hours are spent" in (opened(file).over() or "")


def test_several_seeds_are_one_trial(tmp_path: Path) -> None:
    searching = conducted(write(tmp_path, seeds=[3, 5], budget={"trials": 1}))
    (row,) = searching.rows()
    assert row.epochs == 8
    by_seed = [row.metrics[f"seed{seed}/selected/val/t2i/R1"] for seed in (3, 5)]
    assert row.values == (pytest.approx(sum(by_seed) / 2),)
    assert max(row.curve.values()) == by_seed[0]


def test_several_objectives_have_a_front_and_no_pruning(tmp_path: Path) -> None:
    file = write(tmp_path, objective=["mAP", "parameters"], pruner={"name": "median", "startup": 1, "warmup": 0}, budget={"trials": 4})
    searching = conducted(file)
    rows = searching.rows()
    assert not searching.search.prunes
    assert [row.state for row in rows] == ["complete"] * 4
    front = {row.number for row in searching.best()}

    def beaten(row: Row) -> bool:
        mine = row.values or ()
        return any(other[0] >= mine[0] and other[1] <= mine[1] and other != mine for other in (one.values or () for one in rows))

    assert front == {row.number for row in rows if not beaten(row)}


class TestStop:
    def test_a_trial_is_left_and_taken_up_again(self, unbroken: Searching, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from bench.study.search.searching import Attempt

        searching, epoch = opened(write(tmp_path, budget={"trials": 5})), Attempt.epoch

        def asked(self: Attempt, number: int, value: float | None) -> None:
            if number == 2 and len(searching.rows()) == 3:
                searching.stop(asked=True)
            epoch(self, number, value)

        monkeypatch.setattr(Attempt, "epoch", asked)
        assert work(searching, Silent()) == "it was asked to stop"
        assert [row.state for row in searching.rows()] == ["complete", "complete", "waiting"]
        monkeypatch.undo()
        searching.stop(asked=False)
        work(searching, Silent())
        assert told(searching.rows()) == told(unbroken.rows())
        assert searching.rows()[2].attempts == 2


def test_a_study_whose_file_changed_is_another_study(tmp_path: Path) -> None:
    opened(write(tmp_path))
    with pytest.raises(UsageError, match=r"study toys began with another base.train.epochs: put its file back"):
        opened(write(tmp_path, base={"train.epochs": 2, "train.batch_size": 8, "train.workers": 0}))
    with pytest.raises(UsageError, match=r"began with another sampler.seed"):
        opened(write(tmp_path, sampler={"startup": 3, "seed": 1}))


def test_a_study_that_was_not_begun(tmp_path: Path) -> None:
    (search,) = searches(write(tmp_path))
    with pytest.raises(UsageError, match=r"there is no .*study\.db: `study run` begins a study"):
        Searching(search, f"sqlite:///{tmp_path / 'study.db'}", create=False)
    opened(write(tmp_path, "other"))
    with pytest.raises(UsageError, match="there is no study toys in"):
        Searching(search, f"sqlite:///{tmp_path / 'study.db'}", create=False)


@pytest.mark.parametrize("url", ["mysql://user:secret@localhost:1/x", "postgresql://user:secret@localhost:1/x", "redis", "nothing://x"])
def test_a_storage_that_is_not_there_is_said_without_its_password(tmp_path: Path, url: str) -> None:
    (search,) = searches(write(tmp_path))
    with pytest.raises(UsageError) as raised:
        Searching(search, url)
    assert "secret" not in str(raised.value)


def test_a_journal_file_is_a_storage_too(unbroken: Searching, tmp_path: Path) -> None:
    journal = conducted(write(tmp_path, budget={"trials": 5}), url=f"journal:{tmp_path / 'journal.log'}")
    assert told(journal.rows()) == told(unbroken.rows())


def test_a_trial_that_kills_its_workers_fails_in_the_end(tmp_path: Path) -> None:
    searching = opened(write(tmp_path, budget={"trials": 1}))
    for attempt in range(STUCK + 1):
        searching.recover()
        assert searching.over() is None
        with pytest.raises(Dies):
            searching.advance(dying)
        assert searching.rows()[0].attempts == attempt + 1
    searching.recover()
    (row,) = searching.rows()
    assert (row.state, row.reason) == ("failed", f"its worker was killed {STUCK + 1} times without getting further")


def dying(*_: Any) -> Any:
    raise Dies


@pytest.fixture(autouse=True)
def _no_storage_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TBPS_STUDY_STORAGE", raising=False)
