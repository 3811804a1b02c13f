"""The end of a search and of an ablation: test is looked at once a run, by ordinary runs that are found again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from bench.cli import main
from bench.config import run_folder
from bench.errors import UsageError
from bench.progress import Silent
from bench.study import ablation, finish
from bench.study.search.searching import Searching
from tests.small_study import DECLARED, PLUGIN, conducted, write
from tests.small_study import plugged as plugged

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Searching:
    base = DECLARED["base"] | {"model.fixed": True}
    return conducted(write(tmp_path_factory.mktemp("searched"), dataset="toy-whole", budget={"trials": 2}, seeds=[101], base=base))


def test_best_and_preset_run_with_fresh_seeds_and_are_found_again(searched: Searching) -> None:
    search = searched.search
    file = finish.finish(searched, Silent(), seeds=2)
    outcome = finish.read(search)
    assert [[run["seed"] for run in runs] for runs in outcome["runs"].values()] == [[100, 102], [100, 102]]
    best, preset = (outcome["test"][arm]["R1"] for arm in ("best", "preset"))
    for arm, values in (("best", search.values(searched.best()[0].params)), ("preset", {})):
        for seed, run in zip((100, 102), outcome["runs"][arm], strict=True):
            folder = run_folder(search.config(values, seed))
            assert Path(run["folder"]) == folder
            assert run["test"] == json.loads((folder / "result.json").read_text())["metrics"]["test"]["t2i"]
    assert best["mean"] == pytest.approx(np.mean(best["values"]))
    assert best["std"] == pytest.approx(np.std(best["values"], ddof=1))
    assert outcome["difference"]["R1"]["mean"] == pytest.approx(best["mean"] - preset["mean"])
    written = [(path, path.stat().st_mtime_ns) for path in search.base.output_dir.rglob("result.json")]
    shutil.rmtree(search.folder)
    assert finish.finish(searched, Silent(), seeds=2) == file
    assert finish.read(search) == outcome
    assert [(path, path.stat().st_mtime_ns) for path in search.base.output_dir.rglob("result.json")] == written


def test_the_command_shows_the_interval(searched: Searching, capsys: pytest.CaptureFixture[str]) -> None:
    root = searched.search.base.data_root.parent
    places = ["--data-root", str(root / "data"), "--output-dir", str(root / "results"), "--device", "cpu", "--tracker", "none"]
    told = ["study", "finish", str(root / "toys.yaml"), "--plugin", PLUGIN, "--storage", searched.url, "--seeds", "2", *places]
    assert main(told) == 0
    shown = capsys.readouterr().out
    assert "best - preset" in shown
    assert "95 % interval of the mean" in shown


def test_what_cannot_be_finished(tmp_path: Path, searched: Searching) -> None:
    with pytest.raises(UsageError, match="no complete trial 9"):
        finish.finish(searched, Silent(), trial=9)
    front = conducted(write(tmp_path, objective=["mAP", "parameters"], budget={"trials": 5}))
    assert len(front.best()) > 1
    with pytest.raises(UsageError, match="name one with --trial"):
        finish.finish(front, Silent())
    with pytest.raises(UsageError, match="`study finish` obtains them"):
        finish.read(front.search)


def test_an_ablation_runs_its_cells_and_draws_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid = {"model.width": [4, 6], "train.epochs": [0, 1], "model.fixed": [True, False]}
    file = write(tmp_path, dataset="toy-whole", grid=grid, space=None, budget=None, seeds=[0, 1])
    searching = conducted(file)
    rows = searching.rows()
    assert [row.state for row in rows] == ["complete"] * 8
    found = ablation.cells(searching.search, rows)
    assert len(found) == 8
    possible = [cell for cell in found if not cell.reason]
    assert {cell.options["train.epochs"] for cell in possible} == {"1"}
    for cell in possible:
        values = [row.metrics["test/t2i/R1"] for row in rows if {key: row.params[key] for key in grid} == cell.options]
        assert cell.told is not None
        assert cell.told.mean == pytest.approx(np.mean(values))
    for row, (cell_values, seed) in zip(rows, searching.search.cells, strict=True):
        record = json.loads((run_folder(searching.search.config(cell_values, seed)) / "result.json").read_text())
        assert row.values == (record["metrics"]["val"]["t2i"]["R1"],)
        assert row.metrics["test/t2i/R1"] == record["metrics"]["test"]["t2i"]["R1"]
    assert (searching.search.folder / "figures" / "cells.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UsageError, match="an ablation has no best"):
        finish.finish(searching, Silent())
    told = ["study", "show", str(file), "--plugin", PLUGIN, "--storage", searching.url]
    assert main(told) == 0
    assert "train.epochs must be greater than or equal to 1" in capsys.readouterr().out
    assert main([*told, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["trials"]) == 8
