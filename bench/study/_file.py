"""The content of a study's file, as options: what may stand there, and what makes no sense whatever the model."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from bench.contracts import Options

MAXIMISED = ("R1", "R5", "R10", "mAP", "mINP")
"""On val, text to image, percent."""
MINIMISED = ("flops", "parameters")
"""A configuration's cost: GFLOPs to embed and compare one pair, and parameters in millions."""


class Range(Options):
    """What a search may try for one option: `choices`, or all between `low` and `high` (whole numbers where the option is one)."""

    model_config = ConfigDict(allow_inf_nan=False)

    low: float | None = None
    high: float | None = None
    log: bool = Field(False, description="even in the logarithm")
    step: float | None = Field(None, gt=0, description="only low, low + step, ...")
    choices: tuple[Any, ...] | None = None
    models: tuple[str, ...] | None = Field(None, description="the models that have this option; null: all of the study's")

    @model_validator(mode="after")
    def _one_of_both(self) -> Range:
        if (self.choices is None) == (self.low is None or self.high is None):
            raise ValueError("give either low and high, or choices")
        if self.choices is not None and (len(self.choices) < 1 or self.log or self.step is not None):
            raise ValueError("choices want at least one value, and neither log nor step")
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f"low must lie below high, but got low={self.low:g} and high={self.high:g}")
        if self.log and (self.step is not None or (self.low or 0) <= 0):
            raise ValueError("log wants low above 0, and no step")
        return self

    def __str__(self) -> str:
        if self.choices is not None:
            return " | ".join(label(choice) for choice in self.choices)
        return f"{self.low:g} .. {self.high:g}" + (" log" if self.log else "") + (f" step {self.step:g}" if self.step else "")


class SamplerOptions(Options):
    """How the next configuration is proposed. It depends on the seed, the trial's number and the trials before it alone."""

    name: Literal["tpe", "random"] = "tpe"
    seed: int = Field(0, ge=0)
    startup: int = Field(8, ge=1, description="trials that `tpe` draws at random before it proposes")
    preset_first: bool = Field(True, description="trial 0 has the preset's own values, where the space holds them")


class PrunerOptions(Options):
    """When a trial is given up before its last epoch. Judged after each epoch of its first seed."""

    name: Literal["none", "median", "percentile"] = "median"
    startup: int = Field(4, ge=1, description="completed trials before the first may be pruned")
    warmup: int = Field(3, ge=0, description="epochs before a trial may be pruned")
    keep: float = Field(25.0, gt=0, lt=100, description="`percentile`: share of completed trials, percent, among whose best it must be")


class Budget(Options):
    """When a study has done enough. Whichever is reached first; a trial that runs then is completed."""

    model_config = ConfigDict(allow_inf_nan=False)

    trials: int | None = Field(None, ge=1, description="completed trials: pruned and failed ones do not count")
    begun: int | None = Field(None, ge=1, description="trials begun at most, pruned and failed ones too; null: 4 x trials")
    hours: float | None = Field(None, gt=0, description="of wall clock in which any trial ran")
    accelerator_seconds: float | None = Field(None, gt=0, description="that trials held their device, all workers together")
    failures: int = Field(8, ge=1, description="failed trials that end the study: something is wrong with it")


class StudyFile(Options):
    """The content of a study's file."""

    about: str = ""
    model: tuple[str, ...] = Field(description="one name or several")
    dataset: str
    preset: str | None = None
    base: dict[str, Any] = Field(default_factory=dict, description="options that all trials share, on top of the preset")
    objective: tuple[Literal["R1", "R5", "R10", "mAP", "mINP", "flops", "parameters"], ...] = ("R1",)
    space: dict[str, Range] = Field(default_factory=dict)
    grid: dict[str, tuple[Any, ...]] = Field(default_factory=dict, description="an ablation: all combinations of these values")
    sampler: SamplerOptions = SamplerOptions()
    pruner: PrunerOptions = PrunerOptions()
    budget: Budget = Budget()
    seeds: tuple[int, ...] = Field((0,), min_length=1, description="of training; a trial's value is their mean")
    finish_seeds: int = Field(5, ge=2, description="fresh seeds that `study finish` trains the best with")
    storage: str | None = Field(None, description="sqlite:///FILE, journal:FILE, postgresql://..., mysql://...; null: studies/NAME.db")

    @field_validator("model", "objective", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _makes_sense(self) -> StudyFile:
        if bool(self.space) == bool(self.grid):
            raise ValueError("a study wants either space (a search) or grid (an ablation)")
        if len(set(self.objective)) < len(self.objective) or len(set(self.seeds)) < len(self.seeds):
            raise ValueError("an objective or a seed is named twice")
        if self.space and not any((self.budget.trials, self.budget.hours, self.budget.accelerator_seconds)):
            raise ValueError("a search wants an end: budget.trials, budget.hours or budget.accelerator_seconds")
        if self.grid and len(self.objective) > 1:
            raise ValueError("an ablation has one objective: give budget and cost to a search")
        return self


def label(value: Any) -> str:
    """A value as a person reads it, and as a choice is stored."""
    if isinstance(value, list | tuple) and all(isinstance(part, str) for part in value):
        return "+".join(value)
    return f"{value:.4g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)
