"""What padding, order and want of phrases must not change, for every registered model (see test_models.py)."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from bench.contracts import Captions, TextImageModel
from tests.test_models import compared, every_case, same, total
from tests.tiny_models import PAD, tiny_batch, tiny_model


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def with_phrases(model: TextImageModel) -> bool:
    return model.inputs.max_phrases > 0


@every_case
def test_order_of_the_phrases_changes_nothing(name: str, preset: str | None) -> None:
    model = tiny_model(name, preset)
    if not with_phrases(model) or getattr(model.config, "joint_norm", False):
        pytest.skip("no phrases, or a norm that ties them to their places")
    batch, order = tiny_batch(model.inputs), torch.randperm(model.inputs.max_phrases)
    c = batch.captions
    moved = replace(c, phrases=c.phrases[:, order], phrase_token_mask=c.phrase_token_mask[:, order], phrase_mask=c.phrase_mask[:, order])
    same(compared(model, replace(batch, captions=moved)), compared(model, batch))


def masking(name: str, preset: str | None) -> TextImageModel:
    model = tiny_model(name, preset)
    if not with_phrases(model) or model.inputs.phrase_filler is not None:
        pytest.skip("no phrases, or empty slots take part by design")
    return model


@every_case
def test_tokens_in_an_empty_slot_change_nothing(name: str, preset: str | None) -> None:
    model = masking(name, preset)
    batch = tiny_batch(model.inputs)
    c, empty = batch.captions, ~batch.captions.phrase_mask[..., None]
    padding = replace(c, phrases=c.phrases.masked_fill(empty, 7))
    words = replace(padding, phrase_token_mask=c.phrase_token_mask | empty)  # as if a phrase stood there
    for other in (padding, words):
        same(compared(model, replace(batch, captions=other)), compared(model, batch))
        same(model.loss(replace(batch, captions=other)), model.loss(batch))


@every_case
def test_more_empty_slots_change_nothing(name: str, preset: str | None) -> None:
    model = masking(name, preset)
    batch = tiny_batch(model.inputs)
    c = batch.captions
    longer = replace(
        c,
        phrases=torch.nn.functional.pad(c.phrases, (0, 0, 0, 2), value=PAD),
        phrase_token_mask=torch.nn.functional.pad(c.phrase_token_mask, (0, 0, 0, 2)),
        phrase_mask=torch.nn.functional.pad(c.phrase_mask, (0, 2)),
    )
    same(compared(model, replace(batch, captions=longer)), compared(model, batch))


@every_case
def test_longer_padding_changes_nothing(name: str, preset: str | None) -> None:
    model = tiny_model(name, preset)
    batch = tiny_batch(model.inputs)
    c, by = batch.captions, (0, 4)
    pad = torch.nn.functional.pad
    longer = Captions(
        pad(c.tokens, by, value=PAD),
        pad(c.token_mask, by),
        pad(c.phrases, by, value=PAD) if with_phrases(model) else c.phrases,
        pad(c.phrase_token_mask, by) if with_phrases(model) else c.phrase_token_mask,
        c.phrase_mask,
    )
    same(compared(model, replace(batch, captions=longer)), compared(model, batch))


@every_case
def test_captions_without_a_phrase_do_no_harm(name: str, preset: str | None) -> None:
    model = tiny_model(name, preset).train()
    batch = tiny_batch(model.inputs)
    c = batch.captions
    bare = replace(c, phrase_token_mask=torch.zeros_like(c.phrase_token_mask), phrase_mask=torch.zeros_like(c.phrase_mask))
    terms = model.loss(replace(batch, captions=bare))
    total(terms).backward()
    assert all(value.isfinite() for value in terms.values())
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
