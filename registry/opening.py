"""A home's ledger, with its keys and its witness: opened the same way by every process."""

from __future__ import annotations

from registry.ledger.database import Database
from registry.ledger.store import SqlLedger
from registry.settings import Settings
from registry.signing import HomeKeys, PublicKeys


def ledger_of(settings: Settings) -> SqlLedger:
    """The ledger that settings name; rows are signed with the home's key and checked against those it trusts.

    Nothing is made by opening and reading it: the database, and a key where there is none, come with the first row.
    """
    keys, database = keys_of(settings), Database.at(settings.ledger.get_secret_value())
    return SqlLedger(database, keys.read(), database.witness(settings.key.parent), keys)


def reading_ledger_of(settings: Settings) -> SqlLedger:
    """The same for a process that only reads, such as the dashboard: rows are checked with public keys, and none is added."""
    keys, database = PublicKeys(settings.key, settings.trusted), Database.at(settings.ledger.get_secret_value())
    return SqlLedger(database, keys.read(), database.witness(settings.key.parent), keys)


def keys_of(settings: Settings) -> HomeKeys:
    """Where a home's keys lie."""
    return HomeKeys(settings.key, settings.trusted)
