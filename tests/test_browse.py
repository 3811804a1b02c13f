"""The page of retrievals: what it holds, that nothing in it is markup, and that it works in a browser."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from bench.attention import TOKEN_BOXES
from bench.look import page as browse
from bench.look.page import page_data, write

HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)> 行人 \u2028 \U0001f45f red"
CAPTIONS = ("A man in a red coat", HOSTILE, "", "A woman with a black bag")
PATHS = ("a/0.png", "../../b.png", "<b>.png", "gone.png")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def table(ranks: tuple[int, ...]) -> pd.DataFrame:
    matches = [np.array([place == rank - 1 for place in range(4)]) for rank in ranks]
    return pd.DataFrame(
        {
            "query": range(4),
            "caption": CAPTIONS,
            "image": PATHS,
            "pid": range(4),
            "camera": pd.array(["front", "front", None, "back"], dtype="str"),
            "matches": 1,
            "first_match": ranks,
            "nearest": [list(PATHS)] * 4,
            "nearest_match": matches,
            "nearest_similarity": [np.array([0.9, 0.5, 0.25, -0.1], dtype=np.float32)] * 4,
        }
    )


RUNS = {"acsa": table((1, 2, 3, 1)), "<i>other</i>": table((2, 1, 4, 1))}
ATTENTION = pd.DataFrame(
    [(0, 9, 17, "upper", [0.2, 0.2, 0.8, 0.5], [0.5, 0.3, 0.2]), (1, len(HOSTILE) - 3, len(HOSTILE), None, None, [0.1, 0.2, 0.7])],
    columns=["query", "start", "end", "part", "box", "weights"],
)
ATTENTION.attrs[TOKEN_BOXES] = [[0, 0, 1, 1], [0, 0, 1, 0.5], [0, 0.5, 1, 1]]


class Page(HTMLParser):
    """Tags, attributes and scripts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.content: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        tag, attrs = self.tags[-1] if self.tags else ("", {})
        key = attrs.get("id") or tag
        self.content.setdefault(key, data)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "imgs" / "a").mkdir(parents=True)
    Image.new("RGB", (200, 300), (180, 30, 30)).save(tmp_path / "imgs" / "a" / "0.png")
    return tmp_path / "imgs"


@pytest.fixture
def page(root: Path) -> Path:
    return write(root.parent / "retrievals.html", RUNS, title="<Retrievals>", about="x & y.", root=root, attention={"acsa": ATTENTION})


class TestPage:
    def test_holds_what_the_tables_hold(self, page: Path) -> None:
        data = json.loads(Page(page.read_text()).content["data"])
        assert data["models"] == list(RUNS)
        assert [query["caption"] for query in data["queries"]] == list(CAPTIONS)
        for query, told in enumerate(data["queries"]):
            for model, ranking in zip(RUNS, told["ranks"], strict=True):
                row = RUNS[model].iloc[query]
                assert ranking["first"] == row["first_match"]
                assert [data["images"][place][0] for place in ranking["images"]] == list(PATHS)
                assert [letter == "1" for letter in ranking["match"]] == row["nearest_match"].tolist()
            assert data["images"][told["image"]][0] == PATHS[query]
        assert [data["cameras"][q["camera"]] if q["camera"] is not None else None for q in data["queries"]] == [
            "front",
            "front",
            None,
            "back",
        ]
        assert ["colour", "red"] in data["attributes"]
        has_red = data["attributes"].index(["colour", "red"])
        assert [has_red in query["has"] for query in data["queries"]] == [True, True, False, False]

    def test_phrases_with_their_attention_counted_as_a_browser_counts(self, page: Path) -> None:
        data = json.loads(Page(page.read_text()).content["data"])
        first, second = data["queries"][:2]
        assert first["phrases"] == [[9, 17, "upper", [0.2, 0.2, 0.8, 0.5]]]
        assert first["weights"] == [[[500, 300, 200]], None]
        start, end, part, box = second["phrases"][0]
        assert HOSTILE.encode("utf-16-le")[2 * start : 2 * end].decode("utf-16-le") == "red"
        assert (part, box) == (None, None)

    def test_nothing_that_was_told_is_markup(self, page: Path) -> None:
        text = page.read_text()
        found = Page(text)
        assert [tag for tag, _ in found.tags].count("script") == 2
        assert not [tag for tag, _ in found.tags if tag in ("img", "i", "b", "iframe", "object")]
        assert "&lt;Retrievals&gt;" in text
        assert "owned'</script" not in text
        assert not [key for _, attrs in found.tags for key in attrs if key.startswith("on") or key in ("href", "src", "style")]

    def test_its_policy_allows_its_own_script_and_style_alone(self, page: Path) -> None:
        found = Page(page.read_text())
        policy = next(attrs["content"] for tag, attrs in found.tags if tag == "meta" and "http-equiv" in attrs)
        for kind in ("script", "style"):
            digest = base64.b64encode(
                sha256((browse.TEMPLATES / f"retrievals.{'js' if kind == 'script' else 'css'}").read_bytes()).digest()
            )
            assert f"{kind}-src 'sha256-{digest.decode()}';" in str(policy)
        assert "default-src 'none'" in str(policy)
        assert "unsafe" not in str(policy)

    def test_small_images_and_none_where_they_are_not_asked_for(self, page: Path, root: Path) -> None:
        images = {path: (pixels, aspect) for path, pixels, aspect in json.loads(Page(page.read_text()).content["data"])["images"]}
        pixels, aspect = images["a/0.png"]
        assert pixels.startswith("data:image/webp;base64,")
        assert aspect == pytest.approx(2 / 3, abs=1e-3)
        assert images["gone.png"][0] is None
        private = write(root.parent / "private.html", RUNS, title="t")
        assert "data:image" not in Page(private.read_text()).content["data"]

    def test_the_same_tables_give_the_same_bytes(self, page: Path, root: Path) -> None:
        again = write(root.parent / "again.html", RUNS, title="<Retrievals>", about="x & y.", root=root, attention={"acsa": ATTENTION})
        assert again.read_bytes() == page.read_bytes()

    def test_of_many_queries_some_are_taken_evenly(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(browse, "MOST", 2)
        assert [query["number"] for query in page_data(RUNS, {}, None)["queries"]] == [0, 3]
        assert "2 of 4 queries, evenly spread" in write(tmp_path / "a.html", RUNS, title="t").read_text()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
class TestInABrowser:
    def shown(self, page: Path, asked: str = "") -> Page:
        """The page after its script has run."""
        command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", f"file://{page}{asked}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return Page(done.stdout)

    def test_all_queries_are_shown_and_no_caption_does_anything(self, page: Path) -> None:
        found = self.shown(page)
        assert [tag for tag, _ in found.tags].count("article") == 4
        assert found.content["title"] == "<Retrievals>"
        assert "acsa is right at rank 1 in 50.0 %" in found.content["count"]
        sources = {attrs["src"] for tag, attrs in found.tags if tag == "img"}
        assert all(str(source).startswith("data:image/webp") for source in sources)

    def test_an_address_asks_for_flips_in_a_camera_with_a_word(self, page: Path) -> None:
        found = self.shown(page, "#other=%3Ci%3Eother%3C%2Fi%3E&outcome=gained&camera=1&words=coat")
        assert found.content["count"].startswith("1 of 4 queries")
        assert [attrs["aria-pressed"] for tag, attrs in found.tags if tag == "button" and "aria-pressed" in attrs] == ["false"]
