"""The text tower: where its weights come from, what is refused, and what it gives."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.contracts import UsageError
from bench.text import Tokenizer
from models._text_tower import TextTower, TextTowerOptions
from models._timm import import_timm
from tests.test_towers import Danger, offline, refusal

BERT: dict[str, Any] = {"vocab_size": 60, "max_position_embeddings": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 8}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "man", "in", "red", "shoes"]


@pytest.fixture(autouse=True)
def seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def text_tower(source: Path | str | None, n_tokens: int = 10, longest: int = 12, **options: Any) -> TextTower:
    return TextTower(TextTowerOptions(source=None if source is None else str(source), **options), n_tokens, longest).eval()


def saved_encoder(folder: Path, kind: str = "bert", **changes: Any) -> Any:
    """A tiny random encoder with random biases, saved as a pretrained one."""
    import_timm()
    import transformers as tr

    classes = {
        "bert": ("BertConfig", "BertModel"),
        "roberta": ("RobertaConfig", "RobertaModel"),
        "distilbert": ("DistilBertConfig", "DistilBertModel"),
    }
    config_class, model_class = (getattr(tr, name) for name in classes[kind])
    values = {"dim": 8, "n_heads": 2, "n_layers": 1, "hidden_dim": 16, "vocab_size": 60, "max_position_embeddings": 32}
    if kind != "distilbert":
        values = {**BERT, "intermediate_size": 16}
    encoder = model_class(config_class(**{**values, **changes}))
    encoder.save_pretrained(folder)
    return encoder.eval()


def token_batch(pad: int = 0) -> tuple[Tensor, Tensor]:
    tokens = torch.tensor([[2, 7, 8, 3, pad, pad], [2, 9, 5, 6, 7, 3], [2, 5, 3, pad, pad, pad]])
    mask = torch.arange(6) < torch.tensor([[4], [6], [3]])
    return tokens, mask


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert"])
def test_an_encoder_comes_from_a_local_folder(tmp_path: Path, kind: str) -> None:
    encoder = saved_encoder(tmp_path, kind)
    pad = encoder.config.pad_token_id
    tokens, mask = token_batch(pad)
    states = encoder(input_ids=tokens, attention_mask=mask.long()).last_hidden_state
    torch.testing.assert_close(text_tower(tmp_path)(tokens, mask), states[:, 0], rtol=0, atol=0)
    mean = torch.stack([row[there].mean(dim=0) for row, there in zip(states, mask, strict=True)])
    torch.testing.assert_close(text_tower(tmp_path, pooling="mean")(tokens, mask), mean)


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert"])
def test_all_of_an_encoder_is_used(tmp_path: Path, kind: str) -> None:
    """Nothing of it, its pooler for one, is left without a gradient."""
    saved_encoder(tmp_path, kind)
    tower = text_tower(tmp_path)
    tower(*token_batch()).sum().backward()
    assert [name for name, p in tower.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert"])
@pytest.mark.parametrize("pad", [0, 1, 7])
def test_the_token_that_pads_plays_no_part(tmp_path: Path, kind: str, pad: int) -> None:
    """RoBERTa counts places from behind its padding id (1), which is not the others' (0)."""
    saved_encoder(tmp_path, kind)
    tower = text_tower(tmp_path)
    tokens, mask = token_batch(pad)
    alone = torch.cat([tower(row[None, there], there[None, there]) for row, there in zip(tokens, mask, strict=True)])
    torch.testing.assert_close(tower(tokens, mask), alone, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(tower.phrases(tokens[None], mask[None])[0], alone, rtol=1e-5, atol=1e-6)


def test_a_folder_with_its_tokenizer(tmp_path: Path) -> None:
    import_timm()
    from transformers import BertTokenizerFast

    encoder = saved_encoder(tmp_path, vocab_size=len(WORDS))
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizerFast.from_pretrained(tmp_path).save_pretrained(tmp_path)
    tokenizer = Tokenizer.pretrained(str(tmp_path))
    tokens, mask = tokenizer.encode(["a man in red shoes", "a man"], 12)
    assert tokens.tolist() == [[2, 5, 6, 7, 8, 9, 3], [2, 5, 6, 3, 0, 0, 0]]
    expected = encoder(input_ids=tokens, attention_mask=mask.long()).last_hidden_state[:, 0]
    torch.testing.assert_close(text_tower(tmp_path, n_tokens=len(tokenizer))(tokens, mask), expected)


def test_half_precision_weights_are_trained_in_float32(tmp_path: Path) -> None:
    saved_encoder(tmp_path).half().save_pretrained(tmp_path)
    assert {p.dtype for p in text_tower(tmp_path).parameters()} == {torch.float32}


def test_weights_with_another_head_are_taken_without_it(tmp_path: Path) -> None:
    import_timm()
    from transformers import BertConfig, BertForMaskedLM

    encoder = BertForMaskedLM(BertConfig(**BERT)).eval()
    encoder.save_pretrained(tmp_path)
    tokens, mask = token_batch()
    expected = encoder.bert(input_ids=tokens, attention_mask=mask.long()).last_hidden_state[:, 0]
    torch.testing.assert_close(text_tower(tmp_path)(tokens, mask), expected)


def test_loading_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    test_weights_with_another_head_are_taken_without_it(tmp_path)
    assert "UNEXPECTED" not in capfd.readouterr().err


def changed_config(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_weights_that_are_not_whole_are_refused(tmp_path: Path) -> None:
    saved_encoder(tmp_path)
    changed_config(tmp_path, num_hidden_layers=2)
    with pytest.raises(UsageError, match=r"lacks 16 tensors of its encoder, for example 'encoder.layer.1") as error:
        text_tower(tmp_path)
    refusal(error)


def test_weights_of_another_size_are_refused(tmp_path: Path) -> None:
    saved_encoder(tmp_path)
    changed_config(tmp_path, hidden_size=16)
    with pytest.raises(UsageError, match=r"model.text.source: cannot load") as error:
        text_tower(tmp_path)
    refusal(error)


def test_a_pickled_encoder_with_code_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DANGER", str(tmp_path / "run"))
    saved_encoder(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(Danger()))
    with pytest.raises(UsageError, match=r"model.text.source: cannot load") as error:
        text_tower(tmp_path)
    refusal(error)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("broken", ["no folder", "empty", "no weights", "cut off"])
def test_a_folder_that_holds_no_encoder_is_refused(tmp_path: Path, broken: str) -> None:
    folder = tmp_path / "bert"
    if broken == "empty":
        folder.mkdir()
    elif broken != "no folder":
        saved_encoder(folder)
        file = folder / "model.safetensors"
        file.write_bytes(file.read_bytes()[:100]) if broken == "cut off" else file.unlink()
    with pytest.raises(UsageError, match=r"model.text.source: cannot load") as error:
        text_tower(folder)
    assert "--set model.text.source=FOLDER" in refusal(error)


@pytest.mark.slow
def test_the_text_hub_without_a_network_is_refused() -> None:
    said = offline("from models._text_tower import *\nTextTower(TextTowerOptions(), 30522, 118)")
    assert "UsageError: model.text.source: cannot load 'google-bert/bert-base-uncased'" in said


@pytest.mark.parametrize(("kind", "places"), [("bert", 32), ("roberta", 30), ("distilbert", 32)])
def test_texts_longer_than_the_encoder_can_place_are_refused(tmp_path: Path, kind: str, places: int) -> None:
    saved_encoder(tmp_path, kind)
    tower = text_tower(tmp_path, longest=places)
    tokens = torch.full((1, places), 5)
    assert tower(tokens, torch.ones_like(tokens).bool()).isfinite().all()
    with pytest.raises(UsageError, match=rf"texts of {places}, .* longest text {places + 1} tokens") as error:
        text_tower(tmp_path, longest=places + 1)
    refusal(error)


def test_a_tokenizer_with_more_tokens_than_the_encoder_is_refused(tmp_path: Path) -> None:
    saved_encoder(tmp_path)
    with pytest.raises(UsageError, match=r"room for 60 different tokens .* the tokenizer has 61"):
        text_tower(tmp_path, n_tokens=61)


def test_width_and_heads_from_scratch_must_fit() -> None:
    with pytest.raises(UsageError, match=r"model.text.width must be a multiple of model.text.heads, but got 10 and 4"):
        text_tower(None, width=10, heads=4)


def test_from_scratch_has_room_for_the_longest_text() -> None:
    tower = text_tower(None, longest=90, width=8, heads=2, layers=1)
    tokens = torch.full((1, 90), 5)
    assert tower(tokens, torch.ones_like(tokens).bool()).shape == (1, 8)


def test_frozen_text_tower() -> None:
    assert not any(p.requires_grad for p in text_tower(None, frozen=True, width=8, heads=2).parameters())


# ------------------------------------------------------------------------------------------------------------- phrases


def phrase_batch() -> tuple[Tensor, Tensor]:
    """(3, 2, 4) with a phrase that recurs, one that is another's beginning, and empty slots."""
    phrases = torch.tensor(
        [[[2, 5, 3, 0], [2, 5, 6, 3]], [[2, 5, 3, 0], [0, 0, 0, 0]], [[2, 5, 3, 9], [2, 0, 3, 0]]]  # 9 is masked; the last has a real 0
    )
    mask = torch.tensor([[[1, 1, 1, 0], [1, 1, 1, 1]], [[1, 1, 1, 0], [0, 0, 0, 0]], [[1, 1, 1, 0], [1, 1, 1, 0]]]).bool()
    return phrases, mask


def test_phrases_are_as_if_each_were_encoded_for_itself() -> None:
    tower = text_tower(None, width=8, heads=2)
    phrases, mask = phrase_batch()
    vectors = tower.phrases(phrases, mask)
    for t in range(3):
        for p in range(2):
            there = mask[t, p]
            alone = tower(phrases[t, p][there][None], there[there][None])[0] if there.any() else torch.zeros(8)
            torch.testing.assert_close(vectors[t, p], alone)


def test_each_different_phrase_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tower = text_tower(None, width=8, heads=2)
    seen: list[int] = []
    tower.bert.register_forward_pre_hook(lambda _, __, given: seen.append(len(given["input_ids"])), with_kwargs=True)
    vectors = tower.phrases(*phrase_batch())
    assert seen == [3]
    assert torch.equal(vectors[0, 0], vectors[2, 0])


def test_gradient_of_recurring_phrases_adds_up() -> None:
    tower = text_tower(None, width=8, heads=2)
    phrases, mask = phrase_batch()
    weight = torch.randn(3, 2, 8)
    (tower.phrases(phrases, mask) * weight).sum().backward()
    ours = tower.bert.embeddings.word_embeddings.weight.grad.clone()
    tower.zero_grad()
    for t in range(3):
        for p in range(2):
            if mask[t, p].any():
                (tower(phrases[t, p][None], mask[t, p][None])[0] * weight[t, p]).sum().backward()
    torch.testing.assert_close(ours, tower.bert.embeddings.word_embeddings.weight.grad)


def test_no_phrase_at_all_gives_zeros() -> None:
    tower = text_tower(None, width=8, heads=2)
    nothing = torch.zeros(2, 3, 4, dtype=torch.int64)
    assert torch.equal(tower.phrases(nothing, nothing.bool()), torch.zeros(2, 3, 8))
    assert tower.phrases(nothing[:, :, :0], nothing[:, :, :0].bool()).shape == (2, 3, 8)
