"""Which scales of an image are aligned with which scales of a text: a cell of the ablation, and what it computes.

| | `cross_scale` off: like with like | `cross_scale` on: ACSA |
|---|---|---|
| global (CMPM, CMPC of one vector a side) | whole image with sentence, where both are chosen | the same |
| local (CMPM, CMPC of one vector a side) | mean of the region and window tokens with the mean of the phrases | - |
| attention (cross-attention and KL) | - | tokens of all chosen image scales, the whole one too, with the phrases |

Off, a scale of the image meets its counterpart of the text and no other, and as one vector. On, phrases meet tokens of every chosen scale.
With `whole` alone the attention has one image token, and as affinities are normalised over the image tokens, it weighs phrases of one sign
alike. A cell in which a chosen scale would be aligned with nothing is refused: it would repeat another under a name that promises more.

`whole`, `sentence`, off computes what the model `image-sentence` does. `regions`, `phrases`, on computes what `region-phrase` does (with
`cross_scale_weight` 1). All scales, on, is ACSA.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

ImageScale = Literal["whole", "regions", "windows"]
TextScale = Literal["sentence", "phrases"]


class Alignments(NamedTuple):
    """The alignments that a cell has."""

    whole_with_sentence: bool
    local_with_phrases: bool
    """As one vector a side."""
    attention: bool


def alignments(image: Sequence[ImageScale], text: Sequence[TextScale], *, cross_scale: bool) -> Alignments:
    """Raises ValueError where a chosen scale, or `cross_scale`, would have nothing to align."""
    if len(set(image)) < len(image) or len(set(text)) < len(text):
        raise ValueError("model.image_scales and model.text_scales name each scale once")
    local = [scale for scale in image if scale != "whole"]
    if cross_scale and "phrases" not in text:
        raise ValueError("model.cross_scale lets image tokens attend to phrases: add phrases to model.text_scales, or switch it off")
    found = Alignments("whole" in image and "sentence" in text, bool(local) and "phrases" in text and not cross_scale, cross_scale)
    idle = _idle(image, text, found)
    if idle:
        state = "on" if cross_scale else "off"
        raise ValueError(
            f"with model.cross_scale {state}, {' and '.join(idle)} would be aligned with nothing: leave it out, or {_cure(idle[0])}"
        )
    if not any(found):
        raise ValueError("nothing would be aligned: model.image_scales and model.text_scales want one scale at least")
    return found


def _idle(image: Sequence[ImageScale], text: Sequence[TextScale], found: Alignments) -> list[str]:
    """The chosen scales that no alignment takes up."""
    busy: set[str] = set()
    if found.whole_with_sentence:
        busy |= {"whole", "sentence"}
    if found.local_with_phrases:
        busy |= {"regions", "windows", "phrases"}
    if found.attention and image:
        busy |= {*image, "phrases"}
    return [scale for scale in (*image, *text) if scale not in busy]


def _cure(scale: str) -> str:
    cures = {
        "whole": "add sentence to model.text_scales",
        "sentence": "add whole to model.image_scales",
        "phrases": "add regions or windows to model.image_scales",
    }
    return cures.get(scale, "add phrases to model.text_scales")
