"""What the commands share: their options, the reporter, and printing to stdout (tables, JSON).

`--help` loads this module: rich and tables are imported by what prints them.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from bench import registry
from bench.progress import Reporter, Silent

Plugins = Annotated[list[str] | None, typer.Option("--plugin", metavar="MODULE|FILE.py", help="Further models or datasets; repeatable.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="An option, as train.lr=1e-4; repeatable.")]
DataRoot = Annotated[Path | None, typer.Option(metavar="DIR", help="Holds the datasets' folders. [TBPS_DATA_ROOT, else data/]")]
Device = Annotated[Literal["auto", "cpu", "cuda"] | None, typer.Option(help="Where to compute. [auto]")]
Limit = Annotated[int | None, typer.Option(metavar="N", help="Keep only N images of each split, to try things out.")]
DatasetName = Annotated[str, typer.Argument(metavar="NAME|TABLE", help="A dataset's name (`list datasets`), or a table's path.")]
OutputDir = Annotated[Path | None, typer.Option(metavar="DIR", help="Where runs are kept, and caches in its folder .cache. [results]")]
Tracking = Annotated[Literal["mlflow", "none"] | None, typer.Option(help="Where metrics go besides the folder. [mlflow]")]
Precision = Annotated[Literal["fp32", "bf16"] | None, typer.Option(help="Arithmetic of the model. [fp32]")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of a failure (as TBPS_DEBUG=1 does).")]


def plug_in(values: Sequence[str] | None) -> None:
    """Register what `--plugin` names."""
    for value in values or []:
        registry.plug_in(value)


def text(path: Path | None) -> str | None:
    """A path as configuration holds it."""
    return None if path is None else str(path)


def folder_name(dataset: str) -> str:
    """A data set's name as that of a folder, wherever a record has it from."""
    return re.sub(r"[^\w.-]+", "-", dataset).strip(".-") or "runs"


def print_out(*renderables: Any) -> None:
    """To stdout; where no terminal sets a width, wide enough to break no row."""
    from rich.console import Console

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 240)
    for renderable in renderables:
        console.print(renderable)


def show_result(folder: Path, record: Mapping[str, Any], *, as_json: bool = False, address: str | None = None) -> None:
    """A record's tables, where it lies, and how MLflow shows it; or the record as JSON."""
    if not speaks():
        return
    if as_json:
        typer.echo(json.dumps(record, indent=2, default=str))
        return
    from bench.console import context_line, result_table

    print_out(result_table(record))
    lines = [context_line(record), f"folder: {folder}"]
    if address and record.get("mlflow_run_id"):
        shown = address if address.startswith("http") else f"mlflow ui --backend-store-uri {address}"
        lines.append(f"MLflow run {record['mlflow_run_id']}: {shown}")
    typer.echo("\n".join(line for line in lines if line))


def show_dry_run(outcome: Mapping[str, Any]) -> None:
    """The configuration, which alone repeats the run, and the tables of its cost."""
    import yaml

    from bench.console import dry_run_tables

    if speaks():
        typer.echo(yaml.safe_dump(outcome.get("configuration", {}), sort_keys=False))
        print_out(*dry_run_tables(outcome))


@contextmanager
def reporting() -> Iterator[Reporter]:
    """Closed in any case, so that no bar is drawn over an error."""
    from bench.console import ConsoleReporter

    reporter = ConsoleReporter()
    try:
        yield reporter if speaks() else Silent()
    finally:
        reporter.close()


def speaks() -> bool:
    """Of several processes (torchrun sets RANK) the first alone speaks."""
    return os.environ.get("RANK", "0") == "0"
