"""What a study's trial does. A search's: a configuration trained and selected on val, for each seed; it is never given the test split.

An ablation chooses nothing: its cells were declared beforehand, and each is an ordinary run that looks at test once.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

import torch
import yaml

from bench import checkpoint, record
from bench.config import RunConfig, config_hash, flatten
from bench.cost import flops
from bench.errors import Interrupted, RunFailed
from bench.locks import alone
from bench.materials import SEEN, TOKENIZER, Materials, gather
from bench.progress import Reporter
from bench.run import run
from bench.selection import Course, Selected, train_and_select
from bench.study.declared import MAXIMISED, Search, described
from bench.tracking import PARENT_TAG, NoTracker, Status, Tracker, Under
from bench.tracking import tracker as tracker_of

WEIGHTS = "checkpoints"
MEMORY_WORDS = ("can't allocate memory", "not enough memory", "out of memory")


class Pruned(Exception):
    """The trial is given up: others were better by then. Says so in one line."""


class Link(Protocol):
    """What a trial tells the study, and asks of it."""

    mlflow_run_id: str | None
    """Of an earlier attempt at this trial."""

    def know(self, **facts: Any) -> None:
        """Keep facts with the trial: plain values, the latest of a name stands."""

    def epoch(self, number: int, value: float | None) -> None:
        """An epoch has ended, with this objective if trials are judged by it. Raises Pruned or Interrupted."""


@dataclass(frozen=True)
class Outcome:
    """What a trial obtained."""

    values: tuple[float, ...]
    """Of the objectives, in the study's order."""
    metrics: dict[str, float]
    """`selected/val/t2i/R1`, ... in percent and `cost/flops`, `cost/parameters`: means over the seeds, and R1 by seed."""


def run_cell(search: Search, number: int, *, link: Link, parent: str | None, reporter: Reporter) -> Outcome:
    """Run an ablation's cell with its seed, or find its record if it ran before. Raises Interrupted, or RunFailed with the reason."""
    cell, seed = search.cells[number]
    config = search.config(cell, seed)
    under = Under(parent, f"{search.name} {described(cell)} s{seed}", {"study": search.name, "trial": str(number)})

    def watch(course: Course) -> None:
        link.know(**{f"progress {seed}": [course.epoch, round(sum(values["seconds"] for values in course.history), 2)]})
        for values in course.history:
            link.epoch(values["epoch"], values[f"val/t2i/{search.file.objective[0]}"])

    try:
        result = run(config, tracker_of(config.tracker, reporter, under), reporter, watch=watch)
    except Interrupted:
        raise
    except Exception as error:
        raise RunFailed(reason_of(error)) from None
    spent = [result.record["epochs"], round(result.record["seconds"]["training"], 2)]  # also of a run that was there before
    link.know(**{f"progress {seed}": spent, "folder": str(result.folder), "mlflow_run_id": result.record.get("mlflow_run_id")})
    metrics = result.record["metrics"]
    found = {
        f"{'selected/' if split == 'val' else ''}{split}/t2i/{name}": metrics[split]["t2i"][name] for split in metrics for name in MAXIMISED
    }
    return Outcome((found[f"selected/val/t2i/{search.file.objective[0]}"],), found)


def trial_folder(search: Search, number: int) -> Path:
    return search.folder / f"trial{number:03d}"


def clear(search: Search, number: int) -> None:
    """Remove the weights of a trial that has ended: a search wants its numbers alone."""
    for weights in trial_folder(search, number).glob(f"seed*/{WEIGHTS}"):
        shutil.rmtree(weights, ignore_errors=True)


def run_trial(
    search: Search, number: int, values: Mapping[str, Any], *, link: Link, parent: str | None, tracker: Tracker, reporter: Reporter
) -> Outcome:
    """Train the trial's configuration with each seed, going on where an earlier attempt was cut off.

    Raises Pruned, Interrupted, or RunFailed with the reason in one line.
    """
    folder = trial_folder(search, number)
    configs = [search.config(values, seed) for seed in search.file.seeds]
    reporter.note(f"{search.name} trial {number}: {described(values)}")
    with _alone(folder), _ending(tracker, folder):
        runs = [_Seed(search, config, folder / f"seed{config.seed}", link, reporter) for config in configs]
        materials = runs[0].gather()
        _start(search, configs[0], number, materials, tracker, link, parent)
        outcome = _joined(search, [run.train(tracker if run is runs[0] else NoTracker(), first=run is runs[0]) for run in runs])
        tracker.metrics(outcome.metrics, step=configs[0].train.epochs)
        tracker.tag({"state": "complete"})
        return outcome


