"""A bundle: everything that serving a version needs, in a folder whose `bundle.json` names every byte.

model.onnx        the network with its preprocessing: `images` of any size in, `probabilities` or `detections` out
model.*.onnx      the same in half precision, in 8-bit integers, or from a finished tensor
tfjs/<variant>/   TensorFlow.js graph models
litert/*.tflite   LiteRT (TensorFlow Lite) files
transformersjs/   ONNX beside the files that Transformers.js looks for
<other>/          what exporters of other packages made
preprocess.json   how image bytes become the input
labels.json       class names in the order of the outputs
detector.json     a detector's strides and its suppression, for clients that decode boxes themselves
card.md           the model card
bundle.json       digest of each file; written last, so a bundle that has it is complete
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from registry.errors import NotFoundError
from serving.bundle.preprocess import Preprocess
from serving.bundle.records import read_frozen
from serving.bundle.seal import BundleIndex, check_sealed
from serving.bundle.variants import KNOWN, MAIN

_OURS = {"tfjs", "litert", "transformersjs"}


class Bundle:
    """A bundle on disk whose files match their digests."""

    def __init__(self, folder: Path, index: BundleIndex) -> None:
        """Use `open_bundle`, which checks."""
        self.folder = folder
        self.index = index
        self.preprocess = Preprocess.of(read_frozen(folder / "preprocess.json", dict[str, Any]))
        self.labels = read_frozen(folder / "labels.json", list[str])

    @property
    def onnx(self) -> Path:
        """The ONNX model that serving runs."""
        return self.folder / MAIN.path

    @property
    def variants(self) -> dict[str, Path]:
        """The variants in this bundle: name to file or folder."""
        tops = {name.partition("/")[0] for name in self.index.files if "/" in name} - _OURS
        known = {name: self.folder / variant.path for name, variant in KNOWN.items()}
        return {name: path for name, path in known.items() if path.exists()} | {top: self.folder / top for top in sorted(tops)}

    def variant(self, name: str) -> Path:
        """A variant's file or folder. Raises NotFoundError listing those that exist."""
        variants = self.variants
        if name not in variants:
            raise NotFoundError(
                f"variant '{name}'", f"is not in this bundle, which has {', '.join(variants)}", "choose one of them"
            )
        return variants[name]

    @property
    def megabytes(self) -> float:
        """Size of all files, in units of 1,000,000 bytes."""
        return sum((self.folder / name).stat().st_size for name in self.index.files) / 1e6


def open_bundle(folder: Path) -> Bundle:
    """A bundle whose every file has the digest that `bundle.json` names, and which holds no other file."""
    return Bundle(folder, check_sealed(folder))
