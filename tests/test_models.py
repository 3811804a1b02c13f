"""What every registered model must do, with every preset of it (tests/tiny_models.py)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bench import checkpoint, registry
from bench.config import TrainOptions
from bench.contracts import Batch, Features, ModelOptions, TextImageModel
from tests.tiny_models import CASES, tiny_batch, tiny_captions, tiny_config, tiny_model

NAMES = sorted({name for name, _ in CASES})
every_case = pytest.mark.parametrize(("name", "preset"), CASES, ids=[f"{name}-{preset or 'defaults'}" for name, preset in CASES])
every_model = pytest.mark.parametrize("name", NAMES)
N = 6


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def embedded(model: TextImageModel, batch: Batch) -> tuple[Features, Features]:
    """(captions, images) as the engine gets them."""
    model.eval()
    with torch.inference_mode():
        return model.encode_captions(batch.captions), model.encode_images(batch.images)


def compared(model: TextImageModel, batch: Batch) -> dict[str, Tensor]:
    captions, images = embedded(model, batch)
    with torch.inference_mode():
        return model.similarities(captions, images)


def total(terms: dict[str, Tensor]) -> Tensor:
    return torch.stack(list(terms.values())).sum()


def same(ours: dict[str, Tensor], theirs: dict[str, Tensor], tolerance: float = 1e-5) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=tolerance, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}")


def picked(features: Features, rows: Tensor) -> Features:
    return {name: value[rows] for name, value in features.items()}


# ------------------------------------------------------------------------------------------------------ what it says


@every_model
def test_it_says_what_it_is_and_whose_work(name: str) -> None:
    model = registry.load("model", name)
    assert (model.__doc__ or "").strip().splitlines()[0].endswith("."), "the first line is what `bench list models` shows"
    assert len(model.citation) > 20
    assert model.Config.__doc__
    assert "name" not in model.Config.model_fields, "model.name is the harness's"
    for knob, field in model.Config.model_fields.items():
        assert field.description, f"{knob} has no description"


@every_case
def test_preset_is_valid(name: str, preset: str | None) -> None:
    model = registry.load("model", name)
    recipe = model.presets[preset] if preset else None
    config = model.Config(**(recipe.model if recipe else {}))
    TrainOptions(**(recipe.train if recipe else {}))
    assert issubclass(model.Config, ModelOptions)
    assert recipe is None or recipe.about
    assert model.input_spec(config).height > 0


@every_case
def test_inputs_are_known_before_it_is_built(name: str, preset: str | None) -> None:
    model = tiny_model(name, preset)
    assert model.inputs == type(model).input_spec(tiny_config(name, preset))


# --------------------------------------------------------------------------------------------------- what it computes


@every_case
def test_features_and_similarities_have_the_promised_shapes(name: str, preset: str | None) -> None:
    model = tiny_model(name, preset)
    batch = replace(tiny_batch(model.inputs), captions=tiny_captions(model.inputs, n=4))
    captions, images = embedded(model, batch)
    assert {len(value) for value in captions.values()} == {4}
    assert {len(value) for value in images.values()} == {N}
    components = compared(model, batch)
    assert components
    for component, value in components.items():
        assert value.shape == (4, N), component
        assert value.dtype == torch.float32
        assert value.isfinite().all(), component
        assert value.std() > 0, f"{component} tells nobody apart"


@every_case
def test_mixing_names_the_components(name: str, preset: str | None) -> None:
    model = tiny_model(name, preset)
    mixing = model.mixing()
    assert mixing is None or set(mixing) == set(compared(model, tiny_batch(model.inputs)))


@every_case
def test_loss_is_named_finite_scalars(name: str, preset: str | None) -> None:
    model = tiny_model(name, preset).train()
    terms = model(tiny_batch(model.inputs))
    assert terms
    for term, value in terms.items():
        assert value.shape == (), term
        assert value.dtype == torch.float32, term
        assert value.isfinite(), term


@every_case
def test_every_trainable_parameter_gets_a_gradient(name: str, preset: str | None) -> None:
    model = tiny_model(name, preset).train()
    total(model.loss(tiny_batch(model.inputs))).backward()
    trained = {key: p.grad for key, p in model.named_parameters() if p.requires_grad}
    assert [key for key, gradient in trained.items() if gradient is None] == []
    assert [key for key, gradient in trained.items() if gradient is not None and not gradient.isfinite().all()] == []
    # a vector's may be zero by algebra (the bias of attention keys, a shift before a batch norm); a matrix's may not
    assert [key for key, gradient in trained.items() if gradient is not None and gradient.ndim > 1 and not gradient.any()] == []


@every_case
def test_frozen_parameters_stay_and_trained_ones_move(name: str, preset: str | None) -> None:
    model = tiny_model(name, preset).train()
    before = {key: p.detach().clone() for key, p in model.named_parameters()}
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.05)
    total(model.loss(tiny_batch(model.inputs))).backward()
    optimiser.step()
    moved = {key for key, p in model.named_parameters() if not torch.equal(before[key], p)}
    assert moved <= {key for key, p in model.named_parameters() if p.requires_grad}
    assert {key for key, p in model.named_parameters() if p.requires_grad and p.ndim > 1} <= moved


@every_case
def test_parameter_groups_hold_each_parameter_once(name: str, preset: str | None) -> None:
    model = tiny_model(name, preset)
    grouped = [id(p) for parameters, _ in model.parameter_groups().values() for p in parameters]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters())
    assert all(factor > 0 for _, factor in model.parameter_groups().values())


# --------------------------------------------------------------------------------------------- what must change nothing


@every_case
def test_a_batch_is_as_its_items_one_by_one(name: str, preset: str | None) -> None:
    model = tiny_model(name, preset)
    batch = tiny_batch(model.inputs)
    captions, images = embedded(model, batch)
    for row in range(N):
        one = slice(row, row + 1)
        alone = embedded(model, Batch(batch.images[one], batch.captions[one], batch.labels[one]))
        same(alone[0], {key: value[one] for key, value in captions.items()})
        same(alone[1], {key: value[one] for key, value in images.items()})


@every_case
def test_order_of_queries_and_gallery_changes_only_the_order(name: str, preset: str | None) -> None:
    model = tiny_model(name, preset)
    captions, images = embedded(model, tiny_batch(model.inputs))
    queries, gallery = torch.randperm(N), torch.randperm(N)[:4]  # a part of the gallery, too: blocks are as the whole
    with torch.inference_mode():
        whole = model.similarities(captions, images)
        part = model.similarities(picked(captions, queries), picked(images, gallery))
    same(part, {component: value[queries][:, gallery] for component, value in whole.items()})


@every_case
def test_order_of_the_batch_leaves_the_loss(name: str, preset: str | None) -> None:
    model = tiny_model(name, preset).eval()
    batch, order = tiny_batch(model.inputs), torch.randperm(N)
    shuffled = Batch(batch.images[order], batch.captions[order], batch.labels[order])
    same(model.loss(shuffled), model.loss(batch))


# -------------------------------------------------------------------------------------------------- what must come again


@every_case
def test_checkpoint_round_trip(name: str, preset: str | None, tmp_path: Path) -> None:
    model, other = tiny_model(name, preset), tiny_model(name, preset, seed=1)
    batch, file = tiny_batch(model.inputs), tmp_path / "best.safetensors"
    model.train()(batch)  # moves the statistics of batch norms: they are part of the state
    checkpoint.save(file, checkpoint.model_tensors(model), {"epoch": 1})
    checkpoint.load_model(other, checkpoint.load(file)[0], file)
    for one, two in zip(compared(model, batch).values(), compared(other, batch).values(), strict=True):
        assert torch.equal(one, two)


@every_case
def test_the_same_seed_gives_the_same_weights_and_loss(name: str, preset: str | None) -> None:
    models = [tiny_model(name, preset, seed=3).train() for _ in range(2)]
    for (key, one), two in zip(models[0].state_dict().items(), models[1].state_dict().values(), strict=True):
        assert torch.equal(one, two), key
    losses = []
    for model in models:
        torch.manual_seed(4)
        losses.append(total(model.loss(tiny_batch(model.inputs))).item())
    assert losses[0] == losses[1]
    assert not torch.equal(*(next(tiny_model(name, preset, seed).parameters()) for seed in (3, 5)))


@contextmanager
def deterministic_algorithms() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


@every_case
def test_gradients_come_again_with_deterministic_algorithms(name: str, preset: str | None) -> None:
    model = tiny_model(name, preset).train()
    found = []
    with deterministic_algorithms():
        for _ in range(2):
            torch.manual_seed(0)
            model.zero_grad()
            total(model.loss(tiny_batch(model.inputs))).backward()
            found.append({key: p.grad.clone() for key, p in model.named_parameters() if p.grad is not None})
    assert [key for key, gradient in found[0].items() if not torch.equal(gradient, found[1][key])] == []


@every_case
def test_bf16_stays_near_fp32(name: str, preset: str | None) -> None:
    model = tiny_model(name, preset).eval()
    batch = tiny_batch(model.inputs)
    exact = model.loss(batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = model.loss(batch)
    for term, value in rough.items():
        assert value.dtype == torch.float32, term
    same(rough, exact, tolerance=0.05)
    total(rough).backward()
