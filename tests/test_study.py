"""Declared studies: what may stand in a file, what is said of a wrong one, and the files that are shipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench import registry
from bench.cli import main
from bench.errors import UsageError
from bench.registry import ROOT
from bench.study.declared import described, kind_of, load
from tests.small_study import plugged as plugged
from tests.small_study import searches, write

SHIPPED = sorted((ROOT / "studies").glob("*.yaml"))


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_shipped_files_fit_the_schema_and_the_models(file: Path) -> None:
    for search in load(file):
        assert search.file.about
        assert search.space or search.cells


def test_every_registered_model_has_a_study_on_walkers() -> None:
    plugged = {entry.name for entry in registry.names("model").values() if not entry.origin.startswith("models/")}
    studied = {
        search.base.model_name for file in SHIPPED for search in load(file) if search.base.dataset_name == "walkers" and search.space
    }
    assert studied >= set(registry.names("model")) - plugged


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"space": {"train.lrr": {"low": 1, "high": 2}}}, "space: unknown option 'train.lrr'; did you mean 'train.lr'?"),
    ({"space": {"model.widht": {"choices": [1]}}}, "did you mean 'model.width'?"),
    ({"space": {"train.epochs": {"low": 0, "high": 3}}}, "train.epochs must be greater than or equal to 1"),
    ({"space": {"train.schedule": {"low": 0, "high": 3}}}, "space: train.schedule must be"),
    ({"space": {"train.schedule": {"choices": ["cosine", "cosin"]}}}, "did you mean 'cosine'?"),
    ({"space": {"train.lr": {"low": 2, "high": 1}}}, "low must lie below high"),
    ({"space": {"train.lr": {"low": 0, "high": 1, "log": True}}}, "log wants low above 0"),
    ({"space": {"train.lr": {"low": 1}}}, "either low and high, or choices"),
    ({"space": {"seed": {"low": 0, "high": 3}}}, "seed is no option that a study may vary"),
    ({"space": None}, "either space (a search) or grid (an ablation)"),
    ({"objective": "r1"}, "objective"),
    ({"objective": ["R1", "R1"]}, "named twice"),
    ({"budget": {}}, "a search wants an end"),
    ({"budget": {"trails": 3}}, "did you mean 'budget.trials'?"),
    ({"spase": {}}, "did you mean 'space'?"),
    ({"model": "toyy"}, "did you mean 'toy'?"),
    ({"base": {"train": {"epoch": 3}}}, "did you mean 'train.epochs'?"),
    ({"seeds": [0, 0]}, "named twice"),
]


@pytest.mark.parametrize(("changes", "said"), WRONG, ids=[said for _, said in WRONG])
def test_what_is_wrong_is_said_in_one_line_that_names_the_file(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    file = write(tmp_path, **changes)
    with pytest.raises(UsageError) as raised:
        searches(file)
    assert said in str(raised.value)
    assert str(raised.value).startswith(f"{file}: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["- a list", "{", "model: [", "\0"])
def test_a_file_that_is_no_study(tmp_path: Path, text: str) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match=r"wrong\.yaml"):
        load(file)
    with pytest.raises(UsageError, match="cannot be read"):
        load(tmp_path / "absent.yaml")


def test_several_models_are_several_searches_of_one_budget(tmp_path: Path) -> None:
    common = {"train.lr": {"low": 1e-4, "high": 0.3, "log": True}}
    own = {"model.cross_scale_weight": {"low": 0.1, "high": 1, "models": ["acsa"]}}
    file = write(tmp_path, model=["acsa", "image-sentence"], dataset="walkers", space=common | own, base={})
    acsa, other = searches(file)
    assert (acsa.name, other.name) == ("toys-acsa", "toys-image-sentence")
    assert list(acsa.space) == ["train.lr", "model.cross_scale_weight"]
    assert list(other.space) == ["train.lr"]


def test_a_trial_is_the_base_with_its_values_and_a_seed(tmp_path: Path) -> None:
    (search,) = searches(write(tmp_path))
    config = search.config({"train.lr": 0.01, "model.width": 4}, 7)
    assert (config.train.lr, config.model.width, config.seed, config.train.epochs) == (0.01, 4, 7, 4)  # type: ignore[attr-defined]


def test_ranges_are_whole_where_the_option_is() -> None:
    (search,) = load(ROOT / "studies" / "region-phrase-walkers.yaml")
    assert kind_of(search.base, "model.n_regions") is int
    assert kind_of(search.base, "train.warmup_epochs") is float
    assert kind_of(search.base, "model.image.drop_path") is float
    assert kind_of(search.base, "train.clip_norm") is float  # or None
    assert kind_of(search.base, "train.schedule") is None


def test_fresh_seeds_are_none_of_the_search(tmp_path: Path) -> None:
    (search,) = searches(write(tmp_path, seeds=[100, 102, 3]))
    assert search.fresh_seeds(3) == [101, 103, 104]


def test_an_ablation_is_every_cell_with_every_seed(tmp_path: Path) -> None:
    grid = {"model.width": [4, 6], "train.epochs": [0, 1]}
    (search,) = searches(write(tmp_path, grid=grid, space=None, budget=None, seeds=[0, 1]))
    possible, impossible = search.judged
    assert [described(cell) for cell in possible] == ["model.width=4 train.epochs=1", "model.width=6 train.epochs=1"]
    assert [reason for _, reason in impossible] == ["train.epochs must be greater than or equal to 1, got 0"] * 2
    assert [(cell["model.width"], seed) for cell, seed in search.cells] == [(4, 0), (6, 0), (4, 1), (6, 1)]
    with pytest.raises(UsageError, match=r"grid: unknown option 'model\.widht'"):
        searches(write(tmp_path, grid={"model.widht": [4]}, space=None))


COMMANDS = [
    (["show", "{}/none.yaml"], "none.yaml cannot be read"),
    (["show", "studies/smoke.yaml", "--storage", "sqlite:///{}/none.db"], "`study run` begins a study"),
    (["run", "studies/smoke.yaml", "--storage", "nowhere"], "nowhere is no storage of studies"),
    (["stop", "studies/smoke.yaml", "--storage", "journal:{}/none.log"], "`study run` begins a study"),
    (["run", "studies/smoke.yaml", "--set", "train.lrr=3"], "did you mean 'train.lr'?"),
    (["compare"], "FILE"),
]


@pytest.mark.parametrize(("told", "said"), COMMANDS, ids=[" ".join(told[:2]) for told, _ in COMMANDS])
def test_what_is_asked_wrongly_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], told: list[str], said: str) -> None:
    assert main(["study", *(part.format(tmp_path) for part in told)]) == 2
    assert said in capsys.readouterr().err.strip().splitlines()[-1]
