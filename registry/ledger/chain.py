"""How ledger rows hang together: each names the hash of the one before, and a seal stands for all of them, signatures too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

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
    """A ledger read in order: what is known after the row that was read last. `seq` 0: none was."""

    first: str = ""
    seq: int = 0
    hash: str = GENESIS
    seal: str = ""
    signed: bool = False

    def step(self, row: Fields) -> None:
        """Take the next row in."""
        self.first = self.first or row.hash
        self.seq, self.hash, self.seal = row.seq, row.hash, next_seal(self.seal, row)
        self.signed = self.signed or bool(row.signature)

    def is_followed_by(self, row: Fields, *, sealed: bool = False) -> bool:
        """Whether a row follows from the last. Below a seal its hash is not computed: the seal covers every column."""
        follows = row.seq == self.seq + 1 and row.previous == self.hash
        return follows and (sealed or row.hash == hash_of(row))


def next_seal(seal: str, row: Fields) -> str:
    """The seal of a ledger with one more row: a digest of every column of every row, in order."""
    return sha256_bytes(f"{seal}{tuple(row)!r}".encode())


def hash_of(row: Fields) -> str:
    """What a row's hash must be."""
    return sha256_bytes(canonical(row[:7]))
