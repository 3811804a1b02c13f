"""Cells of the ablation: what is aligned in each, which cannot be, and which are models of their own."""

from __future__ import annotations

from itertools import chain, combinations, product
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from bench.contracts import TextImageModel
from models._cells import alignments
from models.acsa import ACSA
from tests.tiny_models import VOCABULARY, tiny_batch, tiny_config

IMAGE, TEXT = ("whole", "regions", "windows"), ("sentence", "phrases")


def subsets(scales: tuple[str, ...]) -> list[tuple[str, ...]]:
    return list(chain.from_iterable(combinations(scales, size) for size in range(len(scales) + 1)))


def aligned(image: tuple[str, ...], text: tuple[str, ...], cross_scale: bool) -> set[tuple[str, str]]:
    """The pairs of scales that meet, spelt out."""
    pairs = {("whole", "sentence")} if "whole" in image and "sentence" in text else set()
    for scale in image:
        if "phrases" in text and (cross_scale or scale != "whole"):
            pairs.add((scale, "phrases"))
    return pairs


def possible(image: tuple[str, ...], text: tuple[str, ...], cross_scale: bool) -> bool:
    pairs = aligned(image, text, cross_scale)
    taken = {scale for pair in pairs for scale in pair}
    return bool(pairs) and taken == {*image, *text} and (not cross_scale or "phrases" in text)


CELLS = list(product(subsets(IMAGE), subsets(TEXT), (False, True)))
POSSIBLE = [cell for cell in CELLS if possible(*cell)]


def cell_name(cell: tuple[Any, ...]) -> str:
    return f"{'+'.join(cell[0])}-{'+'.join(cell[1])}-{'on' if cell[2] else 'off'}"


def config(image: Any, text: Any, cross_scale: bool, **more: Any) -> Any:
    return tiny_config("acsa", "small", image_scales=image, text_scales=text, cross_scale=cross_scale, **more)


def built(options: Any) -> TextImageModel:
    torch.manual_seed(0)
    return ACSA(options, VOCABULARY)


def test_a_cell_is_possible_where_each_scale_is_aligned_with_something() -> None:
    for image, text, cross_scale in CELLS:
        if possible(image, text, cross_scale):
            assert any(alignments(image, text, cross_scale=cross_scale))  # type: ignore[arg-type]
        else:
            with pytest.raises(ValueError, match=r"aligned|attend"):
                alignments(image, text, cross_scale=cross_scale)  # type: ignore[arg-type]
    assert len(POSSIBLE) == 18


@pytest.mark.parametrize("cell", POSSIBLE, ids=cell_name)
def test_every_parameter_of_a_cell_learns(cell: tuple[Any, ...]) -> None:
    model = built(config(*cell))
    batch = tiny_batch(model.inputs)
    terms = model.loss(batch)
    torch.stack(list(terms.values())).sum().backward()
    untaught = [name for name, value in model.named_parameters() if value.requires_grad and value.grad is None]
    if cell[0] == ("windows",):  # they are of the stage before the last
        untaught = [name for name in untaught if not name.startswith(("image_tower.swin.layers.2", "image_tower.swin.norm"))]
    assert untaught == []
    components = model.eval().similarities(model.encode_captions(batch.captions), model.encode_images(batch.images))
    found = alignments(cell[0], cell[1], cross_scale=cell[2])
    assert set(components) == {name for name, has in zip(("global", "local", "cross_scale"), found, strict=True) if has}
    boxes = model.token_boxes()
    assert (boxes is None) == (not cell[2])
    if boxes is not None:
        assert len(boxes) == model.encode_images(batch.images)["query"].shape[1]


def assert_same(one: TextImageModel, other: TextImageModel) -> None:
    """Weights, losses and similarities are the very same."""
    mine, theirs = one.state_dict(), other.state_dict()
    assert list(mine) == list(theirs)
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    batch = tiny_batch(other.inputs)
    losses = []
    for model in (one, other):
        torch.manual_seed(1)  # of what is dropped
        losses.append(torch.stack(list(model.loss(batch).values())).sum())
    assert torch.equal(*losses)
    scores = [m.eval().similarities(m.encode_captions(batch.captions), m.encode_images(batch.images)) for m in (one, other)]
    assert list(scores[0]) == list(scores[1])
    assert all(torch.equal(scores[0][name], scores[1][name]) for name in scores[0])


def test_whole_with_sentence_is_the_model_image_sentence() -> None:
    from models.image_sentence import ImageSentence

    torch.manual_seed(0)
    other = ImageSentence(tiny_config("image-sentence", "small"), VOCABULARY)  # type: ignore[arg-type]
    assert_same(built(config(("whole",), ("sentence",), False)), other)


def test_regions_with_phrases_is_the_model_region_phrase() -> None:
    from models.region_phrase import RegionPhrase

    torch.manual_seed(0)
    other = RegionPhrase(tiny_config("region-phrase", "small"), VOCABULARY)  # type: ignore[arg-type]
    assert_same(built(config(("regions",), ("phrases",), True, cross_scale_weight=1.0)), other)


def test_all_scales_is_acsa() -> None:
    assert_same(built(config(IMAGE, TEXT, True)), built(tiny_config("acsa", "small")))


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"image_scales": ("regions",)}, "sentence would be aligned with nothing: leave it out, or add whole to model.image_scales"),
    ({"cross_scale": False, "text_scales": ("sentence",)}, "regions and windows would be aligned with nothing"),
    ({"text_scales": ("sentence",)}, "add phrases to model.text_scales, or switch it off"),
    ({"image_scales": ("whole", "whole")}, "name each scale once"),
    ({"image_scales": (), "text_scales": ()}, "add phrases"),
    ({"image_scales": (), "text_scales": (), "cross_scale": False}, "nothing would be aligned"),
    ({"image_scales": ("whole",), "whole": "mean"}, "add regions or windows"),
    ({"cross_scale": False, "fusion_weight": 0.5}, "fusion_weight"),
    ({"image_scales": ("head",)}, "Input should be 'whole', 'regions' or 'windows'"),
]


@pytest.mark.parametrize(("changes", "said"), WRONG, ids=[said for _, said in WRONG])
def test_what_cannot_be_aligned_is_said(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as raised:
        tiny_config("acsa", "small", **changes)
    assert said in str(raised.value)
