"""How ledger rows hang together: each names the hash of the one before, and a seal stands for all of them, signatures too."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple, Self

from registry.digests import canonical, sha256_bytes

GENESIS = "0" * 64


class Fields(NamedTuple):
    """A row's columns."""

    seq: int
    at: str
    kind: str
    model: str
    version: int
    body: str
    previous: str
    hash: str = ""
    signer: str = ""
    signature: str = ""


@dataclass(slots=True)
class Walk:
    """A ledger read in order: what is known after the row that was read last. `seq` 0: none was.

    `models`: what stands for each model's rows, so that they can be compared alone.
    """

    first: str = ""
    seq: int = 0
    hash: str = GENESIS
    seal: str = ""
    signed: bool = False
    models: dict[str, str] = field(default_factory=dict[str, str])

    def step(self, row: Fields) -> None:
        """Take the next row in."""
        self.first = self.first or row.hash
        self.seq, self.hash, self.seal = row.seq, row.hash, next_seal(self.seal, row)
        self.models[row.model] = next_mark(self.models.get(row.model, ""), row)
        self.signed = self.signed or bool(row.signature)

    def copy(self) -> Self:
        """The same, to read on from."""
        return replace(self, models=dict(self.models))

    def is_followed_by(self, row: Fields, *, sealed: bool = False) -> bool:
        """Whether a row follows from the last. Below a seal its hash is not computed: the seal covers every column."""
        follows = row.seq == self.seq + 1 and row.previous == self.hash
        return follows and (sealed or row.hash == hash_of(row))


def next_seal(seal: str, row: Fields) -> str:
    """The seal of a ledger with one more row: a digest of every column of every row, in order."""
    return sha256_bytes(f"{seal}{tuple(row)!r}".encode())


def next_mark(mark: str, row: Fields) -> str:
    """What stands for a model's rows, with one more. The row's hash stands for its text, which whoever compares computes."""
    return sha256_bytes(f"{mark} {row.seq} {row.hash} {row.signer} {row.signature}".encode())


def hash_of(row: Fields) -> str:
    """What a row's hash must be."""
    return sha256_bytes(canonical(row[:7]))
