"""Reproduction cards (`studies/reproduce/<model>-<dataset>.yaml`): a recipe, known values, their source; and the verdict on them.

The rule: a card's recipe is run with N seeds. Each known value is compared with the mean of the runs by two one-sided t tests
(`bench.stats.agreement`) within the tolerance that the card states, in points. The card is *reproduced* if every value that has a
tolerance is, *not reproduced* if one is not, else *inconclusive*. One seed is always inconclusive. Runs are ordinary runs: they
resume, and finished ones count.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench import checkpoint, registry
from bench.config import RunConfig, resolve
from bench.errors import UsageError
from bench.progress import Reporter
from bench.run import run
from bench.stats import agreement
from bench.tracking import Tracker
from bench.validation import first_problem, read_yaml

CARDS = registry.ROOT / "studies" / "reproduce"
VERDICT = "reproduction.json"
TEST = "two one-sided t tests over seeds at 5 %, of a difference from the known value that is smaller than the tolerance"
Metric = Literal["R1", "R5", "R10", "mAP", "mINP"]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]


class Card(BaseModel):
    """A card, as it is written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    dataset: str
    about: str = Field(description="what is to be reproduced, in a sentence")
    preset: str = Field(description="the model's preset that is the recipe")
    set: dict[str, Any] = Field({}, description="options on top of the preset, by dotted keys")
    seeds: int = Field(3, ge=1, description="runs, unless --seeds says otherwise")
    first_seed: int = Field(0, ge=0, description="seeds count from here: not those that the known values come from")
    known: dict[Metric, Percent | list[Percent]] = Field(min_length=1, description="percent, on test; a list: of as many seeds")
    tolerance: dict[Metric, Annotated[float, Field(gt=0)]] = Field(description="points, for each known value that is judged")
    source: str = Field(description="where the known values stand")
    caveats: list[str] = []


class Finding(BaseModel):
    """One known value and what the runs obtained."""

    metric: Metric
    known: float
    values: tuple[float, ...]
    """By seed."""
    mean: float
    difference: float
    interval: tuple[float, float] | None
    tolerance: float
    p: float | None
    verdict: str


class Verdict(BaseModel):
    """What the runs of a card show."""

    model: str
    dataset: str
    verdict: str
    test: str = TEST
    findings: tuple[Finding, ...]
    seeds: tuple[int, ...]
    source: str
    caveats: tuple[str, ...]
    folders: tuple[str, ...]


def find(model: str, dataset: str) -> Path:
    """The card of a model and a data set. UsageError where there is none, with those that there are."""
    name = f"{registry.find('model', model).name}-{registry.find('dataset', dataset).name}"
    file = CARDS / f"{name}.yaml"
    if not file.is_file():
        cards = ", ".join(sorted(card.stem for card in CARDS.glob("*.yaml")))
        raise UsageError(f"there is no card {name}; cards: {cards or 'none'}; --card FILE takes another")
    return file


def read(file: Path) -> Card:
    """The card in a file. UsageError where it is none."""
    try:
        card = Card.model_validate(read_yaml(file, "card"))
    except ValidationError as error:
        raise UsageError(f"card {file}: {first_problem(error)}") from error
    if missing := set(card.tolerance) - set(card.known):
        raise UsageError(f"card {file}: a tolerance for {', '.join(sorted(missing))}, but no known value")
    if not card.tolerance:
        raise UsageError(f"card {file}: no known value has a tolerance, so that nothing can be judged")
    return card


def reproduce(
    card: Card,
    track: Callable[[RunConfig], Tracker],
    reporter: Reporter,
    *,
    seeds: int | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Verdict:
    """Run a card's recipe with so many seeds, and judge. `flags`: where to compute and to keep, as `resolve` takes them."""
    numbers = range(card.first_seed, card.first_seed + (seeds or card.seeds))
    values = {**card.set, **{key: value for key, value in (flags or {}).items() if value is not None}}
    configs = [resolve(card.model, card.dataset, card.preset, flags={**values, "seed": seed}) for seed in numbers]
    results = [run(config, track(config), reporter) for config in configs]
    findings = tuple(_finding(card, metric, [r.record["metrics"]["test"]["t2i"][metric] for r in results]) for metric in card.tolerance)
    verdict = Verdict(
        model=card.model,
        dataset=card.dataset,
        verdict=overall([finding.verdict for finding in findings]),
        findings=findings,
        seeds=tuple(numbers),
        source=card.source,
        caveats=tuple(card.caveats),
        folders=tuple(str(result.folder) for result in results),
    )
    file = results[0].folder.parent / VERDICT
    checkpoint.write_text(file, json.dumps(verdict.model_dump(mode="json"), indent=2) + "\n")
    reporter.note(f"verdict: {file}")
    return verdict


def _finding(card: Card, metric: Metric, values: Sequence[float]) -> Finding:
    known, tolerance = card.known[metric], card.tolerance[metric]
    told = agreement(values, known if isinstance(known, list) else [known], tolerance)
    mean = sum(values) / len(values)
    return Finding(
        metric=metric,
        known=mean - told.difference,
        values=tuple(values),
        mean=mean,
        difference=told.difference,
        interval=told.interval,
        tolerance=tolerance,
        p=told.p,
        verdict=told.verdict,
    )


def overall(verdicts: Sequence[str]) -> str:
    """The card's verdict from those of its values.

    >>> overall(["reproduced", "inconclusive"]), overall(["not reproduced", "reproduced"])
    ('inconclusive', 'not reproduced')
    """
    return next(word for word in ("not reproduced", "inconclusive", "reproduced") if word in verdicts)
