"""Runs are found in folders and in a real store, and what is left out is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bench import record
from bench.errors import UsageError
from bench.progress import Silent
from bench.report import finished
from bench.report.finished import Found, in_folders, in_store
from bench.store import KIND
from bench.tracking import MLflowTracker
from tests.fake_runs import fake_run, three_models


def test_every_run_of_a_folder_is_found(tmp_path: Path) -> None:
    found = in_folders([three_models(tmp_path)])
    assert len(found.runs) == 9
    assert found.left_out == []
    run = found.runs[0]
    assert run.outcomes() is not None
    assert [values["epoch"] for values in run.history()] == [1, 2, 3]


def changed(folder: Path, **changes: object) -> None:
    file = folder / record.RESULT
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_what_cannot_be_used_is_left_out_with_its_reason(tmp_path: Path) -> None:
    good = fake_run(tmp_path, seed=0)
    changed(fake_run(tmp_path, seed=1), finished=False)
    (fake_run(tmp_path, seed=2) / record.RESULT).write_text("{cut")
    changed(fake_run(tmp_path, seed=3), metrics={"test": {"t2i": {"R1": 5.0}, "i2t": {}}})
    changed(fake_run(tmp_path, seed=4), seed="many")
    (fake_run(tmp_path, seed=5) / record.RESULT).write_text("[1]")
    changed(fake_run(tmp_path, seed=6), metrics=json.loads((good / record.RESULT).read_text())["metrics"] | {"val": {"t2i": {"R1": 101}}})
    shutil.copytree(good, good.with_name("seed0-earlier1"))
    found = in_folders([tmp_path])
    assert [run.record.seed for run in found.runs] == [0]
    told = {name.rsplit("/", 1)[1]: why for name, why in found.left_out}
    assert told.keys() == {"seed0-earlier1", *(f"seed{seed}" for seed in range(1, 7))}
    assert told["seed1"] == "not finished"
    assert "cannot read" in told["seed2"]
    assert "metrics.test.t2i lacks R5" in told["seed3"]
    assert told["seed4"].startswith("seed: ")
    assert "no record" in told["seed5"]
    assert told["seed6"].startswith("metrics.val.t2i.R1: ")
    assert told["seed0-earlier1"] == "set aside by --resume never"


def test_of_two_runs_of_one_seed_the_later_counts(tmp_path: Path) -> None:
    found = Found()
    for name, ended in (("new", 2), ("old", 1)):
        found.add(name, fake_run(tmp_path, folder=name), ended)
    latest = found.latest()
    assert [run.name for run in latest.runs] == ["new"]
    assert [one.name for one in latest.left_out] == ["old"]


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_a_folder_without_runs_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=f"--results .*{name}"):
        in_folders([tmp_path / name])


def test_a_run_without_outcomes_of_queries_is_a_run(tmp_path: Path) -> None:
    folder = fake_run(tmp_path)
    (folder / "per_query.parquet").write_bytes(b"")
    (folder / "metrics.jsonl").unlink()
    (run,) = in_folders([tmp_path]).runs
    assert run.outcomes() is None
    assert run.history() == []


class TestStore:
    @pytest.fixture(autouse=True)
    def _store(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")

    def record(self, folder: Path | None, name: str, *, status: str = "FINISHED", tags: dict[str, str] | None = None) -> str:
        """A run in the store, with the files of a folder; its id."""
        one = MLflowTracker(Silent())
        one.start(experiment="tbps/walkers", name=name, params={}, tags=tags or {})
        if folder is not None:
            one.metrics({"test/t2i/R1": 50.0}, step=3)
            for file in folder.iterdir():
                one.artifact(file)
        one.end(status)  # type: ignore[arg-type]
        assert one.run_id is not None
        return one.run_id

    def test_a_real_store(self, tmp_path: Path) -> None:
        """Model runs with their files; a run that failed, a trial without test and a report are none; lost files are looked for."""
        kept, lost = fake_run(tmp_path / "a", seed=0), fake_run(tmp_path / "results", seed=1)
        self.record(kept, "kept", tags={"study": "wide"})
        self.record(kept, "failed", status="FAILED")
        self.record(None, "trial")
        self.record(kept, "report", tags={KIND: "report"})
        empty = tmp_path / "empty"
        empty.mkdir()
        changed(lost, mlflow_run_id=self.record(empty, "lost"))
        self.record(empty, "gone")
        found = in_store("tbps/walkers", [tmp_path / "nowhere", tmp_path / "results"], tmp_path / "scratch")
        assert {run.name: run.record.seed for run in found.runs} == {"kept": 0, "lost": 1}
        assert [(one.name, one.why) for one in found.left_out] == [("gone", "no result.json")]
        assert {run.name: run.study for run in found.runs} == {"kept": "wide", "lost": None}
        assert all(run.outcomes() is not None for run in found.runs)
        with pytest.raises(UsageError, match=r"no experiment 'x'; it has: Default, tbps/walkers"):
            in_store("x", [], tmp_path)

    def test_no_store_is_one_line(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="there is no MLflow store at sqlite"):
            in_store("tbps/walkers", [], tmp_path)

    def test_no_run_is_one_line(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        class Empty:
            def runs(self, experiment: str) -> list[str]:
                return []

        monkeypatch.setattr(finished, "Store", Empty)
        with pytest.raises(UsageError, match="no finished run that was evaluated on test"):
            in_store("tbps/walkers", [], tmp_path)
