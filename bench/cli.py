"""The command line: argv -> configuration -> one call -> printed result. The only place that prints to stdout.

Exit codes: 0 done; 1 failed (`--debug` or TBPS_DEBUG=1 shows the traceback); 2 asked wrongly; 130 interrupted. Torch is imported by
commands that compute, never for `--help` and `list`.
"""

from __future__ import annotations

import json
import os
import sys
import tomllib
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from bench import listing, registry
from bench.console import ConsoleReporter, context_line, dry_run_tables, result_table, table
from bench.errors import RunFailed, UsageError
from bench.progress import Reporter, Silent

app = typer.Typer(
    name="bench",
    help="A benchmark harness for text-based person search.",
    epilog="Start with: python -m bench run --model acsa --dataset walkers",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
INTERRUPTED = 130
"""What Typer returns after Ctrl-C."""

Plugins = Annotated[list[str] | None, typer.Option("--plugin", metavar="MODULE|FILE.py", help="Further models or datasets; repeatable.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="An option, as train.lr=1e-4; repeatable.")]
DataRoot = Annotated[Path | None, typer.Option(metavar="DIR", help="Holds the datasets' folders. [TBPS_DATA_ROOT, else data/]")]
Device = Annotated[Literal["auto", "cpu", "cuda"] | None, typer.Option(help="Where to compute. [auto]")]
Limit = Annotated[int | None, typer.Option(metavar="N", help="Keep only N images of each split, to try things out.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of a failure (as TBPS_DEBUG=1 does).")]


# ----------------------------------------------------------------------------------------------------------- commands


@app.command("run", short_help="Train a model, select on val, evaluate on test once.")
def _run(
    model: Annotated[str | None, typer.Option(metavar="NAME", help="`list models` names them.")] = None,
    dataset: Annotated[str | None, typer.Option(metavar="NAME", help="`list datasets` names them.")] = None,
    preset: Annotated[str | None, typer.Option(metavar="NAME", help="`list presets` names them. [the dataset's default]")] = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="YAML; a run's config.yaml repeats that run.")] = None,
    overrides: Overrides = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Of everything drawn at random. [0]")] = None,
    epochs: Annotated[int | None, typer.Option(metavar="N", help="train.epochs")] = None,
    batch_size: Annotated[int | None, typer.Option(metavar="N", help="train.batch_size: pairs an optimiser step sees.")] = None,
    device: Device = None,
    precision: Annotated[Literal["fp32", "bf16"] | None, typer.Option(help="Arithmetic of the model. [fp32]")] = None,
    data_root: DataRoot = None,
    output_dir: Annotated[Path | None, typer.Option(metavar="DIR", help="Where runs are kept. [results]")] = None,
    resume: Annotated[str, typer.Option(metavar="auto|never|PATH", help="Continue an unfinished run.")] = "auto",
    limit: Limit = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show configuration, sizes and cost; train nothing.")] = False,
    tracker: Annotated[Literal["mlflow", "none"] | None, typer.Option(help="Where metrics go besides the folder. [mlflow]")] = None,
    plugin: Plugins = None,
    debug: Debug = False,
) -> None:
    """Train a model, select on val, evaluate on test once. Defaults < preset < --config < --set < flags."""
    _plug_in(plugin)
    flags = {
        "seed": seed,
        "train.epochs": epochs,
        "train.batch_size": batch_size,
        "device": device,
        "precision": precision,
        "data_root": _text(data_root),
        "output_dir": _text(output_dir),
        "limit": limit,
        "tracker": tracker,
    }
    from bench.config import resolve

    resolved = resolve(model, dataset, preset, config, overrides or [], flags)
    from bench import run as runs
    from bench.tracking import tracker as tracker_of

    with _reporter() as reporter:
        if dry_run:
            _show_dry_run(runs.dry_run(resolved, reporter))
            return
        tracked = tracker_of(resolved.tracker, reporter)
        result = runs.run(resolved, tracked, reporter, resume)
    _show_result(result.folder, result.record, address=tracked.address)


@app.command("eval", short_help="Evaluate a run or checkpoint that was saved.")
def _eval(
    run_or_checkpoint: Annotated[Path, typer.Argument(metavar="RUN_OR_CHECKPOINT", help="A run's folder or a checkpoint.")],
    dataset: Annotated[str | None, typer.Option(metavar="NAME", help="Another dataset than it was trained on.")] = None,
    split: Annotated[Literal["train", "val", "test"], typer.Option(help="What is ranked.")] = "test",
    data_root: DataRoot = None,
    overrides: Overrides = None,
    device: Device = None,
    limit: Limit = None,
    as_json: AsJson = False,
    plugin: Plugins = None,
    debug: Debug = False,
) -> None:
    """Evaluate a run or checkpoint that was saved."""
    if not run_or_checkpoint.exists():
        raise UsageError(f"{run_or_checkpoint} does not exist: give a run's folder (`list runs` names them) or a checkpoint")
    _plug_in(plugin)
    from bench import run as runs

    with _reporter() as reporter:
        result = runs.evaluate_saved(
            run_or_checkpoint,
            reporter,
            dataset=dataset,
            split=split,
            overrides=overrides or [],
            data_root=data_root,
            device=device or "auto",
            limit=limit,
        )
    _show_result(result.folder, result.record, as_json=as_json)


@app.command("list", short_help="What there is: models, datasets, presets, runs.")
def _list(
    what: Annotated[Literal["models", "datasets", "presets", "runs"], typer.Argument(help="What to list.")],
    output_dir: Annotated[Path, typer.Option(metavar="DIR", help="Where runs are kept.")] = Path("results"),
    as_json: AsJson = False,
    plugin: Plugins = None,
    debug: Debug = False,
) -> None:
    """What there is: models, datasets, presets, runs."""
    _plug_in(plugin)
    rows = listing.runs(output_dir) if what == "runs" else getattr(listing, what)()
    if as_json:
        typer.echo(json.dumps(rows, indent=2, default=str))
    elif rows:
        columns = [column for column in rows[0] if column != "citation"]
        _print(table("", columns, ([row[column] for column in columns] for row in rows)))
    else:
        typer.echo(f"no {what}", err=True)


@app.callback(invoke_without_command=True)
def _top(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    if version:
        typer.echo(_version())
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


# ----------------------------------------------------------------------------------------------------------- printing


def _print(*renderables: Any) -> None:
    """To stdout; where no terminal sets a width, wide enough to break no row."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 240)
    for renderable in renderables:
        console.print(renderable)


def _show_result(folder: Path, record: Mapping[str, Any], *, as_json: bool = False, address: str | None = None) -> None:
    if not _speaks():
        return
    if as_json:
        typer.echo(json.dumps(record, indent=2, default=str))
        return
    _print(result_table(record))
    lines = [context_line(record), f"folder: {folder}"]
    if address and record.get("mlflow_run_id"):
        shown = address if address.startswith("http") else f"mlflow ui --backend-store-uri {address}"
        lines.append(f"MLflow run {record['mlflow_run_id']}: {shown}")
    typer.echo("\n".join(line for line in lines if line))


def _show_dry_run(outcome: Mapping[str, Any]) -> None:
    import yaml

    if _speaks():
        typer.echo(yaml.safe_dump(outcome.get("configuration", {}), sort_keys=False))
        _print(*dry_run_tables(outcome))


@contextmanager
def _reporter() -> Iterator[Reporter]:
    """Closed in any case, so that no bar is drawn over an error."""
    reporter = ConsoleReporter()
    try:
        yield reporter if _speaks() else Silent()
    finally:
        reporter.close()


def _speaks() -> bool:
    """Of several processes (torchrun sets RANK) the first alone speaks."""
    return os.environ.get("RANK", "0") == "0"


# --------------------------------------------------------------------------------------------------------------- main


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code. Every failure becomes one line on stderr."""
    given = [_kebab(argument) for argument in (sys.argv[1:] if arguments is None else arguments)]
    debug = "--debug" in given or os.environ.get("TBPS_DEBUG", "") not in ("", "0")
    try:
        returned = app(given, prog_name="python -m bench", standalone_mode=False)
        sys.stdout.flush()  # here, where a reader that has gone can be answered for
        if returned == INTERRUPTED:
            typer.echo("interrupted" + (": the same command resumes the run" if "run" in given else ""), err=True)
        return returned if isinstance(returned, int) else 0
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if debug:
            traceback.print_exc()
        return _failed(error)


def _failed(error: Exception) -> int:
    """Say it in one line; the exit code."""
    text = " ".join((error.format_message() if isinstance(error, typer.TyperException) else str(error)).split())
    if isinstance(error, UsageError | typer.TyperException | RunFailed):
        typer.echo(f"error: {text.replace('Value error, ', '')}", err=True)
        return 1 if isinstance(error, RunFailed) else 2
    typer.echo(f"error: unexpected {type(error).__name__}: {text} (--debug or TBPS_DEBUG=1 shows the traceback)", err=True)
    return 1


def _kebab(argument: str) -> str:
    """`--batch_size` is `--batch-size`."""
    name, equals, value = argument.partition("=")
    return name.replace("_", "-") + equals + value if name.startswith("--") else argument


def _plug_in(values: Sequence[str] | None) -> None:
    for value in values or []:
        registry.plug_in(value)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _version() -> str:
    project = tomllib.loads((registry.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return f"{project['name']} {project['version']}"
