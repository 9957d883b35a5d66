"""The served bundle, as every protocol needs it."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from registry.errors import InputError
from serving.bundle.records import Struct
from serving.inference.outputs import NOTHING, NUMBERS, classification, detection


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

    def read(self, rows: Sequence[bytes]) -> list[AnsweredPicture]:
        """Rows of float32 bytes, to be read once each."""
        return [AnsweredPicture(self, row) for row in rows]


class AnsweredPicture:
    """One picture's row of the output. What several readers need (metrics, an answer's parts) is made once, when asked for."""

    def __init__(self, served: Served, row: bytes) -> None:
        """`row` is little-endian float32."""
        self.row, self._served = row, served

    @cached_property
    def numbers(self) -> tuple[float, ...]:
        """The row as numbers."""
        return struct.unpack(f"<{len(self.row) // 4}f", self.row)

    @cached_property
    def answer(self) -> dict[str, Any]:
        """The row with labels, as plain data: the fields of a Prediction."""
        labels, numbers = self._served.labels, self.numbers
        if not self._served.detects:
            return classification(labels, numbers)
        return detection(labels, (numbers[at : at + NUMBERS] for at in range(0, len(numbers), NUMBERS)))

    @cached_property
    def score(self) -> float:
        """The best label's probability, or score of a detector; 0 for NOTHING."""
        return self.answer["probability"] if self._served.detects else max(self.numbers, default=0.0)

    @cached_property
    def label(self) -> str:
        """The most likely label; NOTHING where no probability is over 0."""
        if self._served.detects:
            return self.answer["label"]
        return self._served.labels[self.numbers.index(self.score)] if self.score else NOTHING
