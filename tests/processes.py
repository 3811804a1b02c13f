"""`python -m bench run` in a process of its own, which a test can watch and kill."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench import checkpoint
from bench.config import run_folder
from bench.errors import UsageError
from bench.registry import ROOT
from bench.selection import LAST
from tests.small_run import arguments, small_config


class Process:
    """A small run under `root`, on data that is drawn already; all it prints goes to `root / "log"`."""

    def __init__(self, root: Path, data: Path, *more: str, epochs: int, store: Path | None = None, launcher: tuple[str, ...] = ()) -> None:
        self.folder = run_folder(small_config(root, **{"train.epochs": epochs}))
        told = arguments(root, "--data-root", str(data), "--tracker", "mlflow" if store else "none", *more, epochs=epochs)
        environment = {key: value for key, value in os.environ.items() if key not in ("MLFLOW_TRACKING_URI", "RANK", "WORLD_SIZE")}
        if store:
            environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{store}"
        self.log = root / "log"
        with self.log.open("w") as log:
            command = [sys.executable, *launcher, "-m", "bench", *told]
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)

    def said(self) -> str:
        return self.log.read_text()

    def wait_until(self, there: Callable[[], bool], seconds: float = 120) -> None:
        """Return once that is so, or the process has ended."""
        end = time.monotonic() + seconds
        while not there() and self.process.poll() is None:
            assert time.monotonic() < end, self.said()
            time.sleep(0.001)

    def wait_for(self, text: str) -> None:
        self.wait_until(lambda: text in self.said())

    def wait_for_training(self) -> None:
        self.wait_until(lambda: "epoch 1/" in self.said() or "resumed after epoch" in self.said())

    def wait_for_checkpoint(self) -> None:
        """Return as soon as another `last.safetensors` is in its place."""
        before = self._written()
        self.wait_until(lambda: self._written() != before)

    def _written(self) -> int:
        file = self.folder / "checkpoints" / LAST
        return file.stat().st_mtime_ns if file.exists() else 0

    def kill(self) -> str:
        """End it with SIGKILL; where that caught it."""
        self.process.kill()
        if self.process.wait(30) == 0:
            return "after its end"
        halves = [path.name for path in self.folder.rglob(".*.tmp")]
        return f"after {self.epochs()} epochs" + (f", writing {', '.join(halves)}" if halves else "")

    def epochs(self) -> int:
        """Epochs that are kept."""
        try:
            return int(checkpoint.load(self.folder / "checkpoints" / LAST)[1]["course"]["epoch"])
        except UsageError:
            return 0

    def finished(self) -> str:
        """What it printed, at its good end."""
        assert self.process.wait(180) == 0, self.said()
        return self.said()
