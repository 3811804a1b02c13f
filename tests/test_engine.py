"""The three loops: an epoch's means and stops, features in any batch size, rankings in any block size."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from bench.config import EvaluationOptions, RunConfig
from bench.contracts import Batch, Captions, Features, Split, TextImageModel
from bench.data import EncodedSplit, ImageStore, PairBatches
from bench.engine import (
    Direction,
    Embedded,
    accelerator,
    embed,
    score,
    similarities,
    train_epoch,
)
from bench.errors import RunFailed, UsageError
from bench.optim import optimiser, scheduler
from tests.tiny_models import tiny_model
from tests.toys import toy_config, toy_materials

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    return toy_config(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def val(config: RunConfig) -> EncodedSplit:
    return toy_materials(config).encoded("val")


@pytest.fixture
def model(config: RunConfig) -> TextImageModel:
    return toy_materials(config).build()


# ------------------------------------------------------------------------------------------------------------ training


class Scripted(nn.Module):
    """One weight; each step's loss terms are told beforehand, times that weight."""

    def __init__(self, *steps: dict[str, float]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.steps = iter(steps)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return {name: value * self.weight for name, value in next(self.steps).items()}


def batches(count: int) -> Iterator[Batch]:
    none = torch.zeros(2, 0, dtype=torch.int64)
    captions = Captions(none, none.bool(), none[..., None], none[..., None].bool(), none.bool())
    return iter([Batch(torch.zeros(2, 3, 1, 1), captions, torch.arange(2))] * count)


def epoch(model: Scripted, count: int, config: RunConfig, *, lr: float = 0.0, clip_norm: float | None = None) -> dict[str, float]:
    """An epoch by gradient descent."""
    optimise = torch.optim.SGD(model.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimise, lambda step: 1.0)
    return train_epoch(model, batches(count), optimise, schedule, accelerator(config), clip_norm)


class TestTrainEpoch:
    def test_means_of_each_term_and_their_sum(self, config: RunConfig) -> None:
        model = Scripted({"a": 1.0, "b": 10.0}, {"a": 2.0, "b": -4.0}, {"a": 6.0, "b": 0.0})
        assert epoch(model, 3, config) == pytest.approx({"loss": 5.0, "a": 3.0, "b": 2.0})

    def test_a_term_named_loss_does_not_hide_the_sum(self, config: RunConfig) -> None:
        assert epoch(Scripted({"loss": 1.0, "other": 2.0}), 1, config)["loss"] == 3.0

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_stops_at_a_loss_that_is_not_finite(self, config: RunConfig, value: float) -> None:
        model = Scripted({"a": 1.0, "b": 1.0}, {"a": 1.0, "b": value}, {"a": 1.0, "b": 1.0})
        with pytest.raises(RunFailed, match=r"loss term 'b' is -?(nan|inf) at step 2 of the epoch"):
            epoch(model, 3, config, lr=0.125)
        assert model.weight.item() == 1 - 2 * 0.125  # the step before, and not the one after

    def test_each_step_has_a_gradient_of_its_own(self, config: RunConfig) -> None:
        model = Scripted({"a": 1.0}, {"a": 2.0})
        epoch(model, 2, config, lr=0.25)
        assert model.weight.item() == 1 - 0.25 * (1 + 2)
        assert model.weight.grad is None

    def test_the_gradient_is_clipped_over_all_terms(self, config: RunConfig) -> None:
        model = Scripted({"a": 30.0, "b": 10.0}, {"a": 0.25, "b": 0.25})
        epoch(model, 2, config, lr=0.25, clip_norm=1.0)
        assert model.weight.item() == pytest.approx(1 - 0.25 * (1.0 + 0.5), abs=1e-6)

    def test_the_gradient_is_clipped_over_all_groups(self, config: RunConfig, model: TextImageModel) -> None:
        before = [parameter.detach().clone() for parameter in model.parameters()]
        optimise = torch.optim.SGD([{"params": [parameter]} for parameter in model.parameters()], lr=1.0)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimise, lambda step: 1.0)
        data = toy_materials(config).encoded("train")
        train_epoch(model, [next(PairBatches(data, 8, 0).epoch(1))], optimise, schedule, accelerator(config), 0.01)
        moved = torch.cat([(new - old).flatten() for new, old in zip(model.parameters(), before, strict=True)])
        assert moved.norm().item() == pytest.approx(0.01, rel=1e-3)

    def test_the_schedule_steps_with_the_optimiser(self, config: RunConfig) -> None:
        model = Scripted(*[{"a": 1.0}] * 3)
        optimise = torch.optim.SGD(model.parameters(), lr=1.0)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimise, lambda step: [1.0, 0.5, 0.25, 0.0][step])
        train_epoch(model, batches(3), optimise, schedule, accelerator(config))
        assert model.weight.item() == 1 - (1.0 + 0.5 + 0.25)
        assert schedule.get_last_lr() == [0.0]


