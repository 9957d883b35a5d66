"""Records of the serving side: as strict as the registry's, at a tenth of the import time.

A user waits for a cold start, and pydantic takes longer to import than ONNX Runtime does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec

from registry.errors import InputError, NotFoundError, shorten
from serving.bundle.checked import read_small


class Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A frozen record that rejects unknown fields and reads back from its own JSON."""

    @classmethod
    def of(cls, fields: Any) -> Self:
        """A record from plain data. Raises InputError naming the invalid field."""
        try:
            return msgspec.convert(fields, cls)
        except msgspec.ValidationError as error:
            raise InputError(cls.__name__, shorten(error, 200), "fix that field") from error

    def plain(self) -> Any:
        """Plain data: what JSON can hold."""
        return msgspec.to_builtins(self)

    def changed(self, **fields: Any) -> Self:
        """A copy with other values."""
        return msgspec.structs.replace(self, **fields)

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        from registry.files import write_json  # readers do not pay for this import

        write_json(path, self.plain())


T = TypeVar("T")


def read_frozen(path: Path, kind: type[T]) -> T:
    """Read a record, or a list of them, from a JSON file. Raises NotFoundError or InputError naming the file."""
    try:
        return msgspec.json.decode(read_small(path), type=kind)
    except FileNotFoundError as error:
        raise NotFoundError(path, "is not there", "make it again") from error
    except (msgspec.DecodeError, ValueError, RecursionError, OSError) as error:
        raise InputError(path, f"cannot be read ({shorten(error, 160)})", "make it again") from error
