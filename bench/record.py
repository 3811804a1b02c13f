"""`result.json`: what a run leaves for those who compare it, and the environment it was obtained in.

| key | meaning |
|---|---|
| `schema_version`, `finished` | of this table; false until all else is written |
| `protocol`, `selection` | how test is measured; how epoch and mixing weights were chosen |
| `model`, `preset`, `dataset`, `seed`, `config_hash` | what ran; `config.yaml` beside it has all options |
| `data` | `fingerprint` (SHA-256 over the records); `splits`: identities, images, captions of each, `limit` applied; `choices` of reading |
| `data.noise` | null, or how many train captions were `moved` to other images, how many to a `wrong_identity`, of how many |
| `environment` | `python`, `packages`, `hardware`, `git_commit`, `git_dirty` (null where git does not answer) of the last process |
| `starts` | commit of each process that worked on the run, in order: more than one were resumed |
| `metrics`, `tied_queries` | by split (val, test) and direction (t2i, i2t); percent, and queries that the order of ties decided |
| `chance`, `ceiling` | R1 of a random ranking and, where known, of an oracle on test, percent |
| `selected_epoch`, `epochs`, `mixing` | best on val; trained; weights of the components of the similarity |
| `parameters` | trained and frozen, by part of the model |
| `seconds` | `training` (all epochs, whichever process), `evaluation`, and of the `last process` as a whole |
| `peak_memory_mib` | of the last process, and of the accelerator |
| `cost` | parameters, FLOPs, milliseconds, bytes of the index, memory: `bench/cost.py` says what each is |
| `overlap` | of a saved run evaluated again: identities or images of the split that it was trained on, null where unchecked |
| `mlflow_run_id` | null where nothing is tracked |
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor, nn

from bench import checkpoint
from bench.config import RunConfig, config_hash
from bench.contracts import Dataset, SplitName, TextImageModel
from bench.errors import UsageError
from bench.metrics import PROTOCOL
from bench.noise import account

SCHEMA_VERSION = 1
RESULT = "result.json"
PACKAGES = ("torch", "timm", "transformers", "tokenizers", "accelerate", "numpy", "pillow", "mlflow")
ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class RunResult:
    """A finished run: its folder, and the content of its `result.json`."""

    folder: Path
    record: dict[str, Any]


def beginning(config: RunConfig) -> dict[str, Any]:
    """The part of the record that is known before anything is trained. `finished` turns true with the last write."""
    return {
        "schema_version": SCHEMA_VERSION,
        "finished": False,
        "protocol": PROTOCOL + config.evaluation.shortcuts,
        "model": config.model_name,
        "dataset": config.dataset_label,
        "preset": config.preset,
        "seed": config.seed,
        "config_hash": config_hash(config),
        "selection": "val t2i R1, then mAP; the earliest epoch of equals; mixing weights on val",
        "environment": environment(),
    }


def experiment(config: RunConfig) -> str:
    """The MLflow experiment of a run."""
    return f"tbps/{config.dataset_label}"


def tags(config: RunConfig, data: Mapping[str, Any], commit: str | None) -> dict[str, str]:
    """What an MLflow run is found by, besides its parameters. `data`: as `data_section` has it."""
    told = {
        "model": config.model_name,
        "dataset": config.dataset_label,
        "protocol": PROTOCOL + config.evaluation.shortcuts,
        "seed": str(config.seed),
    }
    told |= {"dataset_fingerprint": data["fingerprint"], "git_commit": commit or "unknown", "selection": "val t2i R1"}
    return told | {"dataset_choices": "; ".join(f"{what}: {choice}" for what, choice in data["choices"].items())}


def data_section(dataset: Dataset, splits: Mapping[SplitName, Mapping[str, int]]) -> dict[str, Any]:
    """Exactly which data: its records, its size, and what reading it decided."""
    return {"fingerprint": dataset.fingerprint(), "splits": splits, "choices": dict(dataset.choices()), "noise": account(dataset)}


def write(folder: Path, record: Mapping[str, Any]) -> Path:
    """Write the record whole or not at all; where it is."""
    checkpoint.write_text(folder / RESULT, json.dumps(record, indent=2, sort_keys=True) + "\n")
    return folder / RESULT


def read(folder: Path) -> dict[str, Any]:
    """The record of a folder, {} where there is none. One that cannot be read is a UsageError."""
    file = folder / RESULT
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {file} ({' '.join(str(error).split())}); the run begins anew with --resume never") from error
    if not isinstance(record, dict):
        raise UsageError(f"{file} is no record of a run; the run begins anew with --resume never")
    return record


def environment() -> dict[str, Any]:
    """Package versions, code version and hardware; no name of a host, a user or a path."""
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    changes = git("status", "--porcelain")
    return {
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "git_commit": git("rev-parse", "HEAD"),
        "git_dirty": None if changes is None else bool(changes),
        "hardware": {"cpu": _processor(), "cores": os.cpu_count(), "threads": torch.get_num_threads(), "gpus": gpus},
    }


def git(*arguments: str) -> str | None:
    """The answer of git about this project, None where it has none."""
    try:
        answer = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def peak_memory_mib() -> dict[str, float]:
    """Most memory held so far, in MiB: of this process, and of the accelerator."""
    peak = {"process": _peak_bytes() / 2**20}
    if torch.cuda.is_available():
        peak["accelerator"] = torch.cuda.max_memory_allocated() / 2**20
    return peak


def _peak_bytes() -> int:
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource  # not on Windows

    unit = 1 if sys.platform == "darwin" else 1024  # getrusage counts bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def parameter_counts(model: TextImageModel) -> dict[str, dict[str, int]]:
    """Trained and frozen parameters of each part of the model, and of all."""
    counts = {name: _counts(parameters) for name, (parameters, _) in model.parameter_groups().items()}
    return counts | {"all": _counts(list(model.parameters()))}


def _counts(parameters: list[nn.Parameter] | list[Tensor]) -> dict[str, int]:
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    return {"trained": trained, "frozen": sum(p.numel() for p in parameters) - trained}


def percent(summary: Mapping[str, float]) -> dict[str, float]:
    return {name: 100 * value for name, value in summary.items()}
