"""Real processes and real kills: a study ends with all its trials, each once, whatever befell its workers."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.study.search.attempts import Row
from bench.study.search.searching import Searching
from tests.small_study import command, conducted, opened, searches, started, write
from tests.small_study import plugged as plugged

TRIALS = 40
KILLS = int(os.environ.get("TBPS_STUDY_KILLS", "2"))
POSTGRES = next(Path("/usr/lib/postgresql").glob("*/bin/initdb"), None) if Path("/usr/lib/postgresql").is_dir() else None
pytestmark = pytest.mark.slow


def wait_until(there: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not there() and process.poll() is None:
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.02)


def completed(searching: Searching) -> int:
    return sum(row.state == "complete" for row in searching.rows())


@pytest.fixture
def postgres() -> Iterator[str]:
    """The address of a PostgreSQL server on loopback that this test started, outside pytest's folders, which are its user's alone."""
    if POSTGRES is None:
        pytest.skip("no PostgreSQL here (Debian: apt-get install postgresql): studies in it are not tested")
    with tempfile.TemporaryDirectory(prefix="tbps-postgres-") as folder:
        server = Server(Path(folder), POSTGRES.parent)
        try:
            yield server.start()
        finally:
            server.stop()


class Server:
    """PostgreSQL refuses to run as root; then it runs as the user that Debian's package made."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.data, self.programs = folder / "data", programs
        self.prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if self.prefix:
            shutil.chown(folder, "postgres")

    def start(self) -> str:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._do("initdb", "-D", str(self.data), "-A", "trust", "-U", "tbps", "-N")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        self._do("pg_ctl", "-D", str(self.data), "-o", options, "-l", str(self.data / "log"), "-w", "start")
        return f"postgresql://tbps@127.0.0.1:{port}/postgres"

    def stop(self) -> None:
        self._do("pg_ctl", "-D", str(self.data), "-m", "immediate", "stop")

    def _do(self, program: str, *arguments: str) -> None:
        subprocess.run([*self.prefix, str(self.programs / program), *arguments], cwd="/", check=True, stdout=subprocess.DEVNULL)


