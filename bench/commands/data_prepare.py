"""`data prepare` and `data phrases`: what runs find ready, and how good the phrases are."""

from __future__ import annotations

import json
from typing import Annotated, Literal

import typer

from bench.commands.common import AsJson, DataRoot, DatasetName, Debug, OutputDir, Overrides, Plugins, plug_in, print_out, reporting, text
from bench.console import table

SHOWN = 20
"""Differences that a table shows."""


def prepare(
    name: DatasetName,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Its resolution and tokens. [the resolutions of all models]")] = None,
    preset: Annotated[str | None, typer.Option(metavar="NAME", help="Of the model. [the dataset's default]")] = None,
    overrides: Overrides = None,
    data_root: DataRoot = None,
    output_dir: OutputDir = None,
    as_json: AsJson = False,
    plugin: Plugins = None,
    debug: Debug = False,
) -> None:
    """Decode images to a model's resolution once, extract phrases, encode tokens; runs with the same output folder find them.

    The pixels are memory-mapped files in <output folder>/.cache/pixels, named by all they depend on. Half-written ones are never
    used, several processes at once are safe, and deleting the folder costs time only.
    """
    plug_in(plugin)
    from bench.prepare import configurations, prepare

    configs = configurations(name, model, preset, overrides or [], {"data_root": text(data_root), "output_dir": text(output_dir)})
    with reporting() as reporter:
        ready = list(prepare(configs, reporter, tokens=model is not None))
    if as_json:
        typer.echo(json.dumps([row._asdict() for row in ready], indent=2, default=str))
        return
    print_out(table("", ["split", "ready", "MiB", "where"], ([row.split, row.what, f"{row.mib:.1f}", str(row.place)] for row in ready)))


def phrases(
    name: DatasetName,
    against: Annotated[Literal["spacy"], typer.Option(help="The yardstick.")] = "spacy",
    split: Annotated[Literal["train", "val", "test"], typer.Option(help="Whose captions.")] = "test",
    sample: Annotated[int, typer.Option(metavar="N", min=1, help="Captions compared, drawn from a seed.")] = 500,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the draw.")] = 0,
    data_root: DataRoot = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
    plugin: Plugins = None,
    debug: Debug = False,
) -> None:
    """Compare the harness's noun phrases with spaCy's noun chunks, span by span, leading determiners and lone pronouns left out."""
    plug_in(plugin)
    from bench.prepare import compare_phrases

    with reporting() as reporter:
        told = compare_phrases(name, data_root, overrides or [], split, sample, seed, reporter)
    summary = {
        "captions": told.captions,
        "phrases a caption": told.found / told.captions,
        "chunks a caption": told.expected / told.captions,
        "precision": told.precision,
        "recall": told.recall,
        "F1": told.f1,
        "captions without a phrase": told.without,
    }
    if as_json:
        typer.echo(json.dumps(summary | {"differences": told.differences}, indent=2))
        return
    print_out(table("", list(summary), [[f"{value:.3f}" if isinstance(value, float) else str(value) for value in summary.values()]]))
    rows = (
        [{"more": "found here alone", "less": "found by spaCy alone"}[kind], said, str(n)] for kind, said, n in told.differences[:SHOWN]
    )
    print_out(table("the commonest differences", ["", "phrase", "times"], rows))
