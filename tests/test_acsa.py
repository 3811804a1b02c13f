"""ACSA: what `released` sets back to the public code, switch by switch, and the sizes of the full model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench import registry
from bench.config import resolve
from bench.contracts import Batch, Captions, TextImageModel, UsageError, Vocabulary
from models._losses import similarity_kl
from models._scales import AttentionWindows, ChannelRegions
from models._towers import TextTower
from models.acsa import ACSA, ACSAOptions
from tests.tiny_models import CLS, PAD, SEP, tiny_batch, tiny_captions, tiny_model

SQUARE = {"image": {"height": 32, "width": 32}}
"""So that the earlier stage has four windows, as Swin-Tiny has at 224 x 224."""


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def acsa(preset: str = "paper", **changes: Any) -> ACSA:
    model = tiny_model("acsa", preset, **{**SQUARE, **changes})
    assert isinstance(model, ACSA)
    return model


def released(**changes: Any) -> ACSA:
    return acsa("released", **changes)


def encoded(model: ACSA, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(captions, images)."""
    with torch.inference_mode():
        return model.eval().encode_captions(batch.captions), model.encode_images(batch.images)


def tokens_of(model: ACSA, images: Tensor) -> tuple[Tensor, Tensor]:
    """(N, R, D) image tokens before query and value are taken, and the pooled vector (N, D)."""
    maps = model.eval().image_tower(images)
    pooled = model.global_alignment.image(maps.final.mean(dim=(2, 3)))
    return model._tokens(maps, pooled), pooled


# -------------------------------------------------------------------------------------------------------------- image


def test_seven_image_tokens_in_both() -> None:
    images = tiny_batch(released().inputs).images
    assert released().eval().encode_images(images)["query"].shape == (6, 7, 32)  # whole, four regions, two windows
    assert acsa().eval().encode_images(images)["query"].shape == (6, 1 + 4 + 4, 32)  # whole, four stripes, a 2 x 2 grid


def test_whole_is_the_mean_of_the_other_six() -> None:
    model = released()
    tokens, pooled = tokens_of(model, tiny_batch(model.inputs).images)
    torch.testing.assert_close(tokens[:, 0], tokens[:, 1:].mean(dim=1))
    mended = released(whole="pooled")
    tokens, pooled = tokens_of(mended, tiny_batch(model.inputs).images)
    assert torch.equal(tokens[:, 0], pooled)


def test_regions_are_groups_of_channels_with_nothing_spatial_about_them() -> None:
    model = released()
    assert isinstance(model.regions, ChannelRegions)
    assert model.regions.spans == ((0, 10), (5, 15), (15, 25), (25, 32))
    maps = model.eval().image_tower(tiny_batch(model.inputs).images)
    upside_down = replace(maps, final=maps.final.flip(2))
    pooled = [model.global_alignment.image(m.final.mean(dim=(2, 3))) for m in (maps, upside_down)]
    torch.testing.assert_close(model._tokens(maps, pooled[0]), model._tokens(upside_down, pooled[1]))
    mended = acsa().eval()
    stripes = [mended.regions(m.final) for m in (maps, upside_down)]
    assert not torch.allclose(*stripes)


def window_attention(model: ACSA, images: Tensor) -> tuple[list[Tensor], Tensor]:
    """The attention's output of the tapped block, (N * 4, tokens, D'), and the tap's answer (N, 4, D')."""
    block = model.image_tower.swin.layers[-2].blocks[-1]
    kept: list[Tensor] = []
    handle = block.attn.register_forward_hook(lambda _, __, output: kept.append(output))
    answer = model.eval().image_tower(images).window_attention
    handle.remove()
    assert answer is not None
    return kept, answer


def test_four_attention_windows_become_two_tokens_of_twice_the_width() -> None:
    model, images = released(), torch.randn(3, 3, 32, 32)
    (attended,), answer = window_attention(model, images)
    block: Any = model.image_tower.swin.layers[-2].blocks[-1]
    assert block.shift_size == (1, 1), "as in the released code the tapped block is a shifted one"
    assert attended.shape == (3 * 4, 4, 16)
    again = attended + block.mlp(block.norm2(attended))
    assert model.image_tower.tap is not None
    expected = model.image_tower.tap.norm(again).mean(dim=1).view(3, 4, 16)
    torch.testing.assert_close(answer, expected)
    assert isinstance(model.windows, AttentionWindows)
    tokens = model.windows(answer)
    assert tokens.shape == (3, 2, 32)
    torch.testing.assert_close(tokens[:, 1], model.windows.mix(answer.flatten(0, 1)).view(3, 4, 16)[:, 2:].flatten(1))


