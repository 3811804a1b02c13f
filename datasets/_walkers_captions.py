"""The grammar of the captions: what is said first, what follows, how clauses are joined.

A caption is built of sentences, a sentence of pieces: plain words, and phrases that speak of a part. The spans of the
phrases in the finished caption are part of the truth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from datasets._walkers_phrases import Facts, Namer, Phrase

Piece = str | Phrase
Sentence = list[Piece]

_SAID = {"upper": 0.93, "lower": 0.82, "shoes": 0.6, "carried": 0.78, "hair": 0.5, "headwear": 0.72, "glasses": 0.6}
"""How often a part that can be seen is spoken of."""
_WORN = ("headwear", "glasses", "upper", "lower", "shoes")
_NOUNS = {"man": ("man", "man", "man", "guy", "gentleman", "male"), "woman": ("woman", "woman", "woman", "lady", "female")}
_VAGUE_NOUNS = ("person", "pedestrian")
_BUILDS = {"slim": ("slim", "thin", "slender"), "stocky": ("stocky", "heavyset", "broad")}
_WEARS = (" is wearing ", " is wearing ", " wears ", " has on ", " is dressed in ", " was wearing ")
_CARRIES = {
    "suitcase": (("is pulling", "pulls", "pulling"), ("is dragging", "drags", "dragging")),
    "phone": (("is talking on", "talks on", "talking on"), ("is holding", "holds", "holding")),
    "book": (("is holding", "holds", "holding"),),
    "umbrella": (("is holding", "holds", "holding"), ("is carrying", "carries", "carrying")),
    "shoulder bag": (("is carrying", "carries", "carrying"), ("has", "has", "with")),
    "backpack": (("is carrying", "carries", "carrying"), ("has", "has", "with"), ("is wearing", "wears", "wearing")),
}
_CARRIES_ELSE = (("is carrying", "carries", "carrying"), ("is holding", "holds", "holding"))
_VIEWS = {
    "front": ("walking towards the camera", "facing the camera"),
    "back": ("walking away from the camera", "facing away from the camera", "seen from behind"),
    "side": ("seen from the side", "walking past the camera"),
}


@dataclass(frozen=True)
class Mention:
    """Characters [start, end) of a caption speak of `part` and state these facts."""

    start: int
    end: int
    part: str
    states: Mapping[str, str]


@dataclass(frozen=True)
class Caption:
    text: str
    mentions: tuple[Mention, ...]


def write_caption(facts: Facts, random: Random) -> Caption:
    """One caption that states some of the facts."""
    return _Writer(facts, random).write()


class _Writer:
    """Writes one caption: chooses what to say, says some of it in an opening, the rest in sentences that follow."""

    def __init__(self, facts: Facts, random: Random) -> None:
        self._facts, self._random = facts, random
        he = facts["person.gender"] == "man"
        self._he, self._his = ("he", "his") if he else ("she", "her")
        self._namer = Namer(facts, random, self._his)
        self._gendered = False
        self._left = self._chosen_parts()

    def write(self) -> Caption:
        openings = (
            self._plain,
            self._plain,
            self._fragment,
            self._fragment,
            self._participle,
            self._this_is,
            self._walking,
            self._described,
            self._pronoun,
        )
        sentences = [self._random.choice(openings)()]
        while self._left:
            sentences.append(self._follow_up())
        return assemble(sentences)

    # ------------------------------------------------------------------------------------------------------- choosing

    def _chosen_parts(self) -> list[str]:
        """The parts to speak of, from head to foot, now and then in another order; never fewer than there are, up to 3."""
        seen = [part for part in _SAID if self._seen(part)]
        said = [part for part in seen if self._chance(_SAID[part])]
        while len(said) < min(3, len(seen)):
            said.append(self._random.choice([part for part in seen if part not in said]))
        order = ["hair", "headwear", "glasses", "upper", "lower", "shoes", "carried"]
        if self._chance(0.2):
            self._random.shuffle(order)
        return [part for part in order if part in said]

    def _seen(self, part: str) -> bool:
        return f"{part}.type" in self._facts or (part == "hair" and ("hair.style" in self._facts or "hair.colour" in self._facts))

    def _chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def _take(self, parts: Sequence[str], most: int) -> list[str]:
        """Up to so many of these parts, in the order they are to be spoken of; they are said then."""
        taken = [part for part in self._left if part in parts][:most]
        self._left = [part for part in self._left if part not in taken]
        return taken

    def _take_worn(self, most: int) -> list[str]:
        hood = self._facts.get("headwear.type") == "hood"
        return self._take([part for part in _WORN if not (hood and part == "headwear")], most)

    # --------------------------------------------------------------------------------------------------------- pieces

    def _gender(self, text: str, more: Mapping[str, str] | None = None) -> Phrase | str:
        """A word that tells the gender; a phrase the first time."""
        first, self._gendered = not self._gendered, True
        states = ({"person.gender": self._facts["person.gender"]} if first else {}) | dict(more or {})
        return Phrase(text, "person", states) if states else text

    def _subject(self, determiner: str) -> Sentence:
        """`a slim woman`, `the person`."""
        build = self._facts["person.build"]
        adjective = self._random.choice(_BUILDS[build]) if build in _BUILDS and self._chance(0.3) else ""
        more = {"person.build": build} if adjective else {}
        if self._chance(0.1):
            words = f"{adjective} {self._random.choice(_VAGUE_NOUNS)}".strip()
            noun: Piece = Phrase(words, "person", more) if more else words
        else:
            words = f"{adjective} {self._random.choice(_NOUNS[self._facts['person.gender']])}".strip()
            noun = self._gender(words, more)
        if determiner == "a" and words[0] in "aeiou":
            determiner = "an"
        return [f"{determiner} ", noun]

    def _named(self, parts: Sequence[str]) -> Sentence:
        """`a red coat, black trousers and boots`."""
        pieces: Sentence = []
        last = self._random.choice(
            (" and ", " and ", ", and ") if len(parts) > 2 else (" and ", " and ", " with ") if parts[-1:] != ["glasses"] else (" and ",)
        )
        for number, part in enumerate(parts):
            if number:
                pieces.append(last if number == len(parts) - 1 else ", ")
            pieces.append(self._namer.name(part))
        return pieces

    def _carry(self, form: int) -> Sentence:
        """`is carrying` (0), `carries` (1), `carrying` (2), and what."""
        verb = self._random.choice(_CARRIES.get(self._facts["carried.type"], _CARRIES_ELSE))[form]
        phrase = self._namer.name("carried")
        if verb.endswith(" on") and not phrase.states.get("carried.type"):
            verb = ("is holding", "holds", "holding")[form]
        return [f"{verb} ", phrase]

    def _view(self) -> Phrase:
        view = self._facts["image.view"]
        return Phrase(self._random.choice(_VIEWS[view]), "person", {"image.view": view})

    def _with_hair(self, share: float) -> Sentence:
        if self._chance(share) and (hair := self._take(("hair",), 1)):
            return [" with ", *self._named(hair)]
        return []

    def _carrying_tail(self, share: float, before: str) -> Sentence:
        if self._chance(share) and self._take(("carried",), 1):
            return [before, *self._carry(2)]
        return []

    # ------------------------------------------------------------------------------------------------------- openings

    def _plain(self) -> Sentence:
        subject = self._subject(self._random.choice(("a", "the", "this", "the")))
        hair = self._with_hair(0.5)
        if not (worn := self._take_worn(self._random.randint(2, 4))):
            return [*subject, *hair, " is ", self._view()]
        return [
            *subject,
            *hair,
            self._random.choice(_WEARS),
            *self._named(worn),
            *self._carrying_tail(0.35, self._random.choice((", ", " while ", " and is "))),
        ]

    def _fragment(self) -> Sentence:
        subject, hair = self._subject("a"), self._with_hair(0.35)
        if not (worn := self._take_worn(5)):
            return [*subject, *hair, " ", self._view()]
        return [
            *subject,
            *hair,
            self._random.choice((" in ", " in ", " wearing ", " dressed in ")),
            *self._named(worn),
            *self._carrying_tail(0.6, self._random.choice((", ", " ", " and "))),
        ]

    def _participle(self) -> Sentence:
        if len([part for part in self._left if part in _WORN]) < 2 or not (worn := self._take_worn(2)):
            return self._plain()
        pieces: Sentence = [self._random.choice(("wearing ", "dressed in ")), *self._named(worn), ", ", *self._subject("the")]
        if self._take(("carried",), 1):
            return [*pieces, " ", *self._carry(self._random.choice((0, 1)))]
        if more := self._take_worn(1):
            return [*pieces, self._random.choice((" also wears ", " is also wearing ")), *self._named(more)]
        return [*pieces, " is ", self._view()]

    def _this_is(self) -> Sentence:
        start = self._random.choice(("this is ", "there is ", "here is "))
        subject, hair = self._subject("a"), self._with_hair(0.6)
        if not (worn := self._take_worn(self._random.randint(1, 3))):
            return [start, *subject, *hair, " who is ", self._view()]
        return [start, *subject, *hair, self._random.choice((" who is wearing ", " wearing ", " in ", " who wears ")), *self._named(worn)]

    def _walking(self) -> Sentence:
        subject = self._subject(self._random.choice(("a", "the")))
        if self._chance(0.5):
            return [*subject, " is ", self._view(), *self._carrying_tail(0.3, ", ")]
        subject += [self._random.choice((" is walking", " walks along", " is walking along"))]
        if worn := self._take_worn(self._random.randint(1, 3)):
            subject += [self._random.choice((" in ", ", wearing ", " wearing ")), *self._named(worn)]
        return subject + self._carrying_tail(0.3, ", ")

    def _described(self) -> Sentence:
        """`the man's jacket is red, his jeans are blue and his shoes are white`."""
        parts = self._take([part for part in ("upper", "lower", "shoes") if self._describable(part)], 3)
        if not parts:
            return self._plain()
        owner = self._gender(f"{self._random.choice(_NOUNS[self._facts['person.gender']])}'s")
        pieces: Sentence = ["the ", owner, " ", self._namer.described(parts[0])]
        for number, part in enumerate(parts[1:], start=2):
            pieces += [" and " if number == len(parts) else ", ", f"{self._his} ", self._namer.described(part)]
        return pieces

    def _pronoun(self) -> Sentence:
        subject = [self._gender(self._he)]
        if not (worn := self._take_worn(self._random.randint(2, 4))):
            return [*subject, " is ", self._view()]
        return [*subject, self._random.choice(_WEARS), *self._named(worn)]

    def _describable(self, part: str) -> bool:
        if part == "hair":
            return "hair.colour" in self._facts
        return part in ("upper", "lower", "shoes") and f"{part}.colour" in self._facts

    # ------------------------------------------------------------------------------------------------------ follow-ups

    def _follow_up(self) -> Sentence:
        """A sentence on what is left: one clause, or two that share their subject or are joined."""
        first = self._clause(self._gender(self._he))
        if self._left and self._chance(0.5):
            joint = self._random.choice((" and ", ", and ")), self._chance(0.5)
            return [*first, joint[0], *(self._clause(self._he) if joint[1] else self._clause(""))]
        return first

    def _clause(self, subject: Piece) -> Sentence:
        """One clause on the next part (or the next two that are worn); an empty subject leaves it to the clause before."""
        start: Sentence = [subject, " "] if subject else []
        part = self._left[0]
        if subject and self._describable(part) and self._chance(0.3):
            self._take((part,), 1)
            return [self._possessive(subject), " ", self._namer.described(part)]
        if part == "carried":
            self._take((part,), 1)
            return [*start, *self._carry(self._random.choice((0, 1)))]
        if worn := self._take_worn(self._random.randint(1, 2)) if part in _WORN else []:
            return [
                *start,
                self._random.choice(("is wearing ", "wears ", "has on ", "is also wearing ", "also has on ")),
                *self._named(worn),
            ]
        self._take((part,), 1)
        return [*start, "has ", *self._named([part])]

    def _possessive(self, subject: Piece) -> Piece:
        return Phrase(self._his, subject.part, subject.states) if isinstance(subject, Phrase) else self._his


def assemble(sentences: Sequence[Sentence]) -> Caption:
    """Put sentences together: capitals, full stops, and where each phrase has come to stand."""
    text, mentions = "", []
    for sentence in sentences:
        text += " " if text else ""
        start = len(text)
        for piece in sentence:
            if isinstance(piece, Phrase):
                if piece.states:
                    mentions.append(Mention(len(text), len(text) + len(piece.text), piece.part, piece.states))
                text += piece.text
            else:
                text += piece
        text = text[:start] + text[start].upper() + text[start + 1 :] + "."
    return Caption(text, tuple(mentions))
