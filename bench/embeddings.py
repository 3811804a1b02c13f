"""Embeddings that are kept: `embeddings/{val,test}.safetensors` of a run, from which metrics are computed without the towers.

Tensors lie under `images.` and `captions.` by the model's own names, in the protocol's order; the header, under `run`, has `images`
(paths), `pids` and `caption_images` (the image of each caption), and `key`: SHA-256 over all that they depend on. Float32: what is
computed from them is what was computed before they were kept.
"""

from __future__ import annotations

import json
from pathlib import Path

from bench import checkpoint
from bench.config import RunConfig
from bench.contracts import Features, Split, TextImageModel, weights_digest
from bench.engine import Embedded
from bench.errors import UsageError

FOLDER = "embeddings"
SIDES = ("images", "captions")


def key(model: TextImageModel, split: Split, config: RunConfig) -> str:
    """SHA-256 over weights, records and the options by which they are read."""
    told = config.dump()
    records = [(image.path, image.pid) for image in split.images], [(caption.text, caption.image) for caption in split.captions]
    options = {name: told[name] for name in ("model", "data", "precision")}
    return weights_digest(model, json.dumps([records, options], sort_keys=True))


def write(file: Path, embedded: Embedded, split: Split, digest: str) -> None:
    """Whole or not at all."""
    tensors = {f"{side}.{name}": value for side in SIDES for name, value in getattr(embedded, side).items()}
    header = {
        "images": [image.path for image in split.images],
        "pids": [image.pid for image in split.images],
        "caption_images": [caption.image for caption in split.captions],
        "key": digest,
    }
    checkpoint.save(file, tensors, header)


def read(file: Path, digest: str) -> Embedded | None:
    """What was kept under this key; None where nothing was, or it is of other weights or records, or cannot be read."""
    try:
        tensors, header = checkpoint.load(file)
    except UsageError:
        return None
    if header.get("key") != digest:
        return None
    return Embedded(*(_side(tensors, f"{side}.") for side in SIDES))


def _side(tensors: Features, prefix: str) -> Features:
    """In memory of its own: products of what lies unaligned in a file's map differ in the last bit."""
    return {name.removeprefix(prefix): value.clone() for name, value in tensors.items() if name.startswith(prefix)}
