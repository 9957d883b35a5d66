"""Where the MLflow server of a home answers."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.errors import DamagedFileError, MissingFileError, UnavailableError
from registry.files import read_json
from registry.settings import Settings

UP = "up.json"
"""In the home: the addresses of what `modelyard up` runs, while it runs."""


@dataclass(frozen=True, slots=True)
class Running:
    """What a `modelyard up` wrote down: the addresses of its services, and the numbers of its processes."""

    addresses: Mapping[str, str]
    pids: Sequence[int]


def read_running(home: Path) -> Running:
    """What runs by `modelyard up` in a home. Raises MissingFileError where nothing does, and DamagedFileError."""
    remedy = "stop `modelyard up` and start it again"
    running: Any = read_json(home / UP, remedy)
    damaged = DamagedFileError(home / UP, "is damaged: it does not say what runs", remedy)
    try:
        addresses = dict[str, Any](running)
        pids = list[Any](addresses.pop("pids", ()))
    except (TypeError, ValueError) as error:
        raise damaged from error
    if not _all_are(str, [*addresses.values()]) or not _all_are(int, pids):
        raise damaged
    return Running(addresses, pids)


def _all_are(kind: type, values: Sequence[object]) -> bool:
    return all(type(value) is kind for value in values)


def mlflow_address(settings: Settings) -> str:
    """As set for Modelyard, as the `modelyard up` of this home wrote it down, or as MLflow's own variable says."""
    if settings.mlflow_uri:
        return settings.mlflow_uri
    with contextlib.suppress(MissingFileError):
        if address := read_running(settings.home).addresses.get("mlflow"):
            return address
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        return uri
    raise UnavailableError(f"MLflow server of {settings.home}", "is not running", "start it with `modelyard up`")


def redact_login(uri: str) -> str:
    """An address without the user and password in it, for messages, pages and records."""
    return re.sub(r"//[^/@]*@", "//", uri)
