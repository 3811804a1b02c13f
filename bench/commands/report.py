"""`report`: finished runs compared, with their uncertainty."""

from __future__ import annotations

import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.commands.common import Debug, reporting
from bench.errors import UsageError
from bench.progress import Reporter

if TYPE_CHECKING:
    from bench.finished import Found


def report(
    experiment: Annotated[str | None, typer.Option(metavar="NAME", help="Runs of an MLflow experiment, as tbps/walkers.")] = None,
    results: Annotated[list[Path] | None, typer.Option(metavar="DIR", help="Runs in a folder of results; repeatable.")] = None,
    source: Annotated[Path | None, typer.Option("--from", metavar="data.json", help="Make an earlier report's files again.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where the report is written. [reports/<dataset>]")] = None,
    title: Annotated[str | None, typer.Option(metavar="TEXT", help="Its heading.")] = None,
    debug: Debug = False,
) -> None:
    """Compare finished runs: one page, Markdown, LaTeX, CSV, figures, and data.json, which makes all of them again."""
    if sum(given is not None for given in (experiment, source)) + (results is not None and experiment is None) != 1:
        raise UsageError("give one of --experiment NAME, --results DIR and --from data.json (--results may stand beside --experiment)")
    from bench import report as reports
    from bench import report_data

    with reporting() as reporter:
        if source is not None:
            made = report_data.read(source)
            files = reports.write(made, out or source.parent, reporter)
        else:
            with tempfile.TemporaryDirectory() as scratch:
                found = _found(experiment, results or [], Path(scratch), reporter)
                place = out or Path("reports") / (found.runs[0].record.dataset if found.runs else "runs")
                command = _command(experiment, results or [], place, title)
                made = reports.build(found, reporter, title=title or _title(experiment, place), command=command)
            files = reports.write(made, place, reporter)
            if experiment is not None:
                _keep(experiment, place, reporter)
    for sentence in (sentence for section in made.sections for sentence in section.statements):
        typer.echo(sentence)
    typer.echo(f"report: {files[-1]}")


def _found(experiment: str | None, results: list[Path], scratch: Path, reporter: Reporter) -> Found:
    from bench import finished

    if experiment is None:
        return finished.in_folders(results, reporter.track)
    return finished.in_store(experiment, results or [Path("results")], scratch, reporter.track)


def _command(experiment: str | None, results: list[Path], out: Path, title: str | None) -> str:
    """What makes the report again, to be copied into a shell."""
    words = ["python", "-m", "bench", "report"]
    words += ["--experiment", experiment] if experiment is not None else []
    words += [word for folder in results for word in ("--results", str(folder))]
    words += ["--out", str(out), *(["--title", title] if title is not None else [])]
    return shlex.join(words)


def _title(experiment: str | None, out: Path) -> str:
    return f"Comparison of models: {experiment or out.name}"


def _keep(experiment: str, folder: Path, reporter: Reporter) -> None:
    """The report is an artifact of its experiment: a run of its own, which no report counts as a model's."""
    from bench.store import KIND
    from bench.tracking import tracker

    store = tracker("mlflow", reporter)
    store.start(experiment=experiment, name="report", params={}, tags={KIND: "report"})
    store.artifact(folder, "report")
    store.end()
