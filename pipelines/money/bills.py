"""Bills: what providers billed, into the ledger. By CSV from any, and by API from RunPod."""

from __future__ import annotations

import csv
import io
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from registry.amounts import Money, Rates
from registry.errors import InputError
from registry.events import Deployed, Trained, TrainingFailed, now
from registry.money.bills import BillPart, bill_key, billed_endpoint, normalize_provider, resolve_overlaps, resource_names
from registry.money.spans import as_utc
from registry.reports.endpoints import endpoint_named, endpoint_spans
from registry.spending import Billed

if TYPE_CHECKING:
    from pipelines.home import Say
    from registry.protocols import Entry, Ledger
    from registry.settings import Settings

COLUMNS = ("provider", "resource", "start", "end", "amount", "currency")
FETCHED = "RunPod's billing, REST v2"
_MOST_BYTES = 20_000_000
_MOST_AMOUNT = Decimal(10) ** 12
_FIRST_YEAR, _LAST_YEAR = 2000, 2200


def _quiet(_: str) -> None:
    """Nobody listens."""


def import_bills(ledger: Ledger, path: Path, rates: Rates, say: Say = _quiet, *, replace: bool = False) -> list[Billed]:
    """Every line of a CSV file with COLUMNS, or none: raises InputError that names the line.

    What is in the ledger already is not written again; a corrected amount replaces the one before. A bill that overlaps
    another of the same thing is refused, unless it is to `replace` it for the time that both are about.
    """
    entries = ledger.entries()
    known = _Known.of(entries)
    bills = [_read(row, f"{path}, line {number}", rates, known) for number, row in enumerate(_rows(path), 2)]
    fresh = _fresh(known.bills, bills)
    if not replace and (clash := _clash(known.bills, fresh)):
        remedy = "leave one out, or add --replace: then the new one counts for that time; nothing was imported"
        raise InputError(path, f"'{clash[0]}' overlaps '{clash[1]}', and no time is paid twice", remedy)
    for bill in fresh:
        ledger.append(bill)
        if known.is_other(bill.resource):
            remedy = "if it is for training, give the run's id as its resource, so that it replaces what was measured"
            say(f"{bill.resource} is neither an endpoint nor a run in the ledger: booked as other; {remedy}")
    return fresh


def fetch_bills(settings: Settings, ledger: Ledger, days: int, say: Say = _quiet) -> list[Billed]:
    """What RunPod billed for the endpoints that the ledger knows, in the last days. Raises InputError without a key.

    What was fetched before gives way; what overlaps a bill that somebody imported is left out, and said.
    """
    from serving.targets.runpod.client import RunPodClient

    if settings.runpod_api_key is None:
        raise InputError("RUNPOD_API_KEY", "is not set", "set it, or import a CSV file")
    client, entries = RunPodClient(settings.runpod_api_key, settings.runpod_url), ledger.entries()
    since = (now() - timedelta(days=days)).replace(hour=0, minute=0, second=0, microsecond=0)
    sums = defaultdict[tuple[str, str, datetime, datetime], Decimal](Decimal)
    for number, (model, resource) in _at_runpod(entries).items():
        for row in client.billed(number, since):
            if row.start_time < row.end_time:  # endpoints that bore a name one after the other may share a day
                sums[model, resource, as_utc(row.start_time), as_utc(row.end_time)] += row.total_amount
    fetched = [
        Billed(
            model=model, provider="runpod", resource=resource, start=start, end=end, usd=usd, told=f"{usd} USD", source=FETCHED
        )
        for (model, resource, start, end), usd in sums.items()
    ]
    bills = _Known.of(entries).bills
    fresh = _fresh(bills, fetched)
    out = _overlaps([bill for bill in bills if bill.source != FETCHED], fresh)
    kept = [bill for bill in fresh if all(bill is not left for left, _ in out)]
    for bill in kept:
        ledger.append(bill)
    if out:
        say(f"left out {len(out)}: bills that were imported are about that time already, such as {out[0][1]}")
    return kept


class _Known(NamedTuple):
    """What the ledger knows that a bill may be about, and the bills that it holds."""

    endpoints: dict[str, str]
    runs: dict[str, str]
    bills: list[Billed]

    @classmethod
    def of(cls, entries: Sequence[Entry]) -> _Known:
        """Of rows that count."""
        events = [event.event for event in entries if event.flaw is None]
        return cls(
            endpoints={endpoint_named(event): event.model for event in events if isinstance(event, Deployed)},
            runs={event.run_id: event.model for event in events if isinstance(event, (Trained, TrainingFailed))},
            bills=[event for event in events if isinstance(event, Billed)],
        )

    def model_of(self, resource: str) -> str:
        """The model that a bill of this is about, "" where there is none or more than one."""
        if endpoint := billed_endpoint(resource, self.endpoints):
            return self.endpoints[endpoint]
        models = {self.runs[name] for name in resource_names(resource) if name in self.runs}
        return models.pop() if len(models) == 1 else ""

    def is_other(self, resource: str) -> bool:
        """Whether a bill of this is for something that the ledger does not know."""
        return not billed_endpoint(resource, self.endpoints) and not any(name in self.runs for name in resource_names(resource))


def _at_runpod(entries: Iterable[Entry]) -> dict[str, tuple[str, str]]:
    """RunPod's id of each endpoint that ever existed there, canaries too → its model and its name."""
    named = dict[str, tuple[str, str]]()
    for span in endpoint_spans(entries):
        if span.event.target == "runpod" and (not span.is_canary or _number(span.event.url) not in named):
            named[_number(span.event.url)] = (span.event.model, span.name)
    return named


