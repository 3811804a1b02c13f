"""What each phrase of a caption attends to on the caption's own image, left by a run of a model that attends.

`attention.parquet`, a row a phrase, captions in the protocol's order:

| column | meaning |
|---|---|
| `query`, `start`, `end` | place of the caption in the split; the phrase is its characters from start to end |
| `part`, `box` | the part of the body it speaks of and where that is (left, top, right, bottom, fractions), null where not known |
| `weights` | the model's attention to each image token; they sum to one |

The table's `attrs["token_boxes"]` says where the tokens lie. A phrase speaks of a part if every phrase of the truth
(`Dataset.grounding`) that it overlaps does; one that speaks of several, or of something that does not show, has no part.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from bench import tables
from bench.config import EvaluationOptions
from bench.contracts import Box, Grounding, Split, TextImageModel
from bench.engine import Embedded, rows_of
from bench.metrics import blocks
from bench.phrases import Phrase

FILE = "attention.parquet"
TOKEN_BOXES = "token_boxes"


def attended(
    model: TextImageModel,
    embedded: Embedded,
    *,
    split: Split,
    phrases: Sequence[Sequence[Phrase]],
    truth: Grounding | None,
    options: EvaluationOptions,
    device: torch.device,
) -> pd.DataFrame | None:
    """The table above; None for a model that does not attend, or whose tokens lie nowhere.

    `phrases` are those that the model was fed, of each caption; `truth` runs parallel to the split.
    """
    boxes = model.token_boxes()
    weights = _weights(model, embedded, split, options, device) if boxes is not None else None  # (T, P, R)
    if boxes is None or weights is None:
        return None
    rows = []
    for query, (caption, found, slots) in enumerate(zip(split.captions, phrases, weights.tolist(), strict=True)):
        spoken = found or (Phrase(caption.text, 0, len(caption.text)),)  # as `text.encode_captions` has it
        for phrase, row in zip(spoken, slots, strict=False):  # there are phrases without a slot, and empty slots
            part, box = _part(phrase, query, caption.image, truth) if truth is not None else (None, None)
            rows.append((query, phrase.start, phrase.end, part, box, row))
    table = pd.DataFrame(rows, columns=["query", "start", "end", "part", "box", "weights"])
    table.attrs[TOKEN_BOXES] = [list(box) for box in boxes]
    return table


def _weights(model: TextImageModel, embedded: Embedded, split: Split, options: EvaluationOptions, device: torch.device) -> Tensor | None:
    """(T, P, R) of each caption with its own image."""
    owners = torch.tensor([caption.image for caption in split.captions])  # (T,)
    found = []
    with torch.inference_mode():
        for rows in blocks(len(owners), options.query_block):
            images = rows_of(embedded.images, owners[rows], device)
            weights = model.attention(rows_of(embedded.captions, rows, device), images)
            if weights is None:
                return None
            found.append(weights.float().cpu())
    return torch.cat(found)


def _part(phrase: Phrase, query: int, image: int, truth: Grounding) -> tuple[str | None, Box | None]:
    spoken = {part for start, end, part in truth.phrases[query] if start < phrase.end and phrase.start < end}
    if len(spoken) != 1:
        return None, None
    (part,) = spoken
    box = truth.parts[image].get(part)
    return (part, box) if box is not None else (None, None)


def restricted(truth: Grounding | None, whole: Split, split: Split) -> Grounding | None:
    """The truth of a part of a split (`--limit`), row with row."""
    if truth is None or len(whole.captions) == len(split.captions):
        return truth
    place = {image.path: row for row, image in enumerate(whole.images)}
    first: dict[int, int] = {}
    for row, caption in enumerate(whole.captions):
        first.setdefault(caption.image, row)
    rows, seen = [], dict.fromkeys(range(len(split.images)), 0)
    for caption in split.captions:
        rows.append(first[place[split.images[caption.image].path]] + seen[caption.image])
        seen[caption.image] += 1
    return Grounding(tuple(truth.parts[place[image.path]] for image in split.images), tuple(truth.phrases[row] for row in rows))


def read(folder: Path) -> pd.DataFrame | None:
    """A run's table, None where it left none."""
    return tables.read(folder / FILE) if (folder / FILE).is_file() else None


def token_boxes(table: pd.DataFrame) -> list[Box]:
    """Where the image tokens lie."""
    boxes: list[Any] = table.attrs[TOKEN_BOXES]
    return [Box(*box) for box in boxes]
