"""Bills: what providers billed, into the ledger. By CSV from any, and by API from RunPod."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from registry.accounts import endpoint_of
from registry.errors import InputError
from registry.events import Deployed, now
from registry.money.amounts import Money, Rates
from registry.spending import Billed

if TYPE_CHECKING:
    from pipelines.wiring import Workshop
    from registry.protocols import Entry, Ledger

COLUMNS = ("provider", "resource", "start", "end", "amount", "currency")
_MOST_BYTES = 20_000_000


def import_bills(ledger: Ledger, path: Path, rates: Rates) -> list[Billed]:
    """Every line of a CSV file with COLUMNS, or none: raises InputError that names the line.

    What is in the ledger already is not written again; a corrected amount replaces the one before.
    """
    try:
        raw = path.read_bytes()
        text = raw[:_MOST_BYTES].decode("utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(path, "does not exist", "name a CSV file") from error
    except UnicodeDecodeError as error:
        raise InputError(path, "is no text in UTF-8", "save it as CSV in UTF-8") from error
    if len(raw) > _MOST_BYTES:
        raise InputError(path, "is larger than 20 MB", "split it")
    table = csv.DictReader(io.StringIO(text))
    if missing := [name for name in COLUMNS if name not in (table.fieldnames or [])]:
        raise InputError(path, f"has no column '{missing[0]}'", f"give it {', '.join(COLUMNS)}")
    entries = ledger.entries()
    found = [_read(row, f"{path}, line {place}", rates, entries) for place, row in enumerate(table, 2)]
    return _keep(ledger, entries, found)


def fetch_bills(workshop: Workshop, ledger: Ledger, days: int) -> list[Billed]:
    """What RunPod billed for the endpoints that the ledger knows, in the last days. Raises InputError without a key."""
    from serving.targets.runpod.client import RunPodClient

    settings = workshop.settings
    if settings.runpod_api_key is None:
        raise InputError("RUNPOD_API_KEY", "is not set", "set it, or import a CSV file")
    client, entries = RunPodClient(settings.runpod_api_key, settings.runpod_url), ledger.entries()
    numbers = {
        _number(one.event): one.event for one in entries if isinstance(one.event, Deployed) and one.event.target == "runpod"
    }
    since = (now() - timedelta(days=days)).replace(hour=0, minute=0, second=0, microsecond=0)
    found = [
        Billed(
            model=event.model,
            provider="runpod",
            resource=endpoint_of(event),
            start=row.start_time,
            end=row.end_time,
            usd=row.total_amount,
            told=f"{row.total_amount} USD",
            source="RunPod's billing, REST v2",
        )
        for number, event in numbers.items()
        for row in client.billed(number, since)
    ]
    return _keep(ledger, entries, found)


def _number(event: Deployed) -> str:
    """RunPod's id of an endpoint, as its address has it: ID.api.runpod.ai, or …/ID/runsync for a queue."""
    parts = urlsplit(event.url)
    steps = [step for step in parts.path.split("/") if step not in {"", "run", "runsync", "health"}]
    return steps[-1] if steps else str(parts.hostname).partition(".")[0]


def _keep(ledger: Ledger, entries: Sequence[Entry], found: list[Billed]) -> list[Billed]:
    known = {_key(one.event): one.event for one in entries if isinstance(one.event, Billed) and one.flaw is None}
    fresh = [one for one in found if (old := known.get(_key(one))) is None or old.usd != one.usd]
    for one in fresh:
        ledger.append(one)
    return fresh


def _key(one: Billed) -> tuple[str, str, datetime, datetime]:
    return (one.provider, one.resource, one.start, one.end)


def _read(row: dict[str, str | None], where: str, rates: Rates, entries: Sequence[Entry]) -> Billed:
    told = {name: (row.get(name) or "").strip() for name in COLUMNS}
    if empty := [name for name in COLUMNS if not told[name]]:
        raise InputError(where, f"has no {empty[0]}", "complete the line; nothing was imported")
    start, end = (_moment(told[name], f"{where}, {name}") for name in ("start", "end"))
    if end <= start:
        raise InputError(where, "ends before it starts", "mend the line; nothing was imported")
    try:
        amount = Money(amount=Decimal(told["amount"]), currency=told["currency"])
    except (InvalidOperation, ValueError) as error:
        said = f"'{told['amount'][:20]} {told['currency'][:10]}' is no amount"
        raise InputError(where, said, "write a number and a code such as USD; nothing was imported") from error
    if amount.amount < 0:
        raise InputError(where, f"bills {amount}", "leave credits out; nothing was imported")
    usd = amount.converted(rates).amount
    models = {endpoint_of(one.event): one.event.model for one in entries if isinstance(one.event, Deployed)}
    return Billed(
        model=models.get(told["resource"], ""),
        provider=told["provider"],
        resource=told["resource"],
        start=start,
        end=end,
        usd=usd,
        told=f"{amount.amount} {amount.currency}",
        rate=rates.of.get(amount.currency, Decimal(1)),
        source=where.partition(",")[0].rpartition("/")[2],
    )


def _moment(text: str, where: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(
            where, f"'{text[:30]}' is no date", "write 2026-11-23 or 2026-11-23T10:00:00Z; nothing was imported"
        ) from error
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
