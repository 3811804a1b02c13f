"""The towers and recipes that presets share, so that models compared under one preset differ in their alignment alone."""

from __future__ import annotations

from typing import Any

PAPER_TRAIN: dict[str, Any] = {
    "epochs": 20,
    "batch_size": 16,
    "lr": 8e-5,
    "weight_decay": 0.05,
    "schedule": "multistep",
    "milestones": (8, 15),
    "gamma": 0.1,
    "flip": 0.5,
}
"""ACSA's published recipe. The warm-up and the clipping that the defaults add are not in it."""

SMALL_MODEL: dict[str, Any] = {
    "image": {
        "weights": None,
        "height": 96,
        "width": 48,
        "patch": 4,
        "window": 6,
        "embed_dim": 24,
        "depths": (1, 2, 2),
        "heads": (2, 4, 8),
        "drop_path": 0.0,
        "lr_factor": 1.0,
    },
    "text": {"source": None, "width": 128, "layers": 2, "heads": 4, "max_tokens": 64, "pooling": "mean", "lr_factor": 1.0},
    "width": 192,
    "max_phrases": 8,
    "max_phrase_tokens": 10,
    "mean": (0.5, 0.5, 0.5),
    "std": (0.25, 0.25, 0.25),
}
"""From scratch, sized for 2 CPU cores."""

SMALL_TRAIN: dict[str, Any] = {
    "epochs": 20,
    "batch_size": 64,
    "lr": 1e-3,
    "weight_decay": 0.05,
    "schedule": "cosine",
    "warmup_epochs": 1.0,
    "flip": 0.5,
}
