"""A bundle's files, read once: the bytes that are used are the bytes that were checked. Light: a cold start waits for it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from registry.digests import digest_of, sha256_bytes
from registry.errors import IntegrityError, NotFoundError

INDEX = "bundle.json"
SIGNATURE = "bundle.sig"
NEEDED = ("model.onnx", "preprocess.json", "labels.json", "card.md")
"""What serving reads. A remote worker downloads these and no other variant."""


_LARGEST = 64_000_000
"""Bytes of an index, a tally or another small record."""


def read_small(path: Path) -> bytes:
    """A small file's bytes. Raises OSError; ValueError for what is no file, for which one would wait, or is far too large."""
    if path.exists() and not path.is_file():
        raise ValueError("it is not a file")
    if path.exists() and path.stat().st_size > _LARGEST:
        raise ValueError("it is far too large")
    return path.read_bytes()


def read_checked(folder: Path, names: Iterable[str], digest: str = "") -> dict[str, bytes]:
    """The bytes of these files. Raises IntegrityError for a file whose digest differs from the index.

    With a `digest`, the bundle itself must have that digest, too.
    """
    files = check_named(folder, digest)
    contents = {name: (folder / name).read_bytes() if (folder / name).is_file() else b"" for name in names}
    for name, data in contents.items():
        if files.get(name) != sha256_bytes(data):
            raise changed(folder / name)
    return contents


def check_named(folder: Path, digest: str = "") -> dict[str, str]:
    """The digests that a bundle's index names, by file. Raises IntegrityError if the bundle's digest is not `digest`."""
    try:
        files: dict[str, str] = dict(json.loads(read_small(folder / INDEX))["files"])
    except FileNotFoundError as error:
        raise NotFoundError(folder, "holds no complete bundle", "make one with `modelyard export`") from error
    except (ValueError, KeyError, TypeError, RecursionError, OSError) as error:
        raise IntegrityError(folder / INDEX, "is not a bundle's index", "export the version again") from error
    if digest and (actual := digest_of(files)) != digest:
        raise IntegrityError(folder, f"holds bundle {actual[:12]} and not {digest[:12]}", "publish the bundle again")
    return files


def changed(path: Path) -> IntegrityError:
    """The error for a file that changed after the bundle was sealed."""
    return IntegrityError(path, "is not the file that the bundle was sealed with", "export it again")
