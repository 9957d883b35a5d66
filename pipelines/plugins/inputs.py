"""What MLflow's `predict` hands over: image files, out of base64, lists, JSON objects and data frames."""

from __future__ import annotations

import base64
from typing import Any

import pandas as pd

from registry.errors import InputError


def pictures_of(inputs: Any) -> Any:
    """What was given, out of a data frame's or a JSON object's `inputs`."""
    if isinstance(inputs, pd.DataFrame):
        if "inputs" not in inputs:
            raise _unreadable()
        return inputs["inputs"].tolist()
    return inputs.get("inputs") if isinstance(inputs, dict) else inputs


def file_of(given: Any) -> bytes:
    """An image file's bytes, out of base64 where they are text."""
    if isinstance(given, bytes) and given:
        return given
    try:
        data = base64.b64decode(given, validate=True) if isinstance(given, str) else b""
    except ValueError as error:
        raise _unreadable() from error
    if not data:
        raise _unreadable()
    return data


def _unreadable() -> InputError:
    return InputError("inputs", "hold no image file", 'give {"inputs": ["<base64 of an image file>"]}')
