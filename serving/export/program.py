"""Loading a registered torch.export program without running anything that it might hold besides a graph and weights.

torch's own loader is not careful enough for files of unknown origin: what it cannot read as plain tensors it reads as a
pickle, and expressions of symbolic sizes go through an evaluator. So the archive is scanned first.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from registry.errors import IntegrityError, shorten

_KNOWN = re.compile(
    r"[^/]+/(data/weights/(weight_\d+|\w+\.json)|data/constants/(tensor_\d+|\w+\.json)|data/sample_inputs/\w+\.pt"
    r"|models/\w+\.json|archive_format|archive_version|byteorder|version|\.data/\w+|\.format_version|\.storage_alignment)"
)
_SYMBOL = re.compile(r"Symbol\('[a-z]+\d+'")
_CHARACTERS = re.compile(r"[\w+\-*/%(), <>=!&|~.]*")
_NAME = re.compile(r"[A-Z][A-Za-z]*|[a-z]{1,3}\d+|positive|integer|nonnegative|real|evaluate")


def load_program(path: Path) -> Any:
    """The program. Raises IntegrityError for one that holds code, or that this torch cannot read."""
    import torch

    check_program(path)
    try:
        return torch.export.load(path)
    except Exception as error:  # a damaged or foreign program raises whatever it happens to hit
        why = f"torch {torch.__version__} cannot load it: {cause_of(error)}"
        raise IntegrityError(
            path.name, why, "export it where the torch that saved it is installed, or train it again"
        ) from error


def check_program(path: Path) -> None:
    """Raise IntegrityError naming the first part of the archive that is not plain data."""
    import torch

    try:
        with zipfile.ZipFile(path) as archive:
            strange = next((why for name in archive.namelist() if (why := _strange(archive, name))), None)
            for name in archive.namelist() if strange is None else ():
                if "/sample_inputs/" in name:
                    torch.load(io.BytesIO(archive.read(name)), weights_only=True)
    except Exception as error:  # the archive chooses which reader breaks, and how
        what = f"holds something other than a graph and weights ({cause_of(error)})"
        raise IntegrityError(path.name, what, "do not use it; train it again with `modelyard train`") from error
    if strange is not None:
        raise IntegrityError(
            path.name, f"holds {shorten(strange, 120)}, which is not plain data", "do not use it; train it again"
        )


def _strange(archive: zipfile.ZipFile, name: str) -> str | None:
    """Describe a part of the archive that is not plain data; None if it is."""
    if not _KNOWN.fullmatch(name):
        return name
    why = _unsafe(json.loads(archive.read(name))) if name.endswith(".json") else None
    return why and f"{name}: {why}"


def cause_of(error: BaseException) -> str:
    """The root cause of a chained exception: the first line of its message."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return shorten(f"{type(error).__name__}: {lines[0] if lines else 'no message'}", 200)


def _unsafe(document: Any) -> str | None:
    """The first pickled tensor or strange expression of a symbolic size in an archive's JSON."""
    for key, value in _pairs(document):
        if key == "use_pickle" and value:
            return "a pickle"
        if key == "expr_str" and not _is_size(str(value)):
            return f"the expression {value!r}"
    return None


def _is_size(text: str) -> bool:
    """Whether an expression is a size such as `2*Symbol('s34', integer=True)`: no other quotes, no members, sympy's names."""
    rest = _SYMBOL.sub("Symbol(S", text)
    if not _CHARACTERS.fullmatch(rest) or re.search(r"\.\s*[A-Za-z_]", rest):
        return False
    return all(_NAME.fullmatch(name) for name in re.findall(r"[A-Za-z_]\w*", rest))


def _pairs(document: Any) -> Iterator[tuple[str, Any]]:
    inner = document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    for key, value in inner:
        yield str(key), value
        yield from _pairs(value)
