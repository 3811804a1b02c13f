"""Finished runs without training: folders with what a run leaves, whose numbers agree with each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.metrics import METRICS

COST = {"parameters": 2e6, "flops": 3e9, "ms_image": 1.5, "ms_caption": 0.5, "ms_search": 0.2, "index_bytes": 4096, "peak_mib": 900.0}
COLOURS = ("red", "blue", "black")


def queries(ids: int, quality: float, random: np.random.Generator, caption: str = "a person in a {} coat with a bag") -> pd.DataFrame:
    """Two images an identity, two captions an image. `quality`: share of queries whose first image matches."""
    pids = np.arange(ids).repeat(4)
    ease = np.clip(quality + random.normal(0, 0.25, ids), 0, 1)[pids]
    first = np.where(random.random(len(pids)) < ease, 1, random.integers(2, 2 * ids, len(pids)))
    images = [f"p{query // 2 % 2}_{pid}.jpg" for query, pid in enumerate(pids)]
    texts = [caption.replace("{}", COLOURS[pid % 3]) for pid in pids]
    near = [[image, f"p0_{(pid + 1) % ids}.jpg"] for image, pid in zip(images, pids, strict=True)]
    return pd.DataFrame(
        {
            "query": range(len(pids)),
            "caption": texts,
            "image": images,
            "pid": pids,
            "camera": pd.array(["c1" if pid % 2 else "c2" for pid in pids], dtype="str"),
            "matches": 2,
            "first_match": first,
            "AP": 1 / first,
            "INP": 2 / (first + random.integers(1, 9, len(pids))),
            "tied": False,
            "nearest": near,
            "nearest_match": [[True, False]] * len(pids),
            "nearest_similarity": [[0.5, 0.25]] * len(pids),
        }
    )


def summary(table: pd.DataFrame) -> dict[str, float]:
    hits = {f"R{k}": 100 * float((table["first_match"] <= k).mean()) for k in (1, 5, 10)}
    return hits | {"mAP": 100 * float(table["AP"].mean()), "mINP": 100 * float(table["INP"].mean())}


def fake_run(
    root: Path,
    *,
    model: str = "acsa",
    seed: int = 0,
    quality: float = 0.5,
    ids: int = 30,
    config_hash: str | None = None,
    caption: str = "a person in a {} coat with a bag",
    folder: str | None = None,
    **changes: Any,
) -> Path:
    """Write a run's folder; where it is. `changes` replace keys of its record."""
    digest = config_hash or f"{sum(map(ord, model)):08x}"
    place = root / (folder or f"walkers/{model}/{digest}/seed{seed}")
    place.mkdir(parents=True)
    table = queries(ids, quality, np.random.default_rng([seed, ids, round(1000 * quality)]), caption)
    table.to_parquet(place / "per_query.parquet", index=False)
    epochs = [{"epoch": e, "val/t2i/R1": 10.0 * e + seed, "val/t2i/mAP": 12.0 * e, "train/loss": 3.0 / e} for e in (1, 2, 3)]
    (place / "metrics.jsonl").write_text("".join(json.dumps(values) + "\n" for values in epochs))
    told = summary(table)
    record: dict[str, Any] = {
        "schema_version": 1,
        "finished": True,
        "protocol": "tbps-eval/1",
        "selection": "val t2i R1",
        "model": model,
        "dataset": "walkers",
        "preset": "small",
        "seed": seed,
        "config_hash": digest,
        "data": {"fingerprint": "f" * 64, "splits": {"test": {"identities": ids, "images": 2 * ids, "captions": 4 * ids}}},
        "environment": {"git_commit": "c" * 40, "git_dirty": False, "hardware": {"cpu": "one"}},
        "metrics": {"val": {"t2i": dict.fromkeys(METRICS, 30.0)}, "test": {"t2i": told, "i2t": told}},
        "chance": {"t2i": {"R1": 100 / ids}},
        "ceiling": 91.25,
        "selected_epoch": 3,
        "epochs": 3,
        "cost": {
            "parameters": 2e6,
            "flops": 3e9,
            "ms_image": 1.5,
            "ms_caption": 0.5,
            "ms_search": 0.2,
            "index_bytes": 4096,
            "peak_mib": 900.0,
        },
        "mlflow_run_id": None,
    }
    (place / "result.json").write_text(json.dumps(record | changes))
    return place


def three_models(root: Path, seeds: int = 3) -> Path:
    """A good model, one nearly as good, and a poor one."""
    for seed in range(seeds):
        fake_run(root, model="acsa", seed=seed, quality=0.80)
        fake_run(root, model="region-phrase", seed=seed, quality=0.76)
        fake_run(root, model="image-sentence", seed=seed, quality=0.3)
    return root