def test_released_windows_stay_shifted() -> None:
    """The windows of a shifted block wrap around the border: a pixel of the last rows and columns is in the last window, and so
    is one of the first row; a pixel behind the shift is in the first."""
    block: Any = released().image_tower.swin.layers[-2].blocks[-1]
    place = torch.zeros(4, 4)
    place[0, 0] = 1
    shifted = place.roll((-1, -1), (0, 1))
    assert shifted.nonzero().tolist() == [[3, 3]]
    seen: list[Tensor] = []
    block.norm1, block.attn = nn.Identity(), Recorder(seen)
    block.attn_mask = None
    block._attn(place[None, :, :, None])
    assert [bool(window.any()) for window in seen[0]] == [False, False, False, True]


class Recorder(nn.Module):
    """Keeps the windows that it is given, and passes them on."""

    def __init__(self, seen: list[Tensor]) -> None:
        super().__init__()
        self.seen = seen

    def forward(self, windows: Tensor, mask: Tensor | None = None) -> Tensor:
        self.seen.append(windows)
        return windows


@pytest.mark.parametrize(
    ("changes", "why"), [({"width": 48}, "model.width=32, but got"), ({"image": {"height": 16, "width": 16}}, "1 windows")]
)
def test_windows_that_give_no_token_are_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        released(**changes)


# --------------------------------------------------------------------------------------------------------------- text


def test_joint_norm_ties_the_phrases_to_each_other_and_to_their_number() -> None:
    assert released().cross_scale.key_norm.normalized_shape == (3, 32)
    assert released().cross_scale.value_norm.normalized_shape == (3, 32)
    assert released(joint_norm=False).cross_scale.key_norm.normalized_shape == (32,)
    for joint in (True, False):
        model = released(joint_norm=joint)
        batch = tiny_batch(model.inputs)
        other = batch.captions.phrases.clone()
        other[:, 0, 1] += 1  # another word in the first phrase
        before, _ = encoded(model, batch)
        after, _ = encoded(model, replace(batch, captions=replace(batch.captions, phrases=other)))
        assert torch.equal(before["key"][:, 1:], after["key"][:, 1:]) is not joint


def test_empty_slots_are_encoded_as_padding_and_take_part() -> None:
    model = released()
    assert model.inputs.phrase_filler == "[PAD]"
    assert released(mask_padding=True).inputs.phrase_filler is None
    captions = tiny_captions(model.inputs)
    empty = ~captions.phrase_mask
    assert empty.any()
    assert captions.phrases[empty][:, :4].tolist() == [[CLS, PAD, SEP, PAD]] * int(empty.sum())
    features, images = encoded(model, Batch(torch.randn(6, 3, 32, 32), captions, torch.arange(6) % 5))
    assert features["present"].all()
    vectors = model.text_tower.phrases(captions.phrases, captions.phrase_token_mask)[empty]
    assert (vectors == vectors[0]).all()
    assert vectors[0].any(), "a constant vector that is not zero"
    hidden = {**features, "present": captions.phrase_mask}
    with torch.inference_mode():
        ours, masked = (model.similarities(f, images)["cross_scale"] for f in (features, hidden))
    some = empty.any(dim=1)
    assert not torch.isclose(ours, masked)[some].all(dim=1).any()
    torch.testing.assert_close(ours[~some], masked[~some])


def test_a_masked_model_hides_empty_slots() -> None:
    model = acsa()
    features, _ = encoded(model, tiny_batch(model.inputs))
    assert torch.equal(features["present"], tiny_captions(model.inputs).phrase_mask)


# ------------------------------------------------------------------------------------------------------ loss and score


