"""An MLflow model that was made elsewhere: which file in it is the network, by its flavors; pickles are refused."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipelines.training.foreign.onnx_file import names_of
from pipelines.training.foreign.recognise import Kind
from registry.errors import InputError, shorten
from serving.bundle.modelinfo import NAME, ModelInfo, read_info

_FLAVORS = ("onnx", "transformers", "pytorch", "tensorflow", "keras")
_LABEL_KEYS = ("labels", "classes", "class_names", "names", "id2label")
_LARGEST = 10_000_000


@dataclass(frozen=True, slots=True)
class Flavor:
    """The network in an MLflow model's folder, the labels in its metadata, and our own description where it is ours."""

    kind: Kind
    path: Path
    labels: tuple[str, ...] = ()
    info: ModelInfo | None = None


def read_flavor(folder: Path, work: Path, subject: object) -> Flavor:
    """The network in a folder with an MLmodel. Raises InputError naming why none of its flavors can be taken."""
    file = folder / "MLmodel"
    try:
        document: Any = yaml.safe_load(file.read_text()) if file.stat().st_size < _LARGEST else None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(subject, f"has an MLmodel that cannot be read ({shorten(error, 80)})", "log it again") from error
    flavors = document.get("flavors") if isinstance(document, dict) else None
    if not isinstance(flavors, dict):
        raise InputError(subject, "has an MLmodel without flavors", "log it again with mlflow.<flavor>.log_model")
    name = next((flavor for flavor in _FLAVORS if flavor in flavors), None)
    if name is None:
        others = ", ".join(sorted(map(str, flavors))) or "none"
        why = f"has the flavors {others}, of which none is a network that is data"
        raise InputError(subject, why, "log it as pytorch (pt2), onnx, tensorflow (.keras) or transformers")
    kind, path = _network(name, flavors[name] or {}, folder, work, subject)
    metadata = document.get("metadata")
    info = read_info(folder, subject) if (folder / NAME).is_file() else None
    labels = tuple(info.labels) if info else _labels(metadata if isinstance(metadata, dict) else {})
    return Flavor(kind, path, labels, info)


def _network(name: str, fields: dict[str, Any], folder: Path, work: Path, subject: object) -> tuple[Kind, Path]:
    if name == "transformers":
        return "hugging_face", _transformers(fields, folder, work / "transformers", subject)
    if name == "onnx":
        path = _inside(folder, str(fields.get("data", "model.onnx")), subject)
        return "onnx", path / "model.onnx" if path.is_dir() else path
    data = _inside(folder, str(fields.get("data") or fields.get("model_data") or "data"), subject)
    if name == "pytorch":
        if (program := data / "model.pt2").is_file():
            return "torch_program", program
        why = "has a pytorch flavor that is a pickle, which runs code when it is opened"
        raise InputError(subject, why, "log it again with mlflow.pytorch.log_model(..., serialization_format='pt2')")
    if file := next(iter(sorted(data.glob("*.keras"))), None):
        return "keras", file
    remedy = "log it again with a Keras 3 model, which MLflow saves as .keras"
    raise InputError(subject, "has a tensorflow flavor that is no .keras file", remedy)


def _transformers(fields: dict[str, Any], folder: Path, own: Path, subject: object) -> Path:
    """A folder of transformers' layout, from the two places where MLflow keeps the model and its processor."""
    task = str(fields.get("task", "image-classification"))
    if task != "image-classification":
        raise InputError(subject, f"is a transformers pipeline for {task}", "give one for image-classification")
    model = _inside(folder, str(fields.get("model_binary", "model")), subject)
    processors = [folder / "components" / name for name in ("image_processor", "feature_extractor", "processor")]
    if not model.is_dir():
        raise InputError(subject, "has only a reference to a model on the Hub", "log it with save_pretrained=True")
    own.mkdir(parents=True)
    for file in [*model.iterdir(), *(file for each in processors if each.is_dir() for file in each.iterdir())]:
        if file.is_file():
            shutil.copyfile(file, own / file.name)
    return own


def _inside(folder: Path, name: str, subject: object) -> Path:
    path = folder / name
    if Path(name).is_absolute() or ".." in Path(name).parts or not path.exists():
        raise InputError(subject, f"names '{shorten(name, 80)}' as its model, which is not in it", "log it again")
    return path


def _labels(metadata: dict[str, Any]) -> tuple[str, ...]:
    return next((names for key in _LABEL_KEYS if (names := names_of(metadata.get(key)))), ())
