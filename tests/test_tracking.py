"""Tracking against real MLflow stores, and against stores that are broken in every way we could think of."""

from __future__ import annotations

import itertools
import logging
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from bench import outbox, tracking
from bench.errors import UsageError
from bench.outbox import within
from bench.progress import Silent
from bench.tracking import MemoryTracker, MLflowTracker, NoTracker, Tracker, stored_name, tracker

EXPERIMENT = "tbps/walkers"
DEFAULTS = (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_DISABLE_TELEMETRY",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT",
    "MLFLOW_HTTP_REQUEST_TIMEOUT",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES",
    "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL",
    "MLFLOW_LOGGING_LEVEL",
)


class Listener(Silent):
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in DEFAULTS:  # set, then deleted: what the tracker sets there goes again after the test
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite store without experiments of ours. Migrations take seconds, so it is made once and copied."""
    database = tmp_path_factory.mktemp("store") / "mlflow.db"
    one = MLflowTracker(Listener())
    one._database, one._uri = database, f"sqlite:///{database}"
    within(60, one._connect)
    return database


@pytest.fixture
def store(empty_store: Path, tmp_path: Path) -> Path:
    """A fresh store at the tracker's default place."""
    return Path(shutil.copy(empty_store, tmp_path / "mlflow.db"))


def begin(listener: Listener, **changes: Any) -> MLflowTracker:
    one = MLflowTracker(listener)
    one.start(**{"experiment": EXPERIMENT, "name": "acsa-walkers-s0-ab12", "params": {"seed": 0}, "tags": {"model": "acsa"}} | changes)
    return one


def stored(database: Path, run_id: str | None) -> Any:
    assert run_id is not None
    return client(database).get_run(run_id)


def client(database: Path) -> Any:
    from mlflow import MlflowClient

    return within(60, lambda: MlflowClient(f"sqlite:///{database}"))  # without the warnings of its first use


# ---------------------------------------------------------------------------------------------------- what is recorded


def test_importing_the_module_does_not_import_mlflow() -> None:
    code = "import sys, bench.tracking; sys.exit(any(name.split('.')[0] in ('mlflow', 'torch', 'pandas') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(tracking.__file__).parents[1], check=False).returncode == 0


def test_a_run_is_recorded_in_full(store: Path, tmp_path: Path) -> None:
    listener = Listener()
    (tmp_path / "figure.png").write_bytes(b"png")
    one = begin(listener, params={"model.width": 64, "train.lr": 3e-4, "none": None, **{f"p{i}": i for i in range(250)}})
    one.dataset("walkers", "f" * 64, "datasets/walkers.py", {"images": 800}, "train")
    for epoch in (1, 2, 3):
        one.metrics({"train/loss": 1.0 / epoch, "val/t2i/R1": 10.0 * epoch, "lr": 0.1}, step=epoch)
    one.artifact(tmp_path / "figure.png", "figures")
    one.end()

    run = stored(store, one.run_id)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "acsa-walkers-s0-ab12"
    assert run.info.end_time >= run.info.start_time
    assert client(store).get_experiment(run.info.experiment_id).name == EXPERIMENT
    assert len(run.data.params) == 253
    assert (run.data.params["model.width"], run.data.params["train.lr"], run.data.params["none"]) == ("64", "0.0003", "None")
    assert run.data.tags["model"] == "acsa"
    history = client(store).get_metric_history(one.run_id, "val/t2i/R1")
    assert [(point.step, point.value) for point in history] == [(1, 10.0), (2, 20.0), (3, 30.0)]
    assert [file.path for file in client(store).list_artifacts(one.run_id, "figures")] == ["figures/figure.png"]
    assert list((tmp_path / "mlruns").rglob("figure.png")), "files go beside the store"
    assert (listener.warnings, listener.notes) == ([], [])
    assert one.address == "sqlite:///mlflow.db"


