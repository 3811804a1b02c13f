"""Attempts at trials: pure functions of what Optuna stores.

A *trial* has a number, counted from 0, and may take several *attempts*: one whose worker was killed, or asked to stop, is followed by
another with the same values, which goes on from the last epoch. What Optuna calls a trial is an attempt here; the attempts of one
trial name those before them (`earlier`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import psutil
from optuna.trial import FrozenTrial, TrialState, create_trial

STUCK = 5
"""Attempts in a row that were killed without having got an epoch further, after which the trial has failed."""
CLAIM_SECONDS = 10.0
"""An attempt that no worker has claimed by then was lost between two writes."""
State = Literal["complete", "pruned", "failed", "running", "waiting", "interrupted"]


@dataclass(frozen=True)
class Row:
    """A trial as its last attempt left it."""

    number: int
    state: State
    values: tuple[float, ...] | None
    """Of the objectives; of a pruned trial the last that it reported."""
    params: dict[str, Any]
    """Option -> value as it was drawn (a choice's label)."""
    reason: str
    epochs: int
    """Trained, of all seeds together."""
    seconds: float
    attempts: int
    metrics: dict[str, float]
    curve: dict[int, float]
    """Epoch -> what was reported, of the first seed."""
    started: datetime | None
    mlflow_run_id: str | None


def numbers(attempts: Sequence[FrozenTrial]) -> dict[int, int]:
    """Attempt's number in Optuna -> number of the trial: those that begin a trial are counted."""
    found: dict[int, int] = {}
    count = 0
    for attempt in sorted(attempts, key=lambda attempt: int(attempt.number)):
        if before := earlier(attempt):
            found[attempt.number] = found[before[0]]
        else:
            found[attempt.number], count = count, count + 1
    return found


def earlier(attempt: FrozenTrial) -> list[int]:
    """The attempts at this trial before this one."""
    return list(attempt.user_attrs.get("earlier", []))


def is_void(attempt: FrozenTrial) -> bool:
    """Whether it is no attempt at all: two workers queued the same, or a grid was exhausted."""
    return attempt.user_attrs.get("outcome") == "void"


def was_cut_off(attempt: FrozenTrial) -> bool:
    """Whether it ended before its trial did, and is to be followed by another."""
    if attempt.state != TrialState.FAIL:
        return False
    outcome = attempt.user_attrs.get("outcome")
    return outcome == "interrupted" or (outcome is None and attempt.user_attrs.get("stuck", 0) < STUCK)


def again(attempt: FrozenTrial, keys: Sequence[str]) -> FrozenTrial:
    """The attempt that follows one which was cut off: with the same values, unless not all of `keys` were drawn yet."""
    facts = {key: value for key, value in attempt.user_attrs.items() if key not in ("worker", "outcome", "reason", "beat")}
    further = epochs(attempt) > facts.get("begun", 0) or "outcome" in attempt.user_attrs
    facts |= {"stuck": 0 if further else facts.get("stuck", 0) + 1, "begun": epochs(attempt)}
    whole = set(attempt.params) == set(keys)
    return create_trial(
        state=TrialState.WAITING,
        params=attempt.params if whole else {},
        distributions=attempt.distributions if whole else {},
        user_attrs=facts | {"earlier": [*earlier(attempt), attempt.number]},
        intermediate_values=attempt.intermediate_values,
    )


def rows(attempts: Sequence[FrozenTrial]) -> list[Row]:
    """The trials by number."""
    of, last = numbers(attempts), dict[int, FrozenTrial]()
    for attempt in attempts:
        if not is_void(attempt):
            last[of[attempt.number]] = attempt
    return [_row(number, attempt) for number, attempt in sorted(last.items())]


def _row(number: int, attempt: FrozenTrial) -> Row:
    facts = attempt.user_attrs
    return Row(
        number=number,
        state=_state(attempt),
        values=tuple(attempt.values) if attempt.values is not None else None,
        params=dict(attempt.params),
        reason=_reason(attempt),
        epochs=epochs(attempt),
        seconds=float(sum(seconds for _, seconds in _progress(attempt))),
        attempts=1 + len(earlier(attempt)),
        metrics=facts.get("metrics", {}),
        curve=dict(attempt.intermediate_values),
        started=attempt.datetime_start,
        mlflow_run_id=facts.get("mlflow_run_id"),
    )


def _state(attempt: FrozenTrial) -> State:
    if attempt.state == TrialState.FAIL:
        return "interrupted" if was_cut_off(attempt) else "failed"
    known: dict[TrialState, State] = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.RUNNING: "running"}
    return known.get(attempt.state, "waiting")


def _reason(attempt: FrozenTrial) -> str:
    if attempt.state not in (TrialState.FAIL, TrialState.PRUNED):
        return ""
    said = attempt.user_attrs.get("reason")
    if said is not None:
        return str(said)
    return "its worker was killed" if was_cut_off(attempt) else f"its worker was killed {STUCK + 1} times without getting further"


def _progress(attempt: FrozenTrial) -> list[tuple[int, float]]:
    """(epochs, seconds) of each training seed."""
    return [(int(value[0]), float(value[1])) for key, value in attempt.user_attrs.items() if key.startswith("progress ")]


def epochs(attempt: FrozenTrial) -> int:
    return sum(count for count, _ in _progress(attempt))


def wall_seconds(trials: Sequence[Row]) -> float:
    """Seconds in which any trial ran: from each one's last beginning, as long as it took; overlaps count once."""
    spans = sorted((row.started, row.started + timedelta(seconds=row.seconds)) for row in trials if row.started is not None)
    total, until = 0.0, datetime.min
    for begin, end in spans:
        total += max(0.0, (end - max(begin, until)).total_seconds())
        until = max(until, end)
    return total


# ------------------------------------------------------------------------------------------------------------ workers


@cache
def identity() -> dict[str, Any]:
    """This process, so that another one on this machine can see whether it lives. No name of the machine."""
    parts = [_read("/proc/sys/kernel/random/boot_id"), os.readlink("/proc/self/ns/pid") if Path("/proc/self/ns/pid").exists() else ""]
    machine = sha256("".join(parts).encode()).hexdigest()[:12] if any(parts) else f"{psutil.boot_time():.0f}"
    return {"machine": machine, "pid": os.getpid(), "started": psutil.Process().create_time()}


def _read(file: str) -> str:
    try:
        return Path(file).read_text(encoding="ascii")
    except OSError:
        return ""


def is_lost(attempt: FrozenTrial) -> bool:
    """Whether an attempt that runs, by what is stored, has no process any more. To be asked between two attempts of one's own."""
    worker, here = attempt.user_attrs.get("worker"), identity()
    if worker is None:
        begun = attempt.datetime_start
        return begun is not None and datetime.now() - begun > timedelta(seconds=CLAIM_SECONDS)
    if worker["machine"] != here["machine"]:
        return False
    return bool(worker == here) or not _lives(worker["pid"], worker["started"])


def _lives(pid: int, started: float) -> bool:
    try:
        process = psutil.Process(pid)
        return bool(abs(process.create_time() - started) < 1.0 and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
