"""Rank curves and breakdowns against loops over queries."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bench._spread import Identities
from bench.attributes import attributes
from bench.report import breakdown as module
from bench.report.breakdown import breakdown, rank_curves

WORDS = ("A man in a red coat", "A woman with a black bag and a hat, walking away", "Someone", "A girl in a red dress, with red shoes")


def table(seed: int, queries: int = 120, people: int = 25) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    pids = np.arange(queries) % people
    return pd.DataFrame(
        {
            "query": range(queries),
            "caption": [WORDS[place % len(WORDS)] for place in range(queries)],
            "image": [f"{pid}.png" for pid in pids],
            "pid": pids,
            "camera": pd.array([None if place % 5 == 0 else f"c{place % 2}" for place in range(queries)], dtype="str"),
            "first_match": random.integers(1, 9, queries),
        }
    )


RUNS = {"a": [table(0), table(1)], "<b>": [table(2)]}


def share(tables: list[pd.DataFrame], k: int, rows: list[int]) -> float:
    """Percent of the outcomes of these queries, of all seeds, that are right by rank k."""
    outcomes = [int(found["first_match"][row]) <= k for found in tables for row in rows]
    return 100 * sum(outcomes) / len(outcomes)


class TestRankCurves:
    def test_every_k_equals_a_count_and_its_interval_that_of_its_outcomes(self) -> None:
        people = Identities(RUNS["a"][0]["pid"].to_numpy(), draws=500)
        told = rank_curves(RUNS, people, upto=20)
        assert list(told["model"].unique()) == ["a", "<b>"]
        for row in told.to_dict("records"):
            tables = RUNS[row["model"]]
            assert row["R"] == pytest.approx(share(tables, row["k"], list(range(120))))
            alone = people.interval(np.mean([found["first_match"] <= row["k"] for found in tables], axis=0))
            assert (row["low"], row["high"]) == pytest.approx((100 * alone.low, 100 * alone.high))
        assert told.groupby("model")["k"].apply(list).map(lambda ks: ks == list(range(1, 21))).all()


class TestBreakdown:
    def test_every_group_equals_a_count_over_its_queries(self) -> None:
        told = breakdown(RUNS)
        captions, cameras = RUNS["a"][0]["caption"], RUNS["a"][0]["camera"]
        member = {
            "words": lambda row, low, high: low <= len(captions[row].split()) <= high,
            "camera": lambda row, name, _: cameras[row] == name,
        }
        for row in told.to_dict("records"):
            by, group = row["by"], row["group"]
            if by in member:
                low, _, high = group.partition("–") if by == "words" else (group, "", group)
                ends = (int(low), int(high or low)) if by == "words" else (low, high)
                rows = [place for place in range(120) if member[by](place, *ends)]
            elif by == "phrases":
                continue
            else:
                rows = [place for place in range(120) if (by, group) in attributes(captions[place])]
            assert row["queries"] == len(rows)
            assert row["identities"] == len({place % 25 for place in rows})
            assert row["R1"] == pytest.approx(share(RUNS[row["model"]], 1, rows))
            assert row["low"] <= row["R1"] <= row["high"]
        assert {"colour", "garment", "words", "phrases", "camera"} <= set(told["by"])
        assert set(told[told["by"] == "camera"]["group"]) == {"c0", "c1"}

    @pytest.mark.parametrize("counts", [[1, 1, 1, 1], [1, 2, 3, 4, 5, 6, 7, 8], [3, 3, 3, 9], [5]])
    def test_classes_hold_each_query_once(self, counts: list[int]) -> None:
        classes = list(module._classes("words", np.array(counts)))
        assert (np.sum([member for _, _, member in classes], axis=0) == 1).all()
        assert len(classes) <= module.CLASSES

    def test_groups_of_few_people_are_left_out(self) -> None:
        few = {"a": [table(0, queries=18, people=9)]}
        assert breakdown(few).empty
        assert list(breakdown(few).columns) == ["by", "group", "model", "queries", "identities", "R1", "low", "high"]

    def test_the_same_tables_give_the_same_intervals(self) -> None:
        pd.testing.assert_frame_equal(breakdown(RUNS), breakdown(RUNS))
