"""Selection on val: what is chosen, what is never seen, and a run that goes on as if it had not stopped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch

from bench import checkpoint
from bench.config import RunConfig
from bench.progress import Silent
from bench.selection import BEST, LAST, Selected, train_and_select
from bench.tracking import MemoryTracker
from tests.toys import toy_config, toy_materials

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
