"""`data stats`: the table and the figures that a paper prints of a data set."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench import registry
from bench.commands.common import AsJson, DataRoot, DatasetName, Debug, Overrides, Plugins, plug_in, print_out, reporting
from bench.console import table

if TYPE_CHECKING:
    from bench.census.counts import Census
    from bench.contracts import Dataset

NAMED = 8
"""Names of each kind of attribute in the table."""
SPREADS = {"words": "words a caption", "phrases": "phrases a caption"}
SPREADS |= {"images_an_identity": "images an identity", "captions_an_image": "captions an image"}


def stats(
    name: DatasetName,
    to: Annotated[Path | None, typer.Option(metavar="DIR", help="Where figures are written. [results/<dataset>/statistics]")] = None,
    figures: Annotated[bool, typer.Option("--figures/--no-figures", help="Draw the figures.")] = True,
    data_root: DataRoot = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
    plugin: Plugins = None,
    debug: Debug = False,
) -> None:
    """Count identities, images, captions, words, phrases and what captions name; draw it; of walkers, a contact sheet too.

    Counted from the annotations as they stand: images need not be there, and a split that is carved out of another is not.
    """
    plug_in(plugin)
    from bench.census.counts import take_census, together
    from bench.config import opened

    dataset = opened(name, data_root, overrides or [])
    with reporting() as reporter:
        dataset.prepare(reporter.track)
        splits = dataset.survey().splits
        counted: dict[str, Census] = {split: take_census(records, reporter.track) for split, records in splits.items() if records.captions}
        folder = to or Path("results") / registry.label(name) / "statistics"
        drawn = [str(file) for file in _draw(dataset, counted, folder, registry.label(name))] if figures else []
    every = together(list(counted.values()))
    if as_json:
        rows = {split: census.row for split, census in counted.items()} | {"all": every.row}
        typer.echo(json.dumps({"splits": rows, "attributes": every.named, "figures": drawn}, indent=2))
        return
    print_out(_sizes({**counted, "all": every}), _attributes(every))
    typer.echo("\n".join(drawn))


def _draw(dataset: Dataset, counted: Mapping[str, Census], folder: Path, label: str) -> Iterator[Path]:
    from bench.census.contact_sheet import contact_sheet
    from bench.census.figures import draw_all

    yield from draw_all(counted, folder, title=label)
    grounding, twins = dataset.grounding("test"), dataset.twins("test")
    if grounding is not None and twins:
        contact_sheet(
            dataset.split("test"), grounding, twins, folder / "contact_sheet.png", title=f"{label}, test: near twins side by side"
        )
        yield folder / "contact_sheet.png"


def _sizes(counted: Mapping[str, Census]) -> Any:
    """A column a split, as papers have it."""
    rows = [[size, *(str(census.row[size]) for census in counted.values())] for size in ("identities", "images", "captions", "vocabulary")]
    for key, label in SPREADS.items():
        spreads = [census.row[key] for census in counted.values()]
        rows.append([f"{label}: min / mean / max", *(f"{s['min']} / {s['mean']:.2f} / {s['max']}" for s in spreads)])
    return table("", ["", *counted], rows)


def _attributes(census: Census) -> Any:
    """What captions name, in percent of captions."""
    total = max(census.captions, 1)
    rows = [
        [kind, ", ".join(f"{name} {100 * n / total:.1f}" for name, n in list(names.items())[:NAMED])]
        for kind, names in census.named.items()
        if names
    ]
    return table("named in captions, percent of them", ["kind", "the commonest"], rows)
