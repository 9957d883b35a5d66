"""A home's ledger, with its keys and its witness: opened the same way by every process."""

from __future__ import annotations

from registry.ledger.store import SqlLedger, open_ledger
from registry.settings import Settings
from registry.signing import open_keyring


def ledger_of(settings: Settings) -> SqlLedger:
    """The ledger that settings name; rows are signed with the home's key and checked against those it trusts."""
    keys = open_keyring(settings.key, settings.trusted)
    return open_ledger(settings.ledger.get_secret_value(), keys, settings.key.parent)
