"""`study`: searches and ablations that are declared in files."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bench.commands.common import (
    AsJson,
    DataRoot,
    Debug,
    Device,
    OutputDir,
    Overrides,
    Plugins,
    Tracking,
    plug_in,
    print_out,
    reporting,
    text,
)
from bench.console import duration, table

if TYPE_CHECKING:
    from bench.study.declared import Search
    from bench.study.search.attempts import Row
    from bench.study.search.searching import Searching

app = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Searches and ablations that are declared in files (studies/*.yaml).")

File = Annotated[Path, typer.Argument(metavar="FILE", help="The study, as studies/acsa-walkers.yaml.")]
Storage = Annotated[
    str | None,
    typer.Option(metavar="URL", help="sqlite:///FILE, journal:FILE, postgresql://... [TBPS_STUDY_STORAGE, the file's, studies/NAME.db]"),
]
Workers = Annotated[int, typer.Option(min=1, metavar="N", help="Processes on this machine. The same command elsewhere joins the study.")]


def _conducting(about: str, *, create: bool) -> Callable[..., None]:
    def command(
        file: File,
        workers: Workers = 1,
        storage: Storage = None,
        overrides: Overrides = None,
        device: Device = None,
        data_root: DataRoot = None,
        output_dir: OutputDir = None,
        tracker: Tracking = None,
        plugin: Plugins = None,
        debug: Debug = False,
    ) -> None:
        plug_in(plugin)
        from bench.study.declared import load
        from bench.study.workers import Orders, conduct

        flags = _flags(device, data_root, output_dir, tracker)
        for search in load(file, overrides or [], flags):
            orders = Orders(file, search.name, storage, tuple(overrides or ()), flags, tuple(plugin or ()))
            with reporting() as reporter:
                _say_what_is_left_out(search, reporter)
                searching = conduct(orders, search, workers=workers, create=create, reporter=reporter)
            _show(searching)

    command.__doc__ = about
    return command


app.command("run", short_help="Begin a study, or go on with it.")(
    _conducting("Begin a study, or go on with it, until its budget is spent. Test is never looked at by a search.", create=True)
)
app.command("resume", short_help="Go on with a study that was begun.")(
    _conducting("Go on with a study that was begun: as `run`, but one that is not there is an error.", create=False)
)


@app.command("show", short_help="The trials, the best so far, what runs now.")
def show(
    file: File, storage: Storage = None, overrides: Overrides = None, as_json: AsJson = False, plugin: Plugins = None, debug: Debug = False
) -> None:
    """The trials, the best so far, and what runs now."""
    plug_in(plugin)
    from bench.study.declared import load
    from bench.study.search.searching import Searching

    for search in load(file, overrides or []):
        _show(Searching(search, storage, create=False), as_json=as_json)


@app.command("stop", short_help="Ask the workers to end after their epoch.")
def stop(file: File, storage: Storage = None, overrides: Overrides = None, plugin: Plugins = None, debug: Debug = False) -> None:
    """Ask a study's workers, wherever they run, to end after their epoch. `study resume` goes on from there."""
    plug_in(plugin)
    from bench.study.declared import load
    from bench.study.search.searching import Searching

    for search in load(file, overrides or []):
        searching = Searching(search, storage, create=False)
        searching.stop(asked=True)
        running = sum(row.state == "running" for row in searching.rows())
        typer.echo(f"{search.name}: asked to stop; {running} trials end after their epoch. `study resume` goes on")


@app.command("finish", short_help="The best, trained again with fresh seeds, on test once each.")
def finish(
    file: File,
    seeds: Annotated[int | None, typer.Option(min=2, metavar="N", help="Fresh seeds. [the file's finish_seeds, 5]")] = None,
    trial: Annotated[int | None, typer.Option(metavar="NUMBER", help="Another trial than the best.")] = None,
    baseline: Annotated[Literal["preset", "none"], typer.Option(help="What is trained beside it, with the same seeds.")] = "preset",
    storage: Storage = None,
    overrides: Overrides = None,
    device: Device = None,
    data_root: DataRoot = None,
    output_dir: OutputDir = None,
    tracker: Tracking = None,
    as_json: AsJson = False,
    plugin: Plugins = None,
    debug: Debug = False,
) -> None:
    """Train the best configuration, and the preset's, with seeds the search has not seen; each run looks at test once."""
    plug_in(plugin)
    from bench.study import finish as finishing
    from bench.study.declared import load
    from bench.study.search.searching import Searching

    for search in load(file, overrides or [], _flags(device, data_root, output_dir, tracker)):
        with reporting() as reporter:
            searching = Searching(search, storage, create=False)
            written = finishing.finish(searching, reporter, seeds=seeds, trial=trial, baseline=baseline == "preset")
        outcome = finishing.read(search)
        if as_json:
            typer.echo(json.dumps(outcome, indent=2))
        else:
            _show_finish(outcome, written)


@app.command("compare", short_help="Searches side by side: given the same, what is to be expected of each?")
def compare(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Studies, or one of several models.")],
    workers: Workers = 1,
    storage: Storage = None,
    overrides: Overrides = None,
    device: Device = None,
    data_root: DataRoot = None,
    output_dir: OutputDir = None,
    tracker: Tracking = None,
    as_json: AsJson = False,
    plugin: Plugins = None,
    debug: Debug = False,
) -> None:
    """Spend each study's budget, say where they were not given the same, and draw what is to be expected of each."""
    plug_in(plugin)
    from bench.study import compare as comparing
    from bench.study.declared import load
    from bench.study.workers import Orders, conduct

    flags, searchings = _flags(device, data_root, output_dir, tracker), []
    declared = [(file, search) for file in files for search in load(file, overrides or [], flags)]
    for line in comparing.unequal([search for _, search in declared]):
        typer.echo(f"not given the same: {line}", err=True)
    for file, search in declared:
        orders = Orders(file, search.name, storage, tuple(overrides or ()), flags, tuple(plugin or ()))
        with reporting() as reporter:
            searchings.append(conduct(orders, search, workers=workers, create=True, reporter=reporter))
    outcome = comparing.compare(searchings)
    name = "-".join(search.name for _, search in declared)[:100]
    written = comparing.leave(outcome, declared[0][1].base.output_dir / "studies" / f"compare-{name}")
    if as_json:
        typer.echo(json.dumps(outcome, indent=2))
    else:
        _show_comparison(outcome, written)