def test_the_data_set_is_an_input_of_the_run(store: Path) -> None:
    one = begin(Listener())
    one.dataset("walkers", "0123456789abcdef" * 4, "drawn", {"train images": 800, "train captions": 1600}, "train")
    one.end()
    (entry,) = stored(store, one.run_id).inputs.dataset_inputs
    assert entry.dataset.name == "walkers"
    assert entry.dataset.digest == "0123456789abcdef", "enough to recognise; the whole is a tag of the run"
    assert '"train captions": 1600' in entry.dataset.profile
    assert [(tag.key, tag.value) for tag in entry.tags] == [("mlflow.data.context", "train")]


def test_a_folder_is_copied_as_a_folder(store: Path, tmp_path: Path) -> None:
    (tmp_path / "sheets").mkdir()
    (tmp_path / "sheets" / "a.txt").write_text("a")
    one = begin(Listener())
    one.artifact(tmp_path / "sheets")
    one.end()
    assert [file.path for file in client(store).list_artifacts(one.run_id, "sheets")] == ["sheets/a.txt"]


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
def test_a_run_ends_with_its_status(store: Path, status: tracking.Status) -> None:
    one = begin(Listener())
    one.end(status)
    assert stored(store, one.run_id).info.status == status


def test_a_child_hangs_under_its_parent(store: Path) -> None:
    parent = begin(Listener())
    child = begin(Listener(), tags={tracking.PARENT_TAG: str(parent.run_id)})
    child.end()
    parent.end()
    found = client(store).search_runs(["1"], f"tags.`mlflow.parentRunId` = '{parent.run_id}'")
    assert [run.info.run_id for run in found] == [child.run_id]


def test_what_mlflow_refuses_is_cut_renamed_or_left_out(store: Path) -> None:
    listener = Listener()
    one = begin(listener, params={"long": "x" * 20_000, "odd@key": 1}, tags={"note": "y" * 20_000})
    one.metrics({"val/R@1": 5.0, "//a/../b": 6.0, "train/nan": math.nan, "train/inf": math.inf, "fine": 7.0}, 1)
    one.metrics({"only/nan": math.nan}, 2)
    one.end()
    data = stored(store, one.run_id).data
    assert data.metrics == {"val/R_1": 5.0, "b": 6.0, "fine": 7.0}
    assert len(data.params["long"]) == 6000
    assert data.params["long"].endswith("…")
    assert data.params["odd_key"] == "1"
    assert data.tags["note"].startswith("yyy")
    assert listener.warnings == []


@pytest.mark.parametrize("name", ["val/t2i/R1", "train/loss", "lr", "system metrics", "a-b_c.d"])
def test_a_name_that_mlflow_takes_stays(name: str) -> None:
    assert stored_name(name) == name


@pytest.mark.parametrize("name", ["R@1", "", "..", "/", "../../x", "a//b", "a:b", "$x$", "x" * 999])
def test_any_other_name_becomes_one_that_it_takes(name: str) -> None:
    from mlflow.utils.validation import _validate_metric_name

    _validate_metric_name(stored_name(name))
    assert 0 < len(stored_name(name)) <= 250


