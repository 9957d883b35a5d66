"""What is wrong with a job file, in one line: the key by its path, what it may be, and what was probably meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, cast, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from registry.errors import InputError

_Path = tuple[int | str, ...]

_ELSEWHERE = {
    "pretrained": "weights: imagenet",
    "frozen": "freeze: backbone",
    "freeze_backbone": "freeze: backbone",
    "lr": "lr0",
    "learning_rate": "lr0",
    "image_size": "imgsz",
    "img_size": "imgsz",
    "size": "imgsz",
    "batch_size": "batch",
    "model": "arch",
    "architecture": "arch",
    "num_epochs": "epochs",
    "flip": "fliplr",
}
"""What other tools call our keys."""

_SCHEMA = "see `modelyard schema` for what it may be"


def explain(error: ValidationError, raw: object, subject: str, root: type[BaseModel]) -> InputError:
    """The first problem of a document that is no `root`."""
    first = error.errors()[0]
    path = _as_written(first["loc"], raw)
    where, key = ": ".join(filter(None, (subject, ".".join(map(str, path))))), str(path[-1]) if path else ""
    if first["type"] == "extra_forbidden":
        return InputError(where, f"unknown key '{key}'", _meant(key, first["loc"][:-1], path[:-1], raw, root))
    if first["type"] == "missing":
        return InputError(where, "is missing", f"add it; {_SCHEMA}")
    if first["type"] == "string_pattern_mismatch" and (described := _described(first["loc"], root)):
        return InputError(where, f"'{first['input']}' is not {described}", _SCHEMA)
    if first["type"] in {"model_type", "model_attributes_type", "dict_type"}:
        return InputError(where, "should hold keys, each with its value", _SCHEMA)
    problem = first["msg"].replace("Input tag", "kind").replace(" found using 'kind'", "")
    problem = problem.replace("Input should be", "should be").replace("a valid tuple", "a list")
    problem, _, remedy = problem.removeprefix("Value error, ").partition("; ")
    return InputError(where, problem, remedy or _SCHEMA)


def _as_written(loc: _Path, raw: object) -> _Path:
    """The path of a key in the file: without the kinds that pydantic puts between, of which nobody wrote any."""
    path, here = list[int | str](), raw
    for number, part in enumerate(loc):
        keys = cast("Mapping[object, object]", here) if isinstance(here, dict) else None
        if keys is not None and part in keys:
            path, here = [*path, part], keys[part]
        elif isinstance(here, (list, tuple)) and isinstance(part, int):
            path, here = [*path, part], cast("Sequence[object]", here)[part]
        elif keys is not None and number == len(loc) - 1 and part not in {keys.get("kind"), "other"}:
            path.append(part)  # a key that is missing
    return tuple(path)


def _meant(key: str, loc: _Path, path: _Path, raw: object, root: type[BaseModel]) -> str:
    """What to write instead of an unknown key."""
    holder: Any = raw
    for part in path:
        holder = holder[part]
    beside = _models_at(root, path)
    kinds = [str(kind) for model in beside if key in model.model_fields and (kind := _kind_of(model))]
    if "kind" not in holder and kinds:
        return f"add `kind: {kinds[0]}`" if len(kinds) == 1 else f"add a `kind`: one of {', '.join(kinds)}"
    known = [name for model in _models_at(root, loc) for name in model.model_fields]
    meant = _ELSEWHERE.get(key.lower(), "")
    near = [meant] if meant.partition(":")[0] in known else get_close_matches(key, known, n=1, cutoff=0.4)
    return f"did you mean '{near[0]}'?" if near else "see `modelyard schema` for the known keys"


def _described(loc: _Path, root: type[BaseModel]) -> str:
    """A field's description."""
    fields = [model.model_fields.get(str(loc[-1])) for model in _models_at(root, loc[:-1])]
    return next((field.description for field in fields if isinstance(field, FieldInfo) and field.description), "")


def _models_at(root: type[BaseModel], path: Sequence[int | str]) -> list[type[BaseModel]]:
    """The models whose keys may stand at a path."""
    here: list[type[BaseModel]] = [root]
    for part in path:
        if any(_kind_of(model) == part for model in here):
            here = [model for model in here if _kind_of(model) == part]
        elif isinstance(part, str) and any(part in model.model_fields for model in here):
            fields = [model.model_fields[part] for model in here if part in model.model_fields]
            here = list(dict.fromkeys(inner for field in fields for inner in _models_in(field.annotation)))
    return here


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Every model class inside an annotation such as `list[A | B]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]


def _kind_of(model: type[BaseModel]) -> object:
    """The `kind` that chooses a model class."""
    field = model.model_fields.get("kind")
    return field.default if field else None
