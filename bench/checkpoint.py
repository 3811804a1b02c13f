"""Checkpoints: one safetensors file each, written whole or not at all, holding no code.

`best.safetensors` has the weights of the selected epoch, `last.safetensors` in addition all that training needs to go on as if it
had not stopped. Tensors lie under `model.`, `optimiser.` and `rng.`; the rest is JSON in the file's header, under `run`.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from bench.errors import UsageError

FORMAT = "tbps-bench checkpoint/1"


def save(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write one file; a kill at any moment leaves the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    plain = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    save_file(plain, half, metadata={"format": FORMAT, "run": json.dumps(header)})
    replace(half, path)


def replace(half: Path, path: Path) -> None:
    """Put a finished file in its place, on disk before it counts (a power cut must not leave an empty name)."""
    with half.open("rb") as file:
        os.fsync(file.fileno())
    half.replace(path)


def write_text(path: Path, text: str) -> None:
    """Write a small text file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    half.write_text(text, encoding="utf-8")
    replace(half, path)


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(tensors, header). A file that is missing, cut off or of another kind is a UsageError."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise UsageError(f"{path} is no checkpoint of this harness (its format says {metadata.get('format')!r})")
            return {name: file.get_tensor(name) for name in file.keys()}, json.loads(metadata["run"])  # noqa: SIM118 - no dict
    except (OSError, SafetensorError) as error:
        raise UsageError(f"cannot read the checkpoint {path} ({error}); give a run's folder or one of its checkpoints") from error


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    return {f"model.{name}": tensor for name, tensor in model.state_dict().items()}


def load_model(model: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Put the weights in; a model of another shape is a UsageError."""
    state = {name.removeprefix("model."): tensor for name, tensor in tensors.items() if name.startswith("model.")}
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise UsageError(f"{path} does not fit the model it names ({first}); was it made by another version?") from error


def training_tensors(optimiser: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(tensors, header) of the optimiser and of every source of randomness."""
    state = optimiser.state_dict()["state"]
    tensors = {f"optimiser.{index}.{key}": value for index, slots in state.items() for key, value in slots.items()}
    tensors["rng.torch"] = torch.get_rng_state()
    if torch.cuda.is_available():
        tensors |= {f"rng.cuda.{device}": value for device, value in enumerate(torch.cuda.get_rng_state_all())}
    kind, keys, place, has_gauss, gauss = np.random.get_state(legacy=True)
    tensors["rng.numpy"] = torch.from_numpy(np.asarray(keys).astype(np.int64))
    version, words, gauss_next = random.getstate()
    header = {"numpy": [kind, place, has_gauss, gauss], "python": [version, list(words), gauss_next]}
    return tensors, header


def restore_training(optimiser: Optimizer, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """The inverse of `training_tensors`, into an optimiser over the same parameters."""
    slots: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimiser."):
            _, index, key = name.split(".", 2)
            slots.setdefault(int(index), {})[key] = tensor
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": slots, "param_groups": groups})
    torch.set_rng_state(tensors["rng.torch"])
    cuda = [tensors[name] for name in sorted(tensors) if name.startswith("rng.cuda.")]
    if cuda and torch.cuda.device_count() == len(cuda):
        torch.cuda.set_rng_state_all(cuda)
    kind, place, has_gauss, gauss = header["numpy"]
    np.random.set_state((kind, tensors["rng.numpy"].numpy().astype(np.uint32), place, has_gauss, gauss))
    version, words, gauss_next = header["python"]
    random.setstate((version, tuple(words), gauss_next))
