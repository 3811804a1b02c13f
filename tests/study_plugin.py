"""The toys as a plugin, for studies in processes of their own: `--plugin tests.study_plugin`."""

from __future__ import annotations

import os
import time
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor

from bench.contracts import Batch, Split, SplitName
from tests import toys


class StudiedOptions(toys.ToyOptions):
    """Knobs of the toy, and ways to fail."""

    trouble: str = "none"
    pause: float = 0.0
    """Seconds that a step takes longer."""


class Studied(toys.Toy):
    """The toy, which can be told to fail."""

    Config = StudiedOptions
    name = "toy"
    citation = "Nobody: A toy. 2026."

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        trouble, config = getattr(self.config, "trouble", "none"), self.config
        if trouble == "memory":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        if trouble == "host memory":
            raise MemoryError
        if trouble == "error":
            raise ZeroDivisionError("a defect of the model")
        if trouble == "nan":
            return {"loss": sum(super().loss(batch).values()) * float("nan")}  # type: ignore[dict-item]
        if trouble == "kill":
            os.kill(os.getpid(), 9)
        time.sleep(getattr(config, "pause", 0.0))
        return super().loss(batch)


class Sealed(toys.ToyData):
    """Plain-coloured pictures whose test split raises when it is opened."""

    name = "toy-sealed"
    default_preset = "none"

    def fingerprint(self) -> str:
        return sha256(repr([self.split(name).captions for name in ("train", "val")]).encode()).hexdigest()


class Whole(toys.ToyData):
    """Plain-coloured pictures, test included."""

    name = "toy-whole"
    default_preset = "none"

    def split(self, name: SplitName) -> Split:
        if name != "test":
            return super().split(name)
        folder: Any = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        return Split.from_pairs(name, folder, [self._pair(folder, pid, take) for pid in range(5) for take in range(2)])
