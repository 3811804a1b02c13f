"""Checkpoints: every random state comes back, a failed write costs nothing, and no file of another kind is taken for one."""

from __future__ import annotations

import json
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from bench import checkpoint
from bench.errors import UsageError


def drawn() -> list[float]:
    """Something from every source of randomness, the halves that two of them keep for the next call included."""
    return [random.random(), random.gauss(0, 1), np.random.rand(), np.random.randn(), *torch.rand(2).tolist(), *torch.randn(3).tolist()]


def trained(steps: int = 3, width: int = 3) -> tuple[nn.Module, torch.optim.AdamW]:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width))
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.1)
    for _ in range(steps):
        model(torch.randn(5, 4)).square().sum().backward()
        optimiser.step()
    return model, optimiser


def saved(path: Path, header: dict[str, Any] | None = None) -> Path:
    checkpoint.save(path, {"model.a": torch.arange(3.0)}, header or {"epoch": 1})
    return path


class TestRandomStates:
    def test_python_numpy_and_torch(self, tmp_path: Path) -> None:
        model, optimiser = trained()
        drawn()
        tensors, header = checkpoint.training_tensors(optimiser)
        checkpoint.save(tmp_path / "last", tensors, {"random": header})
        expected = [drawn() for _ in range(2)]
        back, about = checkpoint.load(tmp_path / "last")
        checkpoint.restore_training(torch.optim.AdamW(model.parameters()), back, about["random"])
        assert [drawn() for _ in range(2)] == expected

    @pytest.mark.gpu
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="the random state of CUDA needs a CUDA device")
    def test_cuda(self) -> None:
        _, optimiser = trained()
        torch.cuda.init()
        tensors, header = checkpoint.training_tensors(optimiser)
        expected = torch.rand(3, device="cuda")
        checkpoint.restore_training(optimiser, tensors, header)
        assert torch.equal(torch.rand(3, device="cuda"), expected)

    def test_more_than_ten_devices_keep_their_order(self, monkeypatch: pytest.MonkeyPatch) -> None:
        _, optimiser = trained()
        states = [torch.tensor([device], dtype=torch.uint8) for device in range(12)]
        restored: list[list[Tensor]] = []
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 12)
        monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: states)
        monkeypatch.setattr(torch.cuda, "set_rng_state_all", restored.append)
        checkpoint.restore_training(optimiser, *checkpoint.training_tensors(optimiser))
        assert [int(state) for state in restored[0]] == list(range(12))


class TestTraining:
    def test_weights_buffers_and_optimiser_come_back(self, tmp_path: Path) -> None:
        model, optimiser = trained()
        tensors, header = checkpoint.training_tensors(optimiser)
        checkpoint.save(tmp_path / "last", checkpoint.model_tensors(model) | tensors, {"random": header})
        other, its_optimiser = trained(steps=1)
        back, about = checkpoint.load(tmp_path / "last")
        checkpoint.load_model(other, back, tmp_path / "last")
        checkpoint.restore_training(its_optimiser, back, about["random"])
        for mine, theirs in ((model.state_dict(), other.state_dict()), (flat(optimiser), flat(its_optimiser))):
            assert mine.keys() == theirs.keys()
            assert all(torch.equal(mine[name], theirs[name]) and mine[name].dtype == theirs[name].dtype for name in mine)

    def test_what_was_loaded_is_apart_from_the_file(self, tmp_path: Path) -> None:
        path = saved(tmp_path / "best")
        loaded = checkpoint.load(path)[0]
        loaded["model.a"] += 1
        assert checkpoint.load(path)[0]["model.a"].tolist() == [0, 1, 2]
        checkpoint.save(path, {"model.a": torch.zeros(3)}, {})
        assert loaded["model.a"].tolist() == [1, 2, 3]

    def test_weights_that_share_memory(self, tmp_path: Path) -> None:
        weight = torch.arange(6.0).view(2, 3)
        checkpoint.save(tmp_path / "best", {"model.a": weight, "model.b": weight, "model.c": weight.T}, {})
        back = checkpoint.load(tmp_path / "best")[0]
        assert torch.equal(back["model.b"], weight)
        assert torch.equal(back["model.c"], weight.T)


