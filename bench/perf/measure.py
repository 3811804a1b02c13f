"""`bench perf`: what the hot paths take, beside what this machine can do and beside the obvious implementation.

Every ratio is of one run on one machine, since machines differ; times are the shortest of a few repetitions.
"""

from __future__ import annotations

import ctypes
import json
import platform
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any

import psutil
import torch

from bench import registry
from bench.contracts import HotPath, TextImageModel
from bench.errors import UsageError
from bench.perf.paths import ranking, search
from bench.progress import Reporter
from bench.record import environment

SCHEMA = "tbps-bench perf/1"
WORSE = 1.5
"""A ratio that has grown by more is a regression."""
Row = dict[str, Any]


def measure(device: torch.device, reporter: Reporter, *, quick: bool, vectors: int, only: str | None = None) -> dict[str, Any]:
    """All hot paths: `machine`, its `rates`, and `paths` by name. `only`: those whose name holds this text."""
    reporter.note("measuring the machine")
    rates = machine_rates(device, quick=quick)
    rows: dict[str, Row] = {}
    for path in reporter.track(_paths(device, quick=quick, vectors=vectors), "hot paths"):
        if only is None or only in path.name:
            rows[path.name] = _row(path, rates, device)
            reporter.note(f"{path.name}: {rows[path.name]['seconds']:.3f} s")
    return {"format": SCHEMA, "quick": quick, "machine": _machine(device), "rates": rates, "paths": rows}


def _paths(device: torch.device, *, quick: bool, vectors: int) -> Iterator[HotPath]:
    classes: list[type[TextImageModel]] = [registry.load("model", name) for name in registry.names("model")]
    own = (model.hot_paths(device, quick=quick) for model in classes)
    yield from chain(chain.from_iterable(own), ranking(quick=quick), search(2000 if quick else vectors, 64 if quick else 768))


def _machine(device: torch.device) -> dict[str, Any]:
    return {**environment()["hardware"], "torch": torch.__version__, "python": platform.python_version(), "device": device.type}


# ----------------------------------------------------------------------------------------------------------- the machine


def machine_rates(device: torch.device, *, quick: bool) -> dict[str, float]:
    """`flops`: float32 arithmetic a second in a large matrix product; `bytes`: memory read and written a second in a large copy."""
    side, length = (256, 2**20) if quick else (2048, 2**26)
    a, b = torch.randn(2, side, side, device=device)
    source = torch.ones(length, device=device)
    target = torch.empty_like(source)
    product, copy = shortest(lambda: a @ b, 5, device), shortest(lambda: target.copy_(source), 5, device)
    return {"flops": 2 * side**3 / product, "bytes": 8 * length / copy}


def shortest(work: Callable[[], object], repeats: int, device: torch.device) -> float:
    """Seconds of the shortest repetition."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - began)
    return min(times)


@contextmanager
def _watched() -> Iterator[list[float]]:
    """[MiB] that the process holds at most above what it held, sampled while the body runs."""
    process, done, peak = psutil.Process(), threading.Event(), [0.0]
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # what was freed before counts when it is taken again (glibc)
    before = process.memory_info().rss

    def watch() -> None:
        while not done.wait(0.002):
            peak[0] = max(peak[0], (process.memory_info().rss - before) / 2**20)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()


# --------------------------------------------------------------------------------------------------------------- a path


def _row(path: HotPath, rates: Mapping[str, float], device: torch.device) -> Row:
    """`seconds`, `floor` (seconds), `to_floor`, `gain` (the obvious way's time over ours) and `peak_mib`; None where it has none."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with _watched() as peak:  # and warm, before the repetitions, unless once is all that it is given
        seconds = shortest(path.work, 1, device)
    seconds = seconds if path.repeats == 1 else shortest(path.work, path.repeats, device)
    floor = max(path.flops / rates["flops"], path.bytes / rates["bytes"]) or None
    obvious = None
    if path.straightforward is not None:
        obvious = shortest(path.straightforward, min(path.repeats, 2), device) / path.share
    return {
        "seconds": seconds,
        "floor": floor,
        "to_floor": seconds / floor if floor else None,
        "straightforward": obvious,
        "gain": obvious / seconds if obvious else None,
        "peak_mib": torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else peak[0],
        "notes": path.notes() if path.notes else "",
    }


# ----------------------------------------------------------------------------------------------------------- comparing


def load(file: Path) -> dict[str, Any]:
    """What an earlier `--json` wrote. Another kind of file is a UsageError."""
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {file} ({' '.join(str(error).split())}); give a file that `bench perf --json FILE` wrote") from error
    if not (isinstance(stored, dict) and stored.get("format") == SCHEMA):
        raise UsageError(f"{file} was not written by `bench perf --json FILE`")
    return stored


def regressions(now: Mapping[str, Any], before: Mapping[str, Any]) -> list[Row]:
    """A row a ratio that got worse by more than WORSE: `path`, `ratio`, `before`, `now`. Runs of different sizes are a UsageError."""
    if now["quick"] != before["quick"]:
        raise UsageError("one of the two was measured with --quick and the other was not; their ratios say nothing of each other")
    return list(_worse(now["paths"], before["paths"]))


def _worse(now: Mapping[str, Row], before: Mapping[str, Row]) -> Iterable[Row]:
    for name in now.keys() & before.keys():
        for ratio, larger_is_worse in (("to_floor", True), ("gain", False)):
            old, new = before[name].get(ratio), now[name].get(ratio)
            if old and new and (new / old if larger_is_worse else old / new) > WORSE:
                yield {"path": name, "ratio": ratio, "before": old, "now": new}
