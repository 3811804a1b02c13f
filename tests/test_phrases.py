"""Noun phrases by rules and by spaCy, their cache, and how well two extractors agree."""

from __future__ import annotations

import json
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest

from bench import phrases
from bench.contracts import UsageError, silently
from bench.phrases import Phrase, agreement, noun_phrases, phrases_of

CAPTIONS = [
    "A tall man with short grey hair wears a blue and white striped shirt, black pants and white shoes.",
    "The woman is carrying a red umbrella. She has long, dark hair.",
    "He walks along the street.",
    "A girl in a light green dress holds a small brown bag in her left hand.",
    "she is there",
]


def found(caption: str) -> list[str]:
    return [phrase.text for phrase in noun_phrases(caption)]


class TestNounPhrases:
    @pytest.mark.parametrize(
        ("caption", "said"),
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
    def test_examples(self, caption: str, said: list[str]) -> None:
        assert found(caption) == said

    def test_spans_are_of_the_caption_in_order_and_apart(self) -> None:
        for caption in CAPTIONS:
            spans = noun_phrases(caption)
            assert all(caption[phrase.start : phrase.end] == phrase.text for phrase in spans)
            assert all(one.end <= following.start for one, following in pairwise(spans))

    def test_capitals_change_nothing(self) -> None:
        for caption in CAPTIONS:
            assert found(caption.upper()) == [phrase.upper() for phrase in found(caption)]

    def test_a_very_long_caption_takes_linear_time(self) -> None:
        assert len(noun_phrases("red, " * 20_000 + "coat")) == 1  # a pattern that backtracks without bound takes minutes


class TestPhraseCache:
    def test_the_second_call_reads_the_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        first = phrases_of(CAPTIONS, tmp_path / "new", silently)
        assert first == [noun_phrases(caption) for caption in CAPTIONS]
        monkeypatch.setattr(phrases, "noun_phrases", lambda caption: pytest.fail("was not read from the cache"))
        assert phrases_of(CAPTIONS, tmp_path / "new", silently) == first

    def test_other_captions_have_another_file(self, tmp_path: Path) -> None:
        phrases_of(CAPTIONS, tmp_path)
        phrases_of(CAPTIONS[:-1], tmp_path)
        phrases_of([*CAPTIONS[:-2], CAPTIONS[-2] + CAPTIONS[-1]], tmp_path)
        assert len(list(tmp_path.iterdir())) == 3

    def test_another_extractor_has_another_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        phrases_of(CAPTIONS, tmp_path)
        monkeypatch.setattr(phrases, "PHRASES_VERSION", "another")
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


def spans(caption: str, *texts: str) -> tuple[Phrase, ...]:
    return tuple(Phrase(text, caption.index(text), caption.index(text) + len(text)) for text in texts)


class TestAgreement:
    CAPTION = "A man in a red coat with a bag and Red shoes"

    def test_counts_by_hand(self) -> None:
        mine = [spans(self.CAPTION, "man", "red coat", "Red shoes"), ()]
        theirs = [spans(self.CAPTION, "man", "coat", "bag"), spans("a red coat", "coat")]
        told = agreement(mine, theirs)
        assert (told.captions, told.found, told.expected, told.equal, told.without) == (2, 3, 4, 1, 1)
        assert (told.precision, told.recall, told.f1) == (1 / 3, 1 / 4, 2 / 7)
        assert told.differences == (("less", "coat", 2), ("less", "bag", 1), ("more", "red coat", 1), ("more", "red shoes", 1))

    def test_nothing_on_either_side(self) -> None:
        assert agreement([], []).f1 == 0

    def test_other_captions_are_refused(self) -> None:
        with pytest.raises(ValueError, match="zip"):
            agreement([()], [])


class TestSpacy:
    def test_what_is_not_installed_is_said(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(phrases, "SPACY_MODELS", ("no_such_model",))
        with pytest.raises(UsageError, match=r"not installed.*\[spacy\]"):
            phrases_of(CAPTIONS, extractor="spacy")

    @pytest.mark.skipif(not any(map(find_spec, phrases.SPACY_MODELS)), reason="spaCy's English model is not installed: .[spacy] has it")
    def test_chunks_agree_with_the_rules(self, tmp_path: Path) -> None:
        chunks = phrases_of(CAPTIONS, tmp_path, extractor="spacy")
        rules = phrases_of(CAPTIONS, tmp_path)
        assert all(caption[p.start : p.end] == p.text for caption, known in zip(CAPTIONS, chunks, strict=True) for p in known)
        assert agreement(rules, chunks).f1 > 0.85
        assert len(list(tmp_path.iterdir())) == 2
        assert phrases_of(CAPTIONS, tmp_path, extractor="spacy") == chunks