def flat(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {f"{index}.{key}": value for index, slots in optimiser.state_dict()["state"].items() for key, value in slots.items()}


class TestFile:
    def test_header_is_json(self, tmp_path: Path) -> None:
        header = {"epoch": 3, "config": {"seed": 0, "limit": None, "lr": 0.1 + 0.2}, "history": [{"mAP": 100 / 3}], "text": "Schrägstrich"}
        path = saved(tmp_path / "deep" / "best.safetensors", header)
        with safe_open(path, framework="pt") as file:
            assert json.loads(file.metadata()["run"]) == header
        assert checkpoint.load(path)[1] == header

    @pytest.mark.parametrize("error", [OSError("no space left on device"), KeyboardInterrupt()])
    def test_a_write_that_fails_leaves_the_old_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
        path = saved(tmp_path / "best.safetensors")

        def cut_off(tensors: Any, file: Path, metadata: Any) -> None:
            Path(file).write_bytes(b"half of it")
            raise error

        monkeypatch.setattr(checkpoint, "save_file", cut_off)
        with pytest.raises(type(error)):
            checkpoint.save(path, {"model.a": torch.zeros(3)}, {})
        assert checkpoint.load(path)[0]["model.a"].tolist() == [0, 1, 2]
        assert list(tmp_path.iterdir()) == [path]

    def test_a_header_that_is_no_json_leaves_the_old_file(self, tmp_path: Path) -> None:
        path = saved(tmp_path / "best.safetensors")
        with pytest.raises(TypeError):
            checkpoint.save(path, {}, {"tensor": torch.zeros(1)})
        assert checkpoint.load(path)[1] == {"epoch": 1}

    def test_what_a_kill_left_half_written_is_cleared_by_the_next_write(self, tmp_path: Path) -> None:
        path = tmp_path / "best.safetensors"
        (tmp_path / ".best.safetensors.tmp").write_bytes(b"a process was killed here" * 100)
        saved(path)
        assert list(tmp_path.iterdir()) == [path]

    def test_text_whole_or_not_at_all(self, tmp_path: Path) -> None:
        path = tmp_path / "deep" / "result.json"
        checkpoint.write_text(path, "ä\n")
        with pytest.raises(UnicodeEncodeError):
            checkpoint.write_text(path, "\ud800")
        assert path.read_text(encoding="utf-8") == "ä\n"
        assert list(path.parent.iterdir()) == [path]


class Trap:
    """Unpickled, it does harm."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (pytest.fail, ("something was unpickled",))


def missing(path: Path) -> None: ...


def a_folder(path: Path) -> None:
    path.mkdir()


def empty(path: Path) -> None:
    path.touch()


def truncated(path: Path) -> None:
    saved(path)
    path.write_bytes(path.read_bytes()[:-5])


def cut_in_the_header(path: Path) -> None:
    saved(path)
    path.write_bytes(path.read_bytes()[:20])


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps(Trap()))


def torch_saved(path: Path) -> None:
    torch.save({"model": torch.zeros(2), "trap": Trap()}, path)


def of_another_program(path: Path) -> None:
    save_file({"a": torch.zeros(2)}, path, metadata={"format": "pt"})


def without_metadata(path: Path) -> None:
    save_file({"a": torch.zeros(2)}, path)


def without_a_header(path: Path) -> None:
    save_file({"a": torch.zeros(2)}, path, metadata={"format": checkpoint.FORMAT})


def with_a_spoilt_header(path: Path) -> None:
    save_file({"a": torch.zeros(2)}, path, metadata={"format": checkpoint.FORMAT, "run": "{'epoch'"})


class TestOtherFiles:
    @pytest.mark.parametrize(
        "make",
        [
            missing,
            a_folder,
            empty,
            truncated,
            cut_in_the_header,
            pickled,
            torch_saved,
            of_another_program,
            without_metadata,
            without_a_header,
            with_a_spoilt_header,
        ],
    )
    def test_is_told_in_one_line(self, tmp_path: Path, make: Callable[[Path], None]) -> None:
        path = tmp_path / "last.safetensors"
        make(path)
        with pytest.raises(UsageError) as error:
            checkpoint.load(path)
        assert str(path) in str(error.value)
        assert "--resume never" in str(error.value)
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize("other", [trained(width=2)[0], nn.Linear(4, 3), nn.Sequential(*(nn.Linear(4, 3) for _ in range(50)))])
    def test_a_model_of_another_shape(self, tmp_path: Path, other: nn.Module) -> None:
        path = tmp_path / "best.safetensors"
        checkpoint.save(path, checkpoint.model_tensors(trained()[0]), {})
        with pytest.raises(UsageError, match="does not fit the model") as error:
            checkpoint.load_model(other, checkpoint.load(path)[0], path)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < len(str(path)) + 450
