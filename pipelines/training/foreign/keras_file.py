"""A Keras file (`.keras`): looked through here, where no Keras is, then opened in safe mode in the TensorFlow world.

Keras' safe mode refuses lambdas only. A file can also name any Python module to import, layers that unpickle, and layers that
read files of the machine: only Keras' own layers of networks of numbers are let through.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from pipelines.training.foreign.contract import About, Head, Scores
from pipelines.training.foreign.options import Tensors
from registry.errors import InputError, IntegrityError, UnavailableError, shorten
from registry.settings import Settings
from serving.bundle.modelinfo import ModelInfo
from serving.export.subprocess_job import Bounds, run_subprocess

_SCRIPT = Path(__file__).with_name("tf_keras.py")
_MEMBERS = {"metadata.json", "config.json", "model.weights.h5"}
_CODE = {"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "FlaxWrapper"}
_READS = {"StringLookup", "IntegerLookup", "IndexLookup", "TextVectorization", "HashedCrossing", "MelSpectrogram"}
_JSON_LARGEST = 64_000_000
_IMAGE_RANK, _CHANNELS = 4, 3


@dataclass(frozen=True, slots=True)
class World:
    """TensorFlow's interpreter, and what a process of it may use."""

    python: Path
    bounds: Bounds

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Those of this machine."""
        return cls(settings.tf_python, Bounds(settings.converter_seconds, settings.converter_gb))


class KerasFile:
    """A classifier in a .keras file. `work` is a scratch folder."""

    def __init__(self, path: Path, world: World, work: Path, subject: object = None) -> None:
        self._subject, self._path, self._world, self._work = subject or path, path, world, work
        if not world.python.exists():
            remedy = "run `make setup` in a source checkout, or set MODELYARD_TF_PYTHON"
            raise UnavailableError("TensorFlow world", f"there is nothing at {world.python}", remedy)
        config = read_config(path, self._subject)
        name = str((config.get("config") or {}).get("name") or path.stem)
        self.about = About("keras_file", name, _side(config, self._subject))

    def answers(self, batches: Sequence[Tensors]) -> list[Scores]:
        """Keras' own answers."""
        files: list[str] = []
        for index, tensors in enumerate(batches):
            file = self._work / f"tensors{index}.npy"
            np.save(file, np.ascontiguousarray(tensors.transpose(0, 2, 3, 1), np.float32))
            files.append(str(file))
        answers = self._work / "scores.npz"
        self._run({"tensors": files, "answers": str(answers)})
        with np.load(answers, allow_pickle=False) as arrays:
            return [np.asarray(arrays[f"rows{index}"], np.float32) for index in range(len(batches))]

    def package(self, folder: Path, info: ModelInfo, head: Head) -> ModelInfo:
        """The model from pixels in 0..1 to probabilities."""
        job = {"out": str(folder), "size": info.preprocess.size, "classes": len(info.labels), "order": head.order}
        self._run(job | {"mean": head.normalise.mean, "std": head.normalise.std, "softmax": head.softmax})
        preprocess = {name: getattr(info.preprocess, name) for name in ("size", "resize", "crop", "resized")}
        return info.changed(framework="keras", preprocess=type(info.preprocess).of(preprocess | {"layout": "NHWC"}))

    def _run(self, job: dict[str, Any]) -> None:
        about = {"keras": str(self._path.absolute()), "subject": shorten(self._subject)}
        run_subprocess([self._world.python, "-I", _SCRIPT], about | job, "Keras", bounds=self._world.bounds)


def read_config(path: Path, subject: object) -> dict[str, Any]:
    """The configuration in a .keras file. Raises IntegrityError naming what in it could run code or read other files."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if strange := [name for name in names if name not in _MEMBERS and not name.endswith("/")]:
                why = f"holds '{shorten(strange[0], 60)}', which a network of numbers has no need of"
                raise IntegrityError(subject, why, "save it again without assets")
            if archive.getinfo("config.json").file_size > _JSON_LARGEST:
                raise InputError(subject, "has a configuration of over 64 MB", "save it again")
            config = json.loads(archive.read("config.json"))
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, RecursionError) as error:
        raise InputError(subject, f"is no whole .keras file ({shorten(error, 80)})", "save it again") from error
    if not isinstance(config, dict):
        raise InputError(subject, "has no configuration of a model", "save it again")
    for part in _objects(config):
        _check_object(part, subject)
    return config


def _check_object(part: dict[str, Any], subject: object) -> None:
    """A layer, an initializer or another object that is written into a configuration."""
    name, module = str(part.get("class_name")), str(part.get("module") or "keras")
    if name in _CODE or name == "__lambda__":
        why = f"has a layer of code, {name}, which would run here"
        raise IntegrityError(subject, why, "rebuild it from Keras' own layers and operations, and save it again")
    if name in _READS:
        raise IntegrityError(subject, f"has a layer that can read files, {name}", "leave it out of the network")
    if not (module == "builtins" or module.split(".", maxsplit=1)[0] == "keras") or module.startswith("keras.src.utils"):
        why = f"names code of a package, {shorten(f'{module}.{name}', 80)}"
        raise IntegrityError(subject, why, "rebuild it from Keras' own layers, or export it to ONNX")


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every serialised object in a configuration."""
    if isinstance(value, dict):
        if "class_name" in value:
            yield value
        for inner in value.values():
            yield from _objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _objects(inner)


def _side(config: dict[str, Any], subject: object) -> int | None:
    """The picture's side, from the first shape that the configuration states; None where it states none."""
    shape = next((shape for part in _dicts(config) if (shape := _shape_in(part))), None)
    if shape is None:
        return None
    _, height, width, channels = shape
    if channels != _CHANNELS:
        remedy = "give a network of color pictures with channels last: [batch, height, width, 3]"
        raise InputError(subject, f"takes {shape}", remedy)
    if height and width and height != width:
        raise InputError(
            subject, f"takes {height} x {width} pixels", "give one that takes squares: pictures are cropped to one"
        )
    return height or width


def _shape_in(part: dict[str, Any]) -> list[Any] | None:
    for key in ("batch_shape", "batch_input_shape", "input_shape"):
        shape = part.get(key)
        if isinstance(shape, list) and len(shape) == _IMAGE_RANK and all(isinstance(size, int | None) for size in shape):
            return shape
    return None


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _dicts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _dicts(inner)
