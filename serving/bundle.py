"""A bundle: everything that serving a version needs, in a folder whose `bundle.json` names every byte.

model.onnx        the network with its preprocessing: `images` of any size in, `probabilities` or `detections` out
model.*.onnx      the same in half precision, in 8-bit integers, or from a finished tensor
tfjs/<variant>/   TensorFlow.js graph models
transformersjs/   ONNX beside the files that Transformers.js looks for
<other>/          what exporters of other packages made
preprocess.json   how image bytes become the input
labels.json       class names in the order of the outputs
card.md           what a person should know before using it
bundle.json       digest of each file; written last, so that its being there means complete
"""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from registry.errors import InputError, IntegrityError, NotFoundError
from registry.files import digest_of, manifest_of, read_json, write_json
from registry.records import Record
from serving.preprocess import Preprocess
from serving.variants import KNOWN, MAIN

INDEX = "bundle.json"
_OURS = {"tfjs", "transformersjs"}


class BundleIndex(Record):
    """What a bundle says of itself."""

    model: str
    version: int
    model_digest: str
    files: dict[str, str]
    tools: dict[str, str]

    @property
    def digest(self) -> str:
        """The digest that stands for the bundle: of its files, whatever made them."""
        return digest_of(self.files)


class Bundle:
    """A bundle on disk whose bytes were checked."""

    def __init__(self, folder: Path, index: BundleIndex) -> None:
        """Use `open_bundle`, which checks."""
        self.folder = folder
        self.index = index
        self.preprocess = Preprocess.model_validate(read_json(folder / "preprocess.json"))
        self.labels: list[str] = read_json(folder / "labels.json")

    @property
    def onnx(self) -> Path:
        """The ONNX model that serving runs."""
        return self.folder / MAIN.path

    @property
    def variants(self) -> dict[str, Path]:
        """Each variant that is there, and its file or folder."""
        tops = {name.partition("/")[0] for name in self.index.files if "/" in name} - _OURS
        known = {name: self.folder / variant.path for name, variant in KNOWN.items()}
        return {name: path for name, path in known.items() if path.exists()} | {top: self.folder / top for top in sorted(tops)}

    def variant(self, name: str) -> Path:
        """A variant's file or folder. Raises NotFoundError naming those that are there."""
        found = self.variants
        if name not in found:
            raise NotFoundError(
                f"variant '{name}'", f"is not in this bundle, which has {', '.join(found)}", "choose one of them"
            )
        return found[name]

    @property
    def megabytes(self) -> float:
        """Size of all files, in units of 1,000,000 bytes."""
        return sum((self.folder / name).stat().st_size for name in self.index.files) / 1e6


def seal(folder: Path, about: BundleIndex) -> BundleIndex:
    """Write `bundle.json` over the files in a folder; `about.files` is replaced by what is there."""
    index = about.model_copy(update={"files": manifest_of(folder)})
    write_json(folder / INDEX, index.model_dump(mode="json"))
    return index


def open_bundle(folder: Path) -> Bundle:
    """A bundle whose every file has the digest that `bundle.json` names, and which holds no other file."""
    try:
        index = BundleIndex.model_validate(read_json(folder / INDEX))
    except FileNotFoundError as error:
        raise NotFoundError(folder, "holds no complete bundle", "make one with `modelyard export`") from error
    except (ValidationError, ValueError) as error:
        raise InputError(folder / INDEX, "is not a bundle's index", "export the version again") from error
    found = {name: digest for name, digest in manifest_of(folder).items() if name != INDEX}
    for name in sorted(index.files.keys() | found.keys()):
        if index.files.get(name) != found.get(name):
            raise IntegrityError(folder / name, "is not the file that the bundle was sealed with", "export it again")
    return Bundle(folder, index)
