"""The tokenizer, and captions as tensors."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from bench import text
from bench._wordpiece import learn_pieces
from bench.contracts import InputSpec, UsageError
from bench.phrases import Phrase, noun_phrases, phrases_of
from bench.text import Tokenizer, encode_captions

CAPTIONS = [
    "A tall man with short grey hair wears a blue and white striped shirt, black pants and white shoes.",
    "The woman is carrying a red umbrella. She has long, dark hair.",
    "He walks along the street.",
    "A girl in a light green dress holds a small brown bag in her left hand.",
    "she is there",
]


def spec(**changes: object) -> InputSpec:
    return InputSpec(**{"height": 8, "width": 4, "mean": (0.5,) * 3, "std": (0.5,) * 3, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(CAPTIONS, 200)


def learn_slowly(words: dict[str, int], size: int) -> list[str]:
    """Counts every pair of every word anew for each merge."""
    spelling = {word: [word[0], *("##" + letter for letter in word[1:])] for word in words}
    pieces = sorted({piece for spelled in spelling.values() for piece in spelled})
    while len(pieces) < size:
        counts: Counter[tuple[str, str]] = Counter()
        for word, spelled in spelling.items():
            for pair in pairwise(spelled):
                counts[pair] += words[word]
        if not counts or max(counts.values()) < 2:
            break
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        joined = best[0] + best[1][2:]
        pieces += [joined] if joined not in pieces else []
        spelling = {word: joined_once_more(spelled, best, joined) for word, spelled in spelling.items()}
    return pieces


def joined_once_more(spelled: list[str], pair: tuple[str, str], joined: str) -> list[str]:
    for place in range(len(spelled) - 1):
        if (spelled[place], spelled[place + 1]) == pair:
            return joined_once_more([*spelled[:place], joined, *spelled[place + 2 :]], pair, joined)
    return spelled


class TestTokenizer:
    def test_pieces_equal_their_slow_twin(self) -> None:
        letters = random.Random(3)
        words = {"".join(letters.choices("abc", k=letters.randint(1, 9))): letters.randint(1, 20) for _ in range(60)}
        assert learn_pieces(words, 80) == learn_slowly(words, 80)
        assert learn_pieces({"aaaaa": 3, "aa": 1}, 50) == learn_slowly({"aaaaa": 3, "aa": 1}, 50)

    def test_order_of_captions_plays_no_part(self) -> None:
        shuffled = random.Random(1).sample(CAPTIONS, len(CAPTIONS))
        one, other = Tokenizer.train(CAPTIONS, 60), Tokenizer.train(shuffled, 60)
        assert torch.equal(one.encode(CAPTIONS, 64)[0], other.encode(CAPTIONS, 64)[0])
        assert len(one) == len(other) > 50

    def test_vocabulary_stays_below_its_bound(self) -> None:
        assert [len(Tokenizer.train(CAPTIONS, size)) <= size for size in (6, 20, 60, 5000)] == [True] * 4
        with pytest.raises(UsageError, match="vocabulary_size must be above 5"):
            Tokenizer.train(CAPTIONS, 5)

    def test_encoding(self, tokenizer: Tokenizer) -> None:
        tokens, mask = tokenizer.encode(["SHE is there", "A tall man with"], 64)
        assert tokens.dtype == torch.int64
        assert mask.dtype == torch.bool
        assert tokens.shape == mask.shape
        assert (tokens[:, 0] == 2).all()  # [CLS]
        assert tokens[0][mask[0]][-1] == 3  # [SEP]
        assert torch.equal(tokens == 0, ~mask)
        assert torch.equal(tokens, tokenizer.encode(["she is there", "a tall man with"], 64)[0])
        assert tokens.max() < len(tokenizer)

    def test_a_long_text_is_cut_and_keeps_its_end_mark(self, tokenizer: Tokenizer) -> None:
        tokens, mask = tokenizer.encode([CAPTIONS[0], "red"], 6)
        assert tokens.shape == (2, 6)
        assert tokens[0, -1] == 3
        assert mask[0].all()
        assert torch.equal(tokens[0, :-1], tokenizer.encode(CAPTIONS[:1], 64)[0][0, :5])
        with pytest.raises(UsageError, match="max_tokens must be at least 3"):
            tokenizer.encode(["red"], 2)

    def test_unknown_letters_and_no_texts(self, tokenizer: Tokenizer) -> None:
        assert tokenizer.encode(["ж"], 8)[0].tolist() == [[2, 1, 3]]
        assert [part.shape for part in tokenizer.encode([], 8)] == [(0, 0), (0, 0)]

    def test_saved_and_loaded_it_is_the_same(self, tokenizer: Tokenizer, tmp_path: Path) -> None:
        tokenizer.save(tmp_path / "one")
        tokenizer.encode(CAPTIONS, 5)  # what was encoded leaves no trace in the file
        tokenizer.save(tmp_path / "two")
        again = Tokenizer.load(tmp_path / "one")
        again.save(tmp_path / "three")
        files = [(tmp_path / name / "tokenizer.json").read_bytes() for name in ("one", "two", "three")]
        assert files[0] == files[1] == files[2]
        assert torch.equal(again.encode(CAPTIONS, 64)[0], tokenizer.encode(CAPTIONS, 64)[0])
        assert len(again) == len(tokenizer)

    def test_a_folder_without_tokenizer(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="no tokenizer can be read") as caught:
            Tokenizer.load(tmp_path)
        assert "\n" not in str(caught.value)

    def test_a_pretrained_folder(self, tokenizer: Tokenizer, tmp_path: Path) -> None:
        """A BERT vocabulary as the hub lays it out; transformers builds the tokenizer."""
        transformers = pytest.importorskip("transformers")
        vocabulary = tmp_path / "vocab.txt"
        vocabulary.write_text("\n".join(["[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "coat", "##s", "[PAD]"]))
        transformers.BertTokenizerFast(str(vocabulary)).save_pretrained(str(tmp_path / "bert"))
        transformers.BertConfig(vocab_size=8).save_pretrained(str(tmp_path / "bert"))
        pretrained = Tokenizer.pretrained(str(tmp_path / "bert"))
        pretrained.save(tmp_path / "kept")
        for one in (pretrained, Tokenizer.load(tmp_path / "kept")):
            tokens, mask = one.encode(["Red coats", "red"], 16)
            padding = one.padding_id
            assert mask.tolist() == [[True] * 5, [True] * 3 + [False] * 2]
            assert tokens[1, 3:].tolist() == [padding, padding]
            assert tokens[0].unique().numel() == 5
            assert len(one) > int(tokens.max())

    @pytest.mark.parametrize("name", ["{folder}", "{folder}/missing", "nobody/nothing"])
    def test_no_pretrained_tokenizer_is_one_line(self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(text, "_may_be_on_hub", lambda name: False)  # tests ask no network
        with pytest.raises(UsageError, match="did not give it") as caught:
            Tokenizer.pretrained(name.format(folder=tmp_path))
        assert "hf download" in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_only_hub_ids_are_asked_of_the_hub(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "folder").mkdir()
        asked = [name for name in ("bert-base", "own/bert_1.0", "folder", "./x", "../x", "/x/y", "a/b/c", "") if text._may_be_on_hub(name)]
        assert asked == ["bert-base", "own/bert_1.0"]


class TestEncodeCaptions:
    @pytest.mark.parametrize("filler", [None, "[PAD]"])
    def test_equals_its_slow_twin(self, tokenizer: Tokenizer, filler: str | None) -> None:
        wanted = spec(max_tokens=16, max_phrases=3, max_phrase_tokens=5, phrase_filler=filler)
        phrases = phrases_of(CAPTIONS)
        captions = encode_captions(CAPTIONS, tokenizer, wanted, phrases)
        assert torch.equal(captions.tokens, tokenizer.encode(CAPTIONS, 16)[0])
        assert captions.phrases.shape == (5, 3, 5)
        for row, caption in enumerate(CAPTIONS):
            texts = [phrase.text for phrase in phrases[row]][:3] or [caption]
            for place in range(3):
                there = place < len(texts)
                assert captions.phrase_mask[row, place] == there
                tokens = self.tokens_of(tokenizer, texts[place] if there else filler)
                mask = captions.phrase_token_mask[row, place]
                assert captions.phrases[row, place][mask].tolist() == tokens
                assert captions.phrases[row, place].tolist() == tokens + [0] * (5 - len(tokens))

    @staticmethod
    def tokens_of(tokenizer: Tokenizer, said: str | None) -> list[int]:
        return [] if said is None else tokenizer.encode([said], 5)[0][0].tolist()

    def test_no_caption_is_without_a_phrase(self, tokenizer: Tokenizer) -> None:
        assert noun_phrases(CAPTIONS[-1]) == ()
        captions = encode_captions(CAPTIONS, tokenizer, spec(max_phrases=2), phrases_of(CAPTIONS))
        assert captions.phrase_mask[:, 0].all()

    def test_a_model_without_phrases_gets_none(self, tokenizer: Tokenizer) -> None:
        captions = encode_captions(CAPTIONS, tokenizer, spec(), [])
        assert captions.phrases.shape[:2] == captions.phrase_mask.shape == (5, 0)
        assert captions.phrase_token_mask.shape == captions.phrases.shape
        assert len(captions[torch.tensor([0, 3])]) == 2

    def test_no_captions(self, tokenizer: Tokenizer) -> None:
        assert len(encode_captions([], tokenizer, spec(max_phrases=2), [])) == 0

    def test_phrases_of_other_captions_are_refused(self, tokenizer: Tokenizer) -> None:
        with pytest.raises(ValueError, match="zip"):
            encode_captions(CAPTIONS, tokenizer, spec(max_phrases=2), [(Phrase("she", 0, 3),)])
