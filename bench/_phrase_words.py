"""Words by class, for finding noun phrases: closed classes and the vocabulary of descriptions of pedestrians.

A word's class is one letter, so that a caption becomes a text of letters on which a regular expression finds the phrases:

    D determiner or possessive   A adjective   R adverb of degree   # number   N noun   X adjective that may head a phrase
    B verb or noun               G participle: a verb unless it stands before its noun                  V verb, preposition,
    pronoun, ...: ends a phrase  C and, or     , comma            S possessive 's                        . other marks
"""

from __future__ import annotations

from functools import lru_cache

_CLASSES = {
    "N": """thing ring earring string clothing stocking legging king building lining wing evening morning trimming bed shed seed
        weed belly family""",
    "D": """a an the this that these those his her their its my your our some any each every both another no all either neither such
        several many few much""",
    "C": "and or & nor",
    "#": "one two three four five six seven eight nine ten single double first second third half",
    "R": "very slightly quite rather somewhat mostly extremely fairly relatively pretty too so partially partly more most less",
    "X": """left right front back middle inside outside white black red blue green yellow brown grey gray purple pink orange beige
        khaki tan individual female male adult young youth blond blonde brunette elderly plaid camouflage teal navy maroon
        short long""",
    "A": """light dark bright pale deep big large small little medium tall thin thick fat slim skinny slender loose tight heavy wide
        narrow full old new nice good plain casual formal sporty straight curly wavy messy shiny furry fuzzy fluffy baggy puffy
        colorful colourful multicolored multicoloured striped checkered checked plaided patterned printed spotted dotted floral
        hooded sleeved sleeveless collared short-sleeved long-sleeved haired colored coloured aged faded ripped cropped quilted
        padded tailored fitted oversized leather denim cotton woolen woollen silver golden red-haired turquoise burgundy violet
        cyan aqua scarlet crimson olive cream-colored ivory off-white whitish blackish brownish greyish grayish reddish pinkish
        yellowish bluish greenish purplish visible other same different certain similar whole entire own mid lower upper bottom
        asian caucasian african middle-aged bald bespectacled athletic chubby short-haired long-haired open closed bare clear
        warm cool down-filled cotton-padded multi multiple various main knee-length nude flat high low pleated rolled cuffed
        knitted tied wrinkled vertical horizontal diagonal plastic rectangular square round solid fashionable stylish simple
        trendy modern cute beautiful lovely overall gold bown blck balck whit prescription mobile electric military rimmed
        framed tinted stained pointed heeled hair-tied laced zipped buttoned unzipped unbuttoned lined trimmed
        embroidered pleated tapered fashioned stonewashed distressed ruffled quarter sheer warm-looking""",
    "B": """walk walks look looks face faces hold holds head heads turn turns step steps stand stands run runs ride rides talk talks
        call calls cover covers drink drinks rest work works show shows dress point points match matches place
        use cut stride strides pose view push pushes pull pulls""",
    "V": """is are was were be been being am has have had do does did can could will would may might must should shall seem seems
        seemed appear appears appeared wear wears wore worn wearing carry carries carried carrying carring holding held walking
        walked walkig standing stood looking looked having seen sees see going go goes went gone come comes came coming put puts
        putting take takes took taking talking facing faced turning using used riding rode pushing pulling pulled making made
        make get gets got getting sitting sits sit sat keep keeps kept keeping show showing shown bend bent bends leans lean
        leaning hang hangs hanging hung reach reaches reaching listening listens watching reading reads texting speaking playing
        moving stepping heading running passing crossing waiting waving smoking drinking eating dragging draging drags
        consisting consists contains containing featuring features including includes accompanied dressed paired combined
        matched matching covered covering slung swinging swings bringing brings bring brought tucked folded crossed raised raises
        raising lifting lifts lifted bending positioned placed located worn wraps wrapped tied ties ends falls falling goes reveals
        appearing hides hidden captured photographed pictured followed following lets let draped carries
        at in on of with by for from to into onto over under above below behind beside besides near between among through
        across along around against about after before during without within off out up down towards toward upon as than like
        beneath underneath per via amid alongside next opposite past inside-out
        i he she it they we you him them me us himself herself itself themselves who whom whose which what where when while why
        how if because since though although whether but yet not n't also just only even still then there here thus however
        therefore probably possibly maybe perhaps currently slowly quickly together apart away forward forwards backward
        backwards ahead downward downwards upward upwards sideways straightforward forth now too well almost about nearly
        something someone anything anyone everything everyone nothing somebody else mine hers theirs outdoors indoors
        he's she's it's they're that's there's who's hes shes its's isn't aren't doesn't don't etc e.g please yes again ago
        approximately roughly especially particularly respectively instead rather-than""",
}
_CLASS_OF = {word: letter for letter, words in _CLASSES.items() for word in words.split()}
_CLASS_OF["its"] = "D"

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
    return {"X": "A", "V": "N", "B": "N", "G": "A", "C": "N", "D": "N"}.get(kind, kind)


def _class_by_ending(word: str) -> str:
    if word.endswith(("ing", "ed")) and len(word) > 4:
        return "G"
    if word.endswith("ly"):
        return "R"
    if word.endswith(("ish", "ful", "less", "ous", "able", "ible", "ive")) and len(word) > 5:
        return "A"
    return "N"
