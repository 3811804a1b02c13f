"""`bench perf`: that it measures every path, and that what got worse is seen."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path

import pytest
import torch

from bench import registry
from bench.cli import main
from bench.contracts import HotPath, UsageError
from bench.gallery import faiss_index, nearest, recall
from bench.perf import measure as perf
from bench.progress import Silent
from models._attention import cross_scale_similarity
from models._hot_paths import _inputs
from models._straightforward import loop_over_captions

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("perf") / "perf.json"
    assert main(["perf", "--quick", "--json", str(file)]) == 0
    return file


def test_all_paths_are_measured(measured: Path) -> None:
    stored = perf.load(measured)
    said = " ".join(stored["paths"])
    for what in (
        "two products",
        "both directions",
        "one direction",
        "bf16",
        "the first",
        "frozen text",
        "CUHK-PEDES",
        "ICFG-PEDES",
        "exact",
        "FAISS",
    ):
        assert what in said
    for row in stored["paths"].values():
        assert row["seconds"] > 0
        assert row["peak_mib"] >= 0
    assert stored["machine"]["cores"] >= 1
    assert min(stored["rates"].values()) > 0


def test_what_got_worse_is_told_with_exit_code_1(measured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = perf.load(measured)
    assert perf.regressions(before, before) == []
    name = "scoring, both directions"
    worse = deepcopy(before)
    worse["paths"][name]["to_floor"] *= 1.6
    worse["paths"][name]["gain"] /= 1.4
    assert [(row["path"], row["ratio"]) for row in perf.regressions(worse, before)] == [(name, "to_floor")]
    much_better = deepcopy(before)
    for row in much_better["paths"].values():
        row["to_floor"] = row["to_floor"] and row["to_floor"] / 1000
    (file := tmp_path / "before.json").write_text(json.dumps(much_better))
    assert main(["perf", "--quick", "--only", "one direction", "--against", str(file)]) == 1
    assert "times worse than in" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": "another"}'])
def test_another_file_is_refused(text: str, tmp_path: Path) -> None:
    (file := tmp_path / "x.json").write_text(text)
    with pytest.raises(UsageError, match=r"x\.json"):
        perf.load(file)
    assert main(["perf", "--quick", "--against", str(file)]) == 2


def test_other_sizes_are_not_compared(measured: Path) -> None:
    with pytest.raises(UsageError, match="--quick"):
        perf.regressions(perf.load(measured), {**perf.load(measured), "quick": False})


def test_a_path_without_floor_or_rival() -> None:
    row = perf._row(HotPath("nothing", lambda: None), {"flops": 1.0, "bytes": 1.0}, CPU)
    assert row["to_floor"] is None
    assert row["gain"] is None


def test_the_loop_computes_what_the_product_does() -> None:
    inputs = _inputs(5, 4, 16, CPU)
    for ours, theirs in zip(cross_scale_similarity(*inputs), loop_over_captions(*inputs), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_model_has_none_unless_it_says_so() -> None:
    assert list(registry.load("model", "image-sentence").hot_paths(CPU, quick=True)) == []


@pytest.mark.parametrize("block", [1, 7, 100])
def test_nearest_in_blocks(block: int) -> None:
    generator = torch.Generator().manual_seed(0)
    queries, gallery = torch.randn(5, 8, generator=generator), torch.randn(50, 8, generator=generator)
    values, places = nearest(queries, gallery, 6, block)
    whole = (queries @ gallery.T).sort(dim=1, descending=True)
    torch.testing.assert_close(values, whole.values[:, :6])
    assert torch.equal(places, whole.indices[:, :6])
    assert nearest(queries, gallery[:3], 6)[0].shape == (5, 3)


def test_faiss_finds_the_same_exactly_and_most_of_it_roughly() -> None:
    generator = torch.Generator().manual_seed(0)
    queries, gallery = torch.randn(5, 8, generator=generator), torch.randn(400, 8, generator=generator)
    truth = nearest(queries, gallery, 5)[1]
    exact = torch.from_numpy(faiss_index(gallery).search(queries.numpy(), 5)[1])
    assert torch.equal(exact, truth)
    rough = torch.from_numpy(faiss_index(gallery, "IVF8,Flat", probes=8).search(queries.numpy(), 5)[1])
    assert recall(rough, truth) == 1
    assert recall(truth[:, [0, 0, 0, 0, 0]], truth) == pytest.approx(0.2)


def test_progress_of_a_measurement(capsys: pytest.CaptureFixture[str]) -> None:
    assert perf.measure(CPU, Silent(), quick=True, vectors=100, only="no such path")["paths"] == {}
    assert not capsys.readouterr().out
