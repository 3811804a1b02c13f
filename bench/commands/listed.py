"""`list`: what there is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from bench import listing
from bench.commands.common import AsJson, Debug, Plugins, plug_in, print_out


def list_what(
    what: Annotated[Literal["models", "datasets", "presets", "runs"], typer.Argument(help="What to list.")],
    output_dir: Annotated[Path, typer.Option(metavar="DIR", help="Where runs are kept.")] = Path("results"),
    as_json: AsJson = False,
    plugin: Plugins = None,
    debug: Debug = False,
) -> None:
    """What there is: models, datasets, presets, runs."""
    plug_in(plugin)
    rows = listing.runs(output_dir) if what == "runs" else getattr(listing, what)()
    if as_json:
        typer.echo(json.dumps(rows, indent=2, default=str))
    elif rows:
        from bench.console import table

        columns = [column for column in rows[0] if column != "citation"]
        print_out(table("", columns, ([row[column] for column in columns] for row in rows)))
    else:
        typer.echo(f"no {what}", err=True)
