"""What shares a table, how rows are named, and what the sentences say."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from bench import stats
from bench.report import frames as report_frames
from bench.report.comparison import MOST, sections
from bench.report.data import Section
from bench.report.finished import in_folders
from tests.fake_runs import fake_run, three_models


def made(root: Path) -> tuple[Section, ...]:
    """Without what figures are drawn from, which takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report_frames, "tables", lambda *_: {})
        return sections(in_folders([root]).runs)


@pytest.fixture(scope="module")
def section(tmp_path_factory: pytest.TempPathFactory) -> Section:
    (only,) = sections(in_folders([three_models(tmp_path_factory.mktemp("runs"))]).runs)
    return only


def test_rows_are_models_the_best_first(section: Section) -> None:
    assert [model.label for model in section.models] == ["acsa", "region-phrase", "image-sentence"]
    for model in section.models:
        assert [run.seed for run in model.runs] == [0, 1, 2]
        r1 = model.t2i["R1"]
        values = [run.test["R1"] for run in model.runs]
        assert (r1.mean, r1.deviation) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
        assert r1.over_identities is not None
        assert r1.over_identities[0] < r1.mean < r1.over_identities[1]
        assert model.cost["index_bytes"] == 4096


def test_differences_are_those_of_the_tables_of_queries(section: Section, tmp_path: Path) -> None:
    """Once more, from the files, without the code in between."""
    tables = {}
    for folder in sorted(three_models(tmp_path).glob("walkers/*/*")):
        files = sorted(folder.glob("seed*/per_query.parquet"))
        tables[folder.parent.name] = np.stack([100.0 * (pd.read_parquet(file)["first_match"] == 1) for file in files])
    people = stats.Identities(pd.read_parquet(files[0])["pid"].to_numpy())
    names = [model.label for model in section.models]
    expected = {(c.first, c.second): c for c in stats.compare({name: tables[name] for name in names}, people)}
    told = {(d.first, d.second): d for d in section.differences if d.metric == "R1"}
    assert list(told) == list(combinations(names, 2))
    for pair, d in told.items():
        assert (d.difference, d.low, d.corrected) == pytest.approx(
            (expected[pair].difference, expected[pair].interval.low, expected[pair].corrected)
        )
        assert d.smallest < d.smallest_here


def test_no_bold_best_but_groups(section: Section) -> None:
    assert [model.t2i["R1"].group for model in section.models] == ["a", "a", "b"]
    assert section.models[0].t2i["R5"].group == ""


def test_where_nobody_wins_it_says_so(section: Section) -> None:
    first, *others = section.statements
    assert first.startswith("No model wins by R1: acsa has the highest")
    assert "cannot be told apart from region-phrase." in first
    assert any(sentence.startswith("image-sentence does not win: it is ") for sentence in others)
    assert any("With 30 identities this test set shows a true difference of R1 of" in sentence for sentence in others)


def test_a_winner_is_named_and_the_model_in_question_loses(tmp_path: Path) -> None:
    for seed in range(3):
        fake_run(tmp_path, model="image-sentence", seed=seed, quality=0.9, ids=60)
        fake_run(tmp_path, model="acsa", seed=seed, quality=0.3, ids=60)
    (only,) = made(tmp_path)
    assert only.statements[0].startswith("image-sentence wins by R1: ")
    assert only.statements[1].startswith("acsa does not win: it is ")
    assert "too little" not in only.statements[1]
    assert only.statements[2].startswith("By mAP image-sentence wins")


def test_one_model_is_compared_with_none(tmp_path: Path) -> None:
    fake_run(tmp_path)
    (only,) = made(tmp_path)
    assert only.statements == (
        f"acsa obtains an R1 of {only.models[0].t2i['R1'].mean:.1f} (1 seed). There is nothing here to compare it with.",
    )
    assert any(remark.startswith("One seed only") for remark in only.remarks)


@pytest.mark.parametrize(
    "change",
    [
        {"protocol": "tbps-eval/2"},
        {"selection": "test R1"},
        {"data": {"fingerprint": "e" * 64, "splits": {"test": {"identities": 30, "images": 60, "captions": 120}}}},
        {"data": {"fingerprint": "f" * 64, "splits": {"test": {"identities": 30, "images": 60, "captions": 119}}}},
        {"dataset": "others"},
    ],
)
def test_what_was_measured_otherwise_never_shares_a_table(tmp_path: Path, change: dict[str, object]) -> None:
    fake_run(tmp_path, model="acsa")
    fake_run(tmp_path, model="region-phrase", **change)
    apart = made(tmp_path)
    assert sorted(len(one.models) for one in apart) == [1, 1]
    assert all(one.differences == () for one in apart)