def _number(url: str) -> str:
    """RunPod's id of an endpoint, as its address has it: ID.api.runpod.ai, or …/ID/runsync for a queue."""
    parts = urlsplit(url)
    steps = [step for step in parts.path.split("/") if step not in {"", "run", "runsync", "health"}]
    return steps[-1] if steps else str(parts.hostname).partition(".")[0]


def _fresh(recorded: Iterable[Billed], bills: Iterable[Billed]) -> list[Billed]:
    """What is not recorded yet, or at another amount. Of equal lines in one file the last one counts."""
    known = {_key(bill): bill for bill in recorded}
    latest = {_key(bill): bill for bill in bills}
    return [bill for key, bill in latest.items() if (old := known.get(key)) is None or old.usd != bill.usd]


def _overlaps(bills: Iterable[Billed], fresh: Iterable[Billed]) -> list[tuple[Billed, Billed]]:
    """New bills, each with a recorded one that counts for some of its time."""
    parts, overlaps = defaultdict[tuple[str, str], list[BillPart]](list), list[tuple[Billed, Billed]]()
    for part in resolve_overlaps(bills):  # in order, and apart from each other
        parts[bill_key(part.bill)].append(part)
    for bill in fresh:
        mine = parts[bill_key(bill)]
        index = bisect_right(mine, bill.start, key=lambda part: part.end)
        if index < len(mine) and mine[index].start < bill.end:
            overlaps.append((bill, mine[index].bill))
    return overlaps


def _clash(bills: Iterable[Billed], fresh: Sequence[Billed]) -> tuple[Billed, Billed] | None:
    """Two bills of one thing that overlap without being about the same span, if there are any."""
    keys = {_key(bill) for bill in fresh}
    for before, bill in pairwise(sorted(fresh, key=_key)):
        if bill_key(before) == bill_key(bill) and bill.start < before.end:
            return bill, before
    return next(iter(_overlaps((bill for bill in bills if _key(bill) not in keys), fresh)), None)


def _key(bill: Billed) -> tuple[str, str, datetime, datetime]:
    return (*bill_key(bill), as_utc(bill.start), as_utc(bill.end))


def _rows(path: Path) -> list[dict[str, str | None]]:
    try:
        raw = path.read_bytes()
        text = raw[:_MOST_BYTES].decode("utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(path, "does not exist", "name a CSV file") from error
    except OSError as error:
        raise InputError(path, "cannot be read", "name a CSV file") from error
    except UnicodeDecodeError as error:
        raise InputError(path, "is not UTF-8 text", "save it as CSV in UTF-8") from error
    if len(raw) > _MOST_BYTES:
        raise InputError(path, "is larger than 20 MB", "split it")
    table = csv.DictReader(io.StringIO(text))
    if missing := [name for name in COLUMNS if name not in (table.fieldnames or [])]:
        raise InputError(path, f"has no column '{missing[0]}'", f"give it {', '.join(COLUMNS)}")
    try:
        return list(table)
    except csv.Error as error:
        raise InputError(
            f"{path}, line {table.line_num + 1}", "cannot be read as CSV", "save it as CSV; nothing was imported"
        ) from error


def _read(row: dict[str, str | None], where: str, rates: Rates, known: _Known) -> Billed:
    cells = {name: (row.get(name) or "").strip() for name in COLUMNS}
    if empty := [name for name in COLUMNS if not cells[name]]:
        raise InputError(where, f"has no {empty[0]}", "complete the line; nothing was imported")
    start, end = (_moment(cells[name], f"{where}, {name}") for name in ("start", "end"))
    if end <= start:
        raise InputError(where, "ends before it starts", "fix the line; nothing was imported")
    amount = _amount(cells["amount"], cells["currency"], where)
    usd = amount.convert(rates).amount
    return Billed(
        model=known.model_of(cells["resource"]),
        provider=normalize_provider(cells["provider"]),
        resource=cells["resource"],
        start=start,
        end=end,
        usd=usd,
        told=f"{amount.amount} {amount.currency}",
        rate=rates.of.get(amount.currency, Decimal(1)),
        source=where.partition(",")[0].rpartition("/")[2],
    )


def _amount(text: str, currency: str, where: str) -> Money:
    try:
        amount = Money(amount=Decimal(text), currency=currency)
    except (InvalidOperation, ValueError) as error:
        what = f"'{text[:20]} {currency[:10]}' is not an amount"
        raise InputError(where, what, "write a number and a code such as USD; nothing was imported") from error
    if abs(amount.amount) > _MOST_AMOUNT:
        raise InputError(where, f"'{text[:20]}' is implausibly large", "fix the line; nothing was imported")
    if amount.amount < 0:
        raise InputError(where, f"bills {amount}", "leave credits out; nothing was imported")
    return amount


def _moment(text: str, where: str) -> datetime:
    remedy = "write 2026-11-23 or 2026-11-23T10:00:00Z; nothing was imported"
    try:
        moment = as_utc(datetime.fromisoformat(text))
    except (ValueError, OverflowError) as error:
        raise InputError(where, f"'{text[:30]}' is not a date", remedy) from error
    if not _FIRST_YEAR <= moment.year < _LAST_YEAR:
        raise InputError(where, f"'{text[:30]}' is not a plausible date for a bill", remedy)
    return moment
