"""Options that make a step faster leave its outcome as it is, within float tolerance."""

from __future__ import annotations

from json import loads
from pathlib import Path

import pytest

from bench import run
from bench.config import config_hash
from bench.progress import Silent
from bench.tracking import NoTracker
from tests.small_run import small_config


def losses(root: Path, option: str) -> list[float]:
    config = small_config(root, f"train.{option}=true", "model.text.dropout=0", "train.epochs=2")
    made = run.run(config, NoTracker(), Silent(), resume="never")
    return [loads(line)["train/loss"] for line in (made.folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_each_option_trains_the_same(tmp_path: Path) -> None:
    plain = losses(tmp_path, "deterministic")
    for option in ("speed.channels_last", "speed.fused"):
        assert losses(tmp_path, option) == pytest.approx(plain, rel=1e-3), option


def test_an_option_is_no_other_run(tmp_path: Path) -> None:
    assert config_hash(small_config(tmp_path, "train.speed.fused=true")) == config_hash(small_config(tmp_path))
