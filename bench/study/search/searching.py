"""A search that is open in its storage, by this process and maybe by others: what there is, and the next attempt at a trial."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from bench.errors import Interrupted, RunFailed, UsageError
from bench.outbox import without_password
from bench.study.declared import MAXIMISED, Search
from bench.study.search.attempts import Row, again, earlier, identity, is_lost, numbers, rows, wall_seconds, was_cut_off
from bench.study.search.sampler import ByNumber, drawn, drawn_keys, pruner_of
from bench.study.search.storage import address, opened
from bench.study.trial import Outcome, Pruned
from bench.validation import dotted

Objective = Callable[[int, Mapping[str, Any], "Attempt"], Outcome]
"""(number of the trial, its options' values, the way to the study) -> what it obtained."""
BEGUN = 4
"""Trials that may be begun for each that is to be completed, where the budget does not say."""
logging.getLogger("optuna").setLevel(logging.CRITICAL)  # what matters is reported


class Searching:
    """One search and its storage. A study that was never begun is a UsageError unless `create`."""

    def __init__(self, search: Search, url: str | None = None, *, create: bool = True) -> None:
        self.search = search
        self.url = address(url, search.file.storage, search.name)
        storage = opened(self.url, create=create)
        directions: list[Any] = ["maximize" if name in MAXIMISED else "minimize" for name in search.file.objective]
        told: dict[str, Any] = {"storage": storage, "study_name": search.name, "pruner": pruner_of(search), "sampler": ByNumber(search)}
        try:
            if create:
                self.study = optuna.create_study(**told, directions=directions, load_if_exists=True)
            else:
                self.study = optuna.load_study(**told)
        except KeyError:
            raise UsageError(f"there is no study {search.name} in {without_password(self.url)}: `study run` begins it") from None
        self._check_declared()

    def _check_declared(self) -> None:
        """What was declared when the study began still is."""
        declared, before = self.search.declared(), self.study.user_attrs.get("declared")
        if before is None:
            self.keep("declared", declared)
            return
        ours, theirs = dict(dotted(declared)), dict(dotted(before))
        new = {
            key for key in ours if key.startswith("base.") and key not in theirs
        }  # options that came into being since, at their defaults
        if changed := [key for key in ours | theirs if key not in new and ours.get(key) != theirs.get(key)]:
            raise UsageError(
                f"study {self.search.name} began with another {', '.join(changed[:4])}: put its file back, or give the file another "
                "name, which is another study"
            )

    # ------------------------------------------------------------------------------------------------- what there is

    def attempts(self) -> list[FrozenTrial]:
        found: list[FrozenTrial] = self.study.get_trials(deepcopy=False)
        return found

    def rows(self) -> list[Row]:
        """The trials by number, each as its last attempt left it."""
        return rows(self.attempts())

    def fact(self, name: str) -> Any:
        """What was kept with the study, None if nothing was."""
        return self.study.user_attrs.get(name)

    def keep(self, name: str, value: Any) -> None:
        self.study.set_user_attr(name, value)

    def best(self) -> list[Row]:
        """The best trial, or of several objectives those that no other beats in all; [] where none is complete."""
        of = numbers(self.attempts())
        chosen = {of[attempt.number] for attempt in self.study.best_trials}
        found = [row for row in self.rows() if row.number in chosen]
        return found if len(self.search.file.objective) > 1 else found[:1]

    @property
    def stopping(self) -> bool:
        return self.fact("stop") is not None

    def stop(self, *, asked: bool) -> None:
        """Ask the workers to end after their epoch, or take that back."""
        self.keep("stop", datetime.now().isoformat(timespec="seconds") if asked else None)

    def over(self) -> str | None:
        """Why no further trial is to begin; None: one is."""
        found, budget = self.rows(), self.search.file.budget
        failed = [row for row in found if row.state == "failed"]
        if self.stopping:
            return "it was asked to stop"
        if len(failed) >= budget.failures:
            return f"{len(failed)} trials failed (budget.failures), the first: {failed[0].reason}"
        if self.search.file.grid:
            left = len(self.search.cells) - sum(row.state in ("complete", "failed") for row in found)
            return None if left else f"all {len(found)} trials of the grid have ended"
        return self._spent(found)

    def _spent(self, found: Sequence[Row]) -> str | None:
        """Trials that were begun and cut off are completed, though their number is there without them: none is lost."""
        budget, complete = self.search.file.budget, sum(row.state == "complete" for row in found)
        if budget.trials is not None and not any(row.state == "waiting" for row in found):
            if complete >= budget.trials:
                return f"{complete} trials are complete"
            if len(found) >= (budget.begun or BEGUN * budget.trials) and not any(row.state == "running" for row in found):
                return f"{len(found)} trials were begun (budget.begun), of which {complete} are complete"
        if budget.hours is not None and (hours := wall_seconds(found) / 3600) >= budget.hours:
            return f"{hours:.2f} hours are spent"
        seconds = sum(row.seconds for row in found)
        if budget.accelerator_seconds is not None and seconds >= budget.accelerator_seconds:
            return f"{seconds:.0f} accelerator-seconds are spent"
        return None

    # --------------------------------------------------------------------------------------------- what a worker does

    def recover(self) -> None:
        """End the attempts whose worker died on this machine, and queue what was cut off, to be taken up again.

        Workers on other machines are missed by their heartbeat, which Optuna looks at before each attempt.
        """
        for attempt in self.attempts():
            if attempt.state == TrialState.RUNNING and is_lost(attempt):
                self.study.tell(attempt.number, state=TrialState.FAIL, skip_if_finished=True)
        attempts = self.attempts()
        followed = {number for attempt in attempts for number in earlier(attempt)}
        for attempt in attempts:
            if attempt.number not in followed and was_cut_off(attempt):
                self.study.add_trial(again(attempt, drawn_keys(self.search)))

    def must_wait(self) -> bool:
        """Whether those that run may be all that is wanted, or one has been begun that did not say yet by whom."""
        attempts = self.attempts()
        if any(attempt.state == TrialState.WAITING for attempt in attempts):
            return False
        running = [attempt for attempt in attempts if attempt.state == TrialState.RUNNING]
        if any("worker" not in attempt.user_attrs for attempt in running):
            return True
        if self.search.file.grid:
            return len(rows(attempts)) >= len(self.search.cells)
        wanted, complete = self.search.file.budget.trials, sum(attempt.state == TrialState.COMPLETE for attempt in attempts)
        if wanted is None or not running:
            return False
        return complete + len(running) >= wanted or len(rows(attempts)) >= (self.search.file.budget.begun or BEGUN * wanted)

    def advance(self, objective: Objective) -> int | None:
        """Make one attempt; the number of its trial if that has ended for good."""
        attempt = Attempt(self, objective)
        try:
            self.study.optimize(attempt.make, n_trials=1, catch=(Exception,))
        except optuna.exceptions.UpdateFinishedTrialError:
            return None  # another worker took this one for dead and has taken over
        except ValueError as error:
            if "Cannot tell" not in str(error):
                raise
            return None  # likewise
        return attempt.ended


class Attempt:
    """One attempt at a trial, and the trial's way to the study."""

    def __init__(self, searching: Searching, objective: Objective) -> None:
        self._searching, self._objective = searching, objective
        self.ended: int | None = None
        self.mlflow_run_id: str | None = None
        self._reported: dict[int, float] = {}

    def make(self, trial: optuna.Trial) -> float | Sequence[float]:
        """What Optuna calls."""
        self._trial, search = trial, self._searching.search
        number = self._claim()
        try:
            outcome = self._objective(number, drawn(trial, search), self)
        except Pruned as error:
            self._end(number, "pruned", str(error))
            raise optuna.TrialPruned from None
        except (Interrupted, KeyboardInterrupt) as error:
            self.know(outcome="interrupted", reason=str(error) or "interrupted")
            raise
        except Exception as error:
            self._end(number, "failed", str(error))
            raise
        self.know(metrics=outcome.metrics)
        self.ended = number
        return outcome.values

    def _claim(self) -> int:
        """Say who is at it; the trial's number. What two workers queued at once, or what lies beyond the grid, is void."""
        self.know(worker=identity())
        search, attempts = self._searching.search, self._searching.attempts()
        mine = next(attempt for attempt in attempts if attempt.number == self._trial.number)
        number, before = numbers(attempts)[mine.number], earlier(mine)
        twice = before and any(earlier(attempt) == before and attempt.number < mine.number for attempt in attempts)
        if twice or (search.file.grid and number >= len(search.cells)):
            self.know(outcome="void")
            raise RunFailed("void")
        self.mlflow_run_id = mine.user_attrs.get("mlflow_run_id")
        self._reported = dict(mine.intermediate_values)
        return number

    def _end(self, number: int, outcome: str, reason: str) -> None:
        self.know(outcome=outcome, reason=reason)
        self.ended = number

    def know(self, **facts: Any) -> None:
        for name, value in facts.items():
            self._trial.set_user_attr(name, value)

    def epoch(self, number: int, value: float | None) -> None:
        """Report an epoch that was not reported yet, and judge the last one."""
        search = self._searching.search
        if value is not None and len(search.file.objective) == 1:
            if number not in self._reported:
                self._trial.report(value, number)
                self._reported[number] = value
            if number == max(self._reported) < search.base.train.epochs and self._trial.should_prune():
                best = max(self._reported.values())
                raise Pruned(f"epoch {number}: {search.file.objective[0]} {best:.1f} at best, below the {_bar(search)} of the others")
        if self._searching.stopping:
            raise Interrupted("the study was asked to stop")


def _bar(search: Search) -> str:
    pruner = search.file.pruner
    return "median" if pruner.name == "median" else f"best {pruner.keep:g} %"
