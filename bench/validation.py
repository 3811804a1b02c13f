"""Plain values -> an options object; pydantic's errors as one line: the path, the rule, the value got, the nearest valid key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from bench import registry
from bench.errors import UsageError

AnyOptions = TypeVar("AnyOptions", bound=BaseModel)


def read_yaml(file: Path, what: str) -> dict[str, Any]:
    """The mapping that a YAML file holds. UsageError, which calls the file `what`, where it holds none."""
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{what} {file} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise UsageError(f"{what} {file} must be a mapping of options, got {type(values).__name__}")
    return values


def dotted(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """`{train: {lr: 1}}` and `{train.lr: 1}` alike -> (train.lr, 1)."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from dotted(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def validated(options: type[AnyOptions], values: Mapping[str, Any], prefix: str, keys: Sequence[str]) -> AnyOptions:
    """The options of these values. What is wrong with them is a UsageError; `prefix` is where they stand, `keys` what there is."""
    _refuse_truth(options, values, prefix)
    try:
        return options.model_validate(values)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise UsageError(_line(problems[0], prefix, keys) + more) from error


def first_problem(error: ValidationError, whole: str = "") -> str:
    """The first thing that is wrong with what a file holds: where in it (`whole`: where it is all of it), and the rule."""
    wrong = error.errors(include_url=False)[0]
    place, rule = ".".join(map(str, wrong["loc"])) or whole, wrong["msg"].removeprefix("Value error, ")
    return f"{place}: {rule}" if place else rule


def _refuse_truth(options: Any, values: Mapping[str, Any], prefix: str) -> None:
    """`true` is no number, though pydantic would read it as 1."""
    for name, info in options.model_fields.items():
        value, annotation = values.get(name), info.annotation
        if isinstance(value, bool) and not any(kind in (bool, Any) for kind in (annotation, *get_args(annotation))):
            raise UsageError(f"{prefix}{name} must not be true or false, got {value!r}")
        if isinstance(value, Mapping) and hasattr(annotation, "model_fields"):
            _refuse_truth(annotation, value, f"{prefix}{name}.")


def _line(problem: Any, prefix: str, keys: Sequence[str]) -> str:
    path = (prefix + ".".join(map(str, problem["loc"]))).rstrip(".")
    if problem["type"] == "extra_forbidden":
        return unknown(path, keys)
    if problem["type"] == "missing":
        return f"{path} is missing and has no default"
    rule = problem["msg"].removeprefix("Value error, ").replace("Input should", "must", 1)
    if problem["type"] == "value_error" and isinstance(problem["input"], Mapping):  # a rule over several options names them itself
        return f"{path}: {rule}"
    hint = registry.did_you_mean(str(problem["input"]), rule.split("'")[1::2]) if problem["type"] == "literal_error" else ""
    return f"{path} {rule}, got {problem['input']!r}{hint}"


def unknown(path: str, keys: Sequence[str]) -> str:
    """What to say of an option that is not among `keys`: one of the same last part, else the nearest, at best beside it."""
    section, _, last = path.rpartition(".")
    every = [*dict.fromkeys(key.partition(".")[0] for key in keys), *keys]
    beside = {key.rpartition(".")[2]: key for key in every if key.rpartition(".")[0] == section}
    anywhere = {key.rpartition(".")[2]: key for key in reversed(every)}
    guess = anywhere.get(last) or beside.get(registry.nearest(last, beside)) or anywhere.get(registry.nearest(last, anywhere))
    hint = f"did you mean {guess!r}?" if guess else f"there are: {', '.join(beside.values()) or 'none'}"
    return f"unknown option {path!r}; {hint}"


def keys_of(options: type[BaseModel], prefix: str) -> Iterator[str]:
    """The dotted keys of an options class, those of options within options included."""
    for name, info in options.model_fields.items():
        inner: Any = info.annotation
        if hasattr(inner, "model_fields"):
            yield from keys_of(inner, f"{prefix}{name}.")
        else:
            yield prefix + name
