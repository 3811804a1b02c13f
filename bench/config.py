"""RunConfig: the one frozen description of a run, from the command line and the study to the record, MLflow and the checkpoint.

A person sees it as nested keys (`model.name`, `model.<knob>`, `data.name`, `data.<knob>`, `train.<knob>`, `evaluation.<knob>`,
`seed`, ...): in YAML, in `--set key=value` and in `dump`. The knobs of `model` and `data` are those of the chosen classes' own Config.
Precedence: defaults < preset < file < `--set` < flags.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, SerializeAsAny, model_validator

from bench import registry
from bench._augment_options import AugmentOptions
from bench.contracts import DataOptions, Dataset, ModelOptions, Options, Preset
from bench.errors import UsageError
from bench.validation import dotted, keys_of, read_yaml, unknown, validated

SECTIONS = ("model", "data", "train", "evaluation")
INDIFFERENT = ("train.workers", "train.speed.", "evaluation.", "device", "data_root", "output_dir", "tracker", "preset")
"""Beginnings of the keys in which two processes of one run may differ."""


class SpeedOptions(Options):
    """How a step is computed: the same up to float tolerance. On a CPU none of these was found to pay (`bench perf`, README)."""

    channels_last: bool = Field(False, description="images and convolutions with channels innermost")
    fused: bool = Field(False, description="AdamW in one kernel")
    compiled: bool = Field(False, description="torch.compile; wants a C++ compiler (CPU) or Triton (GPU), and minutes at the start")


class TrainOptions(Options):
    """The recipe that trains a model."""

    model_config = ConfigDict(allow_inf_nan=False)

    epochs: int = Field(20, ge=1, description="passes over the train captions")
    batch_size: int = Field(16, ge=2, description="pairs an optimiser step sees, over all processes")
    lr: float = Field(8e-5, gt=0, description="peak learning rate; a parameter group's multiplier comes on top")
    weight_decay: float = Field(0.05, ge=0, description="AdamW's decoupled weight decay")
    schedule: Literal["cosine", "multistep", "constant"] = Field("cosine", description="learning rate after the warm-up")
    milestones: tuple[PositiveInt, ...] = Field((), description="epochs after which `multistep` multiplies the rate by gamma")
    gamma: float = Field(0.1, gt=0, le=1, description="factor of `multistep`")
    warmup_epochs: float = Field(0.0, ge=0, description="epochs, whole or not, in which the rate rises linearly")
    decay_all: bool = Field(False, description="weight decay on biases and norms too, which usually go without")
    clip_norm: float | None = Field(1.0, gt=0, description="largest gradient norm; null: gradients are not clipped")
    flip: float = Field(0.5, ge=0, le=1, description="probability of mirroring a train image")
    augment: AugmentOptions = Field(AugmentOptions(), description="further random changes of train pairs")
    sampler: Literal["shuffle", "identity"] = Field("shuffle", description="batches of any pairs, or of `instances` pairs an identity")
    instances: int = Field(4, ge=2, description="pairs of an identity in a batch of the sampler `identity`")
    patience: int | None = Field(None, ge=1, description="epochs without a better val R1 (then mAP) that end training; null: never")
    workers: int = Field(2, ge=0, description="threads that decode images; 0: none besides the main one")
    deterministic: bool = Field(True, description="only algorithms that give the same result twice")
    speed: SpeedOptions = Field(default_factory=SpeedOptions, description="how a step is computed")

    @model_validator(mode="after")
    def _multistep_has_steps(self) -> TrainOptions:
        if self.schedule == "multistep" and not self.milestones:
            raise ValueError("schedule multistep needs train.milestones, for example [20, 50]")
        return self


class EvaluationOptions(Options):
    """How much is computed at once, on which results do not depend; and shortcuts, which are off unless asked for."""

    batch_size: int = Field(128, ge=1, description="images or captions that are embedded at once")
    query_block: int = Field(256, ge=1, description="queries in a block of similarities")
    gallery_block: int = Field(1024, ge=1, description="gallery images in a block of similarities")
    keep_embeddings: bool = Field(True, description="write embeddings/val and test.safetensors, for evaluation without the towers")
    precision: Literal["fp32", "bf16"] = Field("fp32", description="of compared features; bf16 moves similarities by thousandths")
    two_stage: bool = Field(False, description="compare in full only what the model's first stage ranks highest; the rest follows it")
    top_k: int = Field(512, ge=10, description="of the gallery, how many the second stage compares")

    @property
    def shortcuts(self) -> str:
        """What changes a ranking, as a record's protocol says it; nothing unless asked for."""
        said = [f"two-stage, first {self.top_k}"] * self.two_stage + ["bf16"] * (self.precision == "bf16")
        return "".join(f", {what}" for what in said)


