"""`look`: what finished runs retrieve, and where they attend."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.commands.common import DataRoot, Debug, Plugins, folder_name, plug_in, reporting


def look(
    results: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Folders of results, or of single runs.")],
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where it is written. [reports/<dataset>/look]")] = None,
    with_images: Annotated[bool, typer.Option("--with-images", help="Show a data set's images, which may be private.")] = False,
    data_root: DataRoot = None,
    plugin: Plugins = None,
    debug: Debug = False,
) -> None:
    """A page to filter retrievals by words, attributes, model, right or wrong; sheets of flips and failures; attention."""
    plug_in(plugin)
    from bench.errors import UsageError
    from bench.look import looking
    from bench.report import finished

    with reporting() as reporter:
        runs = finished.in_folders(results, reporter.track).runs
        if not runs:
            raise UsageError("no finished run lies there; `python -m bench list runs` shows what there is")

        def place(dataset: str) -> Path:
            return out or Path("reports") / folder_name(dataset) / "look"

        for made in looking.look_at(runs, place, reporter, with_images=with_images, data_root=data_root):
            for title, path in made.pictures:
                reporter.note(f"{path}: {title}")
            typer.echo(f"page: {made.page}")
