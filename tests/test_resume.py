"""What becomes of a run that was cut off, wherever that was, and of folders that are not what they should be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from bench import checkpoint, record
from bench import run as runs
from bench.config import RunConfig, run_folder
from bench.errors import UsageError
from bench.progress import Silent
from bench.run import run
from bench.selection import BEST, LAST
from bench.tracking import MemoryTracker, NoTracker
from tests.small_run import small_config


class Cut(BaseException):
    """The end of a process, at a place that a test chooses."""


class Notes(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture(autouse=True)
def _without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "_draw", lambda *_: [])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds the data, drawn once."""
    return tmp_path_factory.mktemp("place")


@pytest.fixture
def config(place: Path, tmp_path: Path) -> RunConfig:
    return small_config(tmp_path, data_root=str(place))


def cut_after(monkeypatch: pytest.MonkeyPatch, writes: int) -> None:
    """The process ends instead of putting a file in its place, once it has done so `writes` times."""
    done, replace = [0], checkpoint.replace

    def counted(half: Path, path: Path) -> None:
        if done[0] == writes:
            raise Cut
        done[0] += 1
        replace(half, path)

    monkeypatch.setattr(checkpoint, "replace", counted)


def unfinished(config: RunConfig, tracker: MemoryTracker | None = None) -> Path:
    """The folder of a run that was cut off in its second epoch: after the draft, the configuration, last and best."""
    with pytest.MonkeyPatch.context() as patch:
        cut_after(patch, 4)
        with pytest.raises(Cut):
            run(config, tracker or NoTracker(), Silent())
    return run_folder(config)


def outcome(folder: Path) -> dict[str, Any]:
    """All of a run that must not depend on how often it was cut off."""
    told = record.read(folder)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    weights = checkpoint.load(folder / "checkpoints" / BEST)[0]
    return {
        "record": {key: told[key] for key in ("finished", "metrics", "selected_epoch", "epochs", "mixing", "tied_queries", "data")},
        "epochs": [{key: value for key, value in line.items() if key != "seconds"} for line in lines],
        "queries": pd.read_parquet(folder / "per_query.parquet").to_json(double_precision=15),
        "weights": {name: tensor.numpy().tobytes() for name, tensor in weights.items()},
    }


@pytest.mark.slow
def test_cut_off_before_any_write_it_ends_as_if_it_had_not_been(config: RunConfig) -> None:
    whole = outcome(run(config, NoTracker(), Silent()).folder)
    for writes in range(20):
        shutil.rmtree(run_folder(config))
        try:
            with pytest.MonkeyPatch.context() as patch:
                cut_after(patch, writes)
                run(config, NoTracker(), Silent())
            break
        except Cut:
            again = run(config, NoTracker(), Silent())
            assert outcome(again.folder) == whole, f"cut off after {writes} writes"
            assert not list(again.folder.rglob(".*"))
    assert writes >= 8  # draft, configuration, checkpoints of two epochs, metrics, queries, record


# --------------------------------------------------------------------------------------------------------- the tracker


def test_an_epoch_that_was_told_but_not_kept_is_told_again(config: RunConfig) -> None:
    first, second = MemoryTracker(), MemoryTracker()
    unfinished(config, first)
    run(config, second, Silent())
    told = [(step, values["train/loss"]) for tracker in (first, second) for step, values in tracker.points if "train/loss" in values]
    assert [step for step, _ in told] == [1, 2, 2]
    assert told[1] == told[2]


def test_a_tracker_that_was_not_there_hears_all_epochs(config: RunConfig) -> None:
    unfinished(config)
    tracker = MemoryTracker()
    run(config, tracker, Silent())
    assert [step for step, values in tracker.points if "train/loss" in values] == [1, 2]


def test_cut_off_while_the_tracker_is_told_the_end_comes_after_all(config: RunConfig) -> None:
    class Dies(MemoryTracker):
        def end(self, status: Any = "FINISHED") -> None:
            super().end(status)
            if status == "FINISHED":
                raise Cut

    with pytest.raises(Cut):
        run(config, Dies(), Silent())
    assert record.read(run_folder(config))["finished"] is False
    tracker = MemoryTracker()
    assert run(config, tracker, Silent()).record["finished"] is True
    assert tracker.starts[0]["run_id"] == "memory-1"
    assert tracker.statuses == ["FINISHED"]
    assert [list(values) for _, values in tracker.points if "test/t2i/R1" in values]


