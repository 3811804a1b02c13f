"""Cross-scale attention against a slow twin, written from the paper's operator with one loop an index."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, sqrt

import pytest
import torch
from torch import Tensor

from models import _attention
from models._attention import Direction, cross_scale_similarity

I, T, R, P, D = 2, 3, 3, 4, 5  # noqa: E741 - dimension letters
MASK = torch.tensor([[True, True, True, True], [False, True, False, True], [False, False, True, False]])

Vector = list[float]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def inner(a: Vector, b: Vector) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def cosine(a: Vector, b: Vector) -> float:
    return inner(a, b) / (sqrt(inner(a, a)) * sqrt(inner(b, b)))


def leaky(x: float) -> float:
    return x if x > 0 else 0.1 * x


def attended(query: Sequence[Vector], key: Sequence[Vector], value: Sequence[Vector], scale: float) -> list[Vector]:
    """Att(Q; K, V): for each query the mean of the sources' values, weighted by how near their keys are."""
    near = [[leaky(cosine(k, q)) for q in query] for k in key]  # by source, then query
    near = [[a / (sqrt(sum(b * b for b in row)) + 1e-8) for a in row] for row in near]
    contexts = []
    for q in range(len(query)):
        weights = [exp(scale * row[q]) for row in near]
        contexts.append([sum(w * v[d] for w, v in zip(weights, value, strict=True)) / sum(weights) for d in range(len(value[0]))])
    return contexts


def mean_cosine(values: Sequence[Vector], contexts: Sequence[Vector]) -> float:
    return sum(cosine(v, c) for v, c in zip(values, contexts, strict=True)) / len(values)


def twin(inputs: Sequence[Tensor], mask: Tensor | None = None, scale: float = 20.0) -> tuple[Tensor, Tensor]:
    """(i2t, t2i) by loops over images, captions, queries and sources. Phrases that are masked are taken out of the lists."""
    image_query, image_value, text_key, text_value = inputs
    i2t, t2i = torch.zeros(2, len(image_query), len(text_key), dtype=torch.float64)
    for i in range(len(image_query)):
        for t in range(len(text_key)):
            there = torch.ones(text_key.shape[1], dtype=torch.bool) if mask is None else mask[t]
            key, value = text_key[t][there].tolist(), text_value[t][there].tolist()
            query, image = image_query[i].tolist(), image_value[i].tolist()
            i2t[i, t] = mean_cosine(image, attended(query, key, value, scale))
            t2i[i, t] = mean_cosine(value, attended(key, query, image, scale))
    return i2t, t2i


