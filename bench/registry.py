"""Names -> classes, lazily: listing reads source files (`ast`), loading imports the one module that is asked for.

A built-in is a public module of `models/` or `datasets/`; its name is the module's, with `-` for `_`. An outsider comes from an
entry point (groups `bench.models`, `bench.datasets`; the entry point's name) or from `plug_in` (`--plugin`; the class attribute `name`
where the class has one, else the name of its module). Names ignore case and punctuation: `CUHK-PEDES` is `cuhk_pedes`. A dataset may
be a file: its path is its name, and the class that declares the path's ending (`suffixes`) reads it.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from hashlib import sha256
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args

from bench.errors import UsageError

Kind = Literal["model", "dataset"]
ROOT = Path(__file__).resolve().parents[1]
"""The project's root, which holds `models/` and `datasets/`."""


@dataclass(frozen=True)
class Entry:
    """What can be said of a model or dataset without importing it."""

    name: str
    about: str
    origin: str
    """Where it was found: a file, an entry point or a `--plugin`."""
    target: str
    """`module:Class`."""
    citation: str | None = None
    presets: Mapping[str, str] = field(default_factory=dict)
    """What each preset is about, by name."""
    suffixes: tuple[str, ...] = ()
    """Endings of the files that a dataset reads, each a set by itself."""


_plugged_in: dict[Kind, list[Entry]] = {kind: [] for kind in get_args(Kind)}
"""The only state: what `--plugin` brought into this process."""


# ------------------------------------------------------------------------------------------------------------ look-up


def names(kind: Kind) -> dict[str, Entry]:
    """All models or datasets by name, sorted. Two of one name are a UsageError that names both places."""
    found: dict[str, Entry] = {}
    for entry in (*_built_in(kind), *_installed(kind), *_plugged_in[kind]):
        other = found.setdefault(_key(entry.name), entry)
        if other is not entry:
            raise UsageError(f"{kind} {entry.name!r} is found twice: in {other.origin} and in {entry.origin}; rename one")
    return {entry.name: entry for entry in sorted(found.values(), key=lambda entry: entry.name)}


def find(kind: Kind, name: str) -> Entry:
    """The entry of this name, however it is spelt. An unknown name is a UsageError with the nearest one."""
    entries = names(kind)
    for entry in entries.values():
        if _key(entry.name) == _key(name):
            return entry
    if readers := [entry for entry in entries.values() if Path(name).suffix.lower() in entry.suffixes]:
        return replace(readers[0], name=Path(name).as_posix())
    files = "".join(f", or a file {suffix}" for entry in entries.values() for suffix in entry.suffixes)
    raise UsageError(f"unknown {kind} {name!r} ({kind}s: {', '.join(entries) or 'none'}{files}){did_you_mean(name, entries)}")


def load(kind: Kind, name: str) -> type[Any]:
    """The class of this name; imports its module (and with it torch)."""
    entry = find(kind, name)
    if entry.origin.startswith(f"{kind}s/"):
        _own_package(f"{kind}s")
    module, _, attribute = entry.target.partition(":")
    loaded = getattr(_imported(module, entry.origin), attribute, None)
    if not (isinstance(loaded, type) and issubclass(loaded, _contract(kind))):
        raise UsageError(f"{entry.origin}: {entry.target} is no subclass of bench.contracts.{_contract(kind).__name__}")
    if not _is_file(entry):
        return loaded
    bound: type[Any] = loaded.of_file(Path(name))  # type: ignore[attr-defined]  # entries with suffixes are datasets
    return bound


def label(name: str) -> str:
    """What a model or dataset is called in folders, records and tables: its name, or the name of its file (`album.csv`)."""
    return re.sub(r"[^\w.-]+", "-", Path(name).name).strip(".-") or "unnamed"


def nearest(word: str, candidates: Iterable[str]) -> str:
    """The candidate that looks most like `word`, whatever case and punctuation; "" where none comes near."""
    spelt = {_key(candidate): candidate for candidate in candidates}
    close = get_close_matches(_key(word), spelt, n=1, cutoff=0.5)
    return spelt[close[0]] if close else ""


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """`; did you mean '...'?`, or nothing where no candidate comes near."""
    guess = nearest(word, candidates)
    return f"; did you mean {guess!r}?" if guess else ""


def _is_file(entry: Entry) -> bool:
    return Path(entry.name).suffix.lower() in entry.suffixes


def _key(name: str) -> str:
    return re.sub(r"[\W_]", "", name.lower())


def _contract(kind: Kind) -> type[Any]:
    from bench.contracts import Dataset, TextImageModel  # here: it imports torch

    return TextImageModel if kind == "model" else Dataset


