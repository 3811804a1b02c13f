"""The end of a search: its best configuration trained again with seeds it has not seen, and test looked at once by each run.

The value that a search ends with is the largest of many on val, and so too large. What may be believed is what the chosen configuration
obtains on test with fresh seeds, beside what the preset obtains with the same ones. Each is an ordinary run, kept where runs are
kept: what was done before is found there, and a kill costs an epoch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import checkpoint, record
from bench.config import RunConfig
from bench.errors import RunFailed, UsageError
from bench.progress import Reporter
from bench.run import run
from bench.stats import over_seeds
from bench.study.declared import MAXIMISED, Search, described
from bench.study.search.attempts import Row
from bench.study.search.searching import Searching
from bench.study.workers import terminable
from bench.tracking import Under
from bench.tracking import tracker as tracker_of

FINISHED = "finish.json"
Runs = dict[str, list[dict[str, Any]]]


def finish(searching: Searching, reporter: Reporter, *, seeds: int | None = None, trial: int | None = None, baseline: bool = True) -> Path:
    """Train the best trial's configuration (or that of `trial`) with fresh seeds, and the preset's; where the outcome was written."""
    search = searching.search
    row = _chosen(searching, trial)
    fresh = search.fresh_seeds(seeds or search.file.finish_seeds)
    arms = {"best": search.values(row.params)} | ({"preset": {}} if baseline else {})
    reporter.note(f"trial {row.number}: {described(row.params)}; seeds {', '.join(map(str, fresh))}")
    runs: Runs = {arm: [] for arm in arms}
    with terminable():
        for seed in fresh:  # seed by seed, so that a finish that is cut short compares what it has
            for arm, values in arms.items():
                runs[arm].append(_run(searching, arm, search.config(values, seed), reporter))
                outcome = _outcome(searching, row, runs)
                file = _write(search, outcome)
    _track(searching, outcome, file, reporter)
    return file


def read(search: Search) -> dict[str, Any]:
    """What `finish` left. A study that was not finished is a UsageError."""
    try:
        found: dict[str, Any] = json.loads((search.folder / FINISHED).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"study {search.name} has no test figures in {search.folder}: `study finish` obtains them") from None
    return found


def _chosen(searching: Searching, number: int | None) -> Row:
    best = searching.best()
    if number is not None:
        best = [row for row in searching.rows() if row.number == number and row.state == "complete"]
    if searching.search.file.grid:
        raise UsageError("an ablation has no best to finish: each of its cells was an ordinary run and looked at test once")
    if not best:
        raise UsageError(f"study {searching.search.name} has no complete trial" + ("" if number is None else f" {number}"))
    if len(best) > 1:
        raise UsageError(f"several trials are best, none beats another in all objectives: name one with --trial, {_numbers(best)}")
    return best[0]


def _numbers(rows: Sequence[Row]) -> str:
    return " or ".join(str(row.number) for row in rows)


def _run(searching: Searching, arm: str, config: RunConfig, reporter: Reporter) -> dict[str, Any]:
    name = searching.search.name
    under = Under(searching.fact("mlflow_run_id"), f"{name} {arm} s{config.seed}", {"study": name, "trial": arm})
    result = run(config, tracker_of(config.tracker, reporter, under), reporter)
    if not result.record.get("finished"):
        raise RunFailed(f"{result.folder} has no finished record")
    metrics = {split: result.record["metrics"][split]["t2i"] for split in ("val", "test")}
    return {"seed": config.seed, "folder": str(result.folder), **metrics}


def _outcome(searching: Searching, row: Row, runs: Runs) -> dict[str, Any]:
    """All in percent, text to image."""
    arms = {arm: {metric: summary([one["test"][metric] for one in found]) for metric in MAXIMISED} for arm, found in runs.items() if found}
    outcome: dict[str, Any] = {
        "study": searching.search.name,
        "trial": row.number,
        "params": row.params,
        "searched": {"val": dict(zip(searching.search.file.objective, row.values or (), strict=False))},
        "runs": runs,
        "test": arms,
    }
    if paired := list(zip(runs["best"], runs.get("preset", []), strict=False)):
        outcome["difference"] = {
            metric: summary([best["test"][metric] - other["test"][metric] for best, other in paired]) for metric in MAXIMISED
        }
    return outcome


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Mean, standard deviation and t interval of the mean over seeds; the last two None for one seed."""
    told = over_seeds(values)
    interval = None if told.interval is None else list(told.interval)
    return {"n": told.n, "mean": told.mean, "std": told.deviation, "interval": interval, "values": list(values)}


def _write(search: Search, outcome: Mapping[str, Any]) -> Path:
    checkpoint.write_text(search.folder / FINISHED, json.dumps(outcome, indent=2) + "\n")
    return search.folder / FINISHED


def _track(searching: Searching, outcome: Mapping[str, Any], file: Path, reporter: Reporter) -> None:
    """The study's own run shows what may be believed of it."""
    known = searching.fact("mlflow_run_id")
    tracker = tracker_of(searching.search.base.tracker if known else "none", reporter)
    tracker.start(
        experiment=record.experiment(searching.search.base), name=f"study {searching.search.name}", params={}, tags={}, run_id=known
    )
    means = {f"finish/{arm}/test/t2i/{metric}": told["mean"] for arm, found in outcome["test"].items() for metric, told in found.items()}
    tracker.metrics(means)
    tracker.artifact(file)
    tracker.end("FINISHED")
