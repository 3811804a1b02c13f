"""The processes of a study: one works here, or several are started; any number may join from elsewhere."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from bench import registry
from bench.errors import RunFailed
from bench.materials import SEEN, SPLITS, open_dataset
from bench.progress import Reporter, Silent
from bench.study.declared import Search, described, load
from bench.study.parent import parent_run
from bench.study.search.attempts import Row
from bench.study.search.searching import Attempt, Searching
from bench.study.search.storage import StorageBusy
from bench.study.trial import Outcome, clear, run_cell, run_trial
from bench.tracking import tracker as tracker_of

POLL = 0.5
"""Seconds between two looks at what the others do."""
PATIENCE = 5
"""Times in a row that a storage may fail to answer, with ever longer pauses, before a worker gives up."""


@dataclass(frozen=True)
class Orders:
    """What a process must know to work on a study: how its file was read. Plain values, so that another process can be told."""

    file: Path
    name: str
    """Of the search, among those the file declares."""
    storage: str | None = None
    overrides: Sequence[str] = ()
    flags: Mapping[str, Any] = field(default_factory=dict)
    plugins: Sequence[str] = ()

    def search(self) -> Search:
        return next(search for search in load(self.file, self.overrides, self.flags) if search.name == self.name)


def conduct(orders: Orders, search: Search, *, workers: int, create: bool, reporter: Reporter) -> Searching:
    """Work on a study, with so many processes, until its budget is spent or it is asked to stop; go on with what there is."""
    open_dataset(search.base, reporter, SPLITS if search.file.grid else SEEN)
    searching = Searching(search, orders.storage, create=create)
    searching.stop(asked=False)
    with parent_run(searching, reporter), terminable():
        reason = work(searching, reporter) if workers == 1 else _together(orders, searching, workers, reporter)
        reporter.note(f"study {search.name}: {reason}")
    return searching


# ---------------------------------------------------------------------------------------------------------- one worker


def work(searching: Searching, reporter: Reporter, parent: str | None = None) -> str:
    """Attempt trials until there is no more to do; why."""
    search = searching.search

    def objective(number: int, values: Mapping[str, Any], attempt: Attempt) -> Outcome:
        if search.file.grid:
            return run_cell(search, number, link=attempt, parent=searching.fact("mlflow_run_id"), reporter=reporter)
        tracker = tracker_of(search.base.tracker, reporter)
        under = searching.fact("mlflow_run_id")
        return run_trial(search, number, values, link=attempt, parent=under, tracker=tracker, reporter=reporter)

    _clear_ended(searching)
    failures = 0
    while True:
        try:
            searching.recover()
            if reason := searching.over():
                return reason
            if searching.must_wait():
                time.sleep(POLL)
                continue
            ended = searching.advance(objective)
        except StorageBusy as error:
            failures += 1
            if failures > PATIENCE:
                raise RunFailed(f"the study's storage does not answer: {' '.join(str(error).split())[:200]}") from error
            reporter.warn(f"the study's storage did not answer; attempt {failures} of {PATIENCE} to go on")
            time.sleep(2.0**failures)
            continue
        failures = 0
        _let_go()
        if ended is None:
            time.sleep(POLL)  # somebody else is at that trial
            continue
        clear(search, ended)
        _tell(searching, ended, reporter)


def _let_go() -> None:
    """Give an accelerator's memory back: the next trial may want other sizes."""
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        gc.collect()
        torch.cuda.empty_cache()


def _clear_ended(searching: Searching) -> None:
    """What a kill kept from being cleared."""
    for row in searching.rows():
        if row.state in ("complete", "pruned", "failed"):
            clear(searching.search, row.number)


def _tell(searching: Searching, number: int, reporter: Reporter) -> None:
    reporter.note(told(searching.search, next(row for row in searching.rows() if row.number == number)))


def told(search: Search, row: Row) -> str:
    """How a trial ended, in one line."""
    scores = zip(search.file.objective, row.values or (), strict=False)  # a pruned trial has but the first
    values = "  ".join(f"{name} {value:.2f}" for name, value in scores)
    return f"trial {row.number} {row.state}: {row.reason or values}  [{described(row.params)}]"


# ------------------------------------------------------------------------------------------------------ several workers


def _together(orders: Orders, searching: Searching, count: int, reporter: Reporter) -> str:
    """Start workers and wait for them, telling how trials end."""
    context = multiprocessing.get_context("spawn")
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, _cores() // count))
    with _environment(OMP_NUM_THREADS=threads):
        processes = [context.Process(target=_worker, args=(orders, index), name=f"worker {index}") for index in range(count)]
        for process in processes:
            process.start()
    seen = {row.number for row in searching.rows() if row.state in ("complete", "pruned", "failed")}
    try:
        while any(process.is_alive() for process in processes):
            processes[0].join(POLL) if processes[0].is_alive() else time.sleep(POLL)
            seen |= _tell_new(searching, seen, reporter)
    except BaseException:
        _end(processes)
        raise
    _tell_new(searching, seen, reporter)
    return _outcome(searching, processes, reporter)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1  # not on macOS


def _tell_new(searching: Searching, seen: set[int], reporter: Reporter) -> set[int]:
    try:
        new = [row for row in searching.rows() if row.number not in seen and row.state in ("complete", "pruned", "failed")]
    except StorageBusy:
        return set()
    for row in new:
        reporter.note(told(searching.search, row))
    return {row.number for row in new}


def _outcome(searching: Searching, processes: Sequence[BaseProcess], reporter: Reporter) -> str:
    """Why the workers ended. Those that did not end by themselves are told; that none did so is an error."""
    dead = [process for process in processes if process.exitcode != 0]
    for process in dead:
        reporter.warn(f"{process.name} ended with {_ending(process.exitcode)}; its trial is taken up again")
    reason = searching.over()
    if reason is None:
        raise RunFailed(f"all workers ended before the study did: `study resume` goes on with {searching.search.name}")
    return reason


def _ending(code: int | None) -> str:
    return signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"


def _end(processes: Sequence[BaseProcess]) -> None:
    """Have workers leave their trials to be taken up again; those that do not are killed."""
    for process in processes:
        if process.is_alive():
            process.terminate()
    until = time.monotonic() + 20
    for process in processes:
        process.join(max(0.1, until - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()


def _worker(orders: Orders, index: int) -> None:
    """What a started process does. It ends with the process that started it."""
    _die_with_parent()
    with terminable():
        try:
            for plugin in orders.plugins:
                registry.plug_in(plugin)
            _take_device(index)
            work(Searching(orders.search(), orders.storage, create=False), _Warnings(f"worker {index}"))
        except KeyboardInterrupt:
            sys.exit(130)
        except Exception as error:
            _Warnings(f"worker {index}").warn(f"{type(error).__name__}: {' '.join(str(error).split())}")
            sys.exit(1)


class _Warnings(Silent):
    """A worker's reporter: beside others it says what went wrong, and no more."""

    def __init__(self, name: str) -> None:
        self._name = name

    def warn(self, text: str) -> None:
        sys.stderr.write(f"{self._name}: warning: {text}\n")


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent", daemon=True).start()


def _take_device(index: int) -> None:
    """Of several GPUs, workers take one each, in turn."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = visible.split(",") if visible else [str(device) for device in range(torch.cuda.device_count())]
    if len(devices) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = devices[index % len(devices)]


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM (a cluster's, a main process's) ends the work as Ctrl-C does: the trial is left to be taken up again."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
