"""Pointing against loops over phrases, and cases whose answer is known."""

from __future__ import annotations

import pandas as pd
import pytest
import torch

from bench.attention import TOKEN_BOXES
from bench.contracts import Box
from bench.report.pointing import ALL, contains, pointing

WHOLE, TOP, MIDDLE, BOTTOM, LEFT = Box(0, 0, 1, 1), Box(0, 0, 1, 0.4), Box(0, 0.3, 1, 0.7), Box(0, 0.6, 1, 1), Box(0, 0, 0.5, 1)
TOKENS = (WHOLE, TOP, MIDDLE, BOTTOM, LEFT)
PARTS = {"hat": Box(0.6, 0.0, 0.8, 0.1), "coat": Box(0.5, 0.25, 0.9, 0.5), "shoes": Box(0.1, 0.9, 0.3, 1.0)}
"""Their centres are in: top; top and middle; bottom and left."""
PEOPLE = 12


def table(seed: int, weights: dict[str, list[float]] | None = None) -> pd.DataFrame:
    """Three phrases a query, one a person; a fourth whose part is not known."""
    draw = torch.Generator().manual_seed(seed)
    rows = []
    for query in range(PEOPLE):
        for place, (part, box) in enumerate(PARTS.items()):
            told = weights[part] if weights else torch.rand(5, generator=draw).softmax(0).tolist()
            rows.append((query, place, place + 1, part, list(box), told))
        rows.append((query, 8, 9, None, None, [0.2] * 5))
    found = pd.DataFrame(rows, columns=["query", "start", "end", "part", "box", "weights"])
    found.attrs[TOKEN_BOXES] = [list(box) for box in TOKENS]
    return found


def by_hand(tables: list[pd.DataFrame], part: str | None) -> dict[str, float]:
    """One phrase and one region at a time."""
    hits, masses, wholes, chances, held = [], [], [], [], {place: [] for place in range(1, 5)}
    for found in tables:
        for row in found.to_dict("records"):
            if row["box"] is None or part not in (None, row["part"]):
                continue
            x, y = (row["box"][0] + row["box"][2]) / 2, (row["box"][1] + row["box"][3]) / 2
            inside = {place: TOKENS[place][0] <= x < TOKENS[place][2] and TOKENS[place][1] <= y < TOKENS[place][3] for place in range(1, 5)}
            regions = row["weights"][1:]
            best = 1 + regions.index(max(regions))
            hits.append(inside[best])
            masses.append(sum(row["weights"][place] for place in range(1, 5) if inside[place]) / sum(regions))
            wholes.append(row["weights"][0] > max(regions))
            chances.append(sum(inside.values()) / 4)
            for place, holds in inside.items():
                held[place].append(holds)
    mean = {name: 100 * sum(values) / len(values) for name, values in zip("hmwc", (hits, masses, wholes, chances), strict=True)}
    constant = max(100 * sum(values) / len(values) for values in held.values())
    return {"accuracy": mean["h"], "mass": mean["m"], "whole": mean["w"], "chance": mean["c"], "constant": constant}


@pytest.mark.parametrize("seeds", [(0,), (1, 2, 3)])
def test_equals_loops_over_phrases_and_regions(seeds: tuple[int, ...]) -> None:
    tables = [table(seed) for seed in seeds]
    told = pointing({"acsa": tables}, range(PEOPLE))
    assert told["part"].tolist() == [ALL, "hat", "coat", "shoes"]
    for row in told.to_dict("records"):
        expected = by_hand(tables, None if row["part"] == ALL else row["part"])
        assert {name: row[name] for name in expected} == pytest.approx(expected)
        assert row["low"] <= row["accuracy"] <= row["high"]
        assert row["identities"] == PEOPLE
    assert told["phrases"].tolist() == [36, 12, 12, 12]
    parts = told[told["part"] != ALL]
    assert told["prior"][0] == pytest.approx(parts["constant"].mean())
    assert parts["prior"].tolist() == parts["constant"].tolist()


def test_attention_that_looks_where_it_should_is_always_right() -> None:
    looks = {"hat": [0.9, 0.1, 0, 0, 0], "coat": [0, 0, 1, 0, 0], "shoes": [0, 0, 0, 0.6, 0.4]}
    told = pointing({"ideal": [table(0, looks)]}, range(PEOPLE)).iloc[0]
    assert (told["accuracy"], told["low"], told["high"], told["mass"]) == pytest.approx((100, 100, 100, 100))
    assert told["whole"] == pytest.approx(100 / 3)


def test_uniform_attention_has_the_mass_of_chance() -> None:
    told = pointing({"flat": [table(0, dict.fromkeys(PARTS, [0.2] * 5))]}, range(PEOPLE))
    assert told["mass"].tolist() == pytest.approx(told["chance"].tolist())
    assert told["chance"].tolist() == pytest.approx([100 * (1 + 2 + 2) / 12, 25, 50, 50])


def test_a_border_belongs_to_the_token_below_and_to_the_right() -> None:
    halves = [Box(0, 0, 0.5, 1), Box(0.5, 0, 1, 1)]
    assert contains(halves, [Box(0.4, 0, 0.6, 0.2)]).tolist() == [[False, True]]


def test_what_knows_no_parts_has_no_row() -> None:
    unknown = table(0)
    unknown["box"] = None
    assert pointing({"acsa": [unknown], "none": []}, range(PEOPLE)).empty


def test_a_part_of_few_people_is_told_with_all_alone() -> None:
    few = table(0)
    few = few[(few["part"] != "hat") | (few["query"] < 3)]
    told = pointing({"acsa": [few]}, range(PEOPLE))
    assert told["part"].tolist() == [ALL, "coat", "shoes"]
    assert told["phrases"][0] == 3 + 12 + 12