def test_rows_of_one_model_are_told_apart(tmp_path: Path) -> None:
    for digest, preset in (("aaaa", "small"), ("bbbb", "small"), ("cccc", "paper"), ("dddd", None)):
        fake_run(tmp_path, config_hash=digest, preset=preset)
    fake_run(tmp_path, model="region-phrase")
    (only,) = made(tmp_path)
    labels = {model.label for model in only.models}
    assert labels == {"acsa (small, aaaa)", "acsa (small, bbbb)", "acsa (paper)", "acsa (defaults)", "region-phrase"}


def test_queries_that_are_missing_or_others_are_not_tested(tmp_path: Path) -> None:
    fake_run(tmp_path, model="acsa")
    fake_run(tmp_path, model="region-phrase")
    (fake_run(tmp_path, model="lost") / "per_query.parquet").unlink()
    other = fake_run(tmp_path, model="other") / "per_query.parquet"
    pd.read_parquet(other).iloc[::-1].to_parquet(other, index=False)
    (only,) = made(tmp_path)
    assert {name for d in only.differences for name in (d.first, d.second)} == {"acsa", "region-phrase"}
    assert any("lost, other" in remark for remark in only.remarks)
    assert {model.label for model in only.models if model.t2i["R1"].over_identities is None} == {"lost", "other"}


def test_what_makes_numbers_less_comparable_is_said(tmp_path: Path) -> None:
    fake_run(tmp_path, model="acsa")
    fake_run(tmp_path, model="region-phrase", environment={"git_commit": "d" * 40, "git_dirty": True, "hardware": {"cpu": "two"}})
    (only,) = made(tmp_path)
    assert sum(text in remark for remark in only.remarks for text in ("2 versions", "not committed", "different machines")) == 3


def test_in_what_rows_of_one_model_differ_is_said(tmp_path: Path) -> None:
    for digest, rate in (("aaaa", 0.1), ("bbbb", 0.2)):
        told = {"train": {"lr": rate, "workers": len(digest + str(rate))}, "model": {"name": "acsa"}, "seed": 0}
        (fake_run(tmp_path, config_hash=digest) / "config.yaml").write_text(yaml.safe_dump(told))
    (only,) = made(tmp_path)
    assert "acsa (small, aaaa), acsa (small, bbbb) differ in train.lr (0.1, 0.2)." in only.remarks


def test_what_a_search_has_found_is_said(tmp_path: Path) -> None:
    fake_run(tmp_path)
    fake_run(tmp_path, model="region-phrase")
    runs = [replace(run, study="wide" if run.record.model == "acsa" else None) for run in in_folders([tmp_path]).runs]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report_frames, "tables", lambda *_: {})
        (only,) = sections(runs)
    assert any(remark.startswith("Found by a search on val: acsa (study wide). ") for remark in only.remarks)


def test_of_many_models_the_best_are_tested(tmp_path: Path) -> None:
    for number in range(MOST + 2):
        fake_run(tmp_path, model=f"model{number:02}", quality=0.2 + 0.02 * number, ids=12)
    (only,) = made(tmp_path)
    assert len({name for d in only.differences for name in (d.first, d.second)}) == MOST
    assert any(f"the {MOST} models with the highest R1, of {MOST + 2}" in remark for remark in only.remarks)
    assert [model.t2i["R1"].group == "" for model in only.models] == [False] * MOST + [True] * 2


def test_figures_have_their_tables(section: Section) -> None:
    assert set(section.tables) == {"scores", "differences", "history", "cost", "rank_curves", "breakdown"}
    curve = section.tables["rank_curves"].frame()
    assert curve[(curve["model"] == "acsa") & (curve["k"] == 1)]["R"].item() == pytest.approx(section.models[0].t2i["R1"].mean)
    history = section.tables["history"].frame()
    assert history[history["epoch"] == 2].groupby("model")["R1"].apply(list).tolist() == [[20.0, 21.0, 22.0]] * 3


def test_a_section_is_json(section: Section) -> None:
    assert Section.model_validate(json.loads(section.model_dump_json())) == section
