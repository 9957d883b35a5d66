"""Whether a path that MLflow is about to write or delete reaches what must stay.

MLflow reads a path several times on its way: a route decodes it, a repository normalises it, decodes it once more or takes
it as it is, and the file system follows links. Which of these happens differs from method to method. So each reading
that any of them could make is resolved to an address, and a path reaches what must stay if one of them does.
"""

from __future__ import annotations

import os
import posixpath
import unicodedata
from collections.abc import Iterable
from urllib.parse import unquote

from mlflow.utils.file_utils import get_local_path_or_none, local_file_uri_to_path

from registry.errors import InputError

_ROUNDS = 12
"""How often a path may be encoded; MLflow itself gives up after ten."""


def addresses(root: str, path: str) -> set[str]:
    """Every address that `path` below `root` could mean. Raises InputError for one that is encoded without end."""
    return {_folded(address) for reading in _readings(path) for address in _resolve(root, reading)}


def address(uri: str) -> str:
    """The one address of what a URI names, with links followed, in the form that `addresses` has."""
    local = get_local_path_or_none(uri)
    return _folded(os.path.realpath(local_file_uri_to_path(uri)) if local is not None else uri.rstrip("/"))


def reaches(changed: Iterable[str], kept: str) -> bool:
    """Whether one of the addresses is, contains or lies below what must stay."""
    return bool(kept) and any(_contains(one_of, kept) or _contains(kept, one_of) for one_of in changed)


def _contains(folder: str, inner: str) -> bool:
    return inner == folder or inner.startswith(folder if folder.endswith("/") else f"{folder}/")


def _readings(path: str) -> set[str]:
    """A path as it is, and as each further decoding leaves it; backslashes may separate folders."""
    readings = {path}
    for _ in range(_ROUNDS):
        more = {unquote(reading) for reading in readings} | {reading.replace("\\", "/") for reading in readings}
        if more <= readings:
            return readings
        readings |= more
    raise InputError(f"path '{path[:80]}'", "is encoded over and over", "write it plainly")


def _resolve(root: str, reading: str) -> set[str]:
    inner = reading.lstrip("/")
    if get_local_path_or_none(root) is None:
        base = root.rstrip("/")
        return {f"{base}/{text}".rstrip("/") for text in (inner, posixpath.normpath(f"/{inner}").lstrip("/"))}
    folder = local_file_uri_to_path(root)
    joined = [os.path.join(folder, text) for text in (inner, os.path.normpath(inner), reading)]  # noqa: PTH118 as MLflow does
    return {os.path.realpath(text) for text in joined}


def _folded(text: str) -> str:
    """Without what a file system that ignores case, or the form of a letter, would not tell apart either."""
    return unicodedata.normalize("NFKC", text).casefold()
