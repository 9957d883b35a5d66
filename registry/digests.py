"""SHA-256 of bytes, files and folders, and the one JSON text that digests are taken of. Light: a worker waits for it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path


def canonical(value: object) -> bytes:
    """The one JSON text of a value: sorted keys, no spaces, no NaN. What digests are taken of."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256_bytes(data: bytes) -> str:
    """SHA-256 of bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def manifest_of(folder: Path) -> dict[str, str]:
    """Relative path → SHA-256 of every regular file below a folder, sorted."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}


def digest_of(manifest: Mapping[str, str]) -> str:
    """The digest that stands for a whole manifest."""
    return sha256_bytes(canonical(dict(manifest)))
