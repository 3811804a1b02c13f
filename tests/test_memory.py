"""A frozen text tower encodes each text once, and says what it would have said."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from models._text_tower import TextTower, TextTowerOptions


def tower(seed: int = 0, **options: Any) -> TextTower:
    torch.manual_seed(seed)
    return TextTower(TextTowerOptions(source=None, width=8, heads=2, layers=1, **options), 30, 12)


def texts(*lengths: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return torch.randint(5, 30, mask.shape, generator=generator) * mask, mask


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many texts each call of the encoder saw."""
    seen: list[int] = []
    inner = TextTower._encoded

    def counted(self: TextTower, tokens: Tensor, mask: Tensor) -> Tensor:
        seen.append(len(tokens))
        return inner(self, tokens, mask)

    monkeypatch.setattr(TextTower, "_encoded", counted)
    return seen


def test_a_text_is_encoded_once_whatever_it_is_padded_to(encoded: list[int]) -> None:
    frozen, free = tower(10, frozen=True).train(), tower(10).eval()
    tokens, mask = texts(4, 7, 5)
    expected = free(tokens, mask)
    encoded.clear()
    torch.testing.assert_close(frozen(tokens, mask), expected)
    again = frozen(torch.nn.functional.pad(tokens[[2, 0]], (0, 3)), torch.nn.functional.pad(mask[[2, 0]], (0, 3)))
    torch.testing.assert_close(again, expected[[2, 0]])
    more = torch.cat([tokens[[1]], texts(7, seed=1)[0]])
    torch.testing.assert_close(frozen(more, torch.ones_like(more).bool()), free(more, torch.ones_like(more).bool()))
    assert encoded[:2] == [3, 1]


def test_other_weights_are_another_memory(encoded: list[int]) -> None:
    frozen, other = tower(20, frozen=True), tower(21).eval()
    tokens, mask = texts(4, 7)
    before = frozen(tokens, mask)
    frozen.load_state_dict(other.state_dict())
    torch.testing.assert_close(frozen(tokens, mask), other(tokens, mask))
    assert not torch.allclose(before, frozen(tokens, mask))
    count = len(encoded)
    torch.testing.assert_close(tower(20, frozen=True)(tokens, mask), before)  # a second model of the same weights knows it all
    assert len(encoded) == count


def test_what_was_made_for_evaluation_serves_training() -> None:
    frozen, head = tower(30, frozen=True), torch.nn.Linear(8, 1)
    tokens, mask = texts(4, 7)
    with torch.inference_mode():
        frozen(tokens, mask)
    head(frozen(tokens, mask)).sum().backward()
    assert head.weight.grad is not None


def test_phrases_are_remembered_too(encoded: list[int]) -> None:
    frozen = tower(40, frozen=True)
    tokens, mask = texts(3, 4, 3, 5)
    first = frozen.phrases(tokens.view(2, 2, -1), mask.view(2, 2, -1))
    count = len(encoded)
    torch.testing.assert_close(frozen.phrases(tokens.view(2, 2, -1), mask.view(2, 2, -1)), first)
    assert len(encoded) == count


def test_dropout_stays_where_it_is_asked_for(encoded: list[int]) -> None:
    released = tower(50, frozen=True, frozen_dropout=True, dropout=0.5).train()
    tokens, mask = texts(4, 7)
    assert not torch.equal(released(tokens, mask), released(tokens, mask))
    assert not any(p.requires_grad for p in released.parameters())
    quiet = tower(50, frozen=True, dropout=0.5).train()
    assert not any(module.training for module in quiet.modules())
    torch.testing.assert_close(quiet(tokens, mask), released.eval()(tokens, mask))


def test_a_tower_that_learns_remembers_nothing(encoded: list[int]) -> None:
    free = tower(60).eval()
    tokens, mask = texts(4, 7)
    free(tokens, mask)
    free(tokens, mask)
    assert encoded == [2, 2]
