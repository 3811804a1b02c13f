"""`data`: what there is to know about a data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench import registry
from bench.commands import data_prepare, data_stats
from bench.commands.common import AsJson, DataRoot, DatasetName, Debug, Overrides, Plugins, plug_in, print_out, reporting

if TYPE_CHECKING:
    from bench.contracts import Dataset

app = typer.Typer(help="A data set: is it whole, what is in it.", rich_markup_mode=None, no_args_is_help=True)
app.command("stats", short_help="The numbers and figures a paper prints of it.")(data_stats.stats)
app.command("prepare", short_help="Decode images once, before any run; phrases and tokens too.")(data_prepare.prepare)
app.command("phrases", short_help="The harness's noun phrases beside spaCy's.")(data_prepare.phrases)


@app.command("check", short_help="Is the data set what a result says it is? Exit code 0, 1 or 2.")
def check(
    name: DatasetName,
    data_root: DataRoot = None,
    overrides: Overrides = None,
    alone: Annotated[bool, typer.Option("--alone", help="Do not compare with images of other sets under the data root.")] = False,
    as_json: AsJson = False,
    plugin: Plugins = None,
    debug: Debug = False,
) -> int:
    """Is the data set what a result says it is: records, captions, images, duplicates, published sizes.

    Exit code: 0 clean, or with notes; 1 something changes results; 2 it cannot be used, or was asked for wrongly.
    """
    plug_in(plugin)
    from bench.config import opened
    from bench.doctor import check as doctor

    dataset = opened(name, data_root, overrides or [])
    others = {} if alone else _others(name, data_root)
    with reporting() as reporter:
        dataset.prepare(reporter.track)
        diagnosis = doctor.check(registry.find("dataset", name).name, dataset, reporter, others=others)
    if as_json:
        typer.echo(json.dumps(diagnosis.as_json(), indent=2))
    else:
        from bench.console import check_tables

        print_out(*check_tables(diagnosis))
    return int(diagnosis.severity)


def _others(name: str, data_root: Path | None) -> dict[str, Dataset]:
    """The published sets besides this one, there or not."""
    from bench.config import opened

    sets = {other: opened(other, data_root) for other in registry.names("dataset") if other != registry.find("dataset", name).name}
    return {other: dataset for other, dataset in sets.items() if dataset.official}
