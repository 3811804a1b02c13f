"""`result.json`: what a run leaves for those who compare it, and the environment it was obtained in."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor, nn

from bench import checkpoint
from bench.config import RunConfig, config_hash
from bench.contracts import TextImageModel
from bench.metrics import PROTOCOL

SCHEMA_VERSION = 1
RESULT = "result.json"
PACKAGES = ("torch", "timm", "transformers", "tokenizers", "accelerate", "numpy", "pillow", "mlflow")
ROOT = Path(__file__).resolve().parents[1]


def beginning(config: RunConfig) -> dict[str, Any]:
    """The part of the record that is known before anything is trained. `finished` turns true with the last write."""
    return {
        "schema_version": SCHEMA_VERSION,
        "finished": False,
        "protocol": PROTOCOL,
        "model": config.model_name,
        "dataset": config.dataset_name,
        "preset": config.preset,
        "seed": config.seed,
        "config_hash": config_hash(config),
        "selection": "val t2i R1, then mAP; the earliest epoch of equals; mixing weights on val",
        "environment": environment(),
    }


def write(folder: Path, record: Mapping[str, Any]) -> None:
    checkpoint.write_text(folder / RESULT, json.dumps(record, indent=2, sort_keys=True) + "\n")


def read(folder: Path) -> dict[str, Any]:
    """The record of a folder, or {} where there is none that can be read."""
    try:
        record = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def environment() -> dict[str, Any]:
    """Package versions, code version and hardware; no name of a host, a user or a path."""
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    return {
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "git_commit": git("rev-parse", "HEAD"),
        "git_dirty": bool(git("status", "--porcelain")),
        "hardware": {"cpu": _processor(), "cores": os.cpu_count(), "threads": torch.get_num_threads(), "gpus": gpus},
    }


def git(*arguments: str) -> str:
    """The answer of git about this project, or '' where it has none."""
    try:
        answer = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""


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
