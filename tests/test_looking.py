"""`look` on real runs, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from bench import cli
from bench import run as runs
from bench.errors import UsageError
from bench.look import looking
from bench.progress import Silent
from bench.report.finished import in_folders
from bench.run import run
from bench.tracking import NoTracker
from tests.small_run import small_config


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two finished runs of ACSA that differ in a knob, without figures of their own."""
    root = tmp_path_factory.mktemp("look")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "_draw", lambda *_: [])
        for override in ("train.flip=0.5", "train.flip=0.0"):
            run(small_config(root, override, **{"train.epochs": 1}), NoTracker(), Silent())
    return root / "results"


def test_a_folder_of_runs_becomes_a_folder_to_look_through(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    monkeypatch.setattr(looking, "retrieval_sheet", lambda rows, path, *, title: drawn.append(f"{path.name} {len(rows)}"))
    monkeypatch.setattr(looking, "attention_sheet", lambda rows, path, *, title: drawn.append(f"{path.name} {len(rows)}"))
    (group,) = looking.groups(in_folders([results]).runs)
    looked = looking.look(group, tmp_path / "out", Silent())
    assert len(group) == 2
    assert all(label.startswith("acsa (small, ") for label in group)
    assert "data:image/webp" in looked.page.read_text()  # walkers are free
    assert {"sheet-1.jpg 8", "worst-2.jpg 8", "attention-1.jpg 6"} <= set(drawn)
    table = pd.read_csv(tmp_path / "out" / "pointing.csv")
    assert set(table["model"]) == set(group)
    assert table["chance"].between(0, 100).all()
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"retrievals.html", "pointing.csv", "pointing.svg", "pointing.png"}


def test_images_that_are_not_free_are_shown_only_when_asked_for(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "_free", lambda run: False)
    monkeypatch.setattr(looking, "_sheets", lambda *_: iter([("a sheet", tmp_path)]))
    monkeypatch.setattr(looking, "_pointing", lambda *_: iter(()))
    (group,) = looking.groups(in_folders([results]).runs)
    closed = looking.look(group, tmp_path / "closed", Silent())
    assert "data:image" not in closed.page.read_text().partition('id="data"')[2]
    assert closed.pictures == []
    shown = looking.look(group, tmp_path / "open", Silent(), with_images=True)
    assert "data:image/webp" in shown.page.read_text()
    assert len(shown.pictures) == 1


def test_tables_of_an_earlier_version_are_made_anew(results: Path, tmp_path: Path) -> None:
    source = next(results.rglob("seed0"))
    shutil.copytree(source, tmp_path / "seed0")
    whole = pd.read_parquet(source / "per_query.parquet")
    whole[["query", "image", "pid", "first_match", "AP", "INP", "tied"]].to_parquet(tmp_path / "seed0" / "per_query.parquet")
    (tmp_path / "seed0" / "attention.parquet").unlink()
    (old,) = in_folders([tmp_path]).runs
    pd.testing.assert_frame_equal(looking._outcomes(old, Silent(), None), pd.read_parquet(source / "per_query.parquet"))
    (tmp_path / "seed0" / "attention.parquet").unlink()
    assert len(looking._attended([old, *in_folders([source]).runs], Silent(), None)) == 2  # one of two left none
    theirs, ours = (pd.read_parquet(folder / "attention.parquet") for folder in (source, tmp_path / "seed0"))
    assert theirs["part"].equals(ours["part"])


def test_runs_of_other_queries_are_refused(results: Path, tmp_path: Path) -> None:
    (group,) = looking.groups(in_folders([results]).runs)
    first, second = group.items()
    shutil.copytree(second[1][0].folder, tmp_path / "seed0")
    table = pd.read_parquet(tmp_path / "seed0" / "per_query.parquet")
    table.iloc[::-1].reset_index(drop=True).to_parquet(tmp_path / "seed0" / "per_query.parquet")
    (other,) = in_folders([tmp_path]).runs
    with pytest.raises(UsageError, match=r"other queries"):
        looking.look({first[0]: first[1], second[0]: [other]}, tmp_path / "out", Silent())


def test_a_folder_without_runs_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["look", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert not (tmp_path / "out").exists()


def test_a_records_data_set_names_no_folder_elsewhere(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "a" / "b"
    shutil.copytree(results, place / "runs")
    for file in (place / "runs").rglob("result.json"):
        file.write_text(json.dumps(json.loads(file.read_text()) | {"dataset": "../../evil"}))
    monkeypatch.chdir(place)
    assert cli.main(["look", "runs"]) == 2  # nobody knows such a data set
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert [path.name for path in place.iterdir()] == ["runs"]
