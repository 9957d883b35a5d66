"""The seal of a bundle: which bytes it consists of, and whether they still are those. Light: a worker checks with it.

bundle.json   digest of each file; written last, so that its being there means complete
bundle.sig    optional: an Ed25519 signature of bundle.json's bytes, and the name of its key
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from registry.digests import digest_of, manifest_of, sha256_file
from registry.errors import InputError, IntegrityError, NotFoundError
from serving.frozen import Frozen, read_frozen

INDEX = "bundle.json"
SIGNATURE = "bundle.sig"


class BundleIndex(Frozen, frozen=True):
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


def seal(folder: Path, about: BundleIndex) -> BundleIndex:
    """Write `bundle.json` over the files in a folder; `about.files` is replaced by what is there."""
    (folder / SIGNATURE).unlink(missing_ok=True)
    index = about.changed(files={name: digest for name, digest in manifest_of(folder).items() if name != INDEX})
    index.write(folder / INDEX)
    return index


def read_index(folder: Path) -> BundleIndex:
    """What a bundle says of itself, unchecked."""
    try:
        return read_frozen(folder / INDEX, BundleIndex)
    except NotFoundError as error:
        raise NotFoundError(folder, "holds no complete bundle", "make one with `modelyard export`") from error
    except InputError as error:
        raise InputError(folder / INDEX, "is not a bundle's index", "export the version again") from error


def check_sealed(folder: Path) -> BundleIndex:
    """The index of a bundle of which each file has the digest that the index names, and which holds no other file."""
    index = read_index(folder)
    found = {name: digest for name, digest in manifest_of(folder).items() if name not in {INDEX, SIGNATURE}}
    for name in sorted(index.files.keys() | found.keys()):
        _compare(folder / name, index.files.get(name), found.get(name))
    return index


def check_files(folder: Path, names: Iterable[str]) -> BundleIndex:
    """The index of a bundle of which these files have the digests that it names: what a worker opens, it checks."""
    index = read_index(folder)
    for name in names:
        path = folder / name
        _compare(path, index.files.get(name), sha256_file(path) if path.is_file() else None)
    return index


def _compare(path: Path, sealed: str | None, found: str | None) -> None:
    if sealed is None or sealed != found:
        raise IntegrityError(path, "is not the file that the bundle was sealed with", "export it again")
