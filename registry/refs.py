"""How a model version is named: parsed and formatted here and nowhere else.

hand                 the model                      hand/3               version 3
hand@production      the version with the alias     models:/hand/3       MLflow's own spelling of both

A stage's endpoint is named after both: `hand-production`. What runs beside it for a while has a suffix: `-next` is a bundle
that is tried out, `-canary` a version that gets a share of the traffic.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from registry.errors import InputError

_NAME = r"(?P<model>[A-Za-z0-9][A-Za-z0-9_. -]{0,199})"
_REF = re.compile(rf"(?:models:/)?{_NAME}(?:/(?P<version>[1-9][0-9]{{0,8}})|@(?P<alias>[A-Za-z0-9_-]{{1,100}}))?")
NEXT_SUFFIX = "-next"
CANARY_SUFFIX = "-canary"
_GRAMMAR = "expected NAME, NAME/VERSION or NAME@ALIAS"


@dataclass(frozen=True, slots=True)
class Ref:
    """A parsed reference; at most one of `version` and `alias` is set."""

    model: str
    version: int | None = None
    alias: str | None = None

    def __str__(self) -> str:
        """The short spelling."""
        if self.version is not None:
            return f"{self.model}/{self.version}"
        return f"{self.model}@{self.alias}" if self.alias else self.model

    @property
    def uri(self) -> str:
        """MLflow's spelling."""
        return f"models:/{self}"


def parse_ref(text: str) -> Ref:
    """Read a reference, or say what one looks like."""
    match = _REF.fullmatch(text.strip())
    if not match:
        raise InputError(f"reference '{text}'", _GRAMMAR, "for example hand/3 or hand@production")
    version = match["version"]
    return Ref(match["model"], int(version) if version else None, match["alias"])


def check_model_name(name: str) -> str:
    """Return a model's name if it can stand in a reference."""
    if not re.fullmatch(_NAME, name):
        raise InputError(
            f"model name '{name}'", "expected letters, digits, '_', '-', '.' or spaces", "rename it, for example 'hand'"
        )
    return name


def endpoint_name(model: str, stage: str) -> str:
    """The name of a stage's endpoint. A model's name may have spaces, a provider's name of an endpoint may not."""
    return f"{model}-{stage}".replace(" ", "%20")
