"""ACSA: what `released` sets back to the public code, switch by switch, and the sizes of the full model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.contracts import Batch, UsageError
from models._losses import similarity_kl
from models._scales import AttentionWindows, ChannelRegions
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


def test_under_autocast_all_that_has_a_softmax_is_computed_in_float32() -> None:
    model = acsa().eval()
    batch = tiny_batch(model.inputs)
    captions, images = encoded(model, batch)
    rough = images["global"].bfloat16(), captions["global"].bfloat16()  # as a tower gives them under autocast
    exact = rough[0].float(), rough[1].float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = model.global_alignment.losses(*rough, batch.labels, cmpm_weight=1, cmpc_weight=1)
        directions = model.cross_scale.directions(captions, images)
    assert terms == model.global_alignment.losses(*exact, batch.labels, cmpm_weight=1, cmpc_weight=1)
    assert all(torch.equal(*pair) for pair in zip(directions, model.cross_scale.directions(captions, images), strict=True))