@pytest.mark.filterwarnings("ignore")  # MLflow's own
class TestFourWorkersTwoKilled:
    """Forty trials; two of four workers are killed, then the main process; resumed, none is lost and none is done twice."""

    def test_in_sqlite(self, tmp_path: Path) -> None:
        self.check(tmp_path, f"sqlite:///{tmp_path / 'study.db'}")

    def test_in_postgresql(self, tmp_path: Path, postgres: str) -> None:
        self.check(tmp_path, postgres)

    def check(self, folder: Path, url: str) -> None:
        file, log, store = write(folder, budget={"trials": TRIALS}), folder / "log", folder / "mlflow.db"
        (search,) = searches(file, tracker="mlflow")
        watched = Searching(search, url)
        main = started(command("run", file, "--workers", "4", url=url, tracker="mlflow"), log, store)
        wait_until(lambda: completed(watched) >= TRIALS // 4, main, log)
        killed = self.kill_two(watched)
        wait_until(lambda: completed(watched) >= TRIALS // 2, main, log)
        main.kill()
        main.wait()
        again = started(command("resume", file, "--workers", "4", url=url, tracker="mlflow"), log, store)
        assert again.wait(400) == 0, log.read_text()
        rows = watched.rows()
        self.check_trials(watched, rows, killed)
        self.check_mlflow(store, rows)

    def kill_two(self, watched: Searching) -> list[int]:
        """SIGKILL two workers, each while it is at a trial; the numbers of those trials."""
        numbers: list[int] = []
        while len(numbers) < 2:
            running = [row for row in watched.rows() if row.state == "running" and row.number not in numbers]
            worker = next((a.user_attrs.get("worker") for a in watched.attempts() if running and not a.state.is_finished()), None)
            if worker is None or not psutil.pid_exists(worker["pid"]):
                continue
            psutil.Process(worker["pid"]).kill()
            numbers.append(running[0].number)
        return numbers

    def check_trials(self, watched: Searching, rows: list[Row], killed: list[int]) -> None:
        assert TRIALS <= completed(watched) <= TRIALS + 3
        assert [row.number for row in rows] == list(range(len(rows)))
        assert [row.state for row in rows] == ["complete"] * len(rows)
        assert len({tuple(row.params.items()) for row in rows}) == len(rows)  # no configuration was given out twice
        complete = [attempt for attempt in watched.attempts() if attempt.state.name == "COMPLETE"]
        assert len(complete) == len(rows)
        assert sum(row.attempts > 1 for row in rows) >= 1, killed

    def check_mlflow(self, store: Path, rows: list[Row]) -> None:
        from mlflow import MlflowClient

        client = MlflowClient(f"sqlite:///{store}")
        experiment = client.get_experiment_by_name("tbps/toy-sealed")
        assert experiment is not None
        runs = client.search_runs([experiment.experiment_id], max_results=1000)
        parents = [run for run in runs if run.data.tags.get("kind") == "study"]
        children = [run for run in runs if run.data.tags.get("kind") != "study"]
        assert [parent.info.status for parent in parents] == ["FINISHED"]
        assert {child.data.tags["mlflow.parentRunId"] for child in children} == {parents[0].info.run_id}
        assert {child.info.status for child in children} <= {"FINISHED", "KILLED"}
        finished = [int(child.data.tags["trial"]) for child in children if child.info.status == "FINISHED"]
        assert sorted(finished) == [row.number for row in rows]


def trained(searching: Searching) -> int:
    return sum(row.epochs for row in searching.rows())


def told(rows: list[Row]) -> list[tuple[Any, ...]]:
    return [(row.number, row.state, row.values, row.params, row.metrics, row.curve, row.epochs) for row in rows]


def test_a_main_process_killed_at_random_ends_as_the_undisturbed(tmp_path: Path) -> None:
    pruner = {"name": "median", "startup": 2, "warmup": 1}
    changes: dict[str, Any] = {"budget": {"trials": 4 + 2 * KILLS}, "pruner": pruner}
    changes["base"] = {"model.pause": 0.05, "train": {"epochs": 4, "batch_size": 8, "workers": 0}}
    (tmp_path / "undisturbed").mkdir()
    undisturbed = conducted(write(tmp_path / "undisturbed", **changes))
    file, log, chance = write(tmp_path, **changes), tmp_path / "log", random.Random(KILLS)
    watched = opened(file)
    for number in range(KILLS):
        attempts, epochs = len(watched.attempts()), trained(watched)
        further = chance.choice([0, 1, 2, 5])
        main = started(command("run", file), log)
        wait_until(lambda a=attempts, e=epochs + further: len(watched.attempts()) > a and trained(watched) >= e, main, log)  # type: ignore[misc]
        time.sleep(chance.uniform(0, 0.4))
        main.kill()
        main.wait()
        sys.stdout.write(f"kill {number + 1}: {[(row.number, row.state, row.epochs) for row in watched.rows()][-1:]}\n")
    last = started(command("resume", file), log)
    assert last.wait(200) == 0, log.read_text()
    assert told(watched.rows()) == told(undisturbed.rows())
    assert any(row.attempts > 1 for row in watched.rows())


def test_stop_from_another_process_and_resume(tmp_path: Path) -> None:
    base = {"model.pause": 0.1, "train": {"epochs": 4, "batch_size": 8, "workers": 0}}
    file, log = write(tmp_path, base=base, budget={"trials": 12}), tmp_path / "log"
    watched = opened(file)
    main = started(command("run", file, "--workers", "2"), log)
    wait_until(lambda: any(row.epochs for row in watched.rows()), main, log)
    asked = subprocess.run(command("stop", file), capture_output=True, text=True, check=True)
    assert "asked to stop" in asked.stdout
    assert main.wait(60) == 0, log.read_text()
    assert completed(watched) < 12
    shown = subprocess.run(command("show", file), capture_output=True, text=True, check=True)
    assert "it was asked to stop" in shown.stdout
    assert started(command("resume", file, "--workers", "2"), log).wait(100) == 0, log.read_text()
    assert 12 <= completed(watched) <= 13
    assert {row.state for row in watched.rows()} == {"complete"}
