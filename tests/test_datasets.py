"""What every registered data set keeps to. The real ones are given tiny sets in their own formats, captions made up here."""

from __future__ import annotations

import csv
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
from datasets.icfg_pedes import ICFGPEDES, ICFGOptions
from datasets.rstpreid import RSTPReid
from tests.test_records import links

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
TABLES = {"table": ("album.csv", "album.json", "album.jsonl")}
"""Data sets that are a file, with files to try."""
KINDS = [(name, file) for name in NAMES for file in TABLES.get(name, ("",))]


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


def write_table(file: Path) -> None:
    """Twelve identities by name, two images each, some with two rows; no split."""
    rows = []
    for pid, number in product(range(12), range(2)):
        path = f"p{pid}/{number}.png"
        (file.parent / path).parent.mkdir(exist_ok=True)
        Image.new("RGB", (2, 4)).save(file.parent / path)
        rows += [{"pid": f"person {pid}", "image": path, "caption": caption, "camera": number} for caption in CAPTIONS[: 1 + number]]
    if file.suffix == ".csv":
        with file.open("w", newline="") as opened:
            table = csv.DictWriter(opened, list(rows[0]))
            table.writeheader()
            table.writerows(rows)
    else:
        file.write_text(json.dumps(rows) if file.suffix == ".json" else "\n".join(map(json.dumps, rows)))


def made(root: Path, name: str) -> Dataset:
    kind = registry.load("dataset", name)
    dataset: Dataset = kind(root, kind.Config(**MADE.get(name, {})))
    dataset.prepare(silently)
    return dataset


