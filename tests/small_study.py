"""Studies of the toys, which take seconds: in this process, or as `python -m bench study` in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench import registry
from bench.progress import Silent
from bench.study.declared import Search, load
from bench.study.search.searching import Searching
from bench.study.workers import Orders, conduct

PLUGIN = "tests.study_plugin"
DECLARED: dict[str, Any] = {
    "model": "toy",
    "dataset": "toy-sealed",
    "base": {"train": {"epochs": 4, "batch_size": 8, "workers": 0}},
    "space": {"train.lr": {"low": 1e-4, "high": 0.3, "log": True}, "model.width": {"choices": [4, 6, 8]}},
    "sampler": {"startup": 3},
    "pruner": {"name": "none"},
    "budget": {"trials": 3},
}


@pytest.fixture(scope="module", autouse=True)
def plugged() -> Iterator[None]:
    """The plugin is known while a module's tests run, and to no other module's."""
    before = {kind: list(entries) for kind, entries in registry._plugged_in.items()}
    registry.plug_in(PLUGIN)
    yield
    registry._plugged_in.update(before)


def write(folder: Path, name: str = "toys", **changes: Any) -> Path:
    """The file of a study of the toys; a change of None takes a key away."""
    file = folder / f"{name}.yaml"
    told = {key: value for key, value in (DECLARED | changes).items() if value is not None}
    file.write_text(yaml.safe_dump(told, sort_keys=False), encoding="utf-8")
    return file


def flags(folder: Path, tracker: str = "none") -> dict[str, Any]:
    return {"data_root": str(folder / "data"), "output_dir": str(folder / "results"), "device": "cpu", "tracker": tracker}


def searches(file: Path, **more: Any) -> list[Search]:
    return load(file, flags=flags(file.parent) | more)


def opened(file: Path, **more: Any) -> Searching:
    """The study of a file, begun but not worked on."""
    (search,) = searches(file, **more)
    return Searching(search, storage(file.parent))


def storage(folder: Path) -> str:
    return f"sqlite:///{folder / 'study.db'}"


def conducted(file: Path, workers: int = 1, tracker: str = "none", url: str | None = None) -> Searching:
    """A study that was worked on in this process until it was over."""
    (search,) = searches(file, tracker=tracker)
    orders = Orders(file, search.name, url or storage(file.parent), flags=flags(file.parent, tracker), plugins=(PLUGIN,))
    return conduct(orders, search, workers=workers, create=True, reporter=Silent())


def command(action: str, file: Path, *more: str, url: str | None = None, tracker: str = "none") -> list[str]:
    """`python -m bench study ACTION FILE`, with everything under the file's folder."""
    told = [sys.executable, "-m", "bench", "study", action, str(file), "--plugin", PLUGIN, "--storage", url or storage(file.parent)]
    if action in ("run", "resume", "finish"):
        given = flags(file.parent, tracker)
        told += [part for key, value in given.items() for part in (f"--{key.replace('_', '-')}", value)]
    return [*told, *more]


def started(told: list[str], log: Path, store: Path | None = None) -> subprocess.Popen[bytes]:
    """That command, running; what it says goes to `log`."""
    environment = {key: value for key, value in os.environ.items() if key not in ("MLFLOW_TRACKING_URI", "RANK", "WORLD_SIZE")}
    environment["OMP_NUM_THREADS"] = "1"
    if store is not None:
        environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{store}"
    with log.open("ab") as out:
        return subprocess.Popen(told, cwd=registry.ROOT, env=environment, stdout=out, stderr=out)
