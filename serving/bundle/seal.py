"""The seal of a bundle: the digests of its files, and whether the files still match.

bundle.json   digest of each file; written last, so a bundle that has it is complete
bundle.sig    optional: an Ed25519 signature of bundle.json's bytes, and the name of its key
"""

from __future__ import annotations

from pathlib import Path

from registry.digests import digest_of, manifest_of
from registry.errors import InputError, NotFoundError
from serving.bundle.checked import INDEX, NEEDED, SIGNATURE, changed
from serving.bundle.records import Struct, read_frozen


class BundleIndex(Struct, frozen=True):
    """The contents of bundle.json."""

    model: str
    version: int
    model_digest: str
    files: dict[str, str]
    tools: dict[str, str]

    @property
    def digest(self) -> str:
        """The digest that identifies the bundle: of its files, whatever tools made them."""
        return digest_of(self.files)


def seal(folder: Path, about: BundleIndex) -> BundleIndex:
    """Write `bundle.json` over the files in a folder; `about.files` is replaced by what is there."""
    (folder / SIGNATURE).unlink(missing_ok=True)
    index = about.changed(files={name: digest for name, digest in manifest_of(folder).items() if name != INDEX})
    index.write(folder / INDEX)
    return index


def read_index(folder: Path) -> BundleIndex:
    """The index of a bundle; its files are not checked."""
    try:
        return read_frozen(folder / INDEX, BundleIndex)
    except NotFoundError as error:
        raise NotFoundError(folder, "holds no complete bundle", "make one with `modelyard export`") from error
    except InputError as error:
        raise InputError(folder / INDEX, "is not a bundle's index", "export the version again") from error


def check_sealed(folder: Path, *, pulled: bool = False) -> BundleIndex:
    """The index of a bundle whose files match it: each has its digest, and there is no other file.

    A bundle that was `pulled` from a repository needs only the files that serving reads, and may have other files.
    """
    index = read_index(folder)
    actual = {name: digest for name, digest in manifest_of(folder).items() if name not in {INDEX, SIGNATURE}}
    for name in sorted(set(NEEDED) & index.files.keys() if pulled else index.files.keys() | actual.keys()):
        if index.files.get(name) != actual.get(name):
            raise changed(folder / name)
    return index
