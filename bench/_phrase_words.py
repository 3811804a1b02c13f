"""Words by class, for finding noun phrases: closed classes and the vocabulary of descriptions of pedestrians.

A word's class is one letter, so that a caption becomes a text of letters on which a regular expression finds the phrases:

    D determiner or possessive   A adjective   R adverb of degree   # number   N noun   X adjective that may head a phrase
    B verb or noun               G participle: a verb unless it stands before its noun                  V verb, preposition,
    pronoun, ...: ends a phrase  C and, or     , comma            S possessive 's                        . other marks
    K adjective that takes a noun before it (rust colored)         L noun that makes one qualify (knee length)
    W particle, part of a phrase between adjective and noun (down jacket)
"""

from __future__ import annotations

from functools import lru_cache

_CLASSES = {
    "N": """thing ring earring string clothing stocking legging king building lining wing evening morning trimming bed shed seed
        weed belly family""",
    "D": "a an the this that these those his her their its my your our some any each every both another no all either neither such",
    "C": "and or & nor",
    "#": "several many few much one two three four five six seven eight nine ten single double first second third half",
    "R": "very slightly quite rather somewhat mostly extremely fairly relatively pretty so partially partly more most less",
    "X": "left right front back middle inside outside rear",
    "W": "down up",
    "K": "colored coloured haired sleeved collared rimmed framed heeled skinned",
    "L": "length style color colour sleeve neck",
    "A": """opposite white black red blue green yellow brown grey gray purple pink orange beige khaki tan blond blonde brunette
        plaid camouflage teal navy maroon short long elderly young darker lighter close peach cream rust camel champagne lime wine
        mustard charcoal lavender salmon light dark bright pale deep big large small little medium tall thin thick fat slim skinny
        slender loose tight heavy wide narrow full old new nice good plain casual formal sporty straight curly wavy messy shiny
        furry fuzzy fluffy baggy puffy colorful colourful multicolored multicoloured striped checkered checked plaided patterned
        printed spotted dotted floral hooded sleeveless aged faded ripped cropped quilted padded tailored fitted oversized woolen
        woollen silver golden red-haired turquoise burgundy violet cyan aqua scarlet crimson olive cream-colored ivory off-white
        whitish blackish brownish greyish grayish reddish pinkish yellowish bluish greenish purplish visible other same different
        certain similar whole entire own mid lower upper asian caucasian african middle-aged bald bespectacled athletic chubby open
        closed bare clear warm cool down-filled cotton-padded multi multiple various main knee-length nude flat high low pleated
        rolled cuffed knitted wrinkled vertical horizontal diagonal rectangular square round solid fashionable stylish simple trendy
        modern cute beautiful lovely overall gold bown blck balck whit prescription mobile electric military army tinted stained
        pointed laced zipped buttoned unzipped unbuttoned lined trimmed embroidered tapered fashioned stonewashed distressed ruffled
        quarter sheer""",
    "B": """walk walks look looks face faces hold holds head heads turn turns step stand stands run runs ride rides talk talks call
        calls cover covers drink drinks rest work works shows point points match matches place use cut stride strides pose push
        pushes pull pulls""",
    "V": """is are was were be been being am has have had do does did can could will would may might must should shall seem seems
        seemed appear appears appeared wear wears wore worn wearing carry carries carried carrying carring holding held walked
        walkig stood looking looked having seen sees see going go goes went gone come comes came coming put puts putting take takes
        took taking talking facing faced turning using used rode pushing pulling pulled making made make get gets got getting
        sitting sits sit sat keep keeps kept keeping show showing shown bend bent bends leans lean leaning hang hangs hanging hung
        reach reaches reaching listening listens watching reading reads texting speaking playing moving stepping heading passing
        crossing waiting waving smoking drinking eating dragging draging drags consisting consists contains containing featuring
        features including includes accompanied dressed paired combined covered covering slung swinging swings bringing brings bring
        brought tucked folded crossed raised raises raising lifting lifts lifted bending positioned placed located wraps wrapped
        tied ties ends falls falling reveals appearing hides hidden captured photographed pictured followed following lets let
        draped at in on of with by for from to into onto over under above below behind beside besides near between among through
        across along around against about after before during without within off out towards toward upon as than like beneath
        underneath per via amid alongside next past i he she it they we you him them me us himself herself itself themselves who
        whom whose which what where when while why how if because since though although whether but yet not n't also just only even
        still then there here thus however therefore probably possibly maybe perhaps currently slowly quickly together apart away
        forward forwards backward backwards ahead downward downwards upward upwards sideways straightforward forth now too well s
        somewhere almost nearly something someone anything anyone everything everyone nothing somebody else mine hers theirs
        outdoors indoors they're hes shes its's isn't aren't doesn't don't etc e.g please yes
        again ago approximately roughly especially particularly respectively instead""",
}
_CLASS_OF = {word: letter for letter, words in _CLASSES.items() for word in words.split()}

RULES = repr(sorted(_CLASS_OF.items()))
"""The word lists as text, for the version of the extractor."""


@lru_cache(maxsize=1 << 16)
def word_class(word: str) -> str:
    """The class letter of a word in lower case; a word of none of the lists is judged by its ending, else a noun."""
    if word in _CLASS_OF:
        return _CLASS_OF[word]
    head, hyphen, last = word.rpartition("-")
    if hyphen and head:
        return _compound_class(last)
    if word.isdigit():
        return "#"
    return _class_by_ending(word)


def _compound_class(last: str) -> str:
    """`oatmeal-colored`, `knee-length`, `black-and-white` qualify a noun; `t-shirt`, `flip-flops` are one."""
    if last.endswith("ed") or last in {"length", "high", "style", "type", "size", "up", "down", "neck", "sleeve", "colour", "color"}:
        return "A"
    kind = word_class(last)
    return {"X": "A", "K": "A", "L": "N", "W": "N", "V": "N", "B": "N", "G": "A", "C": "N", "D": "N"}.get(kind, kind)


def _class_by_ending(word: str) -> str:
    if word.endswith(("ing", "ed")) and len(word) > 4:
        return "G"
    if word.endswith("ly"):
        return "R"
    if word.endswith(("ish", "ful", "less", "ous", "able", "ible", "ive")) and len(word) > 5:
        return "A"
    return "N"