def _show_comparison(outcome: dict[str, Any], written: Sequence[Path]) -> None:
    columns = ("study", "complete", "pruned", "failed", "epochs", "time", "best", "expected best of all [95 %]")
    rows = []
    for name, told in outcome["studies"].items():
        expected = f"{told['expected'][-1]:.1f} [{told['low'][-1]:.1f}, {told['high'][-1]:.1f}]"
        counts = (told["complete"], told["pruned"], told["failed"], told["epochs"], duration(told["seconds"]))
        rows.append((name, *counts, max(told["values"]), expected))
    print_out(table(f"val {outcome['objective']}", columns, rows))
    lines = [f"not given the same: {line}" for line in outcome["unequal"]] or [
        "given the same: data, budget, seeds, sampler, pruner, space"
    ]
    typer.echo("\n".join([*lines, *outcome["said"], *(f"written: {path}" for path in written)]))


def _show_finish(outcome: dict[str, Any], written: Path) -> None:
    arms = outcome["test"] | ({"best - preset": outcome["difference"]} if "difference" in outcome else {})
    metrics = list(next(iter(arms.values())))
    rows = [(arm, found["R1"]["n"], *(_spread(found[metric]) for metric in metrics)) for arm, found in arms.items()]
    print_out(table(f"study {outcome['study']}: test, text to image, percent", ("configuration", "seeds", *metrics), rows))
    val = "  ".join(f"{name} {value:.2f}" for name, value in outcome["searched"]["val"].items())
    typer.echo(f"mean ± standard deviation over fresh seeds [95 % interval of the mean]; the search ended with val {val}, the best of many")
    typer.echo(f"written: {written}")


def _spread(told: dict[str, Any]) -> str:
    if told["interval"] is None:
        return f"{told['mean']:.1f}"
    low, high = told["interval"]
    return f"{told['mean']:.1f} ± {told['std']:.1f} [{low:.1f}, {high:.1f}]"


def _flags(device: str | None, data_root: Path | None, output_dir: Path | None, tracker: str | None) -> dict[str, Any]:
    return {"device": device, "data_root": text(data_root), "output_dir": text(output_dir), "tracker": tracker}


def _say_what_is_left_out(search: Search, reporter: Any) -> None:
    from bench.study.declared import described

    if search.file.grid:
        possible, impossible = search.judged
        reporter.note(f"{len(possible)} cells x {len(search.file.seeds)} seeds; {len(impossible)} cells cannot be run:")
        for cell, reason in impossible:
            reporter.note(f"  {described(cell)}: {reason}")


# ------------------------------------------------------------------------------------------------------------ showing


def _show(searching: Searching, *, as_json: bool = False) -> None:
    rows, best = searching.rows(), searching.best()
    if as_json:
        shown = [asdict(row) | {"best": row in best} for row in rows]
        typer.echo(json.dumps({"study": searching.search.name, "trials": shown}, indent=2, default=str))
        return
    search = searching.search
    columns = ("trial", "state", *search.file.objective, "epochs", "time", *_shown_keys(search), "why")
    print_out(table(f"study {search.name}", columns, (_cells(search, row, row in best and not search.file.grid) for row in rows)))
    if search.file.grid:
        from bench.study.ablation import cells, said

        summed = [(*cell.options.values(), said(cell.told), cell.reason) for cell in cells(search, rows)]
        print_out(table("test R1, %: mean ± std [95 % interval] (seeds)", (*search.file.grid, "test R1", "why not"), summed))
    typer.echo("\n".join(_lines(searching, rows, best)))


def _shown_keys(search: Search) -> list[str]:
    return [*search.file.grid, "seed"] if search.file.grid else list(search.space)


def _cells(search: Search, row: Row, best: bool) -> list[Any]:
    from bench.study.declared import label

    values: list[float | None] = list(row.values or ())
    values += [None] * (len(search.file.objective) - len(values))
    params = [label(row.params[key]) if key in row.params else None for key in _shown_keys(search)]
    again = f"attempt {row.attempts}" if row.attempts > 1 else ""
    why = "; ".join(part for part in ("the best" if best else "", row.reason, again) if part)
    return [row.number, row.state, *values, row.epochs, duration(row.seconds), *params, why]


def _lines(searching: Searching, rows: Sequence[Row], best: Sequence[Row]) -> list[str]:
    from bench.study.declared import described

    search = searching.search
    count = {
        state: sum(row.state == state for row in rows) for state in ("complete", "pruned", "failed", "interrupted", "running", "waiting")
    }
    said = [", ".join(f"{number} {state}" for state, number in count.items() if number)]
    for row in best if not search.file.grid else ():
        values = "  ".join(f"{name} {value:.2f}" for name, value in zip(search.file.objective, row.values or (), strict=False))
        said.append(f"best: trial {row.number}: val {values}: {described(row.params)}")
    said += [f"running: trial {row.number}, epoch {row.epochs}: {described(row.params)}" for row in rows if row.state == "running"]
    return [*said, searching.over() or "there is more to do: `study resume`"]
