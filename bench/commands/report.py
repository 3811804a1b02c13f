"""`report` and `reproduce`: finished runs compared with each other, and with known values."""

from __future__ import annotations

import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench import registry
from bench.commands.common import (
    AsJson,
    DataRoot,
    Debug,
    Device,
    OutputDir,
    Plugins,
    Precision,
    Tracking,
    folder_name,
    plug_in,
    print_out,
    reporting,
    text,
)
from bench.console import table
from bench.errors import UsageError
from bench.progress import Reporter

if TYPE_CHECKING:
    from bench.report.finished import Found
    from bench.report.reproduction import Finding


def report(
    experiment: Annotated[str | None, typer.Option(metavar="NAME", help="Runs of an MLflow experiment, as tbps/walkers.")] = None,
    results: Annotated[list[Path] | None, typer.Option(metavar="DIR", help="Runs in a folder of results; repeatable.")] = None,
    source: Annotated[Path | None, typer.Option("--from", metavar="data.json", help="Make an earlier report's files again.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where the report is written. [reports/<dataset>]")] = None,
    title: Annotated[str | None, typer.Option(metavar="TEXT", help="Its heading.")] = None,
    look: Annotated[bool, typer.Option("--look", help="Make the page to look through retrievals too (`look`), and link it.")] = False,
    plugin: Plugins = None,
    debug: Debug = False,
) -> None:
    """Compare finished runs: one page, Markdown, LaTeX, CSV, figures, and data.json, which makes all of them again."""
    plug_in(plugin)
    if sum(given is not None for given in (experiment, source)) + (results is not None and experiment is None) != 1:
        raise UsageError("give one of --experiment NAME, --results DIR and --from data.json (--results may stand beside --experiment)")
    from bench.report import data as report_data
    from bench.report import making as reports

    with reporting() as reporter:
        if source is not None:
            made = report_data.read(source)
            files = reports.write(made, out or source.parent, reporter)
        else:
            with tempfile.TemporaryDirectory() as scratch:
                found = _found(experiment, results or [], Path(scratch), reporter)
                place = out or Path("reports") / folder_name(found.runs[0].record.dataset if found.runs else "")
                command = _command(experiment, results or [], place, title, look)
                if look:
                    from bench.look.looking import look_at

                    list(look_at(found.runs, lambda _: place / "look", reporter))
                made = reports.build(found, reporter, title=title or _title(experiment, place), command=command, folder=place)
            files = reports.write(made, place, reporter)
            if experiment is not None:
                _keep(experiment, [*files, place / reports.FIGURES], reporter)
    for sentence in (sentence for section in made.sections for sentence in section.statements):
        typer.echo(sentence)
    typer.echo(f"report: {files[-1]}")


def _found(experiment: str | None, results: list[Path], scratch: Path, reporter: Reporter) -> Found:
    from bench.report import finished

    if experiment is None:
        return finished.in_folders(results, reporter.track)
    return finished.in_store(experiment, results or [Path("results")], scratch, reporter.track)


def _command(experiment: str | None, results: list[Path], out: Path, title: str | None, look: bool) -> str:
    """What makes the report again, to be copied into a shell."""
    words = ["python", "-m", "bench", "report"]
    words += ["--experiment", experiment] if experiment is not None else []
    words += [word for folder in results for word in ("--results", str(folder))]
    words += ["--out", str(out), *(["--title", title] if title is not None else []), *(["--look"] if look else [])]
    return shlex.join(words)


def _title(experiment: str | None, out: Path) -> str:
    return f"Comparison of models: {experiment or out.name}"


def _keep(experiment: str, files: list[Path], reporter: Reporter) -> None:
    """The report is an artifact of its experiment: a run of its own, which no report counts as a model's."""
    from bench.store import KIND
    from bench.tracking import tracker

    store = tracker("mlflow", reporter)
    store.start(experiment=experiment, name="report", params={}, tags={KIND: "report"})
    for file in files:
        store.artifact(file)
    store.end()


def reproduce(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="`list models` names them.")],
    dataset: Annotated[str | None, typer.Option(metavar="NAME", help="The card's data set.")] = None,
    card: Annotated[Path | None, typer.Option(metavar="FILE", help="A card of one's own. [studies/reproduce/MODEL-DATASET.yaml]")] = None,
    seeds: Annotated[int | None, typer.Option(metavar="N", min=1, help="Runs. [the card's]")] = None,
    device: Device = None,
    precision: Precision = None,
    data_root: DataRoot = None,
    output_dir: OutputDir = None,
    tracker: Tracking = None,
    as_json: AsJson = False,
    plugin: Plugins = None,
    debug: Debug = False,
) -> None:
    """Run a reproduction card's recipe with its seeds, and judge: reproduced, not reproduced, or inconclusive."""
    plug_in(plugin)
    if card is None and dataset is None:
        raise UsageError("give --dataset NAME, or --card FILE")
    from bench.report import reproduction
    from bench.tracking import tracker as tracker_of

    told = reproduction.read(card or reproduction.find(model, dataset or ""))
    if registry.find("model", model).name != registry.find("model", told.model).name:
        raise UsageError(f"the card {card} is for {told.model}, not for {model}")
    flags = {"device": device, "precision": precision, "data_root": text(data_root), "output_dir": text(output_dir), "tracker": tracker}
    with reporting() as reporter:
        verdict = reproduction.reproduce(told, lambda config: tracker_of(config.tracker, reporter), reporter, seeds=seeds, flags=flags)
    if as_json:
        typer.echo(verdict.model_dump_json(indent=2))
        return
    columns = ("metric", "known", "mean", "difference", "90 % interval", "tolerance", "p", "verdict")
    print_out(table(f"{told.model} on {told.dataset}: {len(verdict.seeds)} seeds", columns, map(_found_row, verdict.findings)))
    mind = (f"mind: {caveat}" for caveat in told.caveats)
    typer.echo("\n".join([f"known values: {told.source}", *mind, f"test: {verdict.test}", f"verdict: {verdict.verdict}"]))


def _found_row(f: Finding) -> tuple[object, ...]:
    interval = "-" if f.interval is None else f"{f.interval[0]:.2f} to {f.interval[1]:.2f}"
    p = "-" if f.p is None else f"{f.p:.3f}"
    return f.metric, f.known, f.mean, f.difference, interval, f.tolerance, p, f.verdict
