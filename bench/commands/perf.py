"""`perf`: the hot paths, measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from bench.commands.common import Debug, Plugins, plug_in, print_out, reporting

COLUMNS = ("path", "seconds", "floor", "x floor", "x faster than the obvious", "peak MiB", "notes")


def perf(
    json_file: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Keep what was measured.")] = None,
    against: Annotated[Path | None, typer.Option(metavar="FILE", help="Compare with what an earlier --json kept; 1 if worse.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Tiny sizes, in seconds: does it run?")] = False,
    only: Annotated[str | None, typer.Option(metavar="TEXT", help="Paths whose name holds this.")] = None,
    vectors: Annotated[int, typer.Option(metavar="N", min=100, help="Of the gallery search; a million take some 10 GB.")] = 200_000,
    device: Annotated[Literal["cpu", "cuda"], typer.Option(help="Where to compute.")] = "cpu",
    plugin: Plugins = None,
    debug: Debug = False,
) -> None:
    """Time, floor, ratio to it, ratio to the obvious implementation and memory of each hot path."""
    plug_in(plugin)
    import torch

    from bench import checkpoint
    from bench.errors import RunFailed, UsageError
    from bench.perf import measure as perf

    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: torch sees no CUDA device here")
    before = perf.load(against) if against else None
    with reporting() as reporter:
        measured = perf.measure(torch.device(device), reporter, quick=quick, vectors=vectors, only=only)
    _show(measured)
    if json_file:
        checkpoint.write_text(json_file, json.dumps(measured, indent=2) + "\n")
    if before and (worse := perf.regressions(measured, before)):
        said = "; ".join(f"{row['path']}: {row['ratio']} {row['before']:.2f} -> {row['now']:.2f}" for row in worse)
        raise RunFailed(f"{len(worse)} ratios are more than {perf.WORSE} times worse than in {against}: {said}")


def _show(measured: dict[str, Any]) -> None:
    from bench.console import table

    rows = (
        (name, *(row[key] for key in ("seconds", "floor", "to_floor", "gain", "peak_mib", "notes")))
        for name, row in measured["paths"].items()
    )
    print_out(table("", COLUMNS, rows))
    machine, rates = measured["machine"], measured["rates"]
    typer.echo(
        f"{machine['cpu']}, {machine['cores']} cores, {machine['threads']} threads, torch {machine['torch']}: "
        f"{rates['flops'] / 1e9:.0f} GFLOP/s in a float32 product, {rates['bytes'] / 1e9:.0f} GB/s in a copy"
    )
