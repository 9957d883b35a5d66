"""A bundle: everything that serving a version needs, in a folder whose `bundle.json` names every byte.

model.onnx        the network: `images` in, `probabilities` out
tfjs/<variant>/   TensorFlow.js graph models
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

INDEX = "bundle.json"


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
        """The ONNX model."""
        return self.folder / "model.onnx"

    @property
    def tfjs(self) -> dict[str, Path]:
        """Variant → folder of each TF.js model, such as `tfjs-float16`."""
        return {f"tfjs-{path.parent.name}": path.parent for path in sorted(self.folder.glob("tfjs/*/model.json"))}

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
