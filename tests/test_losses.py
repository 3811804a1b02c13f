"""Losses against twins with two loops, written from their equations."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, log, sqrt

import pytest
import torch
from torch import Tensor

from models._losses import cmpc, cmpm, info_nce, matches, sdm, similarity_kl

B, D, C = 6, 4, 5
PIDS = torch.tensor([7, 3, 7, 9, 3, 7])
LABELS = torch.tensor([0, 1, 0, 2, 1, 0])


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def features(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """image (B, D), text (B, D), weight (D, C), all float64."""
    generator = torch.Generator().manual_seed(seed)
    image, text, weight = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((B, D), (B, D), (D, C)))
    return image, text, weight


def inner(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def unit(a: list[float]) -> list[float]:
    return [x / sqrt(inner(a, a)) for x in a]


def softmax(row: list[float]) -> list[float]:
    return [exp(x) / sum(exp(y) for y in row) for x in row]


def kl_to_matches(logits: list[list[float]], pids: list[int], norm: Callable[[int], float]) -> float:
    """mean_i sum_j p (log p - log(q + 1e-8)), q being 1 / norm(number of matches) on a match."""
    total = 0.0
    for i, row in enumerate(logits):
        count = pids.count(pids[i])
        for j, p in enumerate(softmax(row)):
            q = 1 / norm(count) if pids[i] == pids[j] else 0.0
            total += p * (log(p) - log(q + 1e-8))
    return total / len(logits)


def transposed(rows: list[list[float]]) -> list[list[float]]:
    return [list(column) for column in zip(*rows, strict=True)]


def cosines(image: Tensor, text: Tensor, scale: float) -> list[list[float]]:
    return [[scale * inner(unit(x), unit(z)) for z in text.tolist()] for x in image.tolist()]


def slow_cmpm(image: Tensor, text: Tensor, pids: Tensor) -> float:
    x, z = image.tolist(), text.tolist()
    there = [[inner(a, unit(b)) for b in z] for a in x]
    back = [[inner(b, unit(a)) for a in x] for b in z]
    return sum(kl_to_matches(logits, pids.tolist(), sqrt) for logits in (there, back))


def slow_cmpc(image: Tensor, text: Tensor, labels: Tensor, weight: Tensor) -> float:
    columns, total = [unit(w) for w in weight.T.tolist()], 0.0
    for x, z, label in zip(image.tolist(), text.tolist(), labels.tolist(), strict=True):
        for one, other in ((x, z), (z, x)):
            projected = [inner(one, unit(other)) * d for d in unit(other)]
            total -= log(softmax([inner(projected, w) for w in columns])[label])
    return total / len(image)


def slow_sdm(image: Tensor, text: Tensor, pids: Tensor, scale: float) -> float:
    there = cosines(image, text, scale)
    return sum(kl_to_matches(logits, pids.tolist(), float) for logits in (there, transposed(there)))


def slow_info_nce(image: Tensor, text: Tensor, scale: float) -> float:
    there = cosines(image, text, scale)
    return sum(-log(softmax(row)[i]) for logits in (there, transposed(there)) for i, row in enumerate(logits)) / 2 / len(image)


@pytest.mark.parametrize("pids", [PIDS, torch.arange(B), torch.zeros(B, dtype=torch.int64)], ids=["some", "one", "all"])
def test_several_matches_an_identity(pids: Tensor) -> None:
    image, text, _ = features()
    assert cmpm(image, text, pids).item() == pytest.approx(slow_cmpm(image, text, pids), rel=1e-6)
    assert sdm(image, text, pids, 5.0).item() == pytest.approx(slow_sdm(image, text, pids, 5.0), rel=1e-6)
    similarity = image @ text.T / 10
    slow = kl_to_matches((20 * similarity).tolist(), pids.tolist(), sqrt)
    assert similarity_kl(similarity, pids).item() == pytest.approx(slow, rel=1e-6)


def test_cmpc_and_info_nce() -> None:
    image, text, weight = features()
    assert cmpc(image, text, LABELS, weight).item() == pytest.approx(slow_cmpc(image, text, LABELS, weight), rel=1e-9)
    assert info_nce(image, text, 5.0).item() == pytest.approx(slow_info_nce(image, text, 5.0), rel=1e-9)


LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]] = {
    "cmpm": lambda image, text, weight, labels: cmpm(image, text, labels),
    "cmpc": lambda image, text, weight, labels: cmpc(image, text, labels, weight),
    "similarity_kl": lambda image, text, weight, labels: similarity_kl(image @ text.T / 10, labels),
    "sdm": lambda image, text, weight, labels: sdm(image, text, labels, 20.0),
    "info_nce": lambda image, text, weight, labels: info_nce(image, text, 20.0),
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


@every_loss
def test_order_of_the_batch_plays_no_part(loss: Callable[..., Tensor]) -> None:
    image, text, weight = features()
    order = torch.randperm(B)
    torch.testing.assert_close(loss(image[order], text[order], weight, LABELS[order]), loss(image, text, weight, LABELS))


@every_loss
def test_only_who_is_who_counts_not_the_number_of_an_identity(loss: Callable[..., Tensor]) -> None:
    image, text, weight = features()
    renamed, columns = torch.tensor([3, 0, 4, 1, 2]), torch.tensor([1, 3, 4, 0, 2])  # columns: the inverse
    torch.testing.assert_close(loss(image, text, weight[:, columns], renamed[LABELS]), loss(image, text, weight, LABELS))


@every_loss
def test_gradient(loss: Callable[..., Tensor]) -> None:
    tracked = tuple(x.requires_grad_() for x in features(seed=2))
    assert torch.autograd.gradcheck(lambda *x: loss(*x, LABELS), tracked)


@every_loss
@pytest.mark.parametrize("size", [1e-4, 1.0, 50.0])
def test_float32_is_finite_at_any_length_of_the_features(loss: Callable[..., Tensor], size: float) -> None:
    image, text, weight = (x.float() for x in features())
    image, text = (size * image).requires_grad_(), (size * text).requires_grad_()
    value = loss(image, text, weight, LABELS)
    assert value.dtype == torch.float32
    assert value.isfinite()
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(value, (image, text)))


@every_loss
def test_a_batch_of_one_is_finite(loss: Callable[..., Tensor]) -> None:
    image, text, weight = features()
    assert loss(image[:1], text[:1], weight, LABELS[:1]).isfinite()


@every_loss
def test_matches_that_are_near_cost_less(loss: Callable[..., Tensor]) -> None:
    generator = torch.Generator().manual_seed(1)
    directions = torch.eye(B, dtype=torch.float64)
    weight, image = 3 * directions[:, :C], 5 * directions[LABELS if loss is not LOSSES["info_nce"] else torch.arange(B)]
    noise = 0.1 * torch.randn(B, B, generator=generator, dtype=torch.float64)
    good, bad = loss(image, image + noise, weight, LABELS), loss(image, image.roll(1, 0) + noise, weight, LABELS)
    assert good < bad


def test_matches() -> None:
    expected = torch.tensor([[1, 0, 1], [0, 1, 0], [1, 0, 1]])
    assert torch.equal(matches(torch.tensor([4, 2, 4])), expected.float())


def test_similarity_kl_is_cmpm_in_one_direction() -> None:
    image, text, _ = features()
    there, back = image @ torch.nn.functional.normalize(text).T, text @ torch.nn.functional.normalize(image).T
    both = similarity_kl(there, PIDS, scale=1.0) + similarity_kl(back, PIDS, scale=1.0)
    torch.testing.assert_close(both, cmpm(image, text, PIDS))
