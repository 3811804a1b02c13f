"""A plugin as an outsider would write it: one model, one dataset, nothing behind them. Tests name it with `--plugin tests.stub_plugin`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from bench.contracts import (
    Batch,
    Captions,
    Dataset,
    Features,
    InputSpec,
    ModelOptions,
    Options,
    Preset,
    Split,
    SplitName,
    TextImageModel,
    UsageError,
)


class InnerOptions(Options):
    """Options within options."""

    depth: int = Field(2, ge=1)


class StubOptions(ModelOptions):
    """Knobs of every kind that `--set` must handle."""

    width: int = Field(8, ge=1, description="features")
    kind: Literal["flat", "deep"] = "flat"
    shift: float | None = None
    sizes: tuple[int, ...] = (1, 2)
    exact: bool = False
    inner: InnerOptions = InnerOptions()


class StubModel(TextImageModel):
    """A model without parts.

    It computes nothing.
    """

    Config = StubOptions
    citation = "Nobody: A model without parts. 2024."
    presets: ClassVar[Mapping[str, Preset]] = {
        "paper": Preset("as it was published", model={"width": 16}, train={"epochs": 3, "lr": 1e-3}),
        "tiny": Preset("for tests", model={"width": 2, "inner": {"depth": 1}}),
    }

    @classmethod
    def input_spec(cls, config: ModelOptions) -> InputSpec:
        return InputSpec(height=8, width=4, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))

    def encode_images(self, images: Tensor) -> Features:
        return {"image": images.mean(dim=(2, 3))}

    def encode_captions(self, captions: Captions) -> Features:
        return {"caption": captions.tokens.float()[:, :3]}

    def similarities(self, captions: Features, images: Features) -> dict[str, Tensor]:
        return {"global": captions["caption"] @ images["image"].mT}

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        return {"nothing": batch.images.sum() * 0}


class StubDataset(Dataset):
    """A dataset without images."""

    citation = "Nobody: A dataset without images. 2024."
    name = "stub-data"

    def split(self, name: SplitName) -> Split:
        raise UsageError("the stub dataset has no images")