@dataclass
class _Seed:
    """A trial's training with one seed."""

    search: Search
    config: RunConfig
    folder: Path
    link: Link
    reporter: Reporter
    materials: Materials | None = None

    def gather(self) -> Materials:
        self.materials = gather(self.config, self.reporter, self.folder / WEIGHTS / TOKENIZER, SEEN)
        return self.materials

    def train(self, tracker: Tracker, *, first: bool) -> dict[str, float]:
        """`selected/val/t2i/R1`, ..., and the cost where an objective asks for it."""
        materials = self.materials or self.gather()
        checkpoint.write_text(self.folder / "config.yaml", yaml.safe_dump(self.config.dump(), sort_keys=False))
        watch = self._watch(judged=first)
        selected = train_and_select(self.config, materials, self.folder / WEIGHTS, tracker, self.reporter, watch)
        self.materials = None  # its pixels; the next seed may be long
        history = selected.course.history
        checkpoint.write_text(self.folder / "metrics.jsonl", "".join(json.dumps(values) + "\n" for values in history))
        best = history[selected.course.best_epoch - 1]
        return {f"selected/val/t2i/{name}": best[f"val/t2i/{name}"] for name in MAXIMISED} | self._cost(selected)

    def _watch(self, *, judged: bool) -> Callable[[Course], None]:
        """Tell the study each epoch that it does not know of; those of the first seed are judged."""
        objective = self.search.file.objective[0]

        def watch(course: Course) -> None:
            seconds = sum(values["seconds"] for values in course.history)
            self.link.know(**{f"progress {self.config.seed}": [course.epoch, round(seconds, 2)]})
            for values in course.history:
                self.link.epoch(values["epoch"], values.get(f"val/t2i/{objective}") if judged else None)

        return watch

    def _cost(self, selected: Selected) -> dict[str, float]:
        model = selected.model
        val, device = selected.materials.val, selected.engine.device
        counted = flops(model, val.store.images(torch.arange(1)).to(device), val.captions[:1].to(device))
        return {"cost/flops": counted / 1e9, "cost/parameters": sum(p.numel() for p in model.parameters()) / 1e6}


def _joined(search: Search, outcomes: list[dict[str, float]]) -> Outcome:
    means = {name: fmean(outcome[name] for outcome in outcomes) for name in outcomes[0]}
    keys = [f"selected/val/t2i/{name}" if name in MAXIMISED else f"cost/{name}" for name in search.file.objective]
    values = tuple(means[key] for key in keys)
    if len(outcomes) > 1:
        pairs = zip(search.file.seeds, outcomes, strict=True)
        means |= {f"seed{seed}/{keys[0]}": outcome[keys[0]] for seed, outcome in pairs}
    return Outcome(values, means)


def _start(search: Search, config: RunConfig, number: int, materials: Materials, tracker: Tracker, link: Link, parent: str | None) -> None:
    """Open the trial's MLflow run, or the one that an earlier attempt opened."""
    sizes = {name: materials.split(name).sizes() for name in SEEN}
    tags = record.tags(config, record.data_section(materials.dataset, sizes), record.git("rev-parse", "HEAD"))
    tags |= {"study": search.name, "trial": str(number), "state": "running", "config_hash": config_hash(config)}
    tracker.start(
        experiment=record.experiment(config),
        name=f"{search.name} trial {number}",
        params=flatten(config),
        tags=tags | ({PARENT_TAG: parent} if parent else {}),
        run_id=link.mlflow_run_id,
    )
    link.know(mlflow_run_id=tracker.run_id or link.mlflow_run_id)
    counts = {f"{name} {what}": count for name, split in sizes.items() for what, count in split.items()}
    tracker.dataset(config.dataset_label, tags["dataset_fingerprint"], config.dataset_label, counts, "train and val")


@contextmanager
def _ending(tracker: Tracker, folder: Path) -> Iterator[None]:
    """Close the trial's run as it ended, and say why in one line."""
    try:
        yield
    except Pruned as error:
        _close(tracker, "pruned", str(error), "KILLED")
        raise
    except (Interrupted, KeyboardInterrupt) as error:
        _close(tracker, "interrupted", str(error) or "interrupted", "KILLED")
        raise
    except Exception as error:
        reason = reason_of(error)
        checkpoint.write_text(folder / "error.txt", f"{time.strftime('%Y-%m-%d %H:%M:%S')} {reason}\n")
        _close(tracker, "failed", reason, "FAILED")
        raise RunFailed(reason) from None  # what it holds (a model too large, for one) may go
    else:
        tracker.end("FINISHED")


def _close(tracker: Tracker, state: str, reason: str, status: Status) -> None:
    if tracker.run_id is not None:
        tracker.tag({"state": state, "reason": reason})
        tracker.end(status)


def reason_of(error: Exception) -> str:
    """Why a trial failed, in one line."""
    text = " ".join(str(error).split())
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or any(words in text.lower() for words in MEMORY_WORDS):
        return f"out of memory: {text[:200]}" if text else "out of memory"
    return text if isinstance(error, RunFailed) else f"{type(error).__name__}: {text}"


def _alone(folder: Path) -> AbstractContextManager[None]:
    """One process at a time on a trial. Another one means that a worker was taken for dead and is not."""
    folder.mkdir(parents=True, exist_ok=True)
    return alone(folder / ".lock", Interrupted("another process is still at work on this trial"))