def _imported(module: str, origin: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except UsageError:
        raise
    except Exception as error:
        raise _failed(origin, error) from error


def _failed(origin: str, error: Exception) -> UsageError:
    return UsageError(" ".join(f"{origin} cannot be imported: {type(error).__name__}: {error}".split()))


def _own_package(package: str) -> None:
    """Other projects have a `datasets` or `models` too (HuggingFace's, for one): be sure that Python sees ours."""
    place = getattr(_imported(package, f"{package}/"), "__file__", None)
    if place is None or Path(place).resolve().parent != ROOT / package:
        raise UsageError(f"Python finds the package {package!r} at {place}, not in this project; run from the project's root folder")


# --------------------------------------------------------------------------------------------- where entries come from


def _built_in(kind: Kind) -> Iterator[Entry]:
    for file in sorted((ROOT / f"{kind}s").glob("[a-z]*.py")):
        yield _described(file.stem.replace("_", "-"), f"{kind}s/{file.name}", f"{kind}s.{file.stem}", file)


def _installed(kind: Kind) -> Iterator[Entry]:
    for point in entry_points(group=f"bench.{kind}s"):
        package = point.dist.name if point.dist else "an unnamed package"
        origin = f"entry point {point.name} = {point.value} of {package}"
        file = _source(point.module)
        if file is None:
            yield Entry(point.name, "", origin, point.value)
        else:
            yield _described(point.name, origin, point.module, file, point.attr or None)


def _source(module: str) -> Path | None:
    """The file of a module, found without importing its package."""
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None or not rest:
        return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None
    for folder in spec.submodule_search_locations or []:
        path = Path(folder, *rest)
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return file
    return None


def plug_in(value: str) -> None:
    """Register the public models and datasets of a module, given by its name or by the path of its `.py` file."""
    origin = f"plugin {value}"
    module = _from_file(Path(value), origin) if value.endswith(".py") else _imported(value, origin)
    entries = [(kind, _of_class(loaded, origin)) for kind in _plugged_in for loaded in _public_classes(module, _contract(kind))]
    if not entries:
        raise UsageError(f"{origin} holds no public subclass of bench.contracts.TextImageModel or bench.contracts.Dataset")
    for kind, entry in entries:
        if entry not in _plugged_in[kind]:  # the same plugin given twice is one plugin
            _plugged_in[kind].append(entry)


def _from_file(file: Path, origin: str) -> ModuleType:
    """Import a file under a name of its own, so that a plugin `json.py` hides no other `json`."""
    place = file.resolve()
    name = f"plugin_{sha256(str(place).encode()).hexdigest()[:8]}.{place.stem}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, place)
    assert spec is not None
    assert spec.loader is not None  # a path that ends in .py has one
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise _failed(origin, error) from error
    return module


def _public_classes(module: ModuleType, contract: type[Any]) -> Iterator[type[Any]]:
    """Classes of the module (or of its submodules, where it is a package): not what it imported from elsewhere."""
    for name, value in vars(module).items():
        if name.startswith("_") or not inspect.isclass(value) or inspect.isabstract(value) or not issubclass(value, contract):
            continue
        if f"{value.__module__}.".startswith(f"{module.__name__}."):
            yield value


def _of_class(loaded: type[Any], origin: str) -> Entry:
    given = vars(loaded).get("name")
    name = given if isinstance(given, str) else loaded.__module__.rpartition(".")[2].replace("_", "-")
    presets = {preset: value.about for preset, value in getattr(loaded, "presets", {}).items()}
    target = f"{loaded.__module__}:{loaded.__qualname__}"
    about, suffixes = _first_line(inspect.getdoc(loaded)), tuple(getattr(loaded, "suffixes", ()))
    return Entry(name, about, origin, target, getattr(loaded, "citation", None), presets, suffixes)


# -------------------------------------------------------------------------------------------- reading without importing


def _described(name: str, origin: str, module: str, file: Path, wanted: str | None = None) -> Entry:
    """The entry of the class `wanted`, or of the module's one public class, read from the file's syntax tree."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError) as error:
        raise UsageError(f"{origin} cannot be read: {error}") from error
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    if wanted is not None:
        chosen = [node for node in classes if node.name == wanted]
        if not chosen:  # a re-export: only importing would tell
            return Entry(name, "", origin, f"{module}:{wanted}")
    else:
        chosen = [node for node in classes if not node.name.startswith("_") and not _is_options(node)]
    if len(chosen) != 1:
        held = ", ".join(node.name for node in chosen) or "none"
        raise UsageError(f"{origin} must hold one public class besides options, but holds: {held}; begin the others with '_'")
    (node,) = chosen
    values = dict(_assignments(node))
    about, citation = _first_line(ast.get_docstring(node)), _text(values.get("citation"))
    return Entry(name, about, origin, f"{module}:{node.name}", citation, _presets(values), _texts(values.get("suffixes")))


def _is_options(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base).endswith("Options") for base in node.bases)


def _assignments(node: ast.ClassDef) -> Iterator[tuple[str, ast.expr]]:
    for line in node.body:
        if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
            yield line.targets[0].id, line.value
        elif isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.value is not None:
            yield line.target.id, line.value


def _presets(values: Mapping[str, ast.expr]) -> dict[str, str]:
    literal = values.get("presets")
    if not isinstance(literal, ast.Dict):
        return {}
    pairs = zip(literal.keys, literal.values, strict=True)
    return {key: _about(value) for key, value in ((_text(key), value) for key, value in pairs) if key is not None}


def _about(call: ast.expr) -> str:
    """The `about` of `Preset("about ...", ...)`."""
    if not isinstance(call, ast.Call):
        return ""
    given = [*call.args[:1], *(keyword.value for keyword in call.keywords if keyword.arg == "about")]
    return (_text(given[0]) or "") if given else ""


def _text(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _texts(node: ast.expr | None) -> tuple[str, ...]:
    return tuple(text for text in map(_text, node.elts) if text is not None) if isinstance(node, ast.Tuple) else ()


def _first_line(docstring: str | None) -> str:
    return (docstring or "").strip().partition("\n")[0]
