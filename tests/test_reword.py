"""Captions changed at random, with their phrases; and which words the data uses alike."""

from __future__ import annotations

from random import Random

import pytest
import torch

from bench._augment_options import AugmentOptions
from bench.contracts import InputSpec
from bench.phrases import Phrase, noun_phrases
from bench.reword import Edit, Reworder, dropped, edited, exchanged, learn_synonyms, reordered
from bench.text import Tokenizer, encode_captions

CAPTION = "A man in an overcoat and grey pants. He has a red bag."
CAPTIONS = [
    CAPTION,
    "The guy wears a coat and gray trousers.",
    "A tall man in an overcoat, grey pants and shoes.",
    "This man has a coat, gray trousers and a shoe.",
    "A woman in a pink dress.",
]
PIDS = [1, 1, 2, 2, 3]
SPEC = InputSpec(8, 4, (0.5,) * 3, (0.5,) * 3, max_tokens=24, max_phrases=4)


def spoken(phrases: tuple[Phrase, ...]) -> list[str]:
    return [phrase.text for phrase in phrases]


def sound(caption: str, phrases: tuple[Phrase, ...]) -> bool:
    return all(caption[phrase.start : phrase.end] == phrase.text and phrase.text.strip() == phrase.text != "" for phrase in phrases)


class TestEdits:
    def test_by_hand(self) -> None:
        caption, phrases = edited("a red coat", (Phrase("red coat", 2, 10),), [Edit(0, 1, "the"), Edit(6, 10, "overcoat")])
        assert caption == "the red overcoat"
        assert phrases == (Phrase("red overcoat", 4, 16),)

    def test_a_phrase_of_which_nothing_is_left_is_gone(self) -> None:
        caption, phrases = edited("red coat, bag", (Phrase("red coat", 0, 8), Phrase("bag", 10, 13)), [Edit(0, 4, ""), Edit(4, 8, "")])
        assert (caption, spoken(phrases)) == (", bag", ["bag"])

    def test_no_edit_changes_nothing(self) -> None:
        assert edited(CAPTION, noun_phrases(CAPTION), []) == (CAPTION, noun_phrases(CAPTION))

    def test_phrases_stay_where_their_words_are(self) -> None:
        """Of random edits: what a phrase says is what its words have become."""
        for seed in range(200):
            edits = dropped(CAPTION, Random(seed), share=0.4)
            caption, phrases = edited(CAPTION, noun_phrases(CAPTION), edits)
            assert sound(caption, phrases)
            gone = {place for edit in edits for place in range(edit.start, edit.end)}
            kept = ["".join(CAPTION[p] for p in range(old.start, old.end) if p not in gone).strip() for old in noun_phrases(CAPTION)]
            assert spoken(phrases) == [text for text in kept if text]


class TestDropping:
    def test_a_word_is_always_left(self) -> None:
        for seed in range(20):
            assert edited("red coat", (), dropped("red coat", Random(seed), share=0.999))[0] in ("red ", "coat", "red coat")

    def test_as_many_as_asked(self) -> None:
        gone = sum(len(dropped(CAPTION, Random(seed), share=0.25)) for seed in range(300))
        assert gone / 300 == pytest.approx(0.25 * len(CAPTION.split()), rel=0.05)

    def test_a_caption_without_words(self) -> None:
        assert dropped("...", Random(0), share=0.5) == []


class TestReordering:
    def test_sentences_and_phrases_are_the_same_ones(self) -> None:
        seen = set()
        for seed in range(50):
            caption, phrases = reordered(CAPTION, noun_phrases(CAPTION), Random(seed))
            assert sorted(caption) == sorted(CAPTION)
            assert sound(caption, phrases)
            assert sorted(spoken(phrases)) == sorted(spoken(noun_phrases(CAPTION)))
            seen.add((caption, *spoken(phrases)))
        assert {caption for caption, *_ in seen} == {CAPTION, "He has a red bag. A man in an overcoat and grey pants."}
        assert len(seen) > 20

    def test_no_space_after_a_stop(self) -> None:
        caption, _ = reordered("A red coat.His bag", (), Random(1))
        assert caption in ("A red coat. His bag", "His bag A red coat.")

    @pytest.mark.parametrize("caption", ["", "...", "one sentence"])
    def test_little_to_reorder(self, caption: str) -> None:
        assert reordered(caption, noun_phrases(caption), Random(0))[0] in (caption, "")