def test_texts_only_softmax_is_the_sum_over_texts_of_both_directions() -> None:
    batch = tiny_batch(released().inputs)
    for over, turn in (("texts", False), ("candidates", True)):
        model = released(softmax_over=over)
        captions, images = encoded(model, batch)
        i2t, t2i = model.cross_scale.directions(captions, images)  # images x texts
        expected = similarity_kl(i2t, batch.labels, 20.0) + similarity_kl(t2i.T if turn else t2i, batch.labels, 20.0)
        torch.testing.assert_close(model.loss(batch)["cross_scale"], 0.1 * expected)
    weights = (20 * t2i).softmax(dim=1)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(6))


@pytest.mark.parametrize("weight", [1.0, 3.0])
def test_cmpm_below_the_floor_is_dropped(weight: float) -> None:
    batch = tiny_batch(released().inputs)
    value = released(cmpm_floor=None).eval().loss(batch)["cmpm"].item()
    for floor, kept in ((value - 0.01, True), (value + 0.01, False)):
        model = released(cmpm_floor=floor, cmpm_weight=weight).eval()
        terms = model.loss(batch)
        assert terms["cmpm"].item() == (pytest.approx(weight * value, rel=1e-5) if kept else 0)
        gradient = torch.autograd.grad(terms["cmpm"], model.image_tower.swin.norm.weight)[0]
        assert bool(gradient.any()) is kept
    assert ACSAOptions(**ACSA.presets["released"].model).cmpm_floor == 0.5
    assert ACSAOptions().cmpm_floor is None


def test_a_cmpm_that_is_not_finite_is_not_hidden_by_the_floor() -> None:
    model = released(cmpm_floor=0.5).eval()
    batch = tiny_batch(model.inputs)
    assert model.loss(replace(batch, images=torch.full_like(batch.images, float("nan"))))["cmpm"].isnan()


def test_weights_of_the_terms() -> None:
    batch = tiny_batch(released().inputs)
    plain = {"cmpm_weight": 1.0, "cmpc_weight": 1.0, "cross_scale_weight": 1.0}
    for preset in ("paper", "released"):
        ones, ours = acsa(preset, **plain).eval().loss(batch), acsa(preset).eval().loss(batch)
        assert {name: (ours[name] / ones[name]).item() for name in ours} == pytest.approx({"cmpm": 1, "cmpc": 4, "cross_scale": 0.1})


def test_the_score_is_one_direction_or_the_mean_of_both() -> None:
    batch = tiny_batch(released().inputs)
    found = {}
    for score in ("i2t", "t2i", "mean"):
        model = released(score=score)
        captions, images = encoded(model, batch)
        found[score] = model.similarities(captions, images)["cross_scale"]
    i2t, t2i = model.cross_scale.directions(captions, images)
    torch.testing.assert_close(found["i2t"], i2t.T)
    torch.testing.assert_close(found["t2i"], t2i.T)
    torch.testing.assert_close(found["mean"], (i2t.T + t2i.T) / 2)
    assert ACSAOptions(**ACSA.presets["released"].model).score == "i2t"


def test_fusion_weight() -> None:
    assert acsa(fusion_weight=0.1).mixing() == {"global": 0.9, "cross_scale": 0.1}
    assert acsa(fusion_weight=0.0).mixing() == {"global": 1.0, "cross_scale": 0.0}
    assert acsa().mixing() is None


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
    with pytest.raises(UsageError, match=r"freeze_heads .* needs regions=channels and windows=attention"):
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
    assert {name: tuple(value.shape) for name, value in model.similarities(text, images).items()} == {
        "global": (2, 3),
        "cross_scale": (2, 3),
    }
    expected = (10, 768) if preset == "released" else (768,)
    assert model.cross_scale.key_norm.normalized_shape == expected


def test_paper_is_the_published_recipe() -> None:
    recipe, inputs = ACSA.presets["paper"].train, ACSA.input_spec(ACSAOptions())
    assert (recipe["lr"], recipe["batch_size"], recipe["epochs"], tuple(recipe["milestones"])) == (8e-5, 16, 20, (8, 15))
    assert (inputs.height, inputs.width, inputs.max_tokens, inputs.max_phrases) == (224, 224, 118, 10)
    assert ACSA.input_spec(ACSAOptions(**ACSA.presets["released"].model)).max_phrase_tokens == 40


def test_it_is_registered() -> None:
    assert registry.load("model", "ACSA") is ACSA
