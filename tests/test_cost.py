"""What a model is said to cost, counted by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from bench import cost
from bench.config import EvaluationOptions
from bench.data import EncodedSplit
from bench.engine import embed
from tests.toys import Toy, toy_config, toy_materials


@pytest.fixture
def toy(tmp_path: Path) -> tuple[Toy, EncodedSplit]:
    materials = toy_materials(toy_config(tmp_path))
    model = materials.build()
    assert isinstance(model, Toy)
    return model, materials.encoded("val")


def test_a_cost_is_finite_and_named_as_the_record_says(toy: tuple[Toy, EncodedSplit]) -> None:
    model, data = toy
    options, engine = EvaluationOptions(), Accelerator(cpu=True)
    told = cost.measure(model, data, embed(model, data, options, engine), {"dot": 0.5, "distance": 0.5}, options, engine)
    assert set(told) == {"parameters", "flops", "ms_image", "ms_caption", "ms_search", "index_bytes", "peak_mib"}
    assert all(f"`{name}`" in (cost.__doc__ or "") for name in told)
    assert all(value > 0 for value in told.values())


def test_what_can_be_counted_is(toy: tuple[Toy, EncodedSplit]) -> None:
    """Width 6: image 3 x 6 + 6, norm 2 x 6, words n x 6, classes 6 x C + C; a product of 1 x 3 x 6, and one of 1 x 6 x 1."""
    model, data = toy
    options, engine = EvaluationOptions(), Accelerator(cpu=True)
    embedded = embed(model, data, options, engine)
    told = cost.measure(model, data, embedded, {"dot": 1.0, "distance": 0.0}, options, engine)
    words, classes = model.text.num_embeddings, model.classes.out_features
    assert told["parameters"] == 24 + 12 + 6 * words + 7 * classes
    assert told["flops"] == 2 * 3 * 6 + 2 * 6
    assert told["index_bytes"] == 6 * 4
    assert cost.index_bytes({"a": torch.zeros(5, 7, 2), "b": torch.zeros(5, 3, dtype=torch.int8)}) == 7 * 2 * 4 + 3


def test_the_shortest_repetition_counts_and_the_first_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.1, 1.0, 4.0, 5.0, 7.0, 8.0, 13.0])
    monkeypatch.setattr(cost.time, "perf_counter", lambda: next(clock))
    assert cost.seconds(lambda: None, torch.device("cpu")) == pytest.approx(2.0)
