"""The nearest images against their twin, and what a run leaves of each query."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor

from bench.config import EvaluationOptions
from bench.contracts import Features, ImageRecord, Split
from bench.engine import Embedded
from bench.errors import UsageError
from bench.metrics import rank
from bench.per_query import image_to_text, located, nearest, read, text_to_image
from bench.tables import write
from tests.toys import toy_config, toy_materials

CPU = torch.device("cpu")
MIXING = {"dot": 0.25, "distance": 0.75}


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    return toy_materials(toy_config(tmp_path_factory.mktemp("toy"))).split("val")


def features(split: Split, *, coarse: bool = False) -> Embedded:
    """Random features; coarse ones tie often."""
    draw = torch.Generator().manual_seed(3)
    shapes = {"images": (len(split.images), 6), "captions": (len(split.captions), 6)}
    images, captions = (torch.randn(shape, generator=draw) for shape in shapes.values())
    if coarse:
        images, captions = images.sign(), captions.sign()
    return Embedded({"image": images}, {"text": captions})


def by_hand(embedded: Embedded, query: int, depth: int) -> list[tuple[float, int]]:
    """One query at a time, one image at a time: (similarity, image), nearest first."""
    text, images = embedded.captions["text"][query], embedded.images["image"]
    values = [0.25 * float(text @ image) - 0.75 * float((text - image).abs().sum()) for image in images]
    return sorted(((value, place) for place, value in enumerate(values)), key=lambda pair: (-pair[0], pair[1]))[:depth]


class TestNearest:
    @pytest.mark.parametrize("sizes", [(1, 1), (3, 4), (256, 1024)])
    @pytest.mark.parametrize("coarse", [False, True])
    def test_equals_a_search_by_hand_in_any_block(self, split: Split, tmp_path: Path, sizes: tuple[int, int], coarse: bool) -> None:
        model = toy_materials(toy_config(tmp_path)).build()
        embedded, options = features(split, coarse=coarse), EvaluationOptions(query_block=sizes[0], gallery_block=sizes[1])
        near = nearest(model, embedded, options, CPU, MIXING, depth=4)
        assert near.images.shape == near.similarities.shape == (len(split.captions), 4)
        for query in range(len(split.captions)):
            values, places = zip(*by_hand(embedded, query, 4), strict=True)
            assert near.similarities[query].tolist() == pytest.approx(values, abs=1e-5)
            if coarse:  # sums of halves are exact, so ties are ties
                assert near.images[query].tolist() == list(places)

    def test_some_queries_of_a_small_gallery(self, split: Split, tmp_path: Path) -> None:
        model = toy_materials(toy_config(tmp_path)).build()
        options = EvaluationOptions(query_block=2)
        every = nearest(model, features(split), options, CPU, MIXING)
        some = nearest(model, features(split), options, CPU, MIXING, torch.tensor([7, 2, 5]), depth=3)
        assert every.images.shape == (len(split.captions), len(split.images))  # ten are asked for
        assert torch.equal(some.images, every.images[[7, 2, 5], :3])

    def test_nothing_larger_than_a_block_is_held(self, split: Split, tmp_path: Path) -> None:
        class Watched(type(toy_materials(toy_config(tmp_path)).build())):  # type: ignore[misc]
            largest = 0

            def similarities(self, captions: Features, images: Features) -> dict[str, Tensor]:
                found = super().similarities(captions, images)
                Watched.largest = max(Watched.largest, found["dot"].numel())
                return found

        model = toy_materials(toy_config(tmp_path)).build()
        model.__class__ = Watched
        near = nearest(model, features(split), EvaluationOptions(query_block=3, gallery_block=4), CPU, MIXING, depth=2)
        assert Watched.largest == 12
        assert near.images.untyped_storage().nbytes() == 8 * near.images.numel()


def ranked(split: Split) -> tuple[pd.DataFrame, pd.DataFrame, Tensor]:
    """Both tables of the toy's val, and the similarity they come from."""
    embedded = features(split)
    text, image = embedded.captions["text"], embedded.images["image"]
    similarity = 0.25 * text @ image.T - 0.75 * (text[:, None] - image[None]).abs().sum(dim=2)
    model = toy_materials(toy_config(split.root.parent)).build()
    near = nearest(model, embedded, EvaluationOptions(), CPU, MIXING, depth=3)
    t2i = text_to_image(split, rank(similarity, split.caption_pids, split.image_pids), near, lambda path: path[:1])
    i2t = image_to_text(split, rank(similarity.T, split.image_pids, split.caption_pids), lambda path: None)
    return t2i, i2t, similarity


