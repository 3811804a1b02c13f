"""Cards: what they say, real runs of a tiny one, and the verdict against its definition."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from statsmodels.stats.weightstats import DescrStatsW, ttost_ind

from bench import registry
from bench import run as runs
from bench.cli import main
from bench.config import RunConfig, resolve
from bench.errors import UsageError
from bench.progress import Silent
from bench.report import reproduction
from bench.report.reproduction import CARDS, overall
from bench.stats import agreement
from bench.tracking import NoTracker
from tests.small_run import SHRUNK

TINY = dict(override.split("=", 1) for override in SHRUNK)


def card(folder: Path, **changes: Any) -> Path:
    """A card that trains in seconds."""
    sizes = {"train.epochs": 1, "train.batch_size": 8}
    told = {
        "model": "acsa",
        "dataset": "walkers",
        "about": "a tiny one",
        "preset": "small",
        "set": {key: yaml.safe_load(value) for key, value in TINY.items()} | sizes,
        "seeds": 2,
        "known": {"R1": 50.0},
        "tolerance": {"R1": 100.0},
        "source": "nowhere",
    }
    file = folder / "card.yaml"
    file.write_text(yaml.safe_dump(told | changes))
    return file


class TestAgreement:
    @pytest.mark.parametrize("values", [[63.0, 63.9, 63.1], [61.0, 63.0, 62.5, 64.0], [58.0, 58.4]])
    def test_one_known_value_is_statsmodels_one_sample_test(self, values: list[float]) -> None:
        told = agreement(values, [63.56], 1.5)
        expected = DescrStatsW(np.array(values)).ttost_mean(63.56 - 1.5, 63.56 + 1.5)[0]
        assert told.p == pytest.approx(float(expected))
        assert (told.verdict == "reproduced") == (expected < 0.05)

    def test_several_known_values_are_statsmodels_welch_test(self) -> None:
        ours, theirs = np.array([47.0, 49.5, 48.0, 50.0]), np.array([48.3, 51.0, 46.1])
        told = agreement(list(ours), list(theirs), 6.0)
        assert told.p == pytest.approx(float(ttost_ind(ours, theirs, -6.0, 6.0, usevar="unequal")[0]))
        assert told.difference == pytest.approx(ours.mean() - theirs.mean())

    def test_it_is_not_reproduced_only_where_the_whole_interval_is_outside(self) -> None:
        assert agreement([54.0, 54.4, 54.1], [63.56], 1.5).verdict == "not reproduced"
        assert agreement([72.0, 72.4, 72.1], [63.56], 1.5).verdict == "not reproduced"
        assert agreement([61.9, 62.3, 61.5], [63.56], 1.5).verdict == "inconclusive"

    def test_equal_runs_have_no_spread(self) -> None:
        assert agreement([63.0, 63.0], [63.56], 1.5) == (
            "reproduced",
            pytest.approx(-0.56),
            (pytest.approx(-0.56), pytest.approx(-0.56)),
            0.0,
        )
        assert agreement([60.0, 60.0], [63.56], 1.5).verdict == "not reproduced"

    def test_it_errs_no_more_often_than_it_says(self) -> None:
        """At the border of the tolerance `reproduced` is an error."""
        random = np.random.default_rng(0)
        wrong = sum(agreement(list(random.normal(61.5, 0.5, 3)), [60.0], 1.5).verdict == "reproduced" for _ in range(600))
        assert wrong / 600 == pytest.approx(0.05, abs=0.02)

    def test_a_card_is_as_good_as_its_worst_value(self) -> None:
        assert overall(["reproduced", "reproduced"]) == "reproduced"
        assert overall(["reproduced", "inconclusive", "not reproduced"]) == "not reproduced"


class TestCards:
    @pytest.mark.parametrize("file", sorted(CARDS.glob("*.yaml")), ids=lambda file: file.stem)
    def test_every_card_is_whole(self, file: Path) -> None:
        told = reproduction.read(file)
        assert file == reproduction.find(told.model.upper(), told.dataset.replace("-", "_"))
        config = resolve(told.model, told.dataset, told.preset, flags=told.set)
        assert config.limit is None
        assert told.about
        assert told.source
        assert told.caveats

    def test_there_is_one_for_each_model_and_for_acsa_on_real_data(self) -> None:
        names = {file.stem for file in CARDS.glob("*.yaml")}
        assert names >= {"acsa-rstpreid", "acsa-cuhk-pedes", *(f"{model}-walkers" for model in registry.names("model"))}

    def test_known_values_of_walkers_come_from_other_seeds(self) -> None:
        for file in CARDS.glob("*-walkers.yaml"):
            told = reproduction.read(file)
            assert isinstance(told.known["R1"], list)
            assert told.first_seed >= len(told.known["R1"])

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"known": {}}, "known: "),
            ({"known": {"R2": 5.0}}, r"known\.R2"),
            ({"known": {"mAP": 5.0}}, "a tolerance for R1, but no known value"),
            ({"tolerance": {}}, "nothing can be judged"),
            ({"tolerance": {"R1": -1}}, r"tolerance\.R1"),
            ({"seed": 1}, "seed: "),
        ],
    )
    def test_what_is_no_card_is_one_line(self, tmp_path: Path, changes: dict[str, Any], said: str) -> None:
        with pytest.raises(UsageError, match=said):
            reproduction.read(card(tmp_path, **changes))

    def test_a_file_that_is_none_is_one_line(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="cannot be read"):
            reproduction.read(tmp_path / "none.yaml")

    def test_no_card_names_those_that_there_are(self) -> None:
        with pytest.raises(UsageError, match=r"there is no card image-sentence-rstpreid; cards: acsa-cuhk-pedes, acsa-rstpreid, "):
            reproduction.find("image-sentence", "rstpreid")


def test_a_card_is_run_resumed_and_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "_draw", lambda *_: [])
    places = ["--data-root", str(tmp_path / "data"), "--output-dir", str(tmp_path / "results"), "--device", "cpu", "--tracker", "none"]
    arguments = ["reproduce", "acsa", "--card", str(card(tmp_path)), *places]
    assert main([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["seeds"] == [0, 1]
    records = [json.loads((Path(folder) / "result.json").read_text()) for folder in told["folders"]]
    values = [record["metrics"]["test"]["t2i"]["R1"] for record in records]
    (finding,) = told["findings"]
    assert finding["values"] == values
    assert told["verdict"] == agreement(values, [50.0], 100.0).verdict == "reproduced"
    assert json.loads((Path(told["folders"][0]).parent / "reproduction.json").read_text()) == told
    before = [(Path(folder) / "result.json").stat().st_mtime_ns for folder in told["folders"]]
    assert main([*arguments, "--seeds", "1"]) == 0
    assert [(Path(folder) / "result.json").stat().st_mtime_ns for folder in told["folders"]] == before
    shown = capsys.readouterr().out
    assert "verdict: inconclusive" in shown
    assert "known values: nowhere" in shown
    assert "two one-sided t tests" in " ".join(shown.split())


def test_seeds_count_from_where_the_card_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[RunConfig] = []

    def fake(config: RunConfig, *_: Any) -> Any:
        asked.append(config)
        (folder := tmp_path / "results" / f"seed{config.seed}").mkdir(parents=True)
        return type("Result", (), {"folder": folder, "record": {"metrics": {"test": {"t2i": {"R1": 40.0 + config.seed}}}}})

    monkeypatch.setattr(reproduction, "run", fake)
    told = reproduction.read(card(tmp_path, first_seed=5, seeds=3, tolerance={"R1": 1.0}))
    verdict = reproduction.reproduce(told, lambda _: NoTracker(), Silent(), flags={"output_dir": str(tmp_path / "results"), "device": None})
    assert [config.seed for config in asked] == [5, 6, 7] == list(verdict.seeds)
    assert verdict.findings[0].mean == 46.0
    assert verdict.verdict == "not reproduced"


def test_what_is_asked_wrongly_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "acsa"]) == 2
    assert main(["reproduce", "image-sentence", "--card", str(card(tmp_path))]) == 2
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "error: give --dataset NAME, or --card FILE"
    assert told[1].endswith("is for acsa, not for image-sentence")
