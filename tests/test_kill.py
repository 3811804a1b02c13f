"""Real processes and real kills: however often a run is killed, it ends as one that never was."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from safetensors.numpy import load_file

from bench.config import run_folder
from bench.progress import Silent
from bench.run import run
from bench.tracking import NoTracker
from tests.processes import Process
from tests.small_run import small_config

KILLS = int(os.environ.get("TBPS_KILLS", "4"))
EPOCHS = 3 + KILLS
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nobody disturbed; its data lie in `unbroken_root`'s `data`."""
    config = small_config(tmp_path_factory.mktemp("unbroken"), **{"train.epochs": EPOCHS})
    run(config, NoTracker(), Silent())
    return run_folder(config)


@pytest.fixture(scope="module")
def data(unbroken: Path) -> Path:
    return unbroken.parents[4] / "data"


def outcome(folder: Path) -> dict[str, Any]:
    """All that a kill might change, and time does not."""
    record = json.loads((folder / "result.json").read_text())
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    kept = ("metrics", "tied_queries", "selected_epoch", "epochs", "mixing", "chance", "ceiling", "finished", "data")
    return {key: record[key] for key in kept} | {"history": [{**line, "seconds": None} for line in lines]}


def weights(folder: Path, name: str) -> dict[str, tuple[str, bytes]]:
    tensors = load_file(folder / "checkpoints" / name)
    return {key: (f"{value.dtype}{value.shape}", value.tobytes()) for key, value in tensors.items()}


def wait_for_a_moment(kind: str, process: Process, chance: random.Random) -> None:
    """Until the process is where the next kill is to catch it."""
    if kind == "at its start":
        time.sleep(chance.uniform(0, 3))
        return
    if kind == "at its end":
        process.wait_until(lambda: f"epoch {EPOCHS}/{EPOCHS} " in process.said() or f"resumed after epoch {EPOCHS}" in process.said())
        time.sleep(chance.uniform(0, 3))
        return
    process.wait_for_training()
    if kind == "training":
        time.sleep(chance.uniform(0, 0.5))
        return
    name = chance.choice([".best.safetensors.tmp", ".last.safetensors.tmp"])
    process.wait_until((process.folder / "checkpoints" / name).exists)


def test_a_run_killed_again_and_again_equals_the_unbroken_one(unbroken: Path, data: Path, tmp_path: Path) -> None:
    chance = random.Random(KILLS)
    kinds = ["writing", "training", "at its start"]
    for number in range(KILLS):
        kind = kinds[number % len(kinds)] if number + 1 < KILLS else "at its end"
        process = Process(tmp_path, data, epochs=EPOCHS)
        wait_for_a_moment(kind, process, chance)
        sys.stdout.write(f"kill {number + 1}, {kind}: {process.kill()}\n")
    last = Process(tmp_path, data, epochs=EPOCHS)
    last.finished()
    assert outcome(last.folder) == outcome(unbroken)
    assert weights(last.folder, "best.safetensors") == weights(unbroken, "best.safetensors")
    assert weights(last.folder, "last.safetensors") == weights(unbroken, "last.safetensors")
    pd.testing.assert_frame_equal(pd.read_parquet(last.folder / "per_query.parquet"), pd.read_parquet(unbroken / "per_query.parquet"))
    assert not list(last.folder.rglob(".*.tmp"))


@contextmanager
def interruptible() -> Iterator[None]:
    """Processes started in here heed SIGINT, even where the tests run in the background of a shell, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.filterwarnings("ignore")  # MLflow's own
def test_mlflow_has_one_run_whatever_befell_it(data: Path, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    store = tmp_path / "mlflow.db"
    for _ in range(2):
        process = Process(tmp_path, data, epochs=EPOCHS, store=store)
        process.wait_for_checkpoint()
        process.kill()
    assert 0 < process.epochs() < EPOCHS
    with interruptible():
        process = Process(tmp_path, data, epochs=EPOCHS, store=store)
    process.wait_for_checkpoint()
    process.process.send_signal(signal.SIGINT)
    assert process.process.wait(60) == 130
    assert process.said().splitlines()[-1] == "interrupted: the same command resumes the run"

    client = MlflowClient(f"sqlite:///{store}")
    (mine,) = client.search_runs([client.get_experiment_by_name("tbps/walkers").experiment_id])
    assert mine.info.status == "KILLED"
    Process(tmp_path, data, epochs=EPOCHS, store=store).finished()
    (mine,) = client.search_runs([mine.info.experiment_id])
    assert mine.info.status == "FINISHED"
    assert json.loads((process.folder / "result.json").read_text())["mlflow_run_id"] == mine.info.run_id
    curve = {point.step: point.value for point in client.get_metric_history(mine.info.run_id, "val/t2i/R1")}
    assert sorted(curve) == list(range(1, EPOCHS + 1))
    lines = [json.loads(line) for line in (process.folder / "metrics.jsonl").read_text().splitlines()]
    assert curve == {line["epoch"]: line["val/t2i/R1"] for line in lines}
    assert "test/t2i/R1" in mine.data.metrics