class TestTables:
    def test_a_row_is_what_one_query_obtained(self, split: Split) -> None:
        table, _, similarity = ranked(split)
        pid_of = {image.path: image.pid for image in split.images}
        for row in table.itertuples():
            caption = split.captions[row.query]
            assert (row.caption, row.image) == (caption.text, split.images[caption.image].path)
            assert (row.pid, row.camera) == (pid_of[row.image], row.image[:1])
            assert row.matches == sum(pid == row.pid for pid in pid_of.values())
            assert row.nearest_match == [pid_of[path] == row.pid for path in row.nearest]
            assert row.nearest_match.index(True) + 1 == row.first_match if True in row.nearest_match else row.first_match > 3
            assert row.nearest_similarity.tolist() == pytest.approx(similarity[row.query].sort(descending=True).values[:3].tolist())

    def test_image_to_text_counts_captions(self, split: Split) -> None:
        _, table, _ = ranked(split)
        assert table["image"].tolist() == [image.path for image in split.images]
        for row in table.itertuples():
            assert row.matches == sum(int(pid) == row.pid for pid in split.caption_pids)
        assert table["camera"].isna().all()

    def test_a_file_gives_the_table_back(self, split: Split, tmp_path: Path) -> None:
        table, other, _ = ranked(split)
        write(table, tmp_path / "per_query.parquet")
        write(other, tmp_path / "per_query_i2t.parquet")
        back = read(tmp_path)
        assert [list(paths) for paths in back["nearest"]] == table["nearest"].tolist()
        pd.testing.assert_frame_equal(back.drop(columns=["nearest", "nearest_match"]), table.drop(columns=["nearest", "nearest_match"]))
        pd.testing.assert_frame_equal(read(tmp_path, "i2t"), other)
        assert len(list(tmp_path.iterdir())) == 2

    def test_any_text_is_kept_as_it_stands(self, split: Split, tmp_path: Path) -> None:
        texts = ["<script>alert(1)</script>", "=cmd|' /C calc'!A0", "", "a\x00b\n$\\input{x}$ 行人"]
        captions = tuple(replace(caption, text=texts[place % 4]) for place, caption in enumerate(split.captions))
        images = tuple(ImageRecord(image.path, image.pid) for image in split.images)
        table, _, _ = ranked(Split("val", split.root, images, captions))
        write(table, tmp_path / "per_query.parquet")
        assert read(tmp_path)["caption"].tolist() == [caption.text for caption in captions]

    @pytest.mark.parametrize("content", [None, b"", b"no parquet at all, but long enough to look"])
    def test_what_cannot_be_read_is_one_line(self, tmp_path: Path, content: bytes | None) -> None:
        if content is not None:
            (tmp_path / "per_query.parquet").write_bytes(content)
        with pytest.raises(UsageError, match=r"cannot read .*per_query\.parquet"):
            read(tmp_path)


@pytest.mark.parametrize("path", ["../b.png", "/etc/a.png", "a/../../b.png", "..", "a\\..\\b.png"])
def test_no_path_leads_out_of_the_root(path: str) -> None:
    assert located(Path("/data/imgs"), path).is_relative_to("/data/imgs")
    assert ".." not in located(Path("/data/imgs"), path).parts
    assert located(Path("/data/imgs"), "cam_a/..b.png") == Path("/data/imgs/cam_a/..b.png")
