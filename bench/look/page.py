"""A page to look through retrievals: filter by words, attribute, camera, model, right or wrong, flips; see what phrases attend to.

One file that needs nothing else: no network, no library. Captions and paths reach the page as JSON and are shown as text; a content
security policy allows the page's own script and style alone, by their hashes. Images are put into it only where a root is given.

The page's data, indices counting from 0:

    models, cameras: names                     attributes: [kind, name]
    images: [path, WebP as a data address or null, width / height]
    boxes: for each model where its image tokens lie, or null
    queries: number (in the split), caption, image, camera (or null), matches, has (attributes),
             ranks: for each model first (match), images, match ("1" or "0" each), near (similarities),
             phrases: [start, end (in UTF-16), part or null, box or null]
             weights: for each model null or a list for each phrase, per mille (null: the model had no slot for it)
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from bench import checkpoint
from bench.attention import token_boxes
from bench.attributes import KINDS, attributes
from bench.contracts import Track, silently
from bench.per_query import located, spread

TEMPLATES = Path(__file__).with_name("templates")
MOST = 2_000
"""Queries on a page; of more, so many are taken, evenly spread."""
THUMB = (96, 144)
"""Most pixels of an image, width and height."""
QUALITY = 60
"""Of WebP, of 100."""


def write(
    path: Path,
    runs: Mapping[str, pd.DataFrame],
    *,
    title: str,
    about: str = "",
    root: Path | None = None,
    attention: Mapping[str, pd.DataFrame] | None = None,
    track: Track = silently,
) -> Path:
    """Write the page; where it is. The same tables and images give the same bytes.

    `runs` holds for each model one per-query table (`bench/per_query.py`), all of the same queries; `attention` likewise, for models that
    attend. `root` is the folder that image paths are relative to; None: no image is shown, only paths.
    """
    data = page_data(runs, attention or {}, root, track)
    shown, of = len(data["queries"]), len(next(iter(runs.values())))
    note = f"{shown:,} of {of:,} queries, evenly spread." if shown < of else f"{of:,} queries."
    checkpoint.write_text(path, _rendered(data, title, f"{about} {note}".strip()))
    return path


def _rendered(data: Mapping[str, Any], title: str, about: str) -> str:
    style, script = ((TEMPLATES / f"retrievals.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    return environment.get_template("retrievals.html").render(
        title=title,
        about=about,
        style=Markup(style),
        script=Markup(script),
        hashes={"style": _hash(style), "script": _hash(script)},
        data=Markup(_safe(data)),
    )


def _hash(text: str) -> str:
    """As a content security policy names an allowed script."""
    return f"sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}"


def _safe(data: Mapping[str, Any]) -> str:
    """JSON in ASCII without a letter that means something to HTML."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def page_data(
    runs: Mapping[str, pd.DataFrame], attention: Mapping[str, pd.DataFrame], root: Path | None, track: Track = silently
) -> dict[str, Any]:
    """What the page shows (see above)."""
    first = next(iter(runs.values()))
    rows = spread(len(first), MOST)
    named = {row: attributes(first["caption"].iloc[row]) for row in rows}
    known = sorted(set().union(*named.values()), key=lambda attribute: (KINDS.index(attribute[0]), attribute[1]))
    has = {attribute: place for place, attribute in enumerate(known)}
    cameras = sorted(first["camera"].dropna().unique())
    ranks = {model: table.iloc[rows].to_dict("records") for model, table in runs.items()}
    images = _Images()
    spoken = _Phrases(attention)
    queries = []
    for place, row in enumerate(rows):
        told = ranks[next(iter(runs))][place]
        queries.append(
            {
                "number": int(told["query"]),
                "caption": told["caption"],
                "image": images[told["image"]],
                "camera": cameras.index(told["camera"]) if told["camera"] in cameras else None,
                "matches": int(told["matches"]),
                "has": sorted(has[attribute] for attribute in named[row]),
                "ranks": [_ranking(table[place], images) for table in ranks.values()],
                **spoken.of(int(told["query"]), told["caption"], list(runs)),
            }
        )
    boxes = [_rounded(token_boxes(attention[model])) if model in attention else None for model in runs]
    pixels = [[path, *_thumb(root, path)] for path in track(list(images.places), "thumbnails")]
    return {"models": list(runs), "cameras": cameras, "attributes": known, "images": pixels, "boxes": boxes, "queries": queries}


class _Images:
    """Numbers of paths, in the order in which they are first asked for."""

    def __init__(self) -> None:
        self.places: dict[str, int] = {}

    def __getitem__(self, path: str) -> int:
        return self.places.setdefault(path, len(self.places))


def _ranking(told: Mapping[Any, Any], images: _Images) -> dict[str, Any]:
    return {
        "first": int(told["first_match"]),
        "images": [images[path] for path in told["nearest"]],
        "match": "".join("01"[bool(match)] for match in told["nearest_match"]),
        "near": [round(float(value), 3) for value in told["nearest_similarity"]],
    }


class _Phrases:
    """The phrases of each query, with what each model attends to."""

    def __init__(self, attention: Mapping[str, pd.DataFrame]) -> None:
        self._known = {model: _by_query(table) for model, table in attention.items()}

    def of(self, query: int, caption: str, models: Sequence[str]) -> dict[str, Any]:
        """`phrases` and `weights` of a query."""
        told = {model: known.get(query, {}) for model, known in self._known.items()}
        spans = sorted(set().union(*told.values()))
        phrases = []
        for span in spans:
            row = next(rows[span] for rows in told.values() if span in rows)
            known = row["box"] is not None
            phrases.append([*_places(caption, span), row["part"] if known else None, _rounded([row["box"]])[0] if known else None])
        return {"phrases": phrases, "weights": [_mille(told[model], spans) if model in told else None for model in models]}


def _by_query(table: pd.DataFrame) -> dict[int, dict[tuple[int, int], dict[Any, Any]]]:
    found: dict[int, dict[tuple[int, int], dict[Any, Any]]] = {}
    for row in table.to_dict("records"):
        found.setdefault(int(row["query"]), {})[int(row["start"]), int(row["end"])] = row
    return found


def _places(caption: str, span: tuple[int, int]) -> list[int]:
    """A span as JavaScript counts letters."""
    return [len(caption[:place].encode("utf-16-le", "surrogatepass")) // 2 for place in span]


def _mille(rows: Mapping[tuple[int, int], Mapping[Any, Any]], spans: Sequence[tuple[int, int]]) -> list[list[int] | None]:
    return [[round(1000 * float(weight)) for weight in rows[span]["weights"]] if span in rows else None for span in spans]


def _rounded(boxes: Sequence[Sequence[float]]) -> list[list[float]]:
    return [[round(float(side), 4) for side in box] for box in boxes]


def _thumb(root: Path | None, path: str) -> tuple[str | None, float]:
    """A small WebP as a data address (None where there is no such image, or none is to be shown), and width over height."""
    if root is None:
        return None, 0.5
    from PIL import Image

    try:
        with Image.open(located(root, path)) as image:
            small = image.convert("RGB")
    except OSError:
        return None, 0.5
    aspect = small.width / small.height
    small.thumbnail(THUMB, Image.Resampling.LANCZOS)
    content = io.BytesIO()
    small.save(content, "WEBP", quality=QUALITY, method=6)
    return f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode()}", round(aspect, 4)