def _data_root() -> Path:
    return Path(os.environ.get("TBPS_DATA_ROOT") or "data")


class RunConfig(Options):
    """One run. Build it with `resolve` or `from_dict`; `dump` alone rebuilds it."""

    model_name: str
    model: SerializeAsAny[ModelOptions]
    dataset_name: str
    data: SerializeAsAny[DataOptions]
    preset: str | None = Field(None, description="the model's preset that stood in for its defaults")
    train: TrainOptions = TrainOptions()
    evaluation: EvaluationOptions = EvaluationOptions()
    seed: int = Field(0, ge=0, description="of everything drawn at random")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["fp32", "bf16"] = "fp32"
    limit: int | None = Field(None, ge=1, description="images kept of each split, to try things out; null: all")
    data_root: Path = Field(default_factory=_data_root)
    output_dir: Path = Path("results")
    tracker: Literal["mlflow", "none"] = "mlflow"

    @property
    def cache(self) -> Path:
        """What is kept from run to run: decoded pixels, phrases, tokens. Not in the data root, which may be read-only; safe to delete."""
        return self.output_dir / ".cache"

    @property
    def dataset_label(self) -> str:
        """What folders, records and MLflow call the data set: its name, or that of its file."""
        return registry.label(self.dataset_name)

    def dump(self) -> dict[str, Any]:
        """The nested plain dict (strings, numbers, booleans, None, lists) that a person sees."""
        plain = self.model_dump(mode="json", exclude={"model_name", "dataset_name"})
        model, data = plain.pop("model"), plain.pop("data")
        return {"model": {"name": self.model_name, **model}, "data": {"name": self.dataset_name, **data}, **plain}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RunConfig:
        """The inverse of `dump`. What is left out has its default; presets are not looked up (see `resolve`)."""
        values = dict(values)
        model_name, model = _chosen("model", values.pop("model", None))
        dataset_name, data = _chosen("dataset", values.pop("data", None))
        keys = [*keys_of(type(model), "model."), *keys_of(type(data), "data."), *_common_keys()]
        for section, options in (("train", TrainOptions), ("evaluation", EvaluationOptions)):
            values[section] = validated(options, _mapping(values.get(section), section), f"{section}.", keys)
        for key in values:
            if key not in _surface():
                raise UsageError(unknown(key, keys))
        values |= {"model_name": model_name, "model": model, "dataset_name": dataset_name, "data": data}
        return validated(cls, values, "", keys)

    def updated(self, values: Mapping[str, Any]) -> RunConfig:
        """A copy with other values, given by dotted keys (`train.lr`): what a study's trial is."""
        nested = self.dump()
        for key, value in values.items():
            _put(nested, key, value)
        return self.from_dict(nested)

    def overridden(self, overrides: Sequence[str]) -> RunConfig:
        """A copy with what `--set` asks for (`train.lr=1e-4`)."""
        return self.updated(dict(map(_parsed, overrides)))


def resolve(
    model: str | None = None,
    dataset: str | None = None,
    preset: str | None = None,
    file: Path | None = None,
    overrides: Sequence[str] = (),
    flags: Mapping[str, Any] | None = None,
) -> RunConfig:
    """The configuration that a person asks for. `overrides` are `--set` values; `flags` have dotted keys, None: not given."""
    asked = read_yaml(file, "configuration") if file is not None else {}
    given = {"model.name": model, "data.name": dataset, "preset": preset, **(flags or {})}
    for key, value in [*map(_parsed, overrides), *((key, value) for key, value in given.items() if value is not None)]:
        _put(asked, key, value)
    asked["preset"] = name = _preset_name(asked)
    recipe = _class("model", asked.get("model")).presets[name] if name is not None else Preset("the defaults")
    return RunConfig.from_dict(_merged({"model": recipe.model, "train": recipe.train}, asked))


def opened(name: str, data_root: Path | None = None, overrides: Sequence[str] = ()) -> Dataset:
    """A data set by itself, with what `--set data.<knob>=<value>` asks for."""
    asked: dict[str, Any] = {"data": {"name": name}}
    for key, value in map(_parsed, overrides):
        if not key.startswith("data."):
            raise UsageError(f"--set {key}: a data set alone is asked for; its options begin with data.")
        _put(asked, key, value)
    name, options = _chosen("dataset", asked["data"])
    dataset: Dataset = registry.load("dataset", name)(data_root or _data_root(), options)
    return dataset


