"""Trainers of other packages, as a job file names them: found by entry point, told what their own config knows.

An entry point of the group `modelyard.trainers` names a kind and a class. The class has `Config`, a pydantic model of what a
job may say, is made with one, and has the method `fit` of `pipelines.training.trainers.contract.Trainer`.
"""

from __future__ import annotations

from difflib import get_close_matches
from importlib.metadata import entry_points
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, ValidationError, ValidationInfo, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from registry.errors import InputError, ModelyardError, missing_extra, shorten
from registry.records import Record

GROUP = "modelyard.trainers"
OWN = ("yolo", "torch", "keras")
STORED = {"stored": True}
"""The context in which a job is read that was accepted before: a package that is missing by now takes no policy away."""


class OtherTrainer(Record):
    """A trainer of another package: `kind`, and what its own config knows."""

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: str = Field(pattern=r"^[a-z][a-z0-9_]*$")

    @property
    def arch(self) -> str:
        """What it calls its network, where its config has such a key."""
        return str((self.model_extra or {}).get("arch") or "its own network")

    def config(self) -> BaseModel:
        """Its package's own config. Raises InputError where the package is not installed."""
        return config_class(self.kind).model_validate(dict(self.model_extra or {}))

    @model_validator(mode="before")
    @classmethod
    def _is_known(cls, value: Any, info: ValidationInfo) -> Any:
        """The config with its defaults, so that a run's parameters say all of it."""
        if not isinstance(value, dict) or (info.context or {}).get("stored"):
            return value
        fields = dict(cast("dict[str, Any]", value))
        kind = fields.pop("kind", None)
        if not isinstance(kind, str):
            return value
        try:
            config = _read(kind, fields)
        except ModelyardError as error:
            raise ValueError(f"{error.subject}: {error.expectation}; {error.remedy}") from error
        return {"kind": kind} | config.model_dump(mode="json")

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The installed trainers' own configs, and any other kind with whatever keys."""
        schemas: list[JsonSchemaValue] = []
        for kind in installed():
            schema = handler(config_class(kind).__pydantic_core_schema__)
            named = {"properties": {"kind": {"const": kind}}, "required": ["kind"]}
            schemas.append({"title": kind, "allOf": [named, schema]})
        schema = handler(core_schema)
        known: JsonSchemaValue = {"not": {"enum": [*OWN, *installed()]}}
        handler.resolve_ref_schema(schema)["properties"]["kind"] |= known
        return {"anyOf": [schema, *schemas]} if schemas else schema


def installed() -> list[str]:
    """The kinds of the installed trainers of other packages."""
    return sorted({entry.name for entry in entry_points(group=GROUP)} - set(OWN))


def default_config(kind: str) -> OtherTrainer:
    """A trainer with nothing said about it. Raises InputError for one that is not installed, or whose config wants a key."""
    _read(kind, {})
    return OtherTrainer.model_validate({"kind": kind})


def trainer_class(kind: str) -> Any:
    """A trainer's class by its kind. Raises InputError naming those that are installed, or saying what is wrong with it."""
    entries = entry_points(group=GROUP, name=kind)
    if not entries:
        known = [*OWN, *installed()]
        near = get_close_matches(kind, known, n=1)
        remedy = f"did you mean '{near[0]}'?" if near else "install its package, or fix `train:`"
        raise InputError(f"trainer '{kind}'", f"is not installed (installed: {', '.join(known)})", remedy)
    try:
        return next(iter(entries)).load()
    except ImportError as error:
        raise missing_extra(error.name or kind, f"trainer '{kind}'") from error
    except Exception as error:  # another package's module, which raises what it likes when it is imported
        why = f"cannot be loaded ({type(error).__name__}: {shorten(error, 160)})"
        raise InputError(f"trainer '{kind}'", why, "report it to the package's authors") from error


def config_class(kind: str) -> type[BaseModel]:
    """The pydantic model of what a trainer can be told."""
    config = getattr(trainer_class(kind), "Config", None)
    if not (isinstance(config, type) and issubclass(config, BaseModel)):
        raise InputError(f"trainer '{kind}'", "has no `Config` that is a pydantic model", "report it to the package's authors")
    return config


def _read(kind: str, fields: dict[str, Any]) -> BaseModel:
    """The config that a job's keys make. Raises InputError naming the first that is unknown or wrong."""
    config = config_class(kind)
    known = [name for name in config.model_fields if name != "kind"]
    for key in fields:
        if key not in known:
            near = get_close_matches(key, known, n=1, cutoff=0.4)
            remedy = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(known) or 'none'}"
            raise InputError(f"trainer '{kind}'", f"unknown key '{key}'", remedy)
    try:
        return config.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise InputError(f"trainer '{kind}': {key}", first["msg"].removeprefix("Value error, "), "fix that key") from error
