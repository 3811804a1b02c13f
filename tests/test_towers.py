"""The towers: where weights come from, what is refused, and what they give."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from bench.contracts import UsageError
from bench.text import Tokenizer
from models._timm import import_timm
from models._towers import ImageTower, ImageTowerOptions, TextTower, TextTowerOptions

ROOT = Path(__file__).parents[1]
SWIN: dict[str, Any] = {"height": 32, "width": 16, "patch": 4, "window": 2, "embed_dim": 8, "depths": (1, 2, 1), "heads": (1, 2, 4)}
BERT: dict[str, Any] = {"vocab_size": 60, "max_position_embeddings": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 8}
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "man", "in", "red", "shoes"]


@pytest.fixture(autouse=True)
def seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def image_tower(weights: Path | str | None = None, **options: Any) -> ImageTower:
    return ImageTower(ImageTowerOptions(weights=None if weights is None else str(weights), **{**SWIN, **options})).eval()


def text_tower(source: Path | str | None, n_tokens: int = 10, longest: int = 12, **options: Any) -> TextTower:
    return TextTower(TextTowerOptions(source=None if source is None else str(source), **options), n_tokens, longest).eval()


def refusal(error: pytest.ExceptionInfo[UsageError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 480
    return message


# -------------------------------------------------------------------------------------------------------------- image


def test_maps_are_the_last_two_stages() -> None:
    tower = image_tower()
    images = torch.randn(3, 3, 32, 16)
    maps = tower(images)
    assert (tower.width, tower.earlier_width) == (32, 16)
    assert maps.final.shape == (3, 32, 2, 1)
    assert maps.earlier.shape == (3, 16, 4, 2)
    assert maps.window_attention is None
    torch.testing.assert_close(maps.final, tower.swin.forward_features(images).permute(0, 3, 1, 2))


def test_height_comes_before_width() -> None:
    images = torch.zeros(1, 3, 32, 16)
    images[:, :, :16] = 1  # above
    final = image_tower()(images).final[0]  # (D, 2, 1)
    assert not torch.allclose(final[:, 0], final[:, 1])


@pytest.mark.parametrize("kind", ["safetensors", "pth", "pth with its training state"])
def test_weights_come_from_a_local_file(tmp_path: Path, kind: str) -> None:
    ours, images = image_tower(), torch.randn(2, 3, 32, 16)
    state = {**ours.swin.state_dict(), "head.weight": torch.zeros(3, 32)}  # a classifier is passed over
    file = tmp_path / f"swin.{kind.split()[0]}"
    if kind == "safetensors":
        save_file(state, file)
    else:
        torch.save(state if kind == "pth" else {"model": state, "epoch": 3}, file)
    torch.testing.assert_close(image_tower(file)(images).final, ours(images).final, rtol=0, atol=0)


def test_weights_of_a_swin_v2_come_from_a_local_file(tmp_path: Path) -> None:
    options = {"name": "swinv2_tiny_window8_256"}
    ours, images = image_tower(**options), torch.randn(2, 3, 32, 16)
    torch.save(ours.swin.state_dict(), tmp_path / "swin.pth")
    torch.testing.assert_close(image_tower(tmp_path / "swin.pth", **options)(images).final, ours(images).final, rtol=0, atol=0)


class Danger:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (os.environ["DANGER"],)


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DANGER", str(tmp_path / "run"))
    (tmp_path / "swin.pth").write_bytes(pickle.dumps({"model": Danger()}))
    with pytest.raises(UsageError, match=r"cannot read .*swin.pth as weights of this Swin") as error:
        image_tower(tmp_path / "swin.pth")
    refusal(error)
    assert not (tmp_path / "run").exists()


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no file .*none.pth") as error:
        image_tower(tmp_path / "none.pth")
    refusal(error)


@pytest.mark.parametrize(
    ("other", "why"),
    [({"embed_dim": 16}, "size mismatch"), ({"depths": (1, 1, 1)}, r"lacks \d+ tensors of this Swin, for example 'layers")],
)
def test_weights_of_another_architecture_are_refused(tmp_path: Path, other: dict[str, Any], why: str) -> None:
    save_file(image_tower(**other).swin.state_dict(), tmp_path / "swin.safetensors")
    with pytest.raises(UsageError, match=why) as error:
        image_tower(tmp_path / "swin.safetensors")
    refusal(error)


def test_a_file_that_is_no_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "swin.safetensors").write_text("hello")
    with pytest.raises(UsageError, match=r"cannot read .*swin.safetensors") as error:
        image_tower(tmp_path / "swin.safetensors")
    refusal(error)


@pytest.mark.parametrize("name", ["resnet18", "swin_tiny", "vit_tiny_patch16_224"])
def test_what_is_no_swin_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"model.image.name: '{name}' is no Swin of timm") as error:
        image_tower(name=name)
    refusal(error)


@pytest.mark.parametrize("wrong", [{"depths": (1,), "heads": (1,)}, {"heads": (1,)}])
def test_a_swin_that_cannot_be_is_refused_without_talk_of_the_network(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"model\.image") as error:
        image_tower(**wrong)
    assert "network" not in refusal(error)


NAMES = (
    "swin_tiny_patch4_window7_224",
    "swin_small_patch4_window7_224",
    "swin_base_patch4_window7_224",
    "swin_s3_tiny_224",
    "swinv2_tiny_window8_256",
    "swinv2_base_window8_256",
)


@pytest.mark.parametrize("name", NAMES)
def test_any_swin_of_timm_will_do(name: str) -> None:
    side = 256 if "v2" in name else 224
    with torch.device("meta"):
        tower = ImageTower(ImageTowerOptions(name=name, weights=None, height=side, width=side), tap_windows=True)
        maps = tower(torch.zeros(2, 3, side, side))
    assert maps.final.shape == (2, tower.width, side // 32, side // 32)
    assert maps.earlier.shape == (2, tower.earlier_width, side // 16, side // 16)
    assert tower.tap is not None
    assert maps.window_attention is not None
    assert maps.window_attention.shape == (2, tower.tap.n_windows, tower.earlier_width)


@pytest.mark.parametrize("side", [64, 96])
def test_windows_that_the_border_cuts_are_counted(side: int) -> None:
    tower = ImageTower(ImageTowerOptions(**{**SWIN, "weights": None, "height": side, "window": 5, "patch": 4}), tap_windows=True)
    maps = tower(torch.randn(2, 3, side, 16))
    assert tower.tap is not None
    assert maps.window_attention is not None
    assert maps.window_attention.shape == (2, tower.tap.n_windows, 16)


def test_a_frozen_image_tower_still_trains_what_is_not_loaded() -> None:
    tower = ImageTower(ImageTowerOptions(**SWIN, weights=None, frozen=True), tap_windows=True)
    assert [name for name, p in tower.named_parameters() if p.requires_grad] == ["tap.norm.weight", "tap.norm.bias"]


@pytest.mark.slow
def test_the_hub_without_a_network_is_refused() -> None:
    """In a process of its own: the hub's client reads HF_HUB_OFFLINE when it is imported."""
    code = "from models._towers import *\nImageTower(ImageTowerOptions())"
    said = offline(code)
    assert "UsageError: model.image: timm cannot build 'swin_tiny_patch4_window7_224' with weights 'hub'" in said
    assert "--set model.image.weights=FILE" in said


def offline(code: str) -> str:
    """The last line of standard error of a process without a hub and without a cache."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": "nowhere", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert done.returncode == 1
    return done.stderr.strip().splitlines()[-1]


def test_timm_and_transformers_can_be_imported_whatever_torchvision_is() -> None:
    """In this process it is imported already: at least it answers, and again."""
    assert import_timm() is import_timm()
    assert hasattr(import_timm(), "create_model")


def test_an_import_that_fails_for_another_reason_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def find_spec(self, name: str, *_: Any) -> None:
            if name == "timm":
                raise RuntimeError("something else")

    monkeypatch.delitem(sys.modules, "timm")
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(RuntimeError, match="something else"):
        import_timm()


# --------------------------------------------------------------------------------------------------------------- text


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
    import json

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
    said = offline("from models._towers import *\nTextTower(TextTowerOptions(), 30522, 118)")
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
