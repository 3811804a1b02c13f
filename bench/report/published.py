"""Printed results of others (`reports/published.yaml`): facts with their source and caveats, never mixed with measured ones."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bench import registry
from bench.errors import UsageError
from bench.report.data import PublishedRow
from bench.validation import first_problem, read_yaml

FILE = registry.ROOT / "reports" / "published.yaml"
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Printed(_Part):
    """What a method is printed to obtain on one data set; `source` is a key of the file's sources."""

    R1: Percent
    R5: Percent | None = None
    R10: Percent | None = None
    mAP: Percent | None = None
    mINP: Percent | None = None
    source: str
    caveats: tuple[str, ...] = ()


class Method(_Part):
    """A method, with what holds for all its results."""

    method: str
    year: int | None = None
    caveats: tuple[str, ...] = ()
    printed: dict[str, Printed]


class Published(_Part):
    """The file: its words for caveats, where things were read, and what was read."""

    caveats: dict[str, str]
    sources: dict[str, str]
    methods: tuple[Method, ...]

    @model_validator(mode="after")
    def _all_is_explained(self) -> Published:
        for method in self.methods:
            for printed in method.printed.values():
                if printed.source not in self.sources:
                    raise ValueError(f"{method.method}: no source is called {printed.source!r}")
                if unknown := [word for word in (*method.caveats, *printed.caveats) if word not in self.caveats]:
                    raise ValueError(f"{method.method}: no caveat is called {', '.join(unknown)}")
        return self

    def on(self, dataset: str) -> tuple[PublishedRow, ...]:
        """What is printed for a data set, the lowest R1 first."""
        rows = [
            PublishedRow(
                method=f"{method.method} ({method.year})" if method.year else method.method,
                dataset=dataset,
                **printed.model_dump(exclude={"source", "caveats"}),
                source=self.sources[printed.source],
                caveats=(*method.caveats, *printed.caveats),
            )
            for method in self.methods
            if (printed := method.printed.get(dataset)) is not None
        ]
        return tuple(sorted(rows, key=lambda row: (row.R1, row.method)))


def read(file: Path = FILE) -> Published:
    """The file's content. UsageError where it cannot be read or does not explain itself."""
    try:
        return Published.model_validate(read_yaml(file, "published results"))
    except ValidationError as error:
        raise UsageError(f"{file}: {first_problem(error)}") from error
