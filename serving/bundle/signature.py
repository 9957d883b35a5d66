"""Who sealed a bundle: an Ed25519 signature of its index, beside it."""

from __future__ import annotations

from pathlib import Path

from registry.digests import sha256_bytes
from registry.errors import IntegrityError, NotFoundError
from registry.signing import Keyring, read_keyring
from serving.bundle.records import Struct, read_frozen
from serving.bundle.seal import INDEX, SIGNATURE

_PURPOSE = b"modelyard bundle\n"
"""Domain separation: a signature of a ledger's row is not valid for a bundle."""


class Signature(Struct, frozen=True):
    """The key that signed, and its signature."""

    key: str
    signature: str


def sign_bundle(folder: Path, keyring: Keyring) -> None:
    """Write a signature beside a sealed bundle's index, if there is a key to sign with."""
    key, signature = keyring.sign(_digest(folder))
    if key:
        Signature(key, signature).write(folder / SIGNATURE)


def check_signature(folder: Path, keys: Path) -> None:
    """Raise IntegrityError unless a key of the folder `keys` signed the bundle."""
    keyring = read_keyring(keys)
    if not keyring.trusted:
        raise NotFoundError(keys, "holds no public key", "copy the exporter's *.pub into it")
    try:
        signature = read_frozen(folder / SIGNATURE, Signature)
    except NotFoundError as error:
        raise IntegrityError(folder, "is not signed, and a key is required", "export it again, or leave --keys out") from error
    if flaw := keyring.flaw(_digest(folder), signature.key, signature.signature):
        raise IntegrityError(folder / SIGNATURE, flaw, "add the exporter's key to the trusted keys, or export it again")


def _digest(folder: Path) -> str:
    return sha256_bytes(_PURPOSE + (folder / INDEX).read_bytes())