def inputs(seed: int = 0, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = ((I, R, D), (I, R, D), (T, P, D), (T, P, D))
    return [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]


@pytest.mark.parametrize("mask", [None, MASK], ids=["all phrases", "masked"])
@pytest.mark.parametrize("scale", [20.0, 3.0])
def test_both_directions_are_as_in_the_slow_twin(mask: Tensor | None, scale: float) -> None:
    for ours, theirs in zip(cross_scale_similarity(*inputs(), mask, scale), twin(inputs(), mask, scale), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)


def test_float32_is_near_float64() -> None:
    for ours, theirs in zip(cross_scale_similarity(*inputs(dtype=torch.float32), MASK), twin(inputs(), MASK), strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mask", [None, MASK], ids=["all phrases", "masked"])
def test_gradient(mask: Tensor | None) -> None:
    tracked = tuple(x.requires_grad_() for x in inputs(seed=3))
    assert torch.autograd.gradcheck(lambda *x: cross_scale_similarity(*x, mask, 5.0), tracked)


def test_a_masked_phrase_gets_no_gradient_and_has_no_say() -> None:
    tracked = [x.requires_grad_() for x in inputs()]
    sum(s.sum() for s in cross_scale_similarity(*tracked, MASK)).backward()
    for text in tracked[2:]:
        assert text.grad is not None
        assert not text.grad[~MASK].any()
        assert text.grad[MASK].any()
    other = inputs()
    for text in other[2:]:
        text[~MASK] = 1e6
    for ours, theirs in zip(cross_scale_similarity(*other, MASK), cross_scale_similarity(*inputs(), MASK), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_caption_without_any_phrase_has_similarity_zero() -> None:
    mask = MASK.clone()
    mask[1] = False
    tracked = [x.requires_grad_() for x in inputs()]
    both = cross_scale_similarity(*tracked, mask)
    for similarity, whole in zip(both, cross_scale_similarity(*inputs(), MASK), strict=True):
        assert not similarity[:, 1].any()
        torch.testing.assert_close(similarity[:, [0, 2]], whole[:, [0, 2]])
    (both[0].sum() + both[1].sum()).backward()
    assert all(x.grad is not None and x.grad.isfinite().all() for x in tracked)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", ["zero tokens", "all zero", "duplicates", "all equal", "opposite values", "huge", "tiny"])
def test_degenerate_vectors_give_finite_values_and_gradients(case: str, dtype: torch.dtype) -> None:
    tensors = inputs(dtype=dtype)
    for x in tensors:
        if case == "zero tokens":
            x[:, 0] = 0
        elif case == "all zero":
            x.zero_()
        elif case == "duplicates":
            x[:, 1] = x[:, 0]
        elif case == "all equal":
            x[:] = x[0, 0]
        elif case == "opposite values":
            x[:, 1] = -x[:, 0]
        else:
            x.mul_(1e6 if case == "huge" else 1e-6)
    tracked = [x.requires_grad_() for x in tensors]
    for mask in (None, MASK):
        i2t, t2i = cross_scale_similarity(*tracked, mask)
        gradients = torch.autograd.grad(i2t.sum() + t2i.sum(), tracked)
        assert i2t.isfinite().all()
        assert t2i.isfinite().all()
        assert all(gradient.isfinite().all() for gradient in gradients)


def test_it_is_a_mean_of_cosines() -> None:
    """Values of one direction give 1, whoever is attended to; and the lengths of all vectors play no part."""
    query, value, key, text = inputs()
    one = torch.ones(1, 1, D, dtype=torch.float64)
    for similarity in cross_scale_similarity(query, value.norm(dim=2, keepdim=True) * one, key, text.norm(dim=2, keepdim=True) * one):
        torch.testing.assert_close(similarity, torch.ones_like(similarity))
    for similarity in cross_scale_similarity(*inputs()):
        assert similarity.abs().max() <= 1
    scaled = cross_scale_similarity(3 * query, 0.5 * value, 7 * key, 2 * text)
    for ours, theirs in zip(scaled, cross_scale_similarity(*inputs()), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-8)


def test_order_of_tokens_and_phrases_plays_no_part() -> None:
    query, value, key, text = inputs()
    tokens, phrases = torch.randperm(R), torch.randperm(P)
    moved = cross_scale_similarity(query[:, tokens], value[:, tokens], key[:, phrases], text[:, phrases], MASK[:, phrases])
    for ours, theirs in zip(moved, cross_scale_similarity(*inputs(), MASK), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_each_pair_is_independent_of_the_others() -> None:
    query, value, key, text = inputs()
    whole = cross_scale_similarity(query, value, key, text, MASK)
    for i in range(I):
        for t in range(T):
            one = cross_scale_similarity(query[[i]], value[[i]], key[[t]], text[[t]], MASK[[t]])
            for ours, theirs in zip(one, whole, strict=True):
                torch.testing.assert_close(ours[0, 0], theirs[i, t])


@pytest.mark.parametrize("direction", ["i2t", "t2i"])
def test_one_direction_alone_is_the_same(direction: Direction) -> None:
    (alone,) = cross_scale_similarity(*inputs(), MASK, directions=(direction,))
    assert torch.equal(alone, cross_scale_similarity(*inputs(), MASK)[("i2t", "t2i").index(direction)])


@pytest.mark.parametrize("held", [1, 2 * P * R * I, 2**20])
@pytest.mark.parametrize("near", [1, 2 * P * R * I, 2**20])
def test_sizes_of_the_pieces_play_no_part(held: int, near: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = cross_scale_similarity(*inputs(), MASK)
    monkeypatch.setattr(_attention, "HELD", held)
    monkeypatch.setattr(_attention, "NEAR", near)
    with torch.no_grad():
        pieces = cross_scale_similarity(*inputs(), MASK)
    for ours, theirs in zip(pieces, whole, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_no_caption_and_no_image_are_no_error() -> None:
    query, value, key, text = inputs()
    for similarity in cross_scale_similarity(query, value, key[:0], text[:0], MASK[:0]):
        assert similarity.shape == (I, 0)
    for similarity in cross_scale_similarity(query[:0], value[:0], key, text, MASK):
        assert similarity.shape == (0, T)


def test_bfloat16_features_move_similarities_by_little() -> None:
    generator = torch.Generator().manual_seed(0)
    features = [torch.randn(8, n, 96, generator=generator) for n in (7, 7, 10, 10)]
    exact = cross_scale_similarity(*features)
    for rough, fine in zip(cross_scale_similarity(*(x.bfloat16() for x in features)), exact, strict=True):
        assert rough.dtype == torch.float32
        assert (rough - fine).abs().max() < 0.004
