"""What every registered data set keeps to. The real ones are given tiny sets in their own formats, captions made up here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from itertools import combinations, product
from pathlib import Path
from typing import Any, get_args

import pytest
from PIL import Image

import datasets
from bench import registry
from bench.contracts import DataOptions, Dataset, Split, SplitName, UsageError, silently
from datasets.cuhk_pedes import CUHKPEDES

SPLITS: tuple[SplitName, ...] = get_args(SplitName)
NAMES = [file.stem for file in sorted(Path(datasets.__file__).parent.glob("[a-z]*.py"))]
Record = dict[str, Any]
CAPTIONS = ["A tall man in a green raincoat.", "He wears yellow boots.", "The man holds a small kite."]


def rstpreid(pid: int, split: str, number: int) -> Record:
    return {"id": pid, "img_path": f"{pid:04}_c{number + 1}_{pid}.jpg", "captions": CAPTIONS[:2], "split": split}


def cuhk_pedes(pid: int, split: str, number: int) -> Record:
    path = ["cam_a/{}_{}.png", "Market/{}_{}.jpg.jpg", "test_query/{}_{}.bmp"][(pid + number) % 3].format(pid, number)
    tokens = [caption.lower().split() for caption in CAPTIONS[: 2 + number % 2]]
    return {"split": split, "captions": CAPTIONS[: 2 + number % 2], "file_path": path, "processed_tokens": tokens, "id": pid + 1}


def icfg_pedes(pid: int, split: str, number: int) -> Record:
    """No val; the path's first folder is MSMT17's, not the split."""
    path = f"{'test' if number % 2 else 'train'}/{pid:04}/{pid:04}_{number:03}_01_0303morning_0001_0.jpg"
    return {"split": split, "captions": CAPTIONS[:1], "file_path": path, "processed_tokens": [["a", "man"]], "id": pid}


REAL: dict[str, tuple[str, Callable[[int, str, int], Record]]] = {
    "rstpreid": ("RSTPReid/data_captions.json", rstpreid),
    "cuhk_pedes": ("CUHK-PEDES/reid_raw.json", cuhk_pedes),
    "icfg_pedes": ("ICFG-PEDES/ICFG-PEDES.json", icfg_pedes),
}
MADE: dict[str, Record] = {"walkers": {"size": "tiny", "height": 32, "width": 16}}
"""Data sets that make themselves, with the options of a small one."""


def write(root: Path, name: str) -> Path:
    """A set of 40 train identities and a few others of two images each, in the format of the real one."""
    annotations, record = REAL[name]
    sizes = {"train": 40, "test": 4} if name == "icfg_pedes" else {"train": 40, "val": 3, "test": 4}
    splits = [split for split, size in sizes.items() for _ in range(size)]
    records = [record(pid, split, number) for (pid, split), number in product(enumerate(splits), range(2))]
    file = root / annotations
    for one in records:
        image = file.parent / "imgs" / (one.get("file_path") or one["img_path"])
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2, 4)).save(image)
    file.write_text(json.dumps(records))
    return file


def made(root: Path, name: str) -> Dataset:
    kind = registry.load("dataset", name)
    dataset: Dataset = kind(root, kind.Config(**MADE.get(name, {})))
    dataset.prepare(silently)
    return dataset


@pytest.fixture(scope="module", params=NAMES)
def dataset(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    name = request.param
    assert name in REAL or name in MADE, f"say in REAL or MADE how a tiny {name} is made"
    root = tmp_path_factory.mktemp(name)
    if name in REAL:
        write(root, name)
    return made(root, name)


@pytest.fixture(params=sorted(set(NAMES) & set(REAL)))
def real(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def pids(split: Split) -> set[int]:
    return {image.pid for image in split.images}


class TestEveryDataset:
    @pytest.mark.parametrize("name", SPLITS)
    def test_a_split_is_whole_and_in_order(self, dataset: Dataset, name: SplitName) -> None:
        split = dataset.split(name)
        paths = [image.path for image in split.images]
        assert split.name == name
        assert paths
        assert paths == sorted(set(paths))
        assert all((split.root / path).is_file() for path in paths)

    @pytest.mark.parametrize("name", SPLITS)
    def test_captions_stand_in_order_of_their_images(self, dataset: Dataset, name: SplitName) -> None:
        split = dataset.split(name)
        places = [caption.image for caption in split.captions]
        assert places == sorted(places)
        assert set(places) == set(range(len(split.images)))
        assert all(caption.text.strip() for caption in split.captions)

    def test_no_identity_is_in_two_splits(self, dataset: Dataset) -> None:
        assert all(not pids(dataset.split(one)) & pids(dataset.split(other)) for one, other in combinations(SPLITS, 2))

    def test_the_fingerprint_is_of_the_records(self, dataset: Dataset) -> None:
        """Another object over the same files in another order gives the same."""
        files = [file for file in dataset.root.rglob("*.json") if isinstance(json.loads(file.read_text()), list)]
        assert files
        before = dataset.fingerprint()
        for file in files:
            file.write_text(json.dumps(json.loads(file.read_text())[::-1], indent=1))
        assert type(dataset)(dataset.root, dataset.config).fingerprint() == before
        assert len(before) == 64

    def test_it_says_what_it_is_and_whose(self, dataset: Dataset) -> None:
        entry = registry.find("dataset", type(dataset).__module__.rpartition(".")[2])
        assert entry.about == (type(dataset).__doc__ or "").splitlines()[0]
        assert entry.about.endswith(".")
        assert len(entry.citation or "") > 40
        assert entry.citation == dataset.citation

    @pytest.mark.parametrize("name", SPLITS)
    def test_grounding_fits_the_records(self, dataset: Dataset, name: SplitName) -> None:
        """Boxes within the image, phrases within their captions, without overlaps and of parts that show (`person`: the whole)."""
        split, truth = dataset.split(name), dataset.grounding(name)
        assert (truth is not None) == (type(dataset).__name__ == "Walkers")
        if truth is None:
            return
        assert len(truth.parts) == len(split.images)
        assert all(0 <= box.left < box.right <= 1 and 0 <= box.top < box.bottom <= 1 for parts in truth.parts for box in parts.values())
        for caption, phrases in zip(split.captions, truth.phrases, strict=True):
            places = [place for start, end, _ in phrases for place in (start, end)]
            assert places == sorted(places)
            assert all(caption.text[start:end].strip() for start, end, _ in phrases)
            assert {part for *_, part in phrases} <= {"person", *truth.parts[caption.image]}

    def test_a_camera_is_a_name(self, dataset: Dataset) -> None:
        cameras = [dataset.camera(image.path) for image in dataset.split("test").images]
        assert all(camera is None or camera.strip() for camera in cameras)

    def test_its_options_are_those_of_every_set_and_more(self, dataset: Dataset) -> None:
        assert set(DataOptions.model_fields) <= set(type(dataset).Config.model_fields)

    def test_building_it_reads_nothing(self, dataset: Dataset) -> None:
        type(dataset)(dataset.root / "nowhere")
        assert not (dataset.root / "nowhere").exists()


class TestRealDatasets:
    def test_what_is_missing_is_said_in_one_line(self, real: str, tmp_path: Path) -> None:
        folder = (tmp_path / REAL[real][0]).parent
        self.complains(made(tmp_path, real), "test", f"no folder {folder}")
        file = write(tmp_path, real)
        file.rename(tmp_path / "elsewhere.json")
        self.complains(made(tmp_path, real), "test", f"in {folder}", file.name)

    def test_missing_images_are_counted(self, real: str, tmp_path: Path) -> None:
        write(tmp_path, real)
        split = made(tmp_path, real).split("test")
        for image in split.images[2:5]:
            (split.root / image.path).unlink()
        said = (f"3 of {len(split.images)} images", f"such as {split.images[2].path}", str(split.root))
        self.complains(made(tmp_path, real), "test", *said)

    def test_a_split_without_records(self, real: str, tmp_path: Path) -> None:
        file = write(tmp_path, real)
        records = json.loads(file.read_text())
        file.write_text(json.dumps([record for record in records if record["split"] != "test"]))
        self.complains(made(tmp_path, real), "test", "no record of split 'test'")

    def test_malformed_records_name_the_file(self, real: str, tmp_path: Path) -> None:
        file = write(tmp_path, real)
        file.write_text(file.read_text().replace('"id": ', '"pid": ', 1))
        with pytest.raises(UsageError, match=r"record 0: lacks 'id'"):
            made(tmp_path, real).split("test")

    @staticmethod
    def complains(dataset: Dataset, name: SplitName, *said: str) -> None:
        with pytest.raises(UsageError) as caught:
            dataset.split(name)
        message = str(caught.value)
        assert all(part in message for part in (*said, "--dataset walkers", "--data-root")), message
        assert len(message.splitlines()) == 1


class TestCUHKPEDES:
    MISLABELLED = ("test_query/p7446_s9899.jpg", "test_query/p7447_s9899.jpg")

    @pytest.mark.parametrize(("recorded", "present"), [(0, 0), (0, 1), (1, 0), (1, 1)])
    def test_the_mislabelled_image_is_found_under_either_name(self, tmp_path: Path, recorded: int, present: int) -> None:
        file = write(tmp_path, "cuhk_pedes")
        self.add(file, [recorded], [present])
        assert self.MISLABELLED[present] in self.paths(tmp_path)

    def test_two_images_are_two(self, tmp_path: Path) -> None:
        file = write(tmp_path, "cuhk_pedes")
        self.add(file, [0, 1], [0, 1])
        assert set(self.MISLABELLED) <= set(self.paths(tmp_path))

    def test_neither_there_is_one_missing(self, tmp_path: Path) -> None:
        self.add(write(tmp_path, "cuhk_pedes"), [0], [])
        with pytest.raises(UsageError, match=r"1 of 9 images .*p7446_s9899\.jpg"):
            self.paths(tmp_path)

    @pytest.mark.parametrize("name", ["caption_all.json", "CUHK-PEDES.json"])
    def test_other_names_of_the_annotation_file(self, tmp_path: Path, name: str) -> None:
        file = write(tmp_path, "cuhk_pedes")
        file.rename(file.with_name(name))
        assert len(self.paths(tmp_path)) == 8

    def add(self, file: Path, recorded: Iterable[int], present: Iterable[int]) -> None:
        records = json.loads(file.read_text())
        records += [{"id": 7446, "file_path": self.MISLABELLED[n], "captions": CAPTIONS, "split": "test"} for n in recorded]
        file.write_text(json.dumps(records))
        for number in present:
            Image.new("RGB", (2, 4)).save(file.parent / "imgs" / self.MISLABELLED[number])

    @staticmethod
    def paths(root: Path) -> list[str]:
        return [image.path for image in CUHKPEDES(root).split("test").images]


@pytest.mark.parametrize("name", ["Dataset", "load_dataset", "DatasetDict", "__version__"])
def test_the_package_says_whose_it_is(name: str) -> None:
    with pytest.raises(AttributeError, match="the harness's own package `datasets`, not Hugging Face"):
        getattr(datasets, name)
