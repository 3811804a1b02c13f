"""Whole runs that take seconds: ACSA on the smallest walkers, with the towers of `tests/tiny_models.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.config import RunConfig, resolve

SHRUNK = (
    "data.size=tiny",
    "model.image={weights: null, height: 32, width: 16, patch: 4, window: 2, embed_dim: 8, depths: [1, 2, 1], heads: [1, 2, 4]}",
    "model.text={source: null, width: 16, layers: 1, heads: 2, max_tokens: 24}",
    "model.width=32",
    "train.workers=0",
)


def small_config(root: Path, *overrides: str, **flags: Any) -> RunConfig:
    """A run of two epochs on the CPU; data and results lie under `root`."""
    told = {"data_root": str(root / "data"), "output_dir": str(root / "results"), "device": "cpu", "tracker": "none"}
    sizes = {"train.epochs": 2, "train.batch_size": 8}
    return resolve("acsa", "walkers", "small", overrides=[*SHRUNK, *overrides], flags={**told, **sizes, **flags})


def arguments(root: Path, *more: str, epochs: int = 6) -> list[str]:
    """The same run as a command line, after `python -m bench`."""
    sets = [part for override in SHRUNK for part in ("--set", override)]
    places = ["--data-root", str(root / "data"), "--output-dir", str(root / "results"), "--device", "cpu"]
    sizes = ["--epochs", str(epochs), "--batch-size", "8"]
    return ["run", "--model", "acsa", "--dataset", "walkers", "--preset", "small", *sets, *places, *sizes, *more]
