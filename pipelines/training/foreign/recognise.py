"""What a path is: by its name, and by what its first bytes and its archive's members say, which must agree."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Literal

from pipelines.data.importing.taught import DOCUMENT, has_document
from registry.errors import InputError, NotFoundError, shorten

Kind = Literal["ultralytics", "onnx", "torch_program", "keras", "hugging_face", "mlflow", "taught"]

_SUFFIXES: dict[str, Kind] = {
    ".pt": "ultralytics",
    ".onnx": "onnx",
    ".pt2": "torch_program",
    ".keras": "keras",
    ".zip": "taught",
}
_ZIP, _HDF5, _PICKLE = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", b"\x80"
_TAUGHT = "what was taught in the page"
_TAKEN = "a .pt of Ultralytics, .onnx, .pt2, .keras, a Hugging Face folder, an MLflow model, or a .zip from the page"
_OTHERS = {
    ".h5": ("is Keras' old format", "save it again as .keras: `model.save('model.keras')`"),
    ".hdf5": ("is Keras' old format", "save it again as .keras: `model.save('model.keras')`"),
    ".pb": ("is a TensorFlow graph", "save the Keras model as .keras, or convert it to ONNX with tf2onnx"),
    ".tflite": ("is a TensorFlow Lite file", "register the model that it was converted from"),
    ".pth": ("is a pickle of PyTorch", "export it: `torch.export.save(torch.export.export(model, (images,)), 'model.pt2')`"),
    ".pkl": ("is a pickle, which runs code when it is opened", "export the network to ONNX"),
    ".joblib": ("is a pickle, which runs code when it is opened", "export the network to ONNX"),
    ".safetensors": ("is weights without a network", "give the folder that it lies in, with config.json"),
}


def recognise(path: Path) -> Kind:
    """The kind of model at a path. Raises NotFoundError, or InputError naming what it is instead."""
    if path.is_dir():
        return _of_folder(path)
    if not path.is_file():
        raise NotFoundError(path, "is not there", f"name {_TAKEN}")
    if other := _OTHERS.get(path.suffix.lower()):
        raise InputError(path, *other)
    kind = _SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise InputError(path, f"is none of the files that can be registered ({content_of(path)})", f"give {_TAKEN}")
    if kind == "ultralytics":
        if content_of(path) == "a torch.export program":
            raise InputError(path, "is a torch.export program, and is named .pt", "name it .pt2")
        return kind
    wanted = {"onnx": "", "torch_program": "a torch.export program", "keras": "a Keras model", "taught": _TAUGHT}[kind]
    content = content_of(path)
    if (kind, content) == ("taught", "a zip archive"):
        raise InputError(path, f"has no {DOCUMENT}, so it is not from the page of `modelyard web`", f"give {_TAKEN}")
    if content != wanted:
        raise InputError(
            path, f"is {content or 'no archive'}, and is named {path.suffix}", f"give {_TAKEN}, each by its own name"
        )
    return kind


def _of_folder(folder: Path) -> Kind:
    if (folder / "MLmodel").is_file():
        return "mlflow"
    if (folder / "config.json").is_file():
        return "hugging_face"
    if (folder / "saved_model.pb").is_file():
        why, remedy = _OTHERS[".pb"]
        raise InputError(folder, why.replace("graph", "SavedModel"), remedy)
    raise InputError(folder, "has neither MLflow's MLmodel nor Hugging Face's config.json", f"give {_TAKEN}")


def content_of(path: Path) -> str:
    """What a file's bytes are; empty for what has no mark of its own, as ONNX has none."""
    with path.open("rb") as file:
        start = file.read(16)
    if not start:
        return "an empty file"
    if start.startswith(_ZIP):
        return _of_archive(path)
    marks = {_HDF5: "an HDF5 file", b"\x7fELF": "a program", b"%PDF": "a PDF", b"\xff\xd8\xff": "a JPEG", b"\x89PNG": "a PNG"}
    marks |= {b"{": "JSON", b"<": "a text of markup", b"version https://": "a Git LFS pointer, not the file itself"}
    if known := next((name for mark, name in marks.items() if start.startswith(mark)), None):
        return known
    if start[4:8] == b"TFL3":
        return "a TensorFlow Lite file"
    if start.startswith(_PICKLE) and start[1:2] in {b"\x02", b"\x03", b"\x04", b"\x05"}:
        return "a pickle"
    return ""


def _of_archive(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        return f"a damaged zip archive ({shorten(error, 60)})"
    if any(name.endswith("/data.pkl") or name == "data.pkl" for name in names):
        return "a pickle of PyTorch"
    if any(name.endswith("archive_format") for name in names) and any("/models/" in name for name in names):
        return "a torch.export program"
    if {"config.json", "metadata.json"} <= set(names):
        return "a Keras model"
    return _TAUGHT if has_document(names) else "a zip archive"
