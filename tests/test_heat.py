"""Heat maps: which rows make a grid, and in which order its fields stand."""

from __future__ import annotations

from itertools import product

from bench.report.heat import heat

BASE = {"train.lr": 1e-3, "seed": 0}


def grid(**axes: tuple[object, ...]) -> list[tuple[str, dict[str, object], tuple[float, float | None, float | None]]]:
    cells = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
    return [
        ("acsa", {**BASE, "seed": n, **{f"model.{k}": v for k, v in cell.items()}}, (float(n), n - 1.0, n + 1.0))
        for n, cell in enumerate(cells)
    ]


def test_two_options_make_a_map_of_all_their_cells() -> None:
    rows = grid(windows=("grid", "attention"), n_regions=(10, 4, 2))
    told = heat(rows[::-1], indifferent=("seed",))
    assert told["panel"].unique().tolist() == ["acsa"]
    assert told["column"].tolist()[:3] == ["n_regions 2", "n_regions 4", "n_regions 10"]  # numbers by size
    for _, options, (value, low, high) in rows:
        found = told[(told["row"] == f"windows {options['model.windows']}") & (told["column"] == f"n_regions {options['model.n_regions']}")]
        assert found[["value", "low", "high"]].to_numpy().tolist() == [[value, low, high]]


def test_of_three_options_that_with_the_fewest_values_makes_panels() -> None:
    told = heat(grid(image=("whole", "regions", "windows"), text=("sentence", "phrases", "both"), cross=(True, False)), ("seed",))
    assert told["panel"].unique().tolist() == ["acsa, cross True", "acsa, cross False"]
    assert told.groupby("panel").size().tolist() == [9, 9]


def test_what_is_no_grid_makes_no_map() -> None:
    assert heat([], ()).empty
    assert heat(grid(one=(1, 2, 3)), ("seed",)).empty
    assert heat(grid(a=(1, 2), b=(1, 2), c=(1, 2), d=(1, 2)), ("seed",)).empty
    twice = grid(a=(1, 2), b=(1, 2))
    assert heat([*twice, twice[0]], ("seed",)).empty
    assert list(heat([], ()).columns) == ["panel", "row", "column", "value", "low", "high"]


def test_each_model_has_maps_of_its_own_and_some_cells_may_be_missing() -> None:
    rows = grid(a=(1, 2), b=(1, 2))
    told = heat([*rows[:3], *(("other", options, value) for _, options, value in rows)], ("seed",))
    assert told.groupby("panel", sort=False).size().to_dict() == {"acsa": 3, "other": 4}
