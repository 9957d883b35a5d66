"""Who sealed a bundle: an Ed25519 signature of its index, beside it."""

from __future__ import annotations

from pathlib import Path

from registry.digests import sha256_bytes
from registry.errors import IntegrityError, NotFoundError
from registry.signing import Keyring, read_keyring
from serving.bundle.records import Struct, read_frozen
from serving.bundle.seal import INDEX, SIGNATURE

_PURPOSE = b"modelyard bundle\n"
"""What a signature is for: one of a ledger's row is none of a bundle."""


class Signature(Struct, frozen=True):
    """Which key signed, and what it said."""

    key: str
    signature: str


def sign_bundle(folder: Path, keyring: Keyring) -> None:
    """Put a signature beside a sealed bundle's index, where there is a key to sign with."""
    key, signature = keyring.sign(_digest(folder))
    if key:
        Signature(key, signature).write(folder / SIGNATURE)


def check_signature(folder: Path, keys: Path) -> None:
    """Raise IntegrityError unless a key of the folder `keys` signed the bundle."""
    keyring = read_keyring(keys)
    if not keyring.trusted:
        raise NotFoundError(keys, "holds no public key", "put the *.pub of whoever exports into it")
    try:
        signature = read_frozen(folder / SIGNATURE, Signature)
    except NotFoundError as error:
        raise IntegrityError(folder, "is not signed, and a key is asked for", "export it again, or leave --keys out") from error
    if flaw := keyring.flaw(_digest(folder), signature.key, signature.signature):
        raise IntegrityError(folder / SIGNATURE, flaw, "add the key of who exported it to the trusted ones, or export again")


def _digest(folder: Path) -> str:
    return sha256_bytes(_PURPOSE + (folder / INDEX).read_bytes())
