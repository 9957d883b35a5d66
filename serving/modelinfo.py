"""What a registered model's folder says of itself, beside MLflow's own files: `modelyard.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from registry.errors import InputError
from registry.files import read_json, write_json
from registry.records import Record
from serving.preprocess import Preprocess

NAME = "modelyard.json"


class ModelInfo(Record):
    """How to run a trained model: its framework, its labels in output order, and its preprocessing."""

    trainer: str
    arch: str
    framework: Literal["torch", "keras"]
    labels: list[str]
    preprocess: Preprocess
    dataset: str


def write_info(folder: Path, info: ModelInfo) -> None:
    """Put the description into a model's folder."""
    write_json(folder / NAME, info.model_dump(mode="json"))


def read_info(folder: Path, subject: object) -> ModelInfo:
    """Read it back. A model that was not trained here has none, and cannot be judged."""
    try:
        return ModelInfo.model_validate(read_json(folder / NAME))
    except FileNotFoundError as error:
        raise InputError(subject, f"its files hold no {NAME}", "train it with `modelyard train`") from error
    except (ValidationError, ValueError) as error:
        raise InputError(subject, f"its {NAME} cannot be read", "train it again with `modelyard train`") from error
