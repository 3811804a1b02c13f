"""What `bench list` tells: rows of plain values, read without importing a model, a dataset or torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import registry


def models() -> list[dict[str, Any]]:
    """A row a model."""
    entries = registry.names("model").values()
    return [
        {"model": e.name, "about": e.about, "presets": ", ".join(e.presets), "origin": e.origin, "citation": e.citation} for e in entries
    ]


def datasets() -> list[dict[str, Any]]:
    """A row a dataset."""
    entries = registry.names("dataset").values()
    return [{"dataset": e.name, "about": e.about, "origin": e.origin, "citation": e.citation} for e in entries]


def presets() -> list[dict[str, Any]]:
    """A row a preset of a model."""
    entries = registry.names("model").values()
    return [{"model": e.name, "preset": preset, "about": about} for e in entries for preset, about in e.presets.items()]


def runs(output_dir: Path) -> list[dict[str, Any]]:
    """A row a run folder, whatever state it is in. What `--resume never` set aside (`seed0-earlier1`) is left out."""
    folders = sorted(output_dir.glob("*/*/*/seed*"))
    return [_run(folder) for folder in folders if folder.name.removeprefix("seed").isdecimal()]


def _run(folder: Path) -> dict[str, Any]:
    dataset, model, digest, seed = folder.parts[-4:]
    row = {"dataset": dataset, "model": model, "hash": digest, "seed": seed.removeprefix("seed")}
    return row | _outcome(folder / "result.json") | {"folder": str(folder)}


def _outcome(file: Path) -> dict[str, Any]:
    """State and R1 of a result.json, which may be missing, cut short or another program's."""
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        scores = {f"{split} R1": _r1(record, split) for split in ("val", "test")}
        return {"state": "finished" if record.get("finished") else "unfinished", **scores}
    except FileNotFoundError:
        return {"state": "unfinished", "val R1": None, "test R1": None}
    except (OSError, ValueError, AttributeError, TypeError):
        return {"state": "unreadable", "val R1": None, "test R1": None}


def _r1(record: Mapping[str, Any], split: str) -> float | None:
    value = record.get("metrics", {}).get(split, {}).get("t2i", {}).get("R1")
    return None if value is None else float(value)
