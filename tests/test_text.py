"""Noun phrases, the tokenizer, and captions as tensors."""

from __future__ import annotations

import json
import random
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from bench import text
from bench._wordpiece import learn_pieces
from bench.contracts import InputSpec, UsageError, silently
from bench.text import Phrase, Tokenizer, encode_captions, noun_phrases, phrases_of

CAPTIONS = [
    "A tall man with short grey hair wears a blue and white striped shirt, black pants and white shoes.",
    "The woman is carrying a red umbrella. She has long, dark hair.",
    "He walks along the street.",
    "A girl in a light green dress holds a small brown bag in her left hand.",
    "she is there",
]


def spec(**changes: object) -> InputSpec:
    return InputSpec(**{"height": 8, "width": 4, "mean": (0.5,) * 3, "std": (0.5,) * 3, **changes})  # type: ignore[arg-type]


def found(caption: str) -> list[str]:
    return [phrase.text for phrase in noun_phrases(caption)]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(CAPTIONS, 200)


class TestNounPhrases:
    @pytest.mark.parametrize(
        ("caption", "phrases"),
        [
            ("The man wears a blue and white striped shirt.", ["man", "blue and white striped shirt"]),
            ("black pants and white shoes", ["black pants", "white shoes"]),
            ("A woman with long, dark hair", ["woman", "long, dark hair"]),
            ("wearing a red shirt.His shoes are grey", ["red shirt", "shoes"]),
            ("THE WOMAN CARRIES A PURPLE BAG", ["WOMAN", "PURPLE BAG"]),
            ("a person in a cream-colored t-shirt", ["person", "cream-colored t-shirt"]),
            ("the man's left hand", ["man's left hand"]),
            ("the man’s left hand", ["man’s left hand"]),
            ("THE WOMAN'S LEFT HAND", ["WOMAN'S LEFT HAND"]),
            ("a long black down jacket", ["long black down jacket"]),
            ("walking down the road", ["road"]),
            ("He is holding it with both of his hands.", ["hands"]),
            ("She looks at her phone", ["phone"]),
            ("a walking man who is walking home", ["walking man", "home"]),
            ("a knee length brown skirt", ["knee length brown skirt"]),
            ("he has a bag on his back and shoulders", ["bag", "back", "shoulders"]),
            ("brown sneakers white soles", ["brown sneakers", "white soles"]),
            ("two very small dogs on the left", ["two very small dogs", "left"]),
            ("he has it", []),
            ("", []),
            ("  ...,, 's", []),
            ("穿红衣服", ["穿红衣服"]),
        ],
    )
    def test_examples(self, caption: str, phrases: list[str]) -> None:
        assert found(caption) == phrases

    def test_spans_are_of_the_caption_in_order_and_apart(self) -> None:
        for caption in CAPTIONS:
            phrases = noun_phrases(caption)
            assert all(caption[phrase.start : phrase.end] == phrase.text for phrase in phrases)
            assert all(one.end <= following.start for one, following in pairwise(phrases))

    def test_capitals_change_nothing(self) -> None:
        for caption in CAPTIONS:
            assert found(caption.upper()) == [phrase.upper() for phrase in found(caption)]

    def test_a_very_long_caption_takes_linear_time(self) -> None:
        assert len(noun_phrases("red, " * 20_000 + "coat")) == 1  # a pattern that backtracks without bound takes minutes


class TestPhraseCache:
    def test_the_second_call_reads_the_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        first = phrases_of(CAPTIONS, tmp_path / "new", silently)
        assert first == [noun_phrases(caption) for caption in CAPTIONS]
        monkeypatch.setattr(text, "noun_phrases", lambda caption: pytest.fail("was not read from the cache"))
        assert phrases_of(CAPTIONS, tmp_path / "new", silently) == first

    def test_other_captions_have_another_file(self, tmp_path: Path) -> None:
        phrases_of(CAPTIONS, tmp_path)
        phrases_of(CAPTIONS[:-1], tmp_path)
        phrases_of([*CAPTIONS[:-2], CAPTIONS[-2] + CAPTIONS[-1]], tmp_path)
        assert len(list(tmp_path.iterdir())) == 3

    def test_another_extractor_has_another_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        phrases_of(CAPTIONS, tmp_path)
        monkeypatch.setattr(text, "PHRASES_VERSION", "another")
        phrases_of(CAPTIONS, tmp_path)
        assert len(list(tmp_path.iterdir())) == 2

    @pytest.mark.parametrize("damage", ["cut", "not json", "a list", "key", "count", "span", "type"])
    def test_a_damaged_file_is_written_anew(self, tmp_path: Path, damage: str) -> None:
        expected = phrases_of(CAPTIONS, tmp_path)
        (file,) = tmp_path.iterdir()
        whole = file.read_text()
        kept = json.loads(whole)
        spans = {
            "count": kept["spans"][1:],
            "span": [[[0, 10_000]], *kept["spans"][1:]],
            "type": [[[0.0, 1]], *kept["spans"][1:]],
        }
        content = {"cut": whole[:-9], "not json": "\x00", "a list": "[]", "key": json.dumps({**kept, "key": "another"})}
        file.write_text(content[damage] if damage in content else json.dumps({**kept, "spans": spans[damage]}))
        assert phrases_of(CAPTIONS, tmp_path) == expected
        assert file.read_text() == whole

    def test_an_unwritable_folder_costs_the_caching_only(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        assert phrases_of(CAPTIONS, tmp_path / "file") == phrases_of(CAPTIONS)
        assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


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
        assert found(CAPTIONS[-1]) == []
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
