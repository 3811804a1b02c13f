"""A study is a declared file (`studies/*.yaml`): models, data set, objective, space, sampler, pruner, budget, seeds. No code.

A file with several models declares a search for each of them: the same budget, seeds and space, so that they can be compared. A file
with `grid` in place of `space` is an ablation: every cell with every seed, nothing is searched. Everything in it is checked against
`RunConfig` and the model's own configuration before anything is trained.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from itertools import product
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from bench.config import RunConfig, flatten, resolve
from bench.errors import UsageError
from bench.study._file import MAXIMISED as MAXIMISED
from bench.study._file import MINIMISED as MINIMISED
from bench.study._file import Range as Range
from bench.study._file import StudyFile
from bench.study._file import label as label
from bench.validation import dotted, keys_of, read_yaml, validated

FIRST_FRESH_SEED = 100
"""`study finish` counts its seeds from here; a search that uses one of them is passed over."""
INDIFFERENT = ("data_root", "output_dir", "device", "tracker", "evaluation", "seed")
"""What may differ between the processes of one study."""


@dataclass(frozen=True)
class Search:
    """The search of one model, or its ablation: a checked declaration."""

    name: str
    file: StudyFile
    base: RunConfig
    """What a trial is before its own values: preset and `base`."""

    @cached_property
    def space(self) -> dict[str, Range]:
        return {key: span for key, span in self.file.space.items() if span.models is None or self.base.model_name in span.models}

    @cached_property
    def judged(self) -> tuple[list[dict[str, Any]], list[tuple[dict[str, Any], str]]]:
        """The cells of the grid that can be run, and those that cannot, with the reason."""
        possible, impossible = [], []
        for values in product(*self.file.grid.values()):
            cell = dict(zip(self.file.grid, values, strict=True))
            try:
                self.base.updated(cell)
            except UsageError as error:
                impossible.append((cell, str(error)))
            else:
                possible.append(cell)
        return possible, impossible

    @cached_property
    def cells(self) -> list[tuple[dict[str, Any], int]]:
        """What the trials of an ablation are, in order: each cell with the first seed, then with the next."""
        return [(cell, seed) for seed in self.file.seeds for cell in self.judged[0]] if self.file.grid else []

    @property
    def folder(self) -> Path:
        """Where its trials and its outcome are kept."""
        return self.base.output_dir / "studies" / self.name

    @property
    def prunes(self) -> bool:
        """Whether trials may be pruned: not against several objectives, and not in an ablation."""
        return self.file.pruner.name != "none" and len(self.file.objective) == 1 and not self.file.grid

    def own(self, key: str) -> Any:
        """The value that an option of the space has in the preset (and `base`), as the space names it."""
        value = flatten(self.base)[key]
        return value if self.space[key].choices is None else label(value)

    def config(self, values: Mapping[str, Any], seed: int) -> RunConfig:
        """The run that a trial's values ask for."""
        return self.base.updated({**values, "seed": seed})

    def values(self, drawn: Mapping[str, Any]) -> dict[str, Any]:
        """The options' values of what a sampler drew: choices are drawn by their label."""
        offered = {key: span.choices for key, span in self.space.items()} | dict(self.file.grid)
        return {key: _of_label(drawn[key], choices) for key, choices in offered.items()}

    def fresh_seeds(self, count: int) -> list[int]:
        """Seeds that the search has not seen."""
        seeds = (seed for seed in range(FIRST_FRESH_SEED, FIRST_FRESH_SEED + count + len(self.file.seeds)) if seed not in self.file.seeds)
        return [seed for seed, _ in zip(seeds, range(count), strict=False)]

    def declared(self) -> dict[str, Any]:
        """All that may not change while a study is under way."""
        plain = {key: value for key, value in self.base.dump().items() if key not in INDIFFERENT}
        plain["train"] = {key: value for key, value in plain["train"].items() if key != "workers"}
        file = self.file.model_dump(mode="json", include={"objective", "seeds", "sampler", "pruner", "grid"})
        return {"base": plain, "space": {key: span.model_dump(mode="json") for key, span in self.space.items()}, **file}

    def digest(self) -> str:
        return sha256(json.dumps(self.declared(), sort_keys=True).encode()).hexdigest()


def load(path: Path, overrides: Sequence[str] = (), flags: Mapping[str, Any] | None = None) -> list[Search]:
    """The searches that a file declares, one a model. Whatever is wrong with it is a UsageError that names the file."""
    values = read_yaml(path, "study")
    try:
        return _searches(path.stem, values, overrides, flags or {})
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def _searches(stem: str, values: Mapping[str, Any], overrides: Sequence[str], flags: Mapping[str, Any]) -> list[Search]:
    file = validated(StudyFile, values, "", list(keys_of(StudyFile, "")))
    base = dict(dotted(file.base))
    found = []
    for model in file.model:
        config = resolve(model, file.dataset, file.preset, overrides=overrides, flags={**base, **flags})
        name = stem if len(file.model) == 1 else f"{stem}-{config.model_name}"
        found.append(Search(name, file, config))
    for search in found:
        _check_space(search)
        _check_grid(search)
    return found


def _check_space(search: Search) -> None:
    """Each option exists and takes what the range offers."""
    for key, span in search.space.items():
        _refuse_reserved(key, "space")
        if span.choices is not None:
            for choice in span.choices:
                _try(search.base, key, choice, "space")
            continue
        _try(search.base, key, _whole(span.low), "space")
        if kind_of(search.base, key) is None:
            raise UsageError(f"space: {key} is no number: give choices")
        _try(search.base, key, _whole(span.high), "space")


def _check_grid(search: Search) -> None:
    for key, values in search.file.grid.items():
        _refuse_reserved(key, "grid")
        if not values:
            raise UsageError(f"grid: {key} has no values")
        if all(_refused(search.base, key, value) for value in values):
            _try(search.base, key, values[0], "grid")
    if search.file.grid and not search.judged[0]:
        cell, reason = search.judged[1][0]
        raise UsageError(f"grid: no cell can be run; {described(cell)}: {reason}")


def _refuse_reserved(key: str, where: str) -> None:
    if key.partition(".")[0] in INDIFFERENT or key in ("model.name", "data.name", "preset", "limit"):
        raise UsageError(f"{where}: {key} is no option that a study may vary; models stand under `model`, training seeds under `seeds`")


def _refused(base: RunConfig, key: str, value: Any) -> bool:
    try:
        base.updated({key: value})
    except UsageError:
        return True
    return False


def _try(base: RunConfig, key: str, value: Any, where: str) -> None:
    try:
        base.updated({key: value})
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error


def _whole(value: float | None) -> int | float | None:
    return int(value) if value is not None and value.is_integer() else value


def kind_of(base: RunConfig, key: str) -> type[int] | type[float] | None:
    """int or float where the option of this dotted key is a number, else None."""
    section, *inner = key.split(".")
    options: Any = type(base)
    for part in (section, *inner):
        if section in ("model", "data") and part == section:
            options = type(getattr(base, section))
            continue
        options = options.model_fields[part].annotation
    kinds = get_args(options) if get_origin(options) in (Union, UnionType) else (options,)
    return next((kind for kind in (float, int) if kind in kinds), None)


def described(values: Mapping[str, Any]) -> str:
    """`model.cross_scale=true train.lr=0.001` in one line."""
    return " ".join(f"{key}={label(value)}" for key, value in values.items())


def _of_label(drawn: Any, choices: Sequence[Any] | None) -> Any:
    return drawn if choices is None else next(choice for choice in choices if label(choice) == drawn)