# -------------------------------------------------------------------------------------------------------- taking over


def test_a_run_that_is_taken_over_keeps_its_tracker(config: RunConfig, place: Path, tmp_path: Path) -> None:
    elsewhere = unfinished(small_config(tmp_path / "elsewhere", data_root=str(place)), MemoryTracker())
    tracker, notes = MemoryTracker(), Notes()
    run(config, tracker, notes, str(elsewhere))
    assert f"took over {elsewhere} after epoch 1" in notes.said
    assert tracker.starts[0]["run_id"] == "memory-1"
    assert len(record.read(run_folder(config))["starts"]) == 2


def test_what_is_here_and_as_far_is_not_taken_over(config: RunConfig, place: Path, tmp_path: Path) -> None:
    elsewhere = unfinished(small_config(tmp_path / "elsewhere", data_root=str(place)))
    mine, notes = unfinished(config), Notes()
    mark = mine / "checkpoints" / "mark"
    mark.touch()
    run(config, NoTracker(), notes, str(elsewhere))
    assert mark.exists()
    assert not [said for said in notes.said if said.startswith("took over")]


def test_nothing_but_the_checkpoints_is_copied(config: RunConfig, place: Path, tmp_path: Path) -> None:
    folder = unfinished(small_config(tmp_path / "elsewhere", data_root=str(place))) / "checkpoints"
    (folder / "holiday.jpg").touch()
    run(config, NoTracker(), Silent(), str(folder / LAST))
    assert {path.name for path in (run_folder(config) / "checkpoints").iterdir()} == {BEST, LAST, "tokenizer"}


def test_half_a_run_is_not_taken_over(config: RunConfig, place: Path, tmp_path: Path) -> None:
    folder = unfinished(small_config(tmp_path / "elsewhere", data_root=str(place))) / "checkpoints"
    (folder / BEST).unlink()
    with pytest.raises(UsageError, match=r"--resume .*: No such file or directory: .*best\.safetensors"):
        run(config, NoTracker(), Silent(), str(folder))
    assert not (run_folder(config) / "checkpoints").exists()


# ------------------------------------------------------------------------------------------------------- spoilt folders


def pretend_later(folder: Path) -> None:
    """As if a second epoch had not been the best: what `best` holds can no longer be made from `last`."""
    tensors, header = checkpoint.load(folder / LAST)
    header["course"] |= {"epoch": 2, "best_epoch": 1, "history": header["course"]["history"] * 2}
    checkpoint.save(folder / LAST, tensors, header)


@pytest.mark.parametrize("name", ["result.json", f"checkpoints/{LAST}", f"checkpoints/{BEST}"])
def test_a_spoilt_file_is_named(config: RunConfig, name: str) -> None:
    folder = unfinished(config)
    pretend_later(folder / "checkpoints")
    file = folder / name
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(UsageError) as error:
        run(config, NoTracker(), Silent())
    assert str(file) in str(error.value)
    assert "--resume never" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_best_that_is_lost_is_made_from_last_while_it_can(config: RunConfig) -> None:
    best = unfinished(config) / "checkpoints" / BEST
    best.unlink()
    assert run(config, NoTracker(), Silent()).record["finished"]
    assert checkpoint.load(best)[1]["epoch"] in (1, 2)


def test_checkpoints_of_two_runs_are_refused(config: RunConfig) -> None:
    folder = unfinished(config) / "checkpoints"
    pretend_later(folder)
    weights, about = checkpoint.load(folder / BEST)
    checkpoint.save(folder / BEST, weights, about | {"epoch": 7})
    with pytest.raises(UsageError, match=r"best\.safetensors is of epoch 7, .* has 1 as the best.*--resume never"):
        run(config, NoTracker(), Silent())


def test_data_that_changed_are_refused(config: RunConfig) -> None:
    folder = unfinished(config)
    told = record.read(folder)
    told["data"]["fingerprint"] = "0" * 64
    record.write(folder, told)
    with pytest.raises(UsageError, match=r"the data set has changed since this run began.*--resume never"):
        run(config, NoTracker(), Silent())


def test_a_run_that_failed_lets_go_of_its_folder(config: RunConfig) -> None:
    kept = []  # the errors hold the frames, which hold the lock
    for _ in range(2):
        with pytest.raises(UsageError, match="holds no last") as error:
            run(config, NoTracker(), Silent(), "nowhere")
        kept.append(error)
