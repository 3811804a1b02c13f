"""Searches side by side."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from bench.cli import main
from bench.errors import UsageError
from bench.study import compare
from bench.study.search.attempts import Row
from tests.small_study import PLUGIN, conducted, opened, searches, write
from tests.small_study import plugged as plugged

SPACE = {"train.lr": {"low": 1e-4, "high": 0.3, "log": True}}


@pytest.mark.parametrize("values", [[3.0], [1.0, 4.0], [5.0, 1.0, 1.0, 9.0]])
def test_the_expected_best_is_the_mean_over_all_draws(values: list[float]) -> None:
    for n in range(1, len(values) + 1):
        slow = np.mean([max(draw) for draw in itertools.product(values, repeat=n)])
        assert compare.expected_best(values)[n - 1] == pytest.approx(slow)


def test_the_interval_holds_the_curve_and_is_a_point_where_all_are_alike() -> None:
    values = [20.0, 31.0, 25.0, 28.0, 30.0, 12.0]
    low, high = compare.band(values)
    expected = compare.expected_best(values)
    assert (low <= expected).all()
    assert (expected <= high).all()
    assert np.allclose(compare.band([7.0, 7.0, 7.0]), 7.0)


def row(number: int, state: str, value: float | None, curve: dict[int, float]) -> Row:
    values = None if value is None else (value,)
    return Row(number, state, values, {}, "", 1, 1.0, 1, {}, curve, None, None)  # type: ignore[arg-type]


def test_a_pruned_trial_is_worth_what_it_reported_and_a_failed_one_nothing() -> None:
    rows = [row(0, "complete", 30.0, {1: 20.0, 2: 30.0}), row(1, "pruned", 11.0, {1: 15.0, 2: 11.0}), row(2, "failed", None, {})]
    rows.append(row(3, "running", None, {1: 50.0}))
    assert compare.values_of(rows, "R1") == [30.0, 15.0, 0.0]


def test_what_differs_is_said(tmp_path: Path) -> None:
    one, other = (searches(write(tmp_path, name, **changes))[0] for name, changes in (("one", {}), ("other", {"budget": {"trials": 4}})))
    assert compare.unequal([one, one]) == []
    assert compare.unequal([one, other]) == ["budget differs: one: trials 3, failures 8; other: trials 4, failures 8"]
    (smaller,) = searches(write(tmp_path, "smaller", space=SPACE))
    assert [line.partition(" differs")[0] for line in compare.unequal([one, smaller])] == ["options searched", "size of the space"]


@pytest.mark.slow
def test_studies_are_completed_compared_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = write(tmp_path, "one", space=SPACE, sampler={"name": "random", "seed": 0, "preset_first": False})
    other = write(tmp_path, "other", space=SPACE, sampler={"name": "random", "seed": 1, "preset_first": False})
    conducted(one)
    places = ["--data-root", str(tmp_path / "data"), "--output-dir", str(tmp_path / "results"), "--device", "cpu", "--tracker", "none"]
    told = ["study", "compare", str(one), str(other), "--plugin", PLUGIN, "--storage", f"sqlite:///{tmp_path / 'study.db'}", *places]
    assert main([*told, "--json"]) == 0
    outcome = json.loads(capsys.readouterr().out)
    assert [told["complete"] for told in outcome["studies"].values()] == [3, 3]
    random = "name random, seed {}, startup 8, preset_first False"
    assert outcome["unequal"] == [f"sampler differs: one: {random.format(0)}; other: {random.format(1)}"]
    folder = tmp_path / "results" / "studies" / "compare-one-other"
    assert (folder / "compare.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((folder / "compare.json").read_text()) == outcome
    assert main(told) == 0
    assert "not given the same: sampler differs" in capsys.readouterr().out


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    one = opened(write(tmp_path, "one"))
    with pytest.raises(UsageError, match="has no trial that ended"):
        compare.compare([one])
    with pytest.raises(UsageError, match="different objectives"):
        compare.compare([one, opened(write(tmp_path, "other", objective="mAP"))])
    with pytest.raises(UsageError, match="compares its own cells"):
        compare.compare([opened(write(tmp_path, "grid", grid={"model.width": [4]}, space=None))])