def train(config: RunConfig, epochs: int = 2) -> tuple[dict[str, float], TextImageModel]:
    materials = toy_materials(config)
    engine = accelerator(config)
    pairs = PairBatches(materials.encoded("train"), config.train.batch_size, config.seed)
    model = materials.build()
    optimise = optimiser(model, config.train)
    schedule = scheduler(optimise, config.train, len(pairs))
    wrapped, prepared = engine.prepare(model, optimise)
    for number in range(1, epochs + 1):
        means = train_epoch(wrapped, pairs.epoch(number), prepared, schedule, engine, config.train.clip_norm)
    return means, model


class TestAccelerator:
    def test_two_deterministic_trainings_are_equal_to_the_bit(self, config: RunConfig) -> None:
        (means, one), (other_means, other) = train(config), train(config)
        assert torch.are_deterministic_algorithms_enabled()
        assert means == other_means
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(one.state_dict().values(), other.state_dict().values(), strict=True))

    def test_another_seed_gives_another_training(self, config: RunConfig) -> None:
        assert train(config)[0] != train(config.model_copy(update={"seed": 1}))[0]

    def test_what_one_run_asked_for_does_not_outlive_it(self, config: RunConfig) -> None:
        accelerator(config)
        accelerator(config.model_copy(update={"train": config.train.model_copy(update={"deterministic": False})}))
        assert not torch.are_deterministic_algorithms_enabled()
        accelerator(config)
        assert torch.are_deterministic_algorithms_enabled()

    def test_bf16_is_near_fp32_and_both_run_in_one_process(self, config: RunConfig, val: EncodedSplit) -> None:
        engine = accelerator(config)
        means, model = train(config)
        half = config.model_copy(update={"precision": "bf16"})
        half_means, half_model = train(half)
        assert (accelerator(half).mixed_precision, accelerator(config).mixed_precision) == ("bf16", "no")
        assert half_means != means
        assert half_means == pytest.approx(means, rel=0.05)
        assert {parameter.dtype for parameter in half_model.parameters()} == {torch.float32}
        exact = embed(model, val, config.evaluation, engine)
        rough = embed(model, val, config.evaluation, accelerator(half))
        assert not torch.equal(rough.images["image"], exact.images["image"])
        assert rough.images["image"].dtype == torch.float32
        torch.testing.assert_close(rough.images["image"], exact.images["image"], atol=0.05, rtol=0.05)
        assert engine.device == CPU  # an accelerator goes on working when another has been made

    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
    def test_no_cuda(self, config: RunConfig) -> None:
        with pytest.raises(UsageError, match=r"--device cuda: .* --device cpu"):
            accelerator(config.model_copy(update={"device": "cuda"}))
        assert accelerator(config.model_copy(update={"device": "auto"})).device == CPU


# ----------------------------------------------------------------------------------------------------------- embedding


