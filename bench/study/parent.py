"""The MLflow run of a study, under which its trials stand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import record
from bench.progress import Reporter
from bench.study.ablation import cells, draw_cells
from bench.study.figures import draw
from bench.study.search.pages import importances, page
from bench.study.search.searching import Searching
from bench.tracking import Tracker
from bench.tracking import tracker as tracker_of


@contextmanager
def parent_run(searching: Searching, reporter: Reporter) -> Iterator[None]:
    """The study's run, under which its trials stand; it is closed whatever happens, and so are those whose process died."""
    tracker = tracker_of(searching.search.base.tracker, reporter)
    _open(searching, tracker)
    try:
        yield
    except BaseException as error:
        _close_children(searching, tracker)
        tracker.tag({"state": "interrupted"})
        tracker.end("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    _close_children(searching, tracker)
    for path in leave(searching, reporter):
        tracker.artifact(path, "figures")
    tracker.metrics(_summary(searching))
    tracker.tag({"state": searching.over() or "under way"})
    tracker.end("KILLED" if searching.stopping else "FINISHED")


def leave(searching: Searching, reporter: Reporter) -> list[Path]:
    """Figures of what there is, in the study's folder. Whatever goes wrong with them costs the pictures, not the study."""
    search, folder = searching.search, searching.search.folder / "figures"
    reporter.note("drawing figures")
    made: list[Path] = []
    try:
        if search.file.grid:
            return [draw_cells(search, cells(search, searching.rows()), folder / "cells.png")]
        made += draw(search, searching.rows(), importances(searching), folder)
        made.append(page(searching, folder / "study.html"))
    except Exception as error:
        reporter.warn(f"not all figures could be drawn ({type(error).__name__}: {error}); the trials are whole")
    return made


def _open(searching: Searching, tracker: Tracker) -> None:
    search = searching.search
    file = search.file
    options = {"sampler": file.sampler, "pruner": file.pruner, "budget": file.budget}
    params = {f"{part}.{key}": value for part, chosen in options.items() for key, value in chosen.model_dump().items() if value is not None}
    params |= {f"space.{key}": str(span) for key, span in search.space.items()}
    params |= {f"grid.{key}": str(list(values)) for key, values in file.grid.items()}
    params |= {"objective": " ".join(file.objective), "seeds": " ".join(map(str, file.seeds)), "preset": str(search.base.preset)}
    tags = {
        "study": search.name,
        "model": search.base.model_name,
        "dataset": search.base.dataset_label,
        "kind": "study",
        "state": "running",
    }
    known = searching.fact("mlflow_run_id")
    tracker.start(experiment=record.experiment(search.base), name=f"study {search.name}", params=params, tags=tags, run_id=known)
    if tracker.run_id is not None and tracker.run_id != known:
        searching.keep("mlflow_run_id", tracker.run_id)


def _close_children(searching: Searching, tracker: Tracker) -> None:
    if (parent := searching.fact("mlflow_run_id")) is not None:
        searching.recover()
        running = [row.mlflow_run_id for row in searching.rows() if row.state == "running"]
        tracker.close_children(parent, [run_id for run_id in running if run_id is not None])


def _summary(searching: Searching) -> dict[str, float]:
    """What the parent's row shows: how many trials ended how, what they took, and the best."""
    rows = searching.rows()
    counts = {f"trials/{state}": float(sum(row.state == state for row in rows)) for state in ("complete", "pruned", "failed")}
    counts |= {"trials/epochs": float(sum(row.epochs for row in rows)), "trials/seconds": sum(row.seconds for row in rows)}
    best = searching.best()
    return counts | (best[0].metrics if len(best) == 1 else {})