def config_hash(config: RunConfig) -> str:
    """8 hexadecimal digits over all that changes results, the seed apart: runs that differ in seed alone share them."""
    plain = config.dump()
    told = {key: plain[key] for key in ("model", "data", "train", "precision", "limit")}
    del told["train"]["workers"], told["train"]["speed"]
    told |= {"shortcuts": config.evaluation.shortcuts} if config.evaluation.shortcuts else {}
    return sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:8]


def flatten(config: RunConfig) -> dict[str, str | int | float | bool]:
    """Dotted keys with plain values, as MLflow wants its parameters. None is `null`, a list is its JSON."""
    return {key: value if isinstance(value, str | int | float) else json.dumps(value) for key, value in dotted(config.dump())}


def run_folder(config: RunConfig) -> Path:
    """Where the run of this configuration and seed is kept."""
    return config.output_dir / config.dataset_label / config.model_name / config_hash(config) / f"seed{config.seed}"


# ------------------------------------------------------------------------------------------- the chosen model and data


def _class(kind: registry.Kind, section: Any) -> Any:
    return registry.load(kind, _name(kind, section))


def _name(kind: registry.Kind, section: Any) -> str:
    """The name in the section `model` or `data`, as the registry spells it."""
    key = "model.name" if kind == "model" else "data.name"
    name = _mapping(section, key.partition(".")[0]).get("name")
    if not isinstance(name, str):
        wrong = f"{key} must be a name, got {name!r}" if name is not None else f"no {kind} is named: give --{kind} NAME"
        raise UsageError(f"{wrong}; {kind}s: {', '.join(registry.names(kind)) or 'none'}")
    return registry.find(kind, name).name


def _chosen(kind: registry.Kind, section: Any) -> tuple[str, Any]:
    """The name of a model or dataset and its validated options."""
    name = _name(kind, section)
    options, prefix = registry.load(kind, name).Config, "model." if kind == "model" else "data."
    if kind == "dataset" and not issubclass(options, DataOptions):
        raise UsageError(f"dataset {name}: its Config must be a bench.contracts.DataOptions, which every data set's options build on")
    knobs = {key: value for key, value in section.items() if key != "name"}
    return name, validated(options, knobs, prefix, [*keys_of(options, prefix), *_common_keys()])


def _preset_name(asked: Mapping[str, Any]) -> str | None:
    """The preset that is asked for, else the dataset's default where the model has it."""
    presets = _class("model", asked.get("model")).presets
    name = asked["preset"] if "preset" in asked else _class("dataset", asked.get("data")).default_preset
    if name is None or ("preset" not in asked and name not in presets):
        return None
    if name not in presets:
        model = _name("model", asked["model"])
        hint = registry.did_you_mean(str(name), presets)
        raise UsageError(f"model {model} has no preset {name!r} (presets: {', '.join(presets) or 'none'}){hint}")
    return str(name)


# ------------------------------------------------------------------------------------------------- nested plain values


def _parsed(override: str) -> tuple[str, Any]:
    """`a.b=c` -> ("a.b", c), c being read as YAML."""
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"--set needs key=value, for example train.lr=1e-4, got {override!r}")
    try:
        return key.strip(), yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"--set {key.strip()}: the value {text!r} is no YAML: {' '.join(str(error).split())}") from error


def _put(nested: dict[str, Any], dotted: str, value: Any) -> None:
    *sections, last = dotted.split(".")
    for place, section in enumerate(sections, 1):
        inner = dict(_mapping(nested.get(section), ".".join(sections[:place])))
        nested[section] = inner
        nested = inner
    nested[last] = value


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    both = {key: _merged(base[key], over[key]) for key in base if isinstance(base[key], Mapping) and isinstance(over.get(key), Mapping)}
    return {**base, **over, **both}


def _mapping(values: Any, key: str) -> Mapping[str, Any]:
    if not isinstance(values, Mapping | None):
        raise UsageError(f"{key} must be a mapping of options ({key}.<option>), got {values!r}")
    return values or {}


def _surface() -> set[str]:
    return set(RunConfig.model_fields) - {"model_name", "dataset_name"}


def _common_keys() -> list[str]:
    sections: dict[str, type[BaseModel]] = {"train": TrainOptions, "evaluation": EvaluationOptions}
    nested = [key for section, options in sections.items() for key in keys_of(options, f"{section}.")]
    return ["model.name", "data.name", *nested, *sorted(_surface() - set(SECTIONS))]
