"""`run` and `eval`: one run, and a saved one looked at again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from bench.commands.common import (
    AsJson,
    DataRoot,
    Debug,
    Device,
    Limit,
    OutputDir,
    Overrides,
    Plugins,
    Precision,
    Tracking,
    plug_in,
    reporting,
    show_dry_run,
    show_result,
    text,
)
from bench.errors import UsageError


def run(
    model: Annotated[str | None, typer.Option(metavar="NAME", help="`list models` names them.")] = None,
    dataset: Annotated[str | None, typer.Option(metavar="NAME", help="`list datasets` names them.")] = None,
    preset: Annotated[str | None, typer.Option(metavar="NAME", help="`list presets` names them. [the dataset's default]")] = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="YAML; a run's config.yaml repeats that run.")] = None,
    overrides: Overrides = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Of everything drawn at random. [0]")] = None,
    epochs: Annotated[int | None, typer.Option(metavar="N", help="train.epochs")] = None,
    batch_size: Annotated[int | None, typer.Option(metavar="N", help="train.batch_size: pairs an optimiser step sees.")] = None,
    device: Device = None,
    precision: Precision = None,
    data_root: DataRoot = None,
    output_dir: OutputDir = None,
    resume: Annotated[str, typer.Option(metavar="auto|never|PATH", help="Continue an unfinished run.")] = "auto",
    limit: Limit = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show configuration, sizes and cost; train nothing.")] = False,
    tracker: Tracking = None,
    plugin: Plugins = None,
    debug: Debug = False,
) -> None:
    """Train a model, select on val, evaluate on test once. Defaults < preset < --config < --set < flags."""
    plug_in(plugin)
    flags = {
        "seed": seed,
        "train.epochs": epochs,
        "train.batch_size": batch_size,
        "device": device,
        "precision": precision,
        "data_root": text(data_root),
        "output_dir": text(output_dir),
        "limit": limit,
        "tracker": tracker,
    }
    from bench.config import resolve

    resolved = resolve(model, dataset, preset, config, overrides or [], flags)
    from bench import run as runs
    from bench.tracking import tracker as tracker_of

    with reporting() as reporter:
        if dry_run:
            show_dry_run(runs.dry_run(resolved, reporter))
            return
        tracked = tracker_of(resolved.tracker, reporter)
        result = runs.run(resolved, tracked, reporter, resume)
    show_result(result.folder, result.record, address=tracked.address)


def evaluate(
    run_or_checkpoint: Annotated[Path, typer.Argument(metavar="RUN_OR_CHECKPOINT", help="A run's folder or a checkpoint.")],
    dataset: Annotated[str | None, typer.Option(metavar="NAME", help="Another dataset than it was trained on.")] = None,
    split: Annotated[Literal["train", "val", "test"], typer.Option(help="What is ranked.")] = "test",
    data_root: DataRoot = None,
    overrides: Overrides = None,
    device: Device = None,
    limit: Limit = None,
    allow_overlap: Annotated[bool, typer.Option("--allow-overlap", help="Even on identities that were trained on.")] = False,
    as_json: AsJson = False,
    plugin: Plugins = None,
    debug: Debug = False,
) -> None:
    """Evaluate a run or checkpoint that was saved."""
    if not run_or_checkpoint.exists():
        raise UsageError(f"{run_or_checkpoint} does not exist: give a run's folder (`list runs` names them) or a checkpoint")
    plug_in(plugin)
    from bench import run as runs

    with reporting() as reporter:
        result = runs.evaluate_saved(
            run_or_checkpoint,
            reporter,
            dataset=dataset,
            split=split,
            overrides=overrides or [],
            data_root=data_root,
            device=device or "auto",
            limit=limit,
            allow_overlap=allow_overlap,
        )
    show_result(result.folder, result.record, as_json=as_json)
