"""The known truth of a drawn set: its file, and the score of an oracle that reads it.

`truth.json` stands beside the annotation file:

    {"format": 1,
     "identities": {"<pid>": {"split": "train", "twin": <pid> or null, "attributes": {"upper.colour": "red", ...}}},
     "images": {"<path below imgs/>": {
         "pid": 17,
         "view": "front" | "back" | "side",
         "parts": {"upper": {"box": [left, top, right, bottom], "share": 0.93, "clear": true}, ...},
         "mentions": [[{"start": 2, "end": 12, "part": "upper", "states": {"upper.colour": "red", ...}}, ...], ...]}}}

An attribute is `part.property`; an identity has every one of them, "none" where it does not apply. A box is in pixels of the
image, its right and bottom just outside, and bounds the pixels that show the part; a part that does not show is absent; `share`
is how much of it nothing in front hides; `clear` parts are those that captions may speak of. `mentions` has a list for each
caption, in their order: characters [start, end) speak of `part` (the whole is "person") and state these values. A stated
`image.view` is a fact of the image. With wrong facts, what a train caption states may be false; attributes never are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.contracts import Box, Grounding, Twins
from datasets._walkers_draw import Picture
from datasets._walkers_identity import Identity
from datasets._walkers_spans import Caption

FORMAT = 1
VIEW = "image.view"
_BLOCK = 1024
"""Captions scored at a time."""

Truth = dict[str, Any]
Facts = Mapping[str, str]


def identity_truth(identity: Identity) -> Truth:
    """What the file says of an identity."""
    return {"split": identity.split, "twin": identity.twin, "attributes": dict(identity.attributes)}


def image_truth(identity: Identity, picture: Picture, captions: Iterable[Caption]) -> Truth:
    """What the file says of an image."""
    mentions = [[dict(vars(mention)) for mention in caption.mentions] for caption in captions]
    parts = {part: dict(vars(seen)) for part, seen in picture.parts.items()}
    return {"pid": identity.pid, "view": picture.view, "parts": parts, "mentions": mentions}


def read_truth(file: Path) -> Truth:
    truth: Truth = json.loads(file.read_text(encoding="utf-8"))
    return truth


def grounding(truth: Truth, paths: Sequence[str], width: int, height: int) -> Grounding:
    """Boxes and phrases of these images (of that many pixels) and of their captions, in order."""
    images = [truth["images"][path] for path in paths]
    parts = [{part: _box(seen["box"], width, height) for part, seen in image["parts"].items()} for image in images]
    captions = [mentions for image in images for mentions in image["mentions"]]
    phrases = [tuple((mention["start"], mention["end"], mention["part"]) for mention in mentions) for mentions in captions]
    return Grounding(tuple(parts), tuple(phrases))


def _box(pixels: Sequence[int], width: int, height: int) -> Box:
    left, top, right, bottom = pixels
    return Box(left / width, top / height, right / width, bottom / height)


def twins(truth: Truth, split: str) -> list[Twins]:
    """The near twins of a split, each pair once, and the attribute in which they differ."""
    of_split = {int(pid): identity for pid, identity in truth["identities"].items() if identity["split"] == split}
    pairs = [
        (pid, identity["twin"]) for pid, identity in sorted(of_split.items()) if identity["twin"] is not None and pid < identity["twin"]
    ]
    return [Twins(one, other, _difference(of_split[one]["attributes"], of_split[other]["attributes"])) for one, other in pairs]


def _difference(one: Facts, other: Facts) -> str:
    """`upper colour: red, blue`."""
    return "; ".join(f"{key.replace('.', ' ')}: {value}, {other[key]}" for key, value in one.items() if other[key] != value)


def known_facts(truth: Truth, path: str) -> Facts:
    """What is true of an image: the attributes of its identity, and its view."""
    image = truth["images"][path]
    return {**truth["identities"][str(image["pid"])]["attributes"], VIEW: image["view"]}


def stated_facts(mentions: Iterable[Mapping[str, Any]]) -> set[tuple[str, str]]:
    """All that a caption states, each fact once."""
    return {fact for mention in mentions for fact in mention["states"].items()}


def oracle_r1(
    stated: Sequence[set[tuple[str, str]]], caption_pids: NDArray[np.int64], known: Sequence[Facts], image_pids: NDArray[np.int64]
) -> float:
    """Expected R1 of an oracle that knows every fact and chooses evenly among the images that most stated facts are true of.

    Mean over the T captions of the share of the best images that have the caption's pid. `stated`: T, `known`: N.
    """
    columns = {fact: column for column, fact in enumerate(sorted(set().union(*stated)))}
    true_of = np.zeros((len(known), len(columns)), dtype=np.float32)  # (N, F)
    for row, facts in enumerate(known):
        true_of[row, [columns[fact] for fact in facts.items() if fact in columns]] = 1
    shares = []
    for start in range(0, len(stated), _BLOCK):
        block = np.zeros((len(stated[start : start + _BLOCK]), len(columns)), dtype=np.float32)  # (T', F)
        for row, said in enumerate(stated[start : start + _BLOCK]):
            block[row, [columns[fact] for fact in said]] = 1
        agreeing = block @ true_of.T  # (T', N): small whole numbers, exact in float32
        best = agreeing == agreeing.max(axis=1, keepdims=True)
        matching = best & (caption_pids[start : start + _BLOCK, None] == image_pids)
        shares.append(matching.sum(axis=1) / best.sum(axis=1))
    return float(np.concatenate(shares).mean())
