"""The served bundle, as every protocol needs it."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from registry.errors import InputError
from serving.bundle.records import Struct
from serving.inference.outputs import NUMBERS
from serving.inference.prediction import Prediction, classified, detected


class UnsupportedError(InputError):
    """A content type that is not accepted: answered with 415."""


class Served(Struct, frozen=True):
    """A served bundle. `row` is the shape of one picture's output."""

    model: str
    version: int
    bundle: str
    labels: list[str]
    row: tuple[int, ...]

    @property
    def detects(self) -> bool:
        """Whether it is a detector."""
        return len(self.row) > 1

    def named(self) -> dict[str, str | int]:
        """Model, version and bundle, for every answer."""
        return {"model": self.model, "version": self.version, "bundle": self.bundle}

    def read(self, rows: Sequence[bytes]) -> list[Prediction]:
        """Rows of float32 bytes as predictions."""
        return [self._read(floats(row)) for row in rows]

    def _read(self, row: tuple[float, ...]) -> Prediction:
        if not self.detects:
            return classified(self.labels, row)
        return detected(self.labels, (row[at : at + NUMBERS] for at in range(0, len(row), NUMBERS)))


def floats(row: bytes) -> tuple[float, ...]:
    """Little-endian float32 bytes as numbers."""
    return struct.unpack(f"<{len(row) // 4}f", row)
