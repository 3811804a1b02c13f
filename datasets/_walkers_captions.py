"""The grammar of the captions: what is said first, what follows, how clauses are joined.

A caption is built of sentences, a sentence of pieces: plain words, and phrases that speak of a part. The spans of the
phrases in the finished caption are part of the truth.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random

from datasets import _walkers_words as words
from datasets._walkers_phrases import Namer
from datasets._walkers_spans import Caption, Facts, Phrase, Piece, Sentence, assemble

_SAID = {"upper": 0.93, "lower": 0.82, "shoes": 0.6, "carried": 0.78, "hair": 0.5, "headwear": 0.72, "glasses": 0.6}
"""How often a part that can be seen is spoken of."""
_FROM_THE_TOP = ("hair", "headwear", "glasses", "upper", "lower", "shoes", "carried")
_WORN = ("headwear", "glasses", "upper", "lower", "shoes")
_CLOTHES = ("upper", "lower", "shoes")


def write_caption(facts: Facts, random: Random) -> Caption:
    """One caption that states some of the facts."""
    return _Writer(facts, random).write()


class _Writer:
    """Writes one caption: chooses what to say, says some of it in an opening, the rest in sentences that follow."""

    def __init__(self, facts: Facts, random: Random) -> None:
        self._facts, self._random = facts, random
        self._he, self._his = ("he", "his") if facts["person.gender"] == "man" else ("she", "her")
        self._namer = Namer(facts, random, self._his)
        self._gendered = False
        """The gender has been told."""
        self._dressed = False
        """Something worn has been named, so that more is worn `also`."""
        self._left = self._chosen_parts()

    def write(self) -> Caption:
        common, rare = (self._plain, self._fragment), (self._participle, self._this_is, self._walking, self._described, self._pronoun)
        rarest = (self._seen_so, self._worn_by, self._outfit)
        sentences = [self._random.choices(common + rare + rarest, (5, 5, 2, 2, 3, 2, 2, 1, 1, 1))[0]()]
        while self._left:
            sentences.append(self._follow_up())
        return assemble(sentences)

    # ------------------------------------------------------------------------------------------------------- choosing

    def _chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def _pick(self, *texts: str) -> str:
        return self._random.choice(texts)

    def _chosen_parts(self) -> list[str]:
        """The parts to speak of, from head to foot, now and then in another order; never fewer than there are, up to 3."""
        seen = [
            part
            for part in _SAID
            if f"{part}.type" in self._facts or (part == "hair" and not {"hair.style", "hair.colour"}.isdisjoint(self._facts))
        ]
        said = [part for part in seen if self._chance(_SAID[part])]
        while len(said) < min(3, len(seen)):
            said.append(self._random.choice([part for part in seen if part not in said]))
        ordered = [part for part in _FROM_THE_TOP if part in said]
        if self._chance(0.2):
            self._random.shuffle(ordered)
        return ordered

    def _take(self, parts: Sequence[str], most: int = 1) -> list[str]:
        """Up to so many of these parts, in the order they are to be spoken of; they are said then."""
        taken = [part for part in self._left if part in parts][:most]
        self._left = [part for part in self._left if part not in taken]
        return taken

    def _take_worn(self, most: int) -> list[str]:
        """As `_take`, of what one wears. A hood is no garment: one has it up."""
        taken = self._take(_WORN[1:] if self._facts.get("headwear.type") == "hood" else _WORN, most)
        self._dressed |= bool(taken)
        return taken

    def _describable(self, part: str) -> bool:
        return part in ("hair", *_CLOTHES) and f"{part}.colour" in self._facts

    # --------------------------------------------------------------------------------------------------------- pieces

    def _gender(self, text: str, more: Mapping[str, str] | None = None) -> Piece:
        """Words that tell the gender: a phrase the first time."""
        states = ({} if self._gendered else {"person.gender": self._facts["person.gender"]}) | dict(more or {})
        self._gendered = True
        return Phrase(text, "person", states) if states else text

    def _name(self, part: str) -> Phrase:
        phrase = self._namer.name(part)
        if not self._gendered and self._his in phrase.text.split():
            self._gendered = True
            return replace(phrase, states={**phrase.states, "person.gender": self._facts["person.gender"]})
        return phrase

    def _subject(self, determiner: str) -> Sentence:
        """`a slim woman`, `the person`."""
        build, gender = self._facts["person.build"], self._facts["person.gender"]
        told = build in words.BUILDS and self._chance(0.3)
        front, more = (f"{self._pick(*words.BUILDS[build])} ", {"person.build": build}) if told else ("", {})
        if self._chance(0.1):
            text = front + self._pick(*words.ANYONE)
            noun: Piece = Phrase(text, "person", more) if more else text
        else:
            text = front + self._pick(*words.PEOPLE[gender])
            noun = self._gender(text, more)
        return [f"{determiner} ", noun]

    def _named(self, parts: Sequence[str]) -> Sentence:
        """`a red coat, black trousers and boots`."""
        last = self._pick(" and ", " and ", ", and ") if len(parts) > 2 else " and "
        if len(parts) == 2 and parts[0] == "upper" and self._chance(0.3):
            last = " with "
        pieces: Sentence = []
        for number, part in enumerate(parts):
            pieces += [] if not number else [last] if number == len(parts) - 1 else [", "]
            pieces.append(self._name(part))
        return pieces

    def _carry(self, form: int, *, verbal: bool = False) -> Sentence:
        """`is carrying` (0), `carries` (1), `carrying` (2), and what. `verbal`: with a verb, not just `with`."""
        phrase = self._name("carried")
        verbs = [verb for verb in words.carrying(self._facts["carried.type"]) if not (verbal and verb[form] == "with")]
        verb = self._random.choice(verbs)
        if "carried.type" not in phrase.states and verb[1] in ("wears", "talks on"):
            verb = words.HOLDING
        return [f"{verb[form]} ", phrase]

    def _joint(self, worn: Sequence[str], *joints: str) -> str:
        """One of the joints. Glasses are worn, but nobody is dressed in them."""
        return self._pick(*(joint for joint in joints if worn[0] != "glasses" or joint.split()[-1] != "in"))

    def _view(self) -> Phrase:
        view = self._facts["image.view"]
        return Phrase(self._pick(*words.VIEWS[view]), "person", {"image.view": view})

    def _with_hair(self, share: float) -> Sentence:
        return [" with ", self._name("hair")] if self._chance(share) and self._take(("hair",)) else []

    def _carrying_too(self, share: float, *joints: str) -> Sentence:
        """Perhaps a participle at the end: `, carrying a bag`."""
        if not self._chance(share) or not self._take(("carried",)):
            return []
        joint = self._pick(*joints)
        return [joint, *self._carry(2, verbal=joint.strip() not in ("", ","))]

    # ------------------------------------------------------------------------------------------------------- openings

    def _plain(self) -> Sentence:
        pieces = self._subject(self._pick("a", "the", "this", "the")) + self._with_hair(0.5)
        if worn := self._take_worn(self._random.randint(2, 4)):
            pieces += [f" {self._joint(worn, *words.WEARS)} ", *self._named(worn)]
            return pieces + self._carrying_too(0.35, ", ", " while ", " and is ")
        return [*pieces, " is ", self._view()]

    def _fragment(self) -> Sentence:
        pieces = self._subject("a") + self._with_hair(0.35)
        if worn := self._take_worn(5):
            return [
                *pieces,
                self._joint(worn, " in ", " in ", " wearing ", " dressed in "),
                *self._named(worn),
                *self._carrying_too(0.6, ", ", " ", " and "),
            ]
        return [*pieces, " ", self._view()]

    def _participle(self) -> Sentence:
        """`Wearing a red coat and black trousers, the man is carrying a bag`."""
        if not (worn := self._take_worn(2)):
            return self._plain()
        pieces = [self._joint(worn, "wearing ", "dressed in "), *self._named(worn), ", ", *self._subject("the")]
        if self._take(("carried",)):
            return [*pieces, " ", *self._carry(self._random.randrange(2))]
        if more := self._take_worn(1):
            return [*pieces, self._pick(" also wears ", " is also wearing "), *self._named(more)]
        return [*pieces, " is ", self._view()]

    def _this_is(self) -> Sentence:
        pieces = [self._pick("this is ", "there is ", "here is ", "the picture shows "), *self._subject("a"), *self._with_hair(0.6)]
        if worn := self._take_worn(self._random.randint(1, 3)):
            return [*pieces, self._joint(worn, " who is wearing ", " wearing ", " in ", " who wears "), *self._named(worn)]
        return [*pieces, " who is ", self._view()]

    def _walking(self) -> Sentence:
        subject = self._subject(self._pick("a", "the"))
        if self._chance(0.5):
            return [*subject, " is ", self._view(), *self._carrying_too(0.3, ", ")]
        pieces = [*subject, self._pick(" is walking", " walks along", " is walking along")]
        if worn := self._take_worn(self._random.randint(1, 3)):
            pieces += [self._joint(worn, " in ", ", wearing "), *self._named(worn)]
        return pieces + self._carrying_too(0.3, ", ")

    def _described(self) -> Sentence:
        """`The man's jacket is red, his jeans are blue and his shoes are white`."""
        if not (parts := self._take([part for part in _CLOTHES if self._describable(part)], 3)):
            return self._plain()
        self._dressed = True
        owner = self._gender(f"{self._pick(*words.PEOPLE[self._facts['person.gender']])}'s")
        pieces: Sentence = ["the ", owner, " ", self._namer.described(parts[0])]
        for number, part in enumerate(parts[1:], start=2):
            pieces += [" and " if number == len(parts) else ", ", f"{self._his} ", self._namer.described(part)]
        return pieces

    def _pronoun(self) -> Sentence:
        subject = self._gender(self._he)
        if worn := self._take_worn(self._random.randint(2, 4)):
            return [subject, f" {self._joint(worn, *words.WEARS)} ", *self._named(worn)]
        return [subject, " is ", self._view()]

    def _seen_so(self) -> Sentence:
        """`Seen from behind, a woman with long hair wears a red coat`."""
        view = self._facts["image.view"]
        return [Phrase(self._pick(*words.SEEN[view]), "person", {"image.view": view}), ", ", *self._plain()]

    def _worn_by(self) -> Sentence:
        """`A red coat and black boots are worn by this woman`."""
        worn = self._take_worn(3)
        if len(worn) < 2:
            return [*self._subject("the"), " is wearing ", *self._named(worn)] if worn else self._plain()
        return [*self._named(worn), " are worn by ", *self._subject("this"), *self._with_hair(0.3)]

    def _outfit(self) -> Sentence:
        """`The lady's outfit consists of a red coat and black boots`."""
        if len([part for part in self._left if part in _CLOTHES]) < 2:
            return self._plain()
        worn = self._take(_CLOTHES, 3)
        self._dressed = True
        owner = self._gender(f"{self._pick(*words.PEOPLE[self._facts['person.gender']])}'s")
        return [self._pick("the ", "this "), owner, self._pick(" outfit consists of ", " clothes are "), *self._named(worn)]

    # ------------------------------------------------------------------------------------------------------ follow-ups

    def _follow_up(self) -> Sentence:
        """A sentence on what is left: one clause, or two that are joined and perhaps share their subject."""
        owned = self._describable(self._left[0]) and self._chance(0.3)
        first = self._owned_clause() if owned else self._clause(self._gender(self._he))
        if not self._left or not self._chance(0.5):
            return first
        if owned or self._chance(0.5):
            return [*first, self._pick(" and ", ", and "), *self._clause(self._he)]
        return [*first, " and ", *self._clause("")]

    def _owned_clause(self) -> Sentence:
        """`his shoes are red`."""
        (part,) = self._take(self._left[:1])
        self._dressed |= part in _CLOTHES
        return [self._gender(self._his), " ", self._namer.described(part)]

    def _clause(self, subject: Piece) -> Sentence:
        """One clause on the next part, or the next two that are worn; an empty subject leaves it to the clause before."""
        start: Sentence = [subject, " "] if subject else []
        part = self._left[0]
        also = self._dressed
        if part == "carried" and self._take((part,)):
            return [*start, *self._carry(self._random.randrange(2))]
        if worn := self._take_worn(self._random.randint(1, 2)) if part in _WORN else []:
            return [*start, self._joint(worn, *(words.WEARS_TOO if also else words.WEARS)), " ", *self._named(worn)]
        self._take((part,))
        if self._facts.get("hair.style") == "bald" and part == "hair" and self._chance(0.5):
            return [*start, "is ", Phrase("bald", "hair", {"hair.style": "bald"})]
        return [*start, "has ", self._name(part)]
