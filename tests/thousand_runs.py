"""How long a report of a thousand runs takes: `python -m tests.thousand_runs [FOLDER]`. Not a test: timings are no tests' business.

Fills a real MLflow store with runs of 200 identities and 800 captions, three seeds a configuration, and times the command.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.tracking import client
from tests.fake_runs import fake_run

RUNS, SEEDS = 1000, 3


def fill(folder: Path) -> str:
    """Runs of RUNS / SEEDS configurations in a store; its address."""
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    store = client(uri)
    experiment = store.create_experiment("tbps/walkers", (folder / "mlruns").as_uri())
    for number in range(RUNS):
        configuration, seed = divmod(number, SEEDS)
        place = fake_run(
            folder / "runs",
            model=("acsa", "region-phrase", "image-sentence")[configuration % 3],
            config_hash=f"{configuration:08x}",
            seed=seed,
            quality=0.2 + 0.6 * (configuration * 37 % 100) / 100,
            ids=200,
            folder=str(number),
        )
        run = store.create_run(experiment, run_name=f"run-{number}").info
        store.log_metric(run.run_id, "test/t2i/R1", 50.0)
        shutil.copytree(place, run.artifact_uri.removeprefix("file://"), dirs_exist_ok=True)
        store.set_terminated(run.run_id)
    return uri


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        uri = f"sqlite:///{folder / 'mlflow.db'}" if (folder / "mlflow.db").exists() else fill(folder)
        command = [sys.executable, "-m", "bench", "report", "--experiment", "tbps/walkers", "--out", str(folder / "report")]
        began = time.perf_counter()
        subprocess.run(command, env=os.environ | {"MLFLOW_TRACKING_URI": uri}, check=True, stdout=subprocess.DEVNULL)
        print(f"{RUNS} runs: {time.perf_counter() - began:.1f} s")  # noqa: T201


if __name__ == "__main__":
    main()
