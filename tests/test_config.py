"""RunConfig: precedence, the dump that rebuilds it, the hash that files it, and one line for each mistake."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from bench import config as configs
from bench import registry
from bench.config import RunConfig, config_hash, flatten, resolve, run_folder
from bench.errors import UsageError

MODEL, DATA = "stub-plugin", "stub-data"


@pytest.fixture(autouse=True)
def _stubs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_plugged_in", {"model": [], "dataset": []})
    monkeypatch.delenv("TBPS_DATA_ROOT", raising=False)
    registry.plug_in("tests.stub_plugin")


@pytest.fixture
def written(tmp_path: Path) -> Callable[[Any], Path]:
    """Writes a configuration file."""

    def write(values: Any) -> Path:
        file = tmp_path / "run.yaml"
        file.write_text(values if isinstance(values, str) else yaml.safe_dump(values), encoding="utf-8")
        return file

    return write


def failure(**asked: Any) -> str:
    """The one line that `resolve` answers with."""
    with pytest.raises(UsageError) as caught:
        resolve(**{"model": MODEL, "dataset": DATA, **asked})
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --------------------------------------------------------------------------------------------------------- precedence


def test_each_layer_overrides_the_one_before(written: Callable[[Any], Path]) -> None:
    assert resolve(MODEL, DATA, overrides=["preset=null"]).train.epochs == 20  # the default
    assert resolve(MODEL, DATA).train.epochs == 3  # the dataset's default preset
    file = written({"train": {"epochs": 4, "batch_size": 7}})
    assert resolve(MODEL, DATA, file=file).train.epochs == 4
    assert resolve(MODEL, DATA, file=file, overrides=["train.epochs=5"]).train.epochs == 5
    last = resolve(MODEL, DATA, file=file, overrides=["train.epochs=5"], flags={"train.epochs": 6, "seed": None})
    assert (last.train.epochs, last.train.batch_size, last.train.lr, last.seed) == (6, 7, 1e-3, 0)


def test_the_preset_is_the_flags_the_files_or_the_datasets(written: Callable[[Any], Path]) -> None:
    assert resolve(MODEL, DATA).preset == "paper"
    assert resolve(MODEL, DATA, file=written({"preset": "tiny"})).preset == "tiny"
    assert resolve(MODEL, DATA, "paper", file=written({"preset": "tiny"})).preset == "paper"
    none = resolve(MODEL, DATA, file=written({"preset": None}))
    assert (none.preset, none.dump()["model"]["width"]) == (None, 8)


def test_a_default_preset_that_the_model_lacks_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.load("dataset", DATA), "default_preset", "medium")
    assert resolve(MODEL, DATA).preset is None


def test_a_preset_reaches_into_options_within_options() -> None:
    assert resolve(MODEL, DATA, "tiny").dump()["model"] == {
        "name": MODEL,
        "width": 2,
        "kind": "flat",
        "shift": None,
        "sizes": [1, 2],
        "exact": False,
        "inner": {"depth": 1},
    }


def test_model_and_dataset_may_stand_in_the_file_and_flags_win(written: Callable[[Any], Path]) -> None:
    file = written({"model": {"name": "Stub_Plugin", "width": 3}, "data": {"name": "STUBDATA"}})
    assert (resolve(file=file).model_name, resolve(file=file).dataset_name) == (MODEL, DATA)
    assert resolve(dataset=DATA, file=written({"model": {"name": MODEL}, "data": {"name": "nowhere"}})).dataset_name == DATA


def test_the_data_root_is_the_flags_else_the_environments_else_data(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve(MODEL, DATA).data_root == Path("data")
    monkeypatch.setenv("TBPS_DATA_ROOT", "elsewhere")
    assert resolve(MODEL, DATA).data_root == Path("elsewhere")
    assert resolve(MODEL, DATA, flags={"data_root": "here"}).data_root == Path("here")


@pytest.mark.parametrize(
    ("override", "section", "key", "value"),
    [
        ("train.lr=1e-4", "train", "lr", 1e-4),  # to YAML a string: it wants 1.0e-4
        ("train.clip_norm=null", "train", "clip_norm", None),
        ("train.milestones=[3, 5]", "train", "milestones", [3, 5]),
        ("train.deterministic=false", "train", "deterministic", False),
        ("model.sizes=[4]", "model", "sizes", [4]),
        ("model.inner.depth=5", "model", "inner", {"depth": 5}),
        ("model.exact=yes", "model", "exact", True),
        (" model.kind =deep", "model", "kind", "deep"),
    ],
)
def test_set_reads_yaml(override: str, section: str, key: str, value: Any) -> None:
    assert resolve(MODEL, DATA, overrides=[override]).dump()[section][key] == value


# ------------------------------------------------------------------------------------------------------ dump and hash


@pytest.mark.parametrize("name", registry.names("model"))
def test_every_preset_of_every_built_in_resolves_and_its_dump_rebuilds_it(name: str) -> None:
    for preset in registry.names("model")[name].presets:
        config = resolve(name, DATA, preset)
        assert RunConfig.from_dict(yaml.safe_load(yaml.safe_dump(config.dump()))) == config


def test_a_dump_is_a_file_that_resolves_to_the_same(written: Callable[[Any], Path]) -> None:
    config = resolve(MODEL, DATA, "tiny", overrides=["train.milestones=[1, 2]", "model.shift=0.5", "limit=3"])
    assert resolve(file=written(config.dump())) == config
    assert list(config.dump())[:5] == ["model", "data", "preset", "train", "evaluation"]


def test_updated_validates_and_leaves_the_original() -> None:
    config = resolve(MODEL, DATA)
    assert config.updated({"train.lr": 0.5, "model.inner.depth": 9}).dump()["model"]["inner"] == {"depth": 9}
    assert config.train.lr == 1e-3
    with pytest.raises(UsageError, match=r"train\.lr must be greater than 0, got -1"):
        config.updated({"train.lr": -1})


def test_overridden_reads_values_as_set_does() -> None:
    assert (
        resolve(MODEL, DATA).overridden(["train.lr=1e-4", "train.clip_norm=null"]).dump()["train"].items()
        >= {"lr": 1e-4, "clip_norm": None}.items()
    )


def test_a_config_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        resolve(MODEL, DATA).seed = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    "key", ["seed=5", "device=cpu", "data_root=x", "output_dir=y", "tracker=none", "train.workers=0", "evaluation.query_block=1"]
)
def test_what_changes_no_result_leaves_the_hash(key: str) -> None:
    assert config_hash(resolve(MODEL, DATA, overrides=[key])) == config_hash(resolve(MODEL, DATA))


@pytest.mark.parametrize("key", ["train.lr=0.5", "model.width=9", "model.inner.depth=7", "precision=bf16", "limit=2", "train.epochs=9"])
def test_what_changes_results_changes_the_hash(key: str) -> None:
    assert config_hash(resolve(MODEL, DATA, overrides=[key])) != config_hash(resolve(MODEL, DATA))


def test_the_hash_is_the_same_in_every_process() -> None:
    code = (
        "from bench import registry, config; registry.plug_in('tests.stub_plugin')\n"
        f"print(config.config_hash(config.resolve('{MODEL}', '{DATA}')))"
    )
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", code], cwd=registry.ROOT, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == config_hash(resolve(MODEL, DATA))
    assert len(done.stdout.strip()) == 8


def test_the_run_folder_holds_dataset_model_hash_and_seed() -> None:
    config = resolve(MODEL, DATA, overrides=["seed=4", "output_dir=out"])
    assert run_folder(config) == Path("out") / DATA / MODEL / config_hash(config) / "seed4"


def test_flatten_gives_dotted_keys_and_plain_values() -> None:
    flat = flatten(resolve(MODEL, DATA, "tiny"))
    told = {key: flat[key] for key in ("model.name", "model.inner.depth", "model.sizes", "model.shift", "train.deterministic", "seed")}
    expected = {"model.name": MODEL, "model.inner.depth": 1, "model.sizes": "[1, 2]", "model.shift": "null", "train.deterministic": True}
    assert told == {**expected, "seed": 0}
    assert all(isinstance(value, str | int | float) for value in flat.values())


# ------------------------------------------------------------------------------------------------------------ mistakes


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train.epoch=3", "unknown option 'train.epoch'; did you mean 'train.epochs'?"),
        ("epochs=3", "unknown option 'epochs'; did you mean 'train.epochs'?"),
        ("model.epochs=3", "unknown option 'model.epochs'; did you mean 'train.epochs'?"),
        ("model.widht=3", "unknown option 'model.widht'; did you mean 'model.width'?"),
        ("model.inner.deep=3", "unknown option 'model.inner.deep'; did you mean 'model.inner.depth'?"),
        (
            "data.zzz=3",
            "unknown option 'data.zzz'; there are: data.caption_noise, data.noise_seed, data.noise_index, data.phrases, data.name",
        ),
        ("trian.lr=1", "unknown option 'trian'; did you mean 'train'?"),
        (
            "zzz=1",
            "unknown option 'zzz'; there are: model, data, train, evaluation, data_root, device, limit, output_dir, precision, preset, "
            "seed, tracker",
        ),
        ("model_name=x", "unknown option 'model_name'; did you mean 'model'?"),
        ("train.lr=-1", "train.lr must be greater than 0, got -1"),
        ("train.lr=.inf", "train.lr must be a finite number, got inf"),
        ("train.epochs=many", "train.epochs must be a valid integer, unable to parse string as an integer, got 'many'"),
        ("train.epochs=true", "train.epochs must not be true or false, got True"),
        ("model.inner.depth=true", "model.inner.depth must not be true or false, got True"),
        ("model.kind=dep", "model.kind must be 'flat' or 'deep', got 'dep'; did you mean 'deep'?"),
        ("model.sizes=[1, x]", "model.sizes.1 must be a valid integer, unable to parse string as an integer, got 'x'"),
        ("device=gpu", "device must be 'auto', 'cpu' or 'cuda', got 'gpu'; did you mean 'cpu'?"),
        ("train.schedule=multistep", "train: schedule multistep needs train.milestones, for example [20, 50]"),
        ("train=3", "train must be a mapping of options (train.<option>), got 3"),
        ("seed.x=1", "seed must be a valid integer, got {'x': 1}"),
        ("preset=papr", "model stub-plugin has no preset 'papr' (presets: paper, tiny); did you mean 'paper'?"),
        ("train.lr", "--set needs key=value, for example train.lr=1e-4, got 'train.lr'"),
        ("=3", "--set needs key=value, for example train.lr=1e-4, got '=3'"),
    ],
)
def test_a_wrong_option_is_one_line(override: str, said: str) -> None:
    assert failure(overrides=[override]) == said


def test_several_mistakes_are_counted() -> None:
    assert failure(overrides=["train.lr=-1", "train.flip=2", "train.gamma=0"]).endswith("(and 2 more)")


def test_a_value_that_is_no_yaml_is_one_line() -> None:
    assert failure(overrides=["train.lr=["]).startswith("--set train.lr: the value '[' is no YAML: while parsing")


def test_unknown_and_missing_names_are_one_line() -> None:
    assert "unknown model 'stub-plugn'" in failure(model="stub-plugn")
    assert "did you mean 'stub-plugin'?" in failure(model="stub-plugn")
    assert failure(model=None).startswith("no model is named: give --model NAME; models: ")
    assert failure(dataset=None).startswith("no dataset is named: give --dataset NAME; datasets: ")
    assert failure(model=None, overrides=["model.name=5"]).startswith("model.name must be a name, got 5; models: ")
    assert failure(preset="other") == "model stub-plugin has no preset 'other' (presets: paper, tiny)"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "cannot be read: while parsing a flow node"),
        ("- 1", "must be a mapping of options, got list"),
        ("", "must be a mapping of options, got NoneType"),
        ("!!python/object/apply:os.getcwd []", "cannot be read: could not determine a constructor"),
    ],
)
def test_a_file_that_is_no_configuration_is_one_line(written: Callable[[Any], Path], text: str, said: str) -> None:
    file = written(text)
    assert failure(file=file).startswith(f"configuration {file} {said}")


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    assert "cannot be read: [Errno 2] No such file" in failure(file=tmp_path / "none.yaml")


def test_every_option_is_described() -> None:
    for options in (configs.TrainOptions, configs.EvaluationOptions):
        assert all(info.description for info in options.model_fields.values())