class TestEmbed:
    @pytest.mark.parametrize("batch_size", [1, 3, 1000])
    def test_any_batch_size(self, config: RunConfig, val: EncodedSplit, model: TextImageModel, batch_size: int) -> None:
        engine = accelerator(config)
        whole = embed(model, val, config.evaluation, engine)
        parts = embed(model, val, EvaluationOptions(batch_size=batch_size), engine)
        assert len(parts.images["image"]) == len(val.split.images)
        assert len(parts.captions["text"]) == len(val.split.captions)
        torch.testing.assert_close(parts.images, whole.images)
        torch.testing.assert_close(parts.captions, whole.captions)

    def test_a_real_model_in_any_batch_size(self, config: RunConfig, val: EncodedSplit) -> None:
        model = tiny_model("image-sentence")
        store = replace_spec(val, model)
        whole = embed(model, store, EvaluationOptions(batch_size=64), accelerator(config))
        parts = embed(model, store, EvaluationOptions(batch_size=3), accelerator(config))
        torch.testing.assert_close(parts.images, whole.images, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(parts.captions, whole.captions, atol=1e-5, rtol=1e-4)

    def test_evaluates_without_gradient_and_without_learning(self, config: RunConfig, val: EncodedSplit, model: TextImageModel) -> None:
        model.train()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        embedded = embed(model, val, config.evaluation, accelerator(config))
        assert not embedded.images["image"].requires_grad
        assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
        again = embed(model, val, config.evaluation, accelerator(config))
        assert torch.equal(again.images["image"], embedded.images["image"])  # dropout is off


def replace_spec(val: EncodedSplit, model: TextImageModel) -> EncodedSplit:
    """The split as pictures of the size that `model` wants."""
    return replace(val, store=ImageStore(val.split, model.inputs, workers=0))


# ------------------------------------------------------------------------------------------------------------- scoring


def whole_numbers(n: int, seed: int) -> Tensor:
    """(n, 4) small whole numbers: their products are exact however they are summed, often equal, and negative as often."""
    return torch.randint(-3, 4, (n, 4), generator=torch.Generator().manual_seed(seed)).float()


def embedded_numbers(split: Split) -> Embedded:
    images: Features = {"image": whole_numbers(len(split.images), 1)}
    return Embedded(images, {"text": whole_numbers(len(split.captions), 2)})


def obvious(query: int, line: list[float], query_pids: list[int], gallery_pids: list[int]) -> tuple[int, float, float]:
    """(first match, average precision, inverse penalty) of one query, as one would by hand."""
    order = sorted(range(len(line)), key=lambda item: (-line[item], item))
    places = [place for place, item in enumerate(order, 1) if gallery_pids[item] == query_pids[query]]
    return places[0], sum(count / place for count, place in enumerate(places, 1)) / len(places), len(places) / places[-1]


class TestScore:
    @pytest.mark.parametrize("direction", ["t2i", "i2t"])
    @pytest.mark.parametrize(("query_block", "gallery_block"), [(1, 1), (3, 4), (1000, 7), (5, 1000), (1000, 1000)])
    def test_any_blocks_equal_the_full_matrix(
        self, model: TextImageModel, val: EncodedSplit, direction: Direction, query_block: int, gallery_block: int
    ) -> None:
        embedded, options = embedded_numbers(val.split), EvaluationOptions(query_block=query_block, gallery_block=gallery_block)
        mixings = [{"dot": 1.0, "distance": 0.0}, {"dot": 0.5, "distance": 0.5}, {"dot": 0.0, "distance": 1.0}]
        rankings = score(model, embedded, val, options, CPU, mixings, direction)
        matrices = model.similarities(embedded.captions, embedded.images)
        pids = [val.split.caption_pids.tolist(), val.split.image_pids.tolist()]
        query_pids, gallery_pids = pids if direction == "t2i" else pids[::-1]
        for mixing, ranking in zip(mixings, rankings, strict=True):
            full = mixing["dot"] * matrices["dot"] + mixing["distance"] * matrices["distance"]
            assert (full < 0).any()
            lines = (full if direction == "t2i" else full.T).tolist()
            expected = [obvious(query, line, query_pids, gallery_pids) for query, line in enumerate(lines)]
            assert ranking.first_match.tolist() == [first for first, _, _ in expected]
            assert ranking.average_precision.tolist() == pytest.approx([precision for _, precision, _ in expected])
            assert ranking.inverse_penalty.tolist() == pytest.approx([penalty for _, _, penalty in expected])

    def test_similarities_of_chosen_queries(self, model: TextImageModel, val: EncodedSplit) -> None:
        embedded, options = embedded_numbers(val.split), EvaluationOptions(gallery_block=3)
        full = model.similarities(embedded.captions, embedded.images)
        rows = torch.tensor([4, 0, 7])
        chosen = similarities(model, embedded, rows, options, CPU)
        assert list(chosen) == ["dot", "distance"]
        assert all(torch.equal(chosen[name], full[name][rows]) for name in full)
        turned = similarities(model, embedded, slice(2, 4), options, CPU, "i2t")
        assert all(torch.equal(turned[name], full[name].T[2:4]) for name in full)

    def test_no_block_is_larger_than_asked(self, val: EncodedSplit, model: TextImageModel, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: set[tuple[int, int]] = set()
        compare = model.similarities

        def watched(captions: Features, images: Features) -> dict[str, Tensor]:
            seen.add((len(captions["text"]), len(images["image"])))
            return compare(captions, images)

        monkeypatch.setattr(model, "similarities", watched)
        score(model, embedded_numbers(val.split), val, EvaluationOptions(query_block=4, gallery_block=3), CPU, [{"dot": 1, "distance": 0}])
        assert max(rows for rows, _ in seen) == 4
        assert max(columns for _, columns in seen) == 3
