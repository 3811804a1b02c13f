"""Two processes of `accelerate launch` train and select as one does, at the same batch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.processes import Process

LAUNCH = ("-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no")
LAUNCHER = (*LAUNCH, "--dynamo_backend", "no", "--main_process_port", "0")
NO_DROPOUT = ("--set", "model.text.dropout=0")  # what is dropped is drawn by each process for itself


def outcome(root: Path, data: Path, *launcher: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The epochs and the record of a run."""
    root.mkdir()
    Process(root, data, *NO_DROPOUT, epochs=3, launcher=launcher).finished()
    (folder,) = (root / "results").glob("*/*/*/seed0")
    epochs = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return epochs, json.loads((folder / "result.json").read_text())


@pytest.mark.slow
def test_two_processes_give_what_one_gives(tmp_path: Path) -> None:
    alone, record = outcome(tmp_path / "one", tmp_path / "data")
    together, other = outcome(tmp_path / "two", tmp_path / "data", *LAUNCHER)
    for one, two in zip(alone, together, strict=True):
        for name in one.keys() - {"seconds"}:
            assert two[name] == pytest.approx(one[name], rel=2e-3, abs=1e-3), (name, one["epoch"])
    assert other["metrics"] == record["metrics"]
    assert other["selected_epoch"] == record["selected_epoch"]
