"""MLflow's scoring protocol, as `mlflow models serve` and its clients speak it: POST /invocations."""

from __future__ import annotations

from typing import Any

import msgspec

from registry.errors import InputError, shorten
from serving.server.protocols.plain import read_json
from serving.server.protocols.served import AnsweredPicture, UnsupportedError

_COLUMN = "image"


class Split(msgspec.Struct, forbid_unknown_fields=True):
    """A data frame as columns and rows."""

    columns: list[str]
    data: list[list[Any]]
    index: list[Any] | None = None


class Invocation(msgspec.Struct, forbid_unknown_fields=True):
    """Exactly one of the four; pictures are base64, data URLs, or addresses where they are allowed."""

    inputs: Any = None
    instances: Any = None
    dataframe_split: Split | None = None
    dataframe_records: list[dict[str, Any]] | None = None
    params: dict[str, Any] | None = None


def texts_of(body: bytes, content_type: str) -> list[str]:
    """The pictures of a request."""
    if content_type.partition(";")[0].strip().lower() not in {"application/json", ""}:
        raise UnsupportedError(f"content type '{content_type[:60]}'", "is not read here", "send application/json")
    invocation = read_json(body, Invocation)
    if invocation.params:
        raise InputError(f"params '{shorten(min(invocation.params), 60)}'", "is not offered by this model", "leave params out")
    given = [
        field
        for field in (invocation.inputs, invocation.instances, invocation.dataframe_split, invocation.dataframe_records)
        if field is not None
    ]
    if len(given) != 1:
        remedy = 'send {"inputs": ["<base64>", …]}'
        raise InputError("request", "has to hold one of inputs, instances, dataframe_split, dataframe_records", remedy)
    if invocation.dataframe_split is not None:
        return _column(invocation.dataframe_split)
    return [_text(element) for element in _listed(given[0])]


def _listed(given: Any) -> list[Any]:
    if isinstance(given, dict) and set(given) == {_COLUMN}:
        given = given[_COLUMN]
    return given if isinstance(given, list) else [given]


def _column(split: Split) -> list[str]:
    if _COLUMN not in split.columns:
        raise InputError("dataframe_split", f"has no column '{_COLUMN}'", f"name the pictures' column '{_COLUMN}'")
    index = split.columns.index(_COLUMN)
    if any(len(row) != len(split.columns) for row in split.data):
        raise InputError("dataframe_split", "has a row that is not as long as its columns", "give each column a value")
    return [_text(row[index]) for row in split.data]


def _text(element: Any) -> str:
    if isinstance(element, dict):
        element = element.get(_COLUMN, element.get("b64"))
    if not isinstance(element, str):
        raise InputError("request", "holds something that is no picture", "send each picture as a text in base64")
    return element


def respond(answered: list[AnsweredPicture]) -> dict[str, Any]:
    """Predictions in MLflow's response format."""
    return {"predictions": [picture.answer for picture in answered]}
