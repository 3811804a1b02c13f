"""ACSA: what the released code froze, and the sizes of the full model."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bench import registry
from bench.config import resolve
from bench.contracts import Captions, TextImageModel, UsageError, Vocabulary
from models._scales import ChannelRegions
from models._text_tower import TextTower
from models.acsa import ACSA, ACSAOptions
from tests.test_acsa import released
from tests.tiny_models import tiny_batch


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


# ------------------------------------------------------------------------------------------------------- what is frozen

FROZEN = {
    "global_alignment.image.1.bias",  # in both presets
    "global_alignment.text.0.bias",
    "regions.mix.layers.0.weight",
    "regions.mix.layers.1.weight",
    "regions.mix.layers.1.bias",
    "regions.mix.layers.3.weight",
    "regions.mix.layers.4.weight",
    "regions.mix.layers.4.bias",
    "windows.mix.layers.0.weight",
    "windows.mix.layers.1.weight",
    "windows.mix.layers.1.bias",
    "windows.mix.layers.3.weight",
    "windows.mix.layers.4.weight",
    "windows.mix.layers.4.bias",
    "regions.project.0.0.weight",  # head
    "regions.project.0.0.bias",
    "regions.project.1.0.weight",  # upper
    "regions.project.1.0.bias",
    "regions.project.2.0.weight",  # lower, its weight alone
}


def frozen_outside_the_text_tower(model: TextImageModel) -> set[str]:
    return {name for name, p in model.named_parameters() if not p.requires_grad and not name.startswith("text_tower")}


def test_heads_that_the_released_code_froze_by_name() -> None:
    names = {name.replace("global_alignment.text.1", "global_alignment.text.0") for name in frozen_outside_the_text_tower(released())}
    assert names == FROZEN
    assert frozen_outside_the_text_tower(released(freeze_heads=False)) == {"global_alignment.image.1.bias", "global_alignment.text.1.bias"}


def trained_tensors(model: TextImageModel) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name, p in model.named_parameters():
        part = ".".join(name.split(".")[:2]) if not name.startswith(("image_tower", "text_tower")) else name.split(".")[0]
        counts[part] = counts.get(part, 0) + p.requires_grad
    return counts


HEADS = {
    "global_alignment.classifier": 1,
    "global_alignment.image": 1,  # the norm's weight
    "cross_scale.image_query": 2,
    "cross_scale.image_value": 2,
    "cross_scale.text_key": 2,
    "cross_scale.text_value": 2,
    "cross_scale.key_norm": 2,
    "cross_scale.value_norm": 2,
}


def test_trained_tensors_of_each_part() -> None:
    image = len(list(released().image_tower.parameters()))
    text = 2  # a linear layer to the common width, and the norm's weight
    parts = {"regions.mix": 0, "regions.project": 3, "windows.mix": 0}  # feet's two, and lower's bias
    assert trained_tensors(released()) == {**HEADS, "global_alignment.text": text, **parts, "image_tower": image, "text_tower": 0}
    free = {"regions.mix": 6, "regions.project": 8, "windows.mix": 6}
    unfrozen = released(freeze_heads=False, text={"frozen": False})
    n_text = len(list(unfrozen.text_tower.parameters()))
    assert trained_tensors(unfrozen) == {**HEADS, "global_alignment.text": text, **free, "image_tower": image, "text_tower": n_text}


def test_statistics_of_frozen_norms_still_move() -> None:
    model = released().train()
    assert isinstance(model.regions, ChannelRegions)
    before = model.regions.mix.layers[1].running_mean.clone()
    model.loss(tiny_batch(model.inputs))
    assert not torch.equal(before, model.regions.mix.layers[1].running_mean)


@pytest.mark.parametrize("other", ["model.regions=stripes", "model.windows=grid"])
def test_frozen_heads_that_are_not_there_are_refused(other: str) -> None:
    with pytest.raises(UsageError, match=r"freeze_heads .* needs all scales, regions=channels, windows=attention"):
        resolve("acsa", "walkers", "released", overrides=[other])


# ---------------------------------------------------------------------------------------------------------- full size


def full_size(preset: str) -> ACSA:
    """Swin-Tiny at 224 x 224 and BERT-base, on the meta device: sizes without numbers."""
    recipe = dict(ACSA.presets[preset].model)
    text = {"source": None, "width": 768, "layers": 12, "heads": 12, **recipe.pop("text", {})}
    with torch.device("meta"):
        return ACSA(ACSAOptions(**recipe, image={"weights": None}, text=text), Vocabulary(30522, 11003))


def millions(module: nn.Module, *, trained: bool = False) -> float:
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trained) / 1e6


def test_sizes_of_the_full_model() -> None:
    model = full_size("released")
    assert millions(model.image_tower.swin) == pytest.approx(27.519, abs=1e-3)
    heads = (
        millions(model) - millions(model.image_tower.swin) - millions(model.text_tower) - model.global_alignment.classifier.numel() / 1e6
    )
    assert heads == pytest.approx(4.6, abs=0.05)
    assert model.global_alignment.classifier.numel() == 768 * 11003  # 8.45 M
    assert millions(model.text_tower, trained=True) == 0
    assert trained_tensors(model) == {
        **HEADS,
        "global_alignment.text": 1,
        **{"regions.mix": 0, "regions.project": 3, "windows.mix": 0, "text_tower": 0},
        "image_tower": len(list(model.image_tower.parameters())),
    }


@pytest.mark.parametrize(("preset", "tokens"), [("paper", 9), ("released", 7)])
def test_the_full_model_gives_what_it_promises(preset: str, tokens: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Apart from BERT, which looks at its mask's values: there are none on the meta device."""
    monkeypatch.setattr(TextTower, "forward", lambda self, ids, mask: ids.new_zeros(len(ids), self.width, dtype=torch.float32))
    monkeypatch.setattr(TextTower, "phrases", lambda self, ids, mask: ids.new_zeros(*ids.shape[:2], self.width, dtype=torch.float32))
    model = full_size(preset).eval()
    ids = torch.zeros(2, model.inputs.max_tokens, dtype=torch.int64, device="meta")
    slots = torch.zeros(2, 10, model.inputs.max_phrase_tokens, dtype=torch.int64, device="meta")
    captions = Captions(ids, ids.bool(), slots, slots.bool(), slots[:, :, 0].bool())
    images, text = model.encode_images(torch.zeros(3, 3, 224, 224, device="meta")), model.encode_captions(captions)
    assert {name: tuple(value.shape) for name, value in images.items()} == {
        "global": (3, 768),
        "query": (3, tokens, 768),
        "value": (3, tokens, 768),
    }
    assert {name: tuple(value.shape) for name, value in text.items()} == {
        "global": (2, 768),
        "key": (2, 10, 768),
        "value": (2, 10, 768),
        "present": (2, 10),
    }
    found = ({name: torch.ones(value.shape, dtype=value.dtype) for name, value in features.items()} for features in (text, images))
    assert {name: value.shape for name, value in model.similarities(*found).items()} == {"global": (2, 3), "cross_scale": (2, 3)}
    expected = (10, 768) if preset == "released" else (768,)
    assert model.cross_scale.key_norm.normalized_shape == expected


def test_paper_is_the_published_recipe() -> None:
    recipe, inputs = ACSA.presets["paper"].train, ACSA.input_spec(ACSAOptions())
    assert (recipe["lr"], recipe["batch_size"], recipe["epochs"], tuple(recipe["milestones"])) == (8e-5, 16, 20, (8, 15))
    assert (inputs.height, inputs.width, inputs.max_tokens, inputs.max_phrases) == (224, 224, 118, 10)
    assert ACSA.input_spec(ACSAOptions(**ACSA.presets["released"].model)).max_phrase_tokens == 40


def test_it_is_registered() -> None:
    assert registry.load("model", "ACSA") is ACSA