class TestSynonyms:
    def test_what_two_identities_use_alike(self) -> None:
        assert learn_synonyms(CAPTIONS, PIDS) == {
            (("garment", "coat"), "coat"): {"overcoat": 2},
            (("garment", "coat"), "overcoat"): {"coat": 2},
            (("garment", "trousers"), "pants"): {"trousers": 2},
            (("garment", "trousers"), "trousers"): {"pants": 2},
            (("colour", "grey"), "grey"): {"gray": 2},
            (("colour", "grey"), "gray"): {"grey": 2},
        }

    def test_what_says_more_stands_for_nothing(self) -> None:
        known = learn_synonyms(["a jacket", "a leather jacket"] * 2, [1, 1, 2, 2])
        assert known == {(("garment", "jacket"), "leather jacket"): {"jacket": 2}}

    def test_what_is_rare_stands_for_nothing(self) -> None:
        captions = ["a black hat", "a balck hat"] * 2 + ["a black hat"] * 100
        assert learn_synonyms(captions, [1, 1, 2, 2, *range(3, 103)]) == {(("colour", "black"), "balck"): {"black": 102}}

    def test_one_identity_is_not_enough(self) -> None:
        assert learn_synonyms(CAPTIONS, [1, 1, 2, 3, 4]) == {}

    def test_singular_stays_singular(self) -> None:
        assert not [term for (_, term) in learn_synonyms(CAPTIONS * 2, [1] * 5 + [2] * 5) if term.startswith("shoe")]

    def test_all_are_exchanged_with_their_articles(self) -> None:
        edits = exchanged(CAPTION, noun_phrases(CAPTION), learn_synonyms(CAPTIONS, PIDS), Random(0), share=1)
        caption, phrases = edited(CAPTION, noun_phrases(CAPTION), edits)
        assert caption == "A man in a coat and gray trousers. He has a red bag."
        assert spoken(phrases) == spoken(noun_phrases(caption))

    @pytest.mark.parametrize(("old", "new"), [("GREY PANTS", "GRAY TROUSERS"), ("Grey pants", "Gray trousers"), ("A coat", "An overcoat")])
    def test_capitals_stay(self, old: str, new: str) -> None:
        assert edited(old, (), exchanged(old, (), learn_synonyms(CAPTIONS, PIDS), Random(0), share=1))[0] == new

    def test_no_phrase_is_cut_through(self) -> None:
        known = {(("garment", "down jacket"), "down jacket"): {"puffer jacket": 2}}
        assert exchanged("a down jacket", (Phrase("jacket", 7, 13),), known, Random(0), share=1) == []


class TestReworder:
    def reworder(self, **options: float) -> Reworder:
        tokenizer = Tokenizer.train(CAPTIONS, 200)
        phrases = [noun_phrases(caption) for caption in CAPTIONS]
        return Reworder(CAPTIONS, phrases, PIDS, tokenizer=tokenizer, spec=SPEC, options=AugmentOptions.model_validate(options))

    def test_a_caption_depends_on_its_seed_alone(self) -> None:
        reworder = self.reworder(drop_words=0.3, reorder=0.5, synonyms=0.5)
        rows, seeds = torch.tensor([0, 3, 0, 1]), ["a", "b", "c", "a"]
        together = reworder(rows, seeds)
        for place, seed in enumerate(seeds):
            alone = reworder(rows[place : place + 1], [seed])
            mask, own = together.token_mask[place], alone.token_mask[0]
            assert together.tokens[place][mask].tolist() == alone.tokens[0][own].tolist()
            assert together.phrase_mask[place].tolist() == alone.phrase_mask[0].tolist()
        assert together.tokens[0].tolist() != together.tokens[2].tolist()

    def test_nothing_asked_for_nothing_changed(self) -> None:
        tokenizer = Tokenizer.train(CAPTIONS, 200)
        captions = self.reworder()(torch.arange(5), "abcde")
        expected = encode_captions(CAPTIONS, tokenizer, SPEC, [noun_phrases(caption) for caption in CAPTIONS])
        assert all(torch.equal(mine, theirs) for mine, theirs in zip(vars(captions).values(), vars(expected).values(), strict=True))

    def test_a_model_without_phrases(self) -> None:
        spec = InputSpec(8, 4, (0.5,) * 3, (0.5,) * 3)
        reworder = Reworder(CAPTIONS, [], PIDS, tokenizer=Tokenizer.train(CAPTIONS, 200), spec=spec, options=AugmentOptions(drop_words=0.5))
        assert reworder(torch.tensor([1, 2]), ["a", "b"]).phrases.shape[1] == 0