def test_the_machine_is_sampled_until_the_end(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    one = begin(Listener())
    deadline = time.monotonic() + 20
    while not (sampled := [m for m in stored(store, one.run_id).data.metrics if m.startswith("system/")]):
        assert time.monotonic() < deadline, "no sample in 20 s"
        time.sleep(0.1)
    one.end()
    assert "system/cpu_utilization_percentage" in sampled
    assert not [thread.name for thread in threading.enumerate() if thread.name == "SystemMetricsMonitor"]


def test_without_psutil_only_the_samples_are_missing(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow.system_metrics.system_metrics_monitor", None)
    monkeypatch.delattr("mlflow.system_metrics.system_metrics_monitor", raising=False)
    listener = Listener()
    one = begin(listener)
    one.metrics({"a": 1.0})
    one.end()
    assert stored(store, one.run_id).data.metrics == {"a": 1.0}
    assert len(listener.warnings) == 1


# --------------------------------------------------------------------------------------------------------------- resume


def test_a_resumed_run_goes_on(store: Path) -> None:
    first = begin(Listener(), params={"epochs": 2})
    first.metrics({"a": 1.0}, 1)  # killed here: the run stays RUNNING
    assert stored(store, first.run_id).info.status == "RUNNING"

    listener = Listener()
    second = begin(listener, run_id=first.run_id, params={"epochs": 9, "extra": 1}, tags={"git_commit": "b"})
    second.metrics({"a": 2.0}, 2)
    second.end()
    run = stored(store, first.run_id)
    assert second.run_id == first.run_id
    assert run.info.status == "FINISHED"
    assert run.data.params == {"epochs": "2", "extra": "1"}, "MLflow keeps a parameter's first value"
    assert run.data.tags["git_commit"] == "b"
    assert [point.value for point in client(store).get_metric_history(first.run_id, "a")] == [1.0, 2.0]
    assert listener.warnings == []


@pytest.mark.parametrize("run_id", ["0" * 32, "no such run/..", ""])
def test_a_run_that_the_store_does_not_know_is_begun_anew(store: Path, run_id: str) -> None:
    listener = Listener()
    one = begin(listener, run_id=run_id)
    one.end()
    assert one.run_id != run_id
    assert stored(store, one.run_id).info.status == "FINISHED"
    assert listener.warnings == []


def test_a_deleted_run_is_begun_anew(store: Path) -> None:
    first = begin(Listener())
    first.end()
    client(store).delete_run(first.run_id)
    second = begin(Listener(), run_id=first.run_id)
    second.end()
    assert second.run_id not in (None, first.run_id)


# -------------------------------------------------------------------------------------------------- what can go wrong


def use(one: Tracker, path: Path) -> float:
    """Everything a run does with its tracker; seconds it took."""
    begun = time.monotonic()
    for epoch in range(20):
        one.metrics({"train/loss": 1.0}, epoch)
    one.dataset("walkers", "f" * 64, "drawn", {"images": 1}, "train")
    one.artifact(path)
    one.artifact(path, "folder")
    one.end()
    return time.monotonic() - begun


def assert_one_useful_warning(listener: Listener) -> None:
    (text,) = listener.warnings
    assert "MLflow" in text
    assert "the run goes on" in text
    assert "results folder" in text
    assert "\n" not in text
    assert len(text) < 500


def unusable(kind: str, folder: Path) -> str:
    """The address of a store that cannot be used."""
    (folder / "file").write_text("this is no database, and it is no folder either")
    return {
        "parent is a file": f"sqlite:///{folder}/file/mlflow.db",
        "is a folder": f"sqlite:///{folder}",
        "is no database": f"sqlite:///{folder}/file",
        "cannot be made": "sqlite:////proc/mlflow.db",
        "nobody listens": f"http://user:secret@127.0.0.1:{free_port()}",
        "unknown scheme": "gopher://somewhere",
        "old store": f"{folder}/mlruns",
    }[kind]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.mark.parametrize(
    "kind", ["parent is a file", "is a folder", "is no database", "cannot be made", "nobody listens", "unknown scheme", "old store"]
)
def test_a_store_that_cannot_be_used_costs_one_warning(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", unusable(kind, tmp_path))
    listener = Listener()
    begun = time.monotonic()
    one = begin(listener)
    assert one.run_id is None
    assert use(one, tmp_path / "file") < 1
    assert time.monotonic() - begun < 15
    assert_one_useful_warning(listener)
    assert "secret" not in f"{listener.warnings}{one.address}"
    assert capfd.readouterr() == ("", "")


def test_a_server_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        listener = Listener()
        begun = time.monotonic()
        use(begin(listener), tmp_path)
        assert time.monotonic() - begun < 10
    assert_one_useful_warning(listener)


def test_for_a_server_patience_is_short_unless_the_user_sets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    tracking._settle("http://127.0.0.1:1")
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "1"


def test_a_call_that_hangs_is_left_behind() -> None:
    begun = time.monotonic()
    with pytest.raises(TimeoutError, match=r"no answer within 0\.1 s"):
        within(0.1, lambda: time.sleep(5))
    assert time.monotonic() - begun < 2


def test_without_mlflow_a_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    listener = Listener()
    use(begin(listener), tmp_path)
    assert_one_useful_warning(listener)
    assert "mlflow" in listener.warnings[0]


def test_a_store_that_breaks_midway_costs_one_warning(store: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    listener = Listener()
    one = begin(listener)
    one.metrics({"a": 1.0}, 1)
    store.write_bytes(b"broken" * 1000)
    assert use(one, tmp_path / "mlflow.db") < 15
    assert_one_useful_warning(listener)
    assert capfd.readouterr() == ("", "")


def test_what_a_store_misses_while_it_is_away_is_made_up_for(store: Path) -> None:
    listener = Listener()
    one = begin(listener)
    one.metrics({"a": 1.0}, 1)
    whole = store.read_bytes()
    store.write_bytes(b"broken" * 1000)
    one.metrics({"a": 2.0}, 2)
    one.metrics({"a": 3.0}, 3)
    store.write_bytes(whole)
    one.end("FAILED")
    assert [point.value for point in client(store).get_metric_history(one.run_id, "a")] == [1.0, 2.0, 3.0]
    assert stored(store, one.run_id).info.status == "FAILED"
    assert_one_useful_warning(listener)
    assert "again" in listener.notes[-1]


def test_a_dead_store_is_asked_ever_more_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(outbox.time, "monotonic", lambda: now)
    asked: list[float] = []

    def fail() -> None:
        asked.append(now)
        raise ConnectionRefusedError("nobody there")

    box = outbox.Outbox(Listener())
    for _ in range(3600):
        now += 1.0
        box.send(outbox.Record("record metrics", fail))
    waits = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert waits[:5] == [60.0, 120.0, 240.0, 480.0, 600.0]
    assert len(asked) < 12


def test_a_record_that_is_refused_does_not_block_the_rest(store: Path) -> None:
    listener = Listener()
    one = begin(listener)
    one._send("record nonsense", lambda: one._client.log_param(one.run_id, "bad@name", 1))
    one.metrics({"a": 1.0})
    one.end()
    run = stored(store, one.run_id)
    assert (run.data.metrics, run.info.status) == ({"a": 1.0}, "FINISHED")
    assert_one_useful_warning(listener)


@pytest.mark.parametrize("what", ["missing file", "unwritable folder"])
def test_a_file_that_cannot_be_copied_costs_a_warning_and_no_metric(store: Path, tmp_path: Path, what: str) -> None:
    listener = Listener()
    path = tmp_path / "figure.png"
    if what == "unwritable folder":
        path.write_bytes(b"png")
        (tmp_path / "mlruns").write_text("a file where MLflow wants a folder")
    one = begin(listener)
    one.artifact(path)
    one.artifact(path, "folder")
    one.metrics({"a": 1.0})
    assert stored(store, one.run_id).data.metrics == {"a": 1.0}, "metrics do not wait for files"
    one.end()
    assert stored(store, one.run_id).info.status == "FINISHED"
    assert_one_useful_warning(listener)
    assert "figure.png" in listener.warnings[0]


def test_a_second_run_of_one_tracker_starts_clean(store: Path) -> None:
    listener = Listener()
    one = begin(listener)
    one.end()
    first = one.run_id
    one.start(experiment=EXPERIMENT, name="second", params={}, tags={})
    one.metrics({"a": 1.0})
    one.end()
    assert one.run_id != first
    assert stored(store, one.run_id).info.status == "FINISHED"


def test_calls_before_start_and_after_end_do_nothing(store: Path, tmp_path: Path) -> None:
    one = MLflowTracker(Listener())
    use(one, store)
    one.start(experiment=EXPERIMENT, name="n", params={}, tags={})
    one.end()
    use(one, store)
    assert stored(store, one.run_id).data.metrics == {}


# ------------------------------------------------------------------------------------------- slow: stores made from nothing

START = """
import sys
from pathlib import Path
from bench.tracking import MLflowTracker
from tests.test_tracking import Listener
listener = Listener()
one = MLflowTracker(listener)
one.start(experiment="tbps/walkers", name="n", params={"a": 1}, tags={})
one.metrics({"loss": 1.0}, 1)
one.end()
print(listener.notes, listener.warnings)
"""


def launch(folder: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(Path(tracking.__file__).parents[1])}
    return subprocess.Popen(
        [sys.executable, "-c", START], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_runs_that_create_one_store_together_all_succeed(tmp_path: Path) -> None:
    """And the first creation says so, while MLflow and its migrations print nothing."""
    processes = [launch(tmp_path) for _ in range(2)]
    outputs = [process.communicate(timeout=60) for process in processes]
    assert [error for _, error in outputs] == ["", ""]
    assert all(out.rstrip().endswith("[]") for out, _ in outputs)
    assert any("MLflow creates its store" in out for out, _ in outputs)
    assert len(client(tmp_path / "mlflow.db").search_runs(["1"])) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mlflow.db"]


@pytest.fixture
def server(store: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{store}", "--port", str(port), "--workers", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            break
        time.sleep(0.2)
    yield f"http://127.0.0.1:{port}", process
    stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


@pytest.mark.slow
def test_a_server_that_goes_midway_costs_one_warning(
    server: tuple[str, subprocess.Popen[bytes]],
    store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    url, process = server
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    listener = Listener()
    whole = begin(listener)
    assert use(whole, store) < 10
    assert stored(store, whole.run_id).info.status == "FINISHED"
    assert {path.name for path in tmp_path.rglob("artifacts/**/mlflow.db")}, "files land through the server"
    assert listener.warnings == []

    cut = begin(listener)
    cut.metrics({"a": 1.0}, 1)
    stop(process)
    assert use(cut, store) < 15
    assert_one_useful_warning(listener)
    assert stored(store, cut.run_id).info.status == "RUNNING"
    assert capfd.readouterr() == ("", "")


# ------------------------------------------------------------------------------------------------------ the other two


def test_trackers_by_name() -> None:
    assert isinstance(tracker("mlflow", Listener()), MLflowTracker)
    assert isinstance(tracker("none", Listener()), NoTracker)
    with pytest.raises(UsageError, match="'mlflow' or 'none'"):
        tracker("wandb", Listener())


def test_no_tracker_records_nothing(tmp_path: Path) -> None:
    one: Tracker = NoTracker()
    one.start(experiment=EXPERIMENT, name="n", params={}, tags={})
    use(one, tmp_path)
    assert (one.run_id, one.address, list(tmp_path.iterdir())) == (None, None, [])


def test_the_memory_tracker_keeps_what_it_is_told(tmp_path: Path) -> None:
    memory = MemoryTracker()
    one: Tracker = memory
    one.start(experiment=EXPERIMENT, name="n", params={"a": 1}, tags={"t": "x"}, run_id=None)
    one.metrics({"val/t2i/R1": 1.0}, 3)
    one.dataset("walkers", "f", "drawn", {"images": 2}, "train")
    one.artifact(tmp_path, "figures")
    one.end("KILLED")
    assert memory.starts[0]["params"] == {"a": 1}
    assert memory.points == [(3, {"val/t2i/R1": 1.0})]
    assert memory.datasets[0]["counts"] == {"images": 2}
    assert memory.artifacts == [(tmp_path, "figures")]
    assert memory.statuses == ["KILLED"]
    assert memory.run_id == "memory-1"
    with pytest.raises(ValueError, match="R@1"):
        one.metrics({"val/R@1": 1.0})


def test_the_users_logging_level_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_LOGGING_LEVEL", "DEBUG")
    logger = logging.getLogger("mlflow")
    before = logger.level
    logger.setLevel(logging.DEBUG)
    try:
        tracking._hush()
        assert logger.level == logging.DEBUG
    finally:
        logger.setLevel(before)
