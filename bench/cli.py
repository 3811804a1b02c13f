"""The command line: argv -> configuration -> one call -> printed result. Commands stand in `bench/commands/`; they alone print.

Exit codes: 0 done; 1 failed (`--debug` or TBPS_DEBUG=1 shows the traceback); 2 asked wrongly; 130 interrupted. Those of `data check`
say what it found: 1 something changes results, 2 the data cannot be used. Torch is imported by commands that compute, never for
`--help` and `list`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from bench import registry
from bench.commands import data, listed, look, perf, report, run, study
from bench.errors import RunFailed, UsageError

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

app.command("run", short_help="Train a model, select on val, evaluate on test once.")(run.run)
app.command("eval", short_help="Evaluate a run or checkpoint that was saved.")(run.evaluate)
app.add_typer(study.app, name="study", short_help="Searches and ablations that are declared in files.")
app.command("report", short_help="Compare finished runs, with their uncertainty.")(report.report)
app.command("reproduce", short_help="Run a reproduction card and judge.")(report.reproduce)
app.command("look", short_help="Look through what finished runs retrieve, and where they attend.")(look.look)
app.command("perf", short_help="What the hot paths take, beside what this machine can do.")(perf.perf)
app.command("list", short_help="What there is: models, datasets, presets, runs.")(listed.list_what)
app.add_typer(data.app, name="data", short_help="A data set: is it whole, what is in it.")


@app.callback(invoke_without_command=True)
def _top(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    if version:
        typer.echo(_version())
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())


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
            import traceback

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


def _version() -> str:
    import tomllib

    project = tomllib.loads((registry.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return f"{project['name']} {project['version']}"
