"""A ledger as commit 861f1d7 wrote it: its tables, hash chain, signatures and witness. It imports none of our code.

The schema is what `sqlite3 ledger.db .schema` prints of a home that `modelyard` of that commit made (its migrations 0001
and 0002). A row's hash is the SHA-256 of the canonical JSON of seven columns, its signature is the key's over that hash.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sqlite3
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
SCHEMA = """
PRAGMA journal_mode=WAL;
CREATE TABLE modelyard_ledger_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT modelyard_ledger_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO modelyard_ledger_version VALUES ('0002');
CREATE TABLE ledger (
	seq INTEGER NOT NULL,
	at VARCHAR(40) NOT NULL,
	kind VARCHAR(40) NOT NULL,
	model VARCHAR(200) NOT NULL,
	version INTEGER NOT NULL,
	body TEXT NOT NULL,
	previous VARCHAR(64) NOT NULL,
	hash VARCHAR(64) NOT NULL, signer VARCHAR(16) DEFAULT '' NOT NULL, signature VARCHAR(96) DEFAULT '' NOT NULL,
	PRIMARY KEY (seq),
	UNIQUE (hash)
);
CREATE INDEX ix_ledger_model ON ledger (model);
CREATE TABLE modelyard_leases (
	name VARCHAR(200) NOT NULL,
	holder VARCHAR(32) NOT NULL,
	expires FLOAT NOT NULL,
	PRIMARY KEY (name)
);
CREATE TRIGGER ledger_no_update before update on ledger begin select raise(abort, 'the ledger is append-only'); end;
CREATE TRIGGER ledger_no_delete before delete on ledger begin select raise(abort, 'the ledger is append-only'); end;
CREATE TRIGGER ledger_no_replace before insert on ledger when exists (select 1 from ledger where seq = new.seq)
begin select raise(abort, 'the ledger is append-only'); end;
"""


def canonical(value: object) -> bytes:
    """The JSON that digests are taken of."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def digest_of(value: object) -> str:
    return sha256(canonical(value))


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def key_id() -> str:
    """The first sixteen hex digits of the raw public key's SHA-256."""
    return sha256(KEY.public_key().public_bytes_raw())[:16]


def sign(digest: str) -> str:
    return base64.b64encode(KEY.sign(digest.encode())).decode()


def witness_path(home: Path) -> Path:
    """The note of how far the ledger had come is named after the ledger's URL, so after where the home lies."""
    return home / "keys" / f"ledger-{sha256(f'sqlite:///{home.absolute()}/ledger.db'.encode())[:12]}.json"


@dataclass
class OldLedger:
    """Rows in the order in which they are appended, a minute apart unless the clock is set."""

    clock: datetime
    rows: list[dict[str, object]] = field(default_factory=list)

    def append(self, **event: object) -> int:
        """Chain and sign one event; its place in the chain."""
        row: dict[str, object] = {
            "seq": len(self.rows) + 1,
            "at": self.clock.isoformat(),
            "kind": event["kind"],
            "model": event["model"],
            "version": event["version"],
            "body": canonical(event).decode(),
            "previous": self.rows[-1]["hash"] if self.rows else "0" * 64,
        }
        digest = digest_of(list(row.values()))
        self.rows.append(row | {"hash": digest, "signer": key_id(), "signature": sign(digest)})
        self.clock += timedelta(minutes=1)
        return len(self.rows)

    def write(self, home: Path) -> None:
        """The database, the key and the witness."""
        connection = sqlite3.connect(home / "ledger.db")
        connection.executescript(SCHEMA)
        connection.executemany(f"insert into ledger values ({','.join('?' * 10)})", [tuple(row.values()) for row in self.rows])
        connection.commit()
        connection.close()
        (home / "ledger.db.lock").touch()
        last = self.rows[-1]
        write_json(witness_path(home), {"seq": last["seq"], "hash": last["hash"], "signed_from": 1})
        pem = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (home / "keys" / "signing.pem").write_bytes(KEY.private_bytes(*pem))
        (home / "keys" / "signing.pem").chmod(0o600)
