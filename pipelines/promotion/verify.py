"""Checking a version from nothing but a ledger, a public key and bytes; naming the first thing that differs."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from registry.digests import digest_of, manifest_of
from registry.errors import InputError, IntegrityError, NotFoundError
from registry.events import Promoted, named
from registry.files import read_json
from registry.ledger.store import LedgerEntry, SqlLedger, open_ledger, read_envelope
from registry.promotion.state import fold
from registry.promotion.verdict import resolve
from registry.records import Record
from registry.signing import Keyring, key_id, read_public

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.protocols import Store
    from registry.refs import Ref
    from registry.settings import Settings


_NOTES = {"registered_model_meta"}
"""What MLflow's own download writes beside a model's files."""


class Verified(Record):
    """What was checked and holds."""

    ref: str
    stage: str
    ratified_by: str
    row: int
    rows: int
    files: int
    digest: str
    signer: str


def verify(
    settings: Settings, store_of: Callable[[], Store], ref: Ref, files: Path | None, public_key: Path | None
) -> Verified:
    """Check a version's latest ratification: the ledger's chain, its signature, and every file's SHA-256.

    `files` is a folder with the version's bytes; without it they are fetched from MLflow, and only then is the store
    opened. `public_key` makes the check independent of this home's own keys.
    """
    ledger = _ledger(settings, public_key)
    rows = ledger.verify()
    if files is not None and ref.version is None:
        raise InputError(ref, "names no version", "with --files, write NAME/VERSION")
    with tempfile.TemporaryDirectory(prefix="modelyard-") as scratch:
        folder, number = files, ref.version
        created: int | None = None
        if folder is None:
            store = store_of()
            version = resolve(store, ref)
            folder, number, created = store.fetch(version, Path(scratch)), version.version, version.created_ms
        elif not folder.is_dir():
            raise NotFoundError(folder, "is not a folder", "name the folder with the version's files")
        row, event, signer = _ratification(ledger, ref.model, number or 0, created)
        _compare(event, manifest_of(folder))
    count = len(event.proof.manifest) if event.proof else 0
    fields = {
        "ref": event.label,
        "stage": event.stage,
        "ratified_by": named(event.actor, proven=event.proven),
        "digest": event.digest,
    }
    return Verified(**fields, row=row, rows=rows, files=count, signer=signer)


def verify_evidence(path: Path, public_key: Path) -> LedgerEntry:
    """Check an evidence.json from MLflow with a public key alone."""
    try:
        envelope = read_json(path)
    except (OSError, ValueError) as error:
        raise NotFoundError(path, "holds no evidence", "give evidence.json of a gate-evaluation run") from error
    entry = read_envelope(envelope, _only(public_key))
    if entry.flaw:
        raise IntegrityError(path, entry.flaw, "do not trust it")
    return entry


def _only(public_key: Path) -> Keyring:
    key = read_public(public_key)
    return Keyring(None, {key_id(key): key})


def _ledger(settings: Settings, public_key: Path | None) -> SqlLedger:
    if public_key is None:
        from registry.opening import ledger_of

        return ledger_of(settings)
    return open_ledger(settings.ledger.get_secret_value(), _only(public_key), settings.key.parent)


def _ratification(ledger: SqlLedger, model: str, number: int, created: int | None) -> tuple[int, Promoted, str]:
    """The latest ratification of a version that was judged, not merely returned to."""
    entries = ledger.entries(model)
    ratified = fold(entries).ratified
    for entry in reversed(entries):
        event = entry.event
        if not isinstance(event, Promoted) or event.version != number or entry.flaw or event.again or not event.proof:
            continue
        if created in {None, event.created_ms} and (event.stage, event.identity) in ratified:
            return entry.seq, event, entry.row.signer
    raise NotFoundError(f"{model}/{number}", "was never ratified for a stage", f"see `modelyard history {model}`")


def _compare(event: Promoted, files: dict[str, str]) -> None:
    """Raise IntegrityError naming the first file that is not as it was judged."""
    wanted = event.proof.manifest if event.proof else {}
    files = {name: digest for name, digest in files.items() if name not in _NOTES or name in wanted}
    for name in sorted(wanted.keys() | files.keys()):
        if name not in files:
            raise IntegrityError(event.label, f"file '{name}' is missing", "do not serve it")
        if name not in wanted:
            raise IntegrityError(event.label, f"file '{name}' was not there when it was judged", "do not serve it")
        if files[name] != wanted[name]:
            raise IntegrityError(event.label, f"file '{name}' differs from what was judged", "do not serve it")
    if digest_of(files) != event.digest:
        raise IntegrityError(event.label, "its manifest does not give the digest that was ratified", "do not serve it")
