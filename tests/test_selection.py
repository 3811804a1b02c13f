"""Selection on val: what is chosen, what is never seen, and a run that goes on as if it had not stopped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch

from bench import checkpoint, engine, selection
from bench.config import RunConfig
from bench.errors import RunFailed, UsageError
from bench.progress import Silent
from bench.selection import BEST, LAST, Course, Selected, train_and_select
from bench.tracking import MemoryTracker
from tests.toys import Toy, toy_config, toy_materials

T = TypeVar("T")


class Killed(Exception):
    """The end of a process, as a test can bring it about."""


class StopsAfter(Silent):
    """A reporter that ends the process when an epoch has been reported."""

    def __init__(self, epoch: int) -> None:
        self.last = epoch

    def epoch(self, epoch: int, epochs: int, values: Mapping[str, float]) -> None:
        if epoch == self.last:
            raise Killed


class StopsWithin(Silent):
    """A reporter that ends the process after the first step of an epoch."""

    def __init__(self, epoch: int) -> None:
        self.label = f"epoch {epoch}/"

    def track(self, items: Iterable[T], label: str, total: int | None = None) -> Iterable[T]:
        for number, item in enumerate(items):
            if label.startswith(self.label) and number == 1:
                raise Killed
            yield item


class Noting(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def train(config: RunConfig, folder: Path, reporter: Silent | None = None) -> Selected:
    return train_and_select(config, toy_materials(config), folder, MemoryTracker(), reporter or Silent())


def left(folder: Path, name: str = LAST) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """A checkpoint without what the clock wrote."""
    tensors, header = checkpoint.load(folder / name)
    for record in header.get("course", {}).get("history", []):
        del record["seconds"]
    return tensors, header


def assert_same(one: Path, other: Path) -> None:
    for name in (BEST, LAST):
        (mine, about_mine), (theirs, about_theirs) = left(one, name), left(other, name)
        assert mine.keys() == theirs.keys()
        assert [key for key in mine if not torch.equal(mine[key], theirs[key])] == []
        assert about_mine == about_theirs


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    return toy_config(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def unbroken(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Selected]:
    folder = tmp_path_factory.mktemp("unbroken")
    return folder, train(config, folder)


class TestResume:
    @pytest.mark.parametrize("epoch", [1, 2, 3, 4])
    def test_stopped_between_epochs(self, config: RunConfig, unbroken: tuple[Path, Selected], tmp_path: Path, epoch: int) -> None:
        with pytest.raises(Killed):
            train(config, tmp_path, StopsAfter(epoch))
        torch.rand(3)
        noting = Noting()
        selected = train(config, tmp_path, noting)
        assert noting.notes == [f"resumed after epoch {epoch}"]
        assert_same(tmp_path, unbroken[0])
        assert selected.mixing == unbroken[1].mixing
        mine, theirs = selected.model.state_dict(), unbroken[1].model.state_dict()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)

    @pytest.mark.parametrize("epoch", [1, 3])
    def test_stopped_within_an_epoch(self, config: RunConfig, unbroken: tuple[Path, Selected], tmp_path: Path, epoch: int) -> None:
        with pytest.raises(Killed):
            train(config, tmp_path, StopsWithin(epoch))
        train(config, tmp_path)
        assert_same(tmp_path, unbroken[0])

    @pytest.mark.parametrize("epoch", [1, 2, 4])
    def test_stopped_between_last_and_best(self, config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epoch: int) -> None:
        monkeypatch.setattr(Course, "best_key", (-1.0, -1.0))  # every epoch is the best so far
        train(config, tmp_path / "unbroken")
        save = checkpoint.save

        def killed(path: Path, tensors: Any, header: Any) -> None:
            if path.name == BEST and header["epoch"] == epoch:
                raise Killed
            save(path, tensors, header)

        with monkeypatch.context() as patch:
            patch.setattr(checkpoint, "save", killed)
            with pytest.raises(Killed):
                train(config, tmp_path / "broken")
        assert left(tmp_path / "broken")[1]["course"]["epoch"] == epoch
        assert epoch == 1 or left(tmp_path / "broken", BEST)[1]["epoch"] == epoch - 1
        train(config, tmp_path / "broken")
        assert_same(tmp_path / "broken", tmp_path / "unbroken")

    def test_nothing_left_to_do(self, config: RunConfig, unbroken: tuple[Path, Selected]) -> None:
        before = {name: (unbroken[0] / name).read_bytes() for name in (BEST, LAST)}
        again = train(config, unbroken[0], StopsWithin(1))
        assert again.course == unbroken[1].course
        assert before == {name: (unbroken[0] / name).read_bytes() for name in (BEST, LAST)}

    def test_the_rate_goes_on_where_it_was(self, config: RunConfig, unbroken: tuple[Path, Selected], tmp_path: Path) -> None:
        with pytest.raises(Killed):
            train(config, tmp_path, StopsAfter(2))
        rates = [record["lr"] for record in train(config, tmp_path).course.history]
        assert rates == [record["lr"] for record in unbroken[1].course.history]
        assert rates == pytest.approx([0.02, 0.015, 0.005, 0.0])

    def test_a_best_checkpoint_is_not_enough_to_go_on(self, config: RunConfig, unbroken: tuple[Path, Selected], tmp_path: Path) -> None:
        (tmp_path / LAST).write_bytes((unbroken[0] / BEST).read_bytes())
        with pytest.raises(UsageError, match=r"last\.safetensors lacks what training needs .*--resume never"):
            train(config, tmp_path)

    def test_a_run_of_another_shape(self, config: RunConfig, unbroken: tuple[Path, Selected]) -> None:
        wider = toy_config(config.data_root, model={"width": 7})
        with pytest.raises(UsageError, match="does not fit the model"):
            train(wider, unbroken[0])


def scripted(monkeypatch: pytest.MonkeyPatch, *outcomes: tuple[float, float]) -> None:
    """Let val say (R1, mAP) of each epoch."""
    told = iter(outcomes)

    def validate(*_: Any) -> tuple[dict[str, float], dict[str, float]]:
        r1, mean = next(told)
        return {"val/t2i/R1": r1, "val/t2i/mAP": mean}, {"dot": r1 / 100, "distance": 1 - r1 / 100}

    monkeypatch.setattr(selection, "_validate", validate)


class TestSelection:
    @pytest.mark.parametrize(
        ("outcomes", "best"),
        [
            ([(10, 5), (30, 5), (20, 90), (20, 5)], 2),
            ([(10, 5), (10, 7), (10, 6), (10, 5)], 2),
            ([(10, 5), (10, 5), (10, 5), (10, 5)], 1),
            ([(0, 0), (0, 0), (0, 0), (0, 0)], 1),
            ([(1, 5), (2, 5), (3, 5), (4, 5)], 4),
        ],
    )
    def test_the_best_epoch_on_val(
        self, config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outcomes: list[tuple[float, float]], best: int
    ) -> None:
        scripted(monkeypatch, *outcomes)
        selected = train(config, tmp_path)
        assert (selected.course.epoch, selected.course.best_epoch) == (4, best)
        assert selected.mixing["dot"] == outcomes[best - 1][0] / 100
        tensors, header = left(tmp_path, BEST)
        assert (header["epoch"], header["mixing"]) == (best, selected.mixing)
        assert all(torch.equal(tensors[f"model.{name}"], value) for name, value in selected.model.state_dict().items())

    @pytest.mark.parametrize(("patience", "epochs"), [(1, 2), (2, 4), (None, 6)])
    def test_patience(self, config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: int | None, epochs: int) -> None:
        scripted(monkeypatch, (30, 5), (20, 5), (30, 6), (20, 5), (40, 5), (1, 1))
        if patience == 2:
            scripted(monkeypatch, (20, 5), (30, 5), (20, 5), (30, 5))
        waiting = toy_config(config.data_root, epochs=6, patience=patience)
        assert train(waiting, tmp_path).course.epoch == epochs
        assert train(waiting, tmp_path).course.epoch == epochs  # a run that has ended stays so

    def test_the_history_is_what_the_tracker_was_told(self, config: RunConfig, unbroken: tuple[Path, Selected]) -> None:
        history = unbroken[1].course.history
        assert [record["epoch"] for record in history] == [1, 2, 3, 4]
        assert {"train/loss", "train/classes", "train/pairs", "val/t2i/R1", "val/t2i/mAP", "mixing/dot", "lr", "seconds"} <= history[
            0
        ].keys()
        best = max(history, key=lambda record: (record["val/t2i/R1"], record["val/t2i/mAP"], -record["epoch"]))
        assert unbroken[1].course.best_epoch == best["epoch"]
        assert history[-1]["train/loss"] < history[0]["train/loss"]

    def test_mixing_is_tuned_on_val(self, config: RunConfig, unbroken: tuple[Path, Selected]) -> None:
        """Of the weights that val was scored with, those of the best outcome are kept."""
        selected = unbroken[1]
        val = toy_materials(config).encoded("val")
        embedded = engine.embed(selected.model, val, config.evaluation, selected.engine)
        mixings = engine.candidate_mixings(["dot", "distance"])
        rankings = engine.score(selected.model, embedded, val, config.evaluation, torch.device("cpu"), mixings)
        assert selected.mixing == mixings[engine.best_mixing(rankings)]

    def test_a_model_that_fixes_its_mixing_is_not_tuned(self, config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(selection, "candidate_mixings", lambda *_: pytest.fail("mixing was tuned"))
        selected = train(toy_config(config.data_root, model={"fixed": True}, epochs=1), tmp_path)
        assert selected.mixing == {"dot": 0.25, "distance": 0.75}

    def test_checkpoints_hold_the_training_and_nothing_else(self, unbroken: tuple[Path, Selected]) -> None:
        (best, about_best), (last, about_last) = left(unbroken[0], BEST), left(unbroken[0])
        assert {name.partition(".")[0] for name in best} == {"model"}
        assert {name.partition(".")[0] for name in last} == {"model", "optimiser", "rng"}
        assert about_best.keys() == {"config", "vocabulary", "epoch", "mixing"}
        assert about_last.keys() == {"config", "vocabulary", "course", "random", "schedule"}
        assert about_last["vocabulary"].keys() == {"n_tokens", "n_classes"}
        assert sorted(path.name for path in unbroken[0].iterdir()) == [BEST, LAST]

    def test_the_course_in_a_checkpoint_is_a_copy(self, config: RunConfig, unbroken: tuple[Path, Selected]) -> None:
        assert Course(**checkpoint.load(unbroken[0] / LAST)[1]["course"]) == unbroken[1].course


class TestFailure:
    def test_a_loss_that_is_not_finite_leaves_the_last_good_epoch(
        self, config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(Killed):
            train(config, tmp_path, StopsAfter(2))
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        with monkeypatch.context() as patch:
            patch.setattr(Toy, "loss", lambda self, batch: {"pairs": self.text.weight.sum() * torch.nan})
            with pytest.raises(RunFailed, match="'pairs' is nan at step 1"):
                train(config, tmp_path)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before

    def test_weights_spoilt_by_an_epochs_last_step(self, config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Toy, "similarities", lambda self, c, i: {"dot": torch.full((len(c["text"]), len(i["image"])), torch.nan)})
        with pytest.raises(RunFailed, match=r"val: query 0 has a similarity that is not finite .*train\.lr"):
            train(config, tmp_path)
        assert list(tmp_path.iterdir()) == []