@pytest.fixture(scope="module", params=KINDS, ids=["".join(kind) for kind in KINDS])
def dataset(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    name, file = request.param
    assert name in REAL or name in MADE or name in TABLES, f"say in REAL, MADE or TABLES how a tiny {name} is made"
    root = tmp_path_factory.mktemp(name)
    if name in TABLES:
        write_table(root / file)
        return made(root, str(root / file))
    if name in REAL:
        write(root, name)
    return made(root, name)


@pytest.fixture(params=sorted(set(NAMES) & set(REAL)))
def real(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def turned_round(file: Path) -> bool:
    """Put the records of a list, lines or rows into the reverse order; whether the file has any."""
    if file.suffix in (".csv", ".jsonl"):
        head = 1 if file.suffix == ".csv" else 0
        lines = file.read_text().splitlines()
        file.write_text("\n".join(lines[:head] + lines[head:][::-1]))
        return True
    if file.suffix != ".json" or not isinstance(records := json.loads(file.read_text()), list):
        return False
    file.write_text(json.dumps(records[::-1], indent=1))
    return True


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
        before = dataset.fingerprint()
        assert [turned_round(file) for file in sorted(dataset.root.rglob("*")) if file.is_file()].count(True) == 1
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

    def test_what_it_surveys_is_what_it_splits(self, dataset: Dataset) -> None:
        """Apart from splits that are carved out: of them the survey knows nothing."""
        survey = dataset.survey()
        assert survey.defects == ()
        images = sorted((image.path, image.pid) for split in survey.splits.values() for image in split.images)
        assert images == sorted((image.path, image.pid) for name in SPLITS for image in dataset.split(name).images)
        assert all(isinstance(told, str) for choice in dataset.choices().items() for told in choice)

    @pytest.mark.parametrize("name", SPLITS)
    def test_columns_have_a_value_a_caption(self, dataset: Dataset, name: SplitName) -> None:
        assert {len(values) for values in dataset.columns(name).values()} <= {len(dataset.split(name).captions)}

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


class TestWhereAnnotationsStand:
    """Under every name, in one file or in one a split."""

    WHOLE = [  # noqa: RUF012
        *(("cuhk_pedes", name) for name in ("caption_all.json", "CUHK-PEDES.json", "captions.json")),
        ("icfg_pedes", "ICFG_PEDES.json"),
    ]
    DERIVED = [  # noqa: RUF012
        *product(REAL, ("{}_reid.json", "processed_data/{}_reid.json", "processed_data/{}.json")),
        ("cuhk_pedes", "CUHK-PEDES-{}.json"),
        ("cuhk_pedes", "cuhk_{}.json"),
        ("icfg_pedes", "icfg_{}.json"),
        ("rstpreid", "data_captions_{}.json"),
    ]

    @pytest.mark.parametrize(("name", "place"), WHOLE)
    def test_one_file(self, tmp_path: Path, name: str, place: str) -> None:
        file = write(tmp_path, name)
        before = made(tmp_path, name).fingerprint()
        file.rename(file.with_name(place))
        dataset = made(tmp_path, name)
        assert (dataset.fingerprint(), dataset.choices()["annotations"]) == (before, place)

    @pytest.mark.parametrize(("name", "place"), DERIVED)
    @pytest.mark.parametrize("named", [True, False])
    def test_one_file_a_split(self, tmp_path: Path, name: str, place: str, named: bool) -> None:
        """Whether or not the records name their split too."""
        file = write(tmp_path, name)
        before, records = made(tmp_path, name).fingerprint(), json.loads(file.read_text())
        file.unlink()
        for split in {record["split"] for record in records}:
            part = file.with_name("x").parent / place.format("valid" if place.startswith("CUHK") and split == "val" else split)
            part.parent.mkdir(exist_ok=True)
            own = [record for record in records if record["split"] == split]
            part.write_text(json.dumps(own if named else [{k: v for k, v in record.items() if k != "split"} for record in own]))
        assert made(tmp_path, name).fingerprint() == before

    def test_a_record_in_the_file_of_another_split(self, tmp_path: Path) -> None:
        file = write(tmp_path, "rstpreid")
        file.rename(file.with_name("train_reid.json"))
        with pytest.raises(UsageError, match=r"RSTPReid: record 80: 'split' is 'val' in the file of 'train'|train_reid\.json: record 80"):
            made(tmp_path, "rstpreid").split("train")


class TestICFGPEDES:
    def test_val_is_held_out_of_train_by_identity(self, tmp_path: Path) -> None:
        write(tmp_path, "icfg_pedes")
        dataset = ICFGPEDES(tmp_path, ICFGOptions(val=0.25, seed=3))
        assert (dataset.split("train").n_identities, dataset.split("val").n_identities) == (30, 10)
        assert dataset.choices()["val"] == "10 of 40 identities of train, held out (share 0.25, seed 3)"
        assert len(dataset.survey().splits["train"].images) == 80

    def test_the_draw_is_that_of_the_seed(self, tmp_path: Path) -> None:
        write(tmp_path, "icfg_pedes")
        drawn = [pids(ICFGPEDES(tmp_path, ICFGOptions(seed=seed)).split("val")) for seed in (0, 0, 1)]
        assert drawn[0] == drawn[1] != drawn[2]
        assert len({ICFGPEDES(tmp_path, ICFGOptions(seed=seed)).fingerprint() for seed in (0, 0, 1)}) == 2

    def test_a_val_that_is_there_stays(self, tmp_path: Path) -> None:
        file = write(tmp_path, "icfg_pedes")
        records = json.loads(file.read_text())
        file.write_text(json.dumps([record | {"split": "val" if record["id"] == 5 else record["split"]} for record in records]))
        dataset = ICFGPEDES(tmp_path)
        assert pids(dataset.split("val")) == {5}
        assert "val" not in dataset.choices()


@pytest.mark.parametrize(
    ("kind", "path", "camera"),
    [
        (RSTPReid, "0000_c5_0022.jpg", "5"),
        (RSTPReid, "x/3701_c14_0025.jpg", "14"),
        (RSTPReid, "photo.jpg", None),
        (ICFGPEDES, "test/0627/0627_010_05_0303afternoon_1591_0.jpg", "5"),
        (ICFGPEDES, "train/0001/photo.jpg", None),
        (CUHKPEDES, "cam_a/001_45.bmp", None),
    ],
)
def test_cameras_from_file_names(tmp_path: Path, kind: type[Dataset], path: str, camera: str | None) -> None:
    assert kind(tmp_path).camera(path) == camera


@links
def test_images_behind_links_that_lead_out(tmp_path: Path) -> None:
    write(tmp_path / "data", "rstpreid")
    images = tmp_path / "data" / "RSTPReid" / "imgs"
    images.rename(tmp_path / "elsewhere")
    images.symlink_to(tmp_path / "elsewhere")  # set up by the user
    image = made(tmp_path / "data", "rstpreid").split("test").images[1].path
    (tmp_path / "elsewhere" / image).rename(tmp_path / "secret.jpg")
    (tmp_path / "elsewhere" / image).symlink_to(tmp_path / "secret.jpg")  # as an archive may bring it
    with pytest.raises(UsageError, match=rf"1 of 8 images of split 'test' are links that lead out of .*, such as {image}"):
        made(tmp_path / "data", "rstpreid").split("test")


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

    def test_the_name_that_was_taken_is_recorded(self, tmp_path: Path) -> None:
        self.add(write(tmp_path, "cuhk_pedes"), [0], [1])
        assert CUHKPEDES(tmp_path).choices() == {
            "annotations": "reid_raw.json",
            f"image {self.MISLABELLED[0]}": f"is {self.MISLABELLED[1]} here",
        }

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
