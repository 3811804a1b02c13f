"""Checkpoints: one safetensors file each, written whole or not at all, holding no code.

`best.safetensors` has the weights of the selected epoch, `last.safetensors` in addition all that training needs to go on as if it
had not stopped. Tensors lie under `model.`, `optimiser.` and `rng.`; the rest is JSON in the file's header, under `run`.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from bench.errors import UsageError

FORMAT = "tbps-bench checkpoint/1"
_WHAT_TO_DO = "give a run's folder or one of its checkpoints; a run begins anew with --resume never"


def save(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write one file; a kill at any moment leaves the old one or the new one."""
    plain = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    metadata = {"format": FORMAT, "run": json.dumps(header)}
    _whole(path, lambda half: save_file(plain, half, metadata=metadata))


def write_text(path: Path, text: str) -> None:
    """Write a small text file whole or not at all."""
    _whole(path, lambda half: half.write_text(text, encoding="utf-8"))


def _whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write beside `path`, then put it in its place. What a failed write left is removed; what a kill left, the next write takes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.tmp")
    try:
        write(half)
        replace(half, path)
    except BaseException:
        half.unlink(missing_ok=True)
        raise


def replace(half: Path, path: Path) -> None:
    """Put a finished file in its place, on disk before it counts (a power cut must not leave an empty name)."""
    with half.open("rb") as file:
        os.fsync(file.fileno())
    half.replace(path)


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(tensors, header). A file that is missing, cut off or of another kind is a UsageError."""
    return _read(path, lambda file: {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118 - no dict


def header(path: Path) -> dict[str, Any]:
    """The header alone: no tensor is read."""
    return _read(path, lambda file: {})[1]


def _read(path: Path, tensors: Callable[[Any], dict[str, Tensor]]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise UsageError(f"{path} is no checkpoint of this harness (its format says {metadata.get('format')!r}); {_WHAT_TO_DO}")
            return tensors(file), json.loads(metadata["run"])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise UsageError(f"cannot read the checkpoint {path} ({' '.join(str(error).split())}); {_WHAT_TO_DO}") from error


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    return {f"model.{name}": tensor for name, tensor in model.state_dict().items()}


def load_model(model: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Put the weights in; a model of another shape is a UsageError."""
    state = {name.removeprefix("model."): tensor for name, tensor in tensors.items() if name.startswith("model.")}
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        first = shorten(str(error).partition("\n")[2] or str(error), 200)  # after the headline; it names every tensor
        raise UsageError(f"{path} does not fit the model it names ({first}); was it made by another version? {_WHAT_TO_DO}") from error


def training_tensors(optimiser: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(tensors, header) of the optimiser and of every source of randomness."""
    state = optimiser.state_dict()["state"]
    tensors = {f"optimiser.{index}.{key}": value for index, slots in state.items() for key, value in slots.items()}
    tensors["rng.torch"] = torch.get_rng_state()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # a run on the CPU leaves the machine's accelerators alone
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
    cuda = sum(name.startswith("rng.cuda.") for name in tensors)
    if cuda and torch.cuda.device_count() == cuda:
        torch.cuda.set_rng_state_all([tensors[f"rng.cuda.{device}"] for device in range(cuda)])
    kind, place, has_gauss, gauss = header["numpy"]
    np.random.set_state((kind, tensors["rng.numpy"].numpy().astype(np.uint32), place, has_gauss, gauss))
    version, words, gauss_next = header["python"]
    random.setstate((version, tuple(words), gauss_next))
