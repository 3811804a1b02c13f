"""The base of all options, and of those that belong to data."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Options(BaseModel):
    """Base of every configuration object: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class DataOptions(Options):
    """Base of a data set's own knobs; those here every data set has, the harness sees to them."""

    caption_noise: float = Field(0.0, ge=0, le=1, description="share of the train captions that are moved to wrong images")
    noise_seed: int = Field(0, description="seed of which captions are moved where; the run's seed plays no part")
    noise_index: Path | None = Field(None, description="a file .npy that says instead whose caption each train pair has, as RDE writes it")

    phrases: Literal["rules", "spacy"] = Field("rules", description="what finds noun phrases: the harness's rules, or spaCy")

    @model_validator(mode="after")
    def _one_noise(self) -> DataOptions:
        if self.caption_noise and self.noise_index is not None:
            raise ValueError("data.caption_noise and data.noise_index exclude each other: the file says which captions are moved")
        return self
