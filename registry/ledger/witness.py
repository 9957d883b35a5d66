"""A note, outside the database, of how far a ledger had come: what makes a removed end visible.

The chain of hashes shows an edited row and a gap. It cannot show that the newest rows were cut off, because what is left
is a whole, shorter chain. The note lies beside the signing key.
"""

from __future__ import annotations

import fcntl
from dataclasses import dataclass
from pathlib import Path

from registry.files import read_json, write_json


@dataclass(frozen=True)
class Witness:
    """The newest row that this machine has added: its place and its hash."""

    path: Path

    def note(self, seq: int, row_hash: str, *, signed: bool = False) -> None:
        """Remember a row, unless a later one is remembered already; and the first one that was signed."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            known = self.signed_from()
            first = min(known or seq, seq) if signed else known
            if seq > self.last()[0]:
                write_json(self.path, {"seq": seq, "hash": row_hash, "signed_from": first})

    def last(self) -> tuple[int, str]:
        """The row that is remembered; (0, "") where there is none."""
        if not self.path.exists():
            return 0, ""
        note = read_json(self.path)
        return int(note["seq"]), str(note["hash"])

    def signed_from(self) -> int | None:
        """The first row that was signed here: none after it may be unsigned."""
        return read_json(self.path).get("signed_from") if self.path.exists() else None
