"""Ed25519 signatures over ledger rows: who can add a row that counts.

A home's key is made on first use. Other machines' public keys count once they lie in the folder of trusted keys. Whoever
has the private key can sign anything: keep it where only Modelyard's own processes can read it.
"""

from __future__ import annotations

import base64
import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from registry.digests import sha256_bytes
from registry.errors import DamagedFileError, InputError, IntegrityError, MissingFileError, NotFoundError
from registry.files import create_once, read_bytes, set_aside, storing


@dataclass(frozen=True)
class Keyring:
    """A private key to sign with, where there is one, and the public keys that are trusted, by their ids."""

    own: Ed25519PrivateKey | None = None
    trusted: Mapping[str, Ed25519PublicKey] = field(default_factory=dict[str, Ed25519PublicKey])

    def sign(self, digest: str) -> tuple[str, str]:
        """The key's id and the signature, in base64, of a hex digest; two empty texts without a private key."""
        if self.own is None:
            return "", ""
        return key_id(self.own.public_key()), base64.b64encode(self.own.sign(digest.encode())).decode()

    def flaw(self, digest: str, signer: str, signature: str) -> str | None:
        """Why a signature does not count, or None where it does. Without a single trusted key nothing is checked."""
        if not self.trusted:
            return None
        if not signature:
            return "it is not signed"
        if signer not in self.trusted:
            return f"it is signed by key {signer}, which is not trusted here"
        try:
            self.trusted[signer].verify(base64.b64decode(signature, validate=True), digest.encode())
        except (InvalidSignature, ValueError):
            return f"its signature by key {signer} is wrong"
        return None


def key_id(key: Ed25519PublicKey) -> str:
    """Sixteen hex digits that stand for a public key."""
    return sha256_bytes(key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw))[:16]


def public_text(key: Ed25519PublicKey) -> str:
    """A public key as PEM."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def open_keyring(path: Path, trusted: Path) -> Keyring:
    """The key at `path`, made where there is none, and the public keys (`*.pub`, PEM) in a folder.

    Only for a ledger that nothing was signed in: see `registry/opening.py`.
    """
    if not os.path.lexists(path):
        _make(path)
    return load_keyring(path, trusted)


def load_keyring(path: Path, trusted: Path) -> Keyring:
    """The key at `path`, where there is one, and the public keys (`*.pub`, PEM) in a folder. Nothing is made."""
    known = read_keyring(trusted)
    if not os.path.lexists(path):
        return known
    own = _read_private(path)
    return Keyring(own, {key_id(own.public_key()): own.public_key(), **known.trusted})


def _read_private(path: Path) -> Ed25519PrivateKey:
    remedy = "restore it from a backup, or name another with MODELYARD_SIGNING_KEY"
    data = read_bytes(path, remedy)
    try:
        own = serialization.load_pem_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InputError(path, "is not an unencrypted PEM private key", remedy) from error
    if not isinstance(own, Ed25519PrivateKey):
        raise InputError(path, "is not an Ed25519 key", remedy)
    return own


@dataclass(frozen=True)
class HomeKeys:
    """Where a home's keys lie: its own at `path`, those it trusts beside it as `*.pub` in a folder."""

    path: Path
    folder: Path

    def read(self) -> Keyring:
        """The keys as they are: nothing is made."""
        return load_keyring(self.path, self.folder)

    def to_sign(self, read: Keyring | None = None) -> Keyring:
        """The same, with an own key: it is made where there is none. Its public half is kept, so that its rows outlive it.

        `read` is what was read just now.
        """
        ring = read if read is not None and read.own is not None else open_keyring(self.path, self.folder)
        if ring.own is not None:
            self._keep_public(ring.own.public_key())
        return ring

    def renew(self) -> Keyring:
        """A new own key. What the one before signed stays trusted; its private half is kept beside it, under another name."""
        if os.path.lexists(self.path):
            with contextlib.suppress(InputError, IntegrityError):  # one that cannot be read signs nothing, and is kept too
                self._keep_public(_read_private(self.path).public_key())
            set_aside(self.path, "retired")
        return self.to_sign()

    def keep_public(self) -> None:
        """Lay the own key's public half, where there is one, beside the trusted ones: for processes that only read."""
        if os.path.lexists(self.path):
            with contextlib.suppress(InputError, IntegrityError):  # who signs says so
                self._keep_public(_read_private(self.path).public_key())

    def _keep_public(self, key: Ed25519PublicKey) -> None:
        path = self.folder / f"{key_id(key)}.pub"
        if not path.exists():
            with contextlib.suppress(OSError):  # a folder of trusted keys that somebody else looks after
                create_once(path, public_text(key).encode())


@dataclass(frozen=True)
class PublicKeys(HomeKeys):
    """The same for a process that only reads: the private key is neither opened nor made."""

    def read(self) -> Keyring:
        """The trusted keys alone."""
        return read_keyring(self.folder)

    def to_sign(self, read: Keyring | None = None) -> Keyring:  # noqa: ARG002 nothing is signed
        """Raise InputError."""
        raise InputError(self.path, "is not opened by a process that only reads", "use a `modelyard` command")


def read_keyring(folder: Path) -> Keyring:
    """The public keys (`*.pub`, PEM) in a folder, to check with and not to sign."""
    return Keyring(None, {key_id(key): key for key in map(read_public, sorted(folder.glob("*.pub")))})


def read_public(path: Path) -> Ed25519PublicKey:
    """A public key from a PEM file."""
    try:
        key = serialization.load_pem_public_key(read_bytes(path, "see `modelyard ledger key`"))
    except MissingFileError as error:
        raise NotFoundError(path, "there is no public key here", "see `modelyard ledger key`") from error
    except DamagedFileError:
        raise
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError(path, "is not a PEM public key", "see `modelyard ledger key`") from error
    if not isinstance(key, Ed25519PublicKey):
        raise InputError(path, "is not an Ed25519 public key", "see `modelyard ledger key`")
    return key


def _make(path: Path) -> None:
    """Write a new private key that only its owner can read; of two processes that race, one wins and both use its key."""
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    text = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    create_once(path, text)
