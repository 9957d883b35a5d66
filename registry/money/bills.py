"""Bills as amounts: each moment of a resource is billed once, in its month, and a bill replaces what was measured or quoted.

Of two bills that overlap, the one that was recorded last counts for the time that both are about; the earlier one keeps the
rest of its time, with that share of its amount.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Literal, NamedTuple

from registry.amounts import round_usd
from registry.money.books import Spend
from registry.money.spans import IntervalSet, as_utc, cut, seconds, split_amount
from registry.refs import CANARY_SUFFIX, NEXT_SUFFIX
from registry.spending import Billed

_SUFFIXES = ("", NEXT_SUFFIX, CANARY_SUFFIX)
"""A new version or a canary runs beside its endpoint for a while; its cost is the endpoint's."""
_STORES = ("storage", "volume")
"""How a resource's name begins that holds files and no training."""
_RUN = re.compile(r"[0-9a-f]{32}")


class BillPart(NamedTuple):
    """What a bill counts for: one of the spans that no later bill is about."""

    bill: Billed
    start: datetime
    end: datetime
    usd: Decimal


class BillSubjects(NamedTuple):
    """What bills are matched with: an endpoint's name → its model, and what was measured of training."""

    endpoints: Mapping[str, str]
    runs: Sequence[Spend]


def normalize_provider(name: str) -> str:
    """A provider's name as it is compared: `Hugging Face` and `huggingface` are one."""
    return "".join(name.split()).lower()


def bill_key(bill: Billed) -> tuple[str, str]:
    """What a bill is about."""
    return (normalize_provider(bill.provider), bill.resource)


def resolve_overlaps(bills: Iterable[Billed]) -> list[BillPart]:
    """Bills in the order of their recording → what each of them counts for, in order of time."""
    taken, parts = dict[tuple[str, str], IntervalSet](), list[BillPart]()
    for bill in reversed(list(bills)):
        start, end = as_utc(bill.start), as_utc(bill.end)
        known, whole = taken.setdefault(bill_key(bill), IntervalSet()), seconds(end - start)
        for low, high in known.gaps(start, end):
            share = seconds(high - low)
            parts.append(BillPart(bill, low, high, bill.usd if share == whole else round_usd(bill.usd * share / whole)))
        if start < end:
            known.add(start, end)
    return sorted(parts, key=lambda part: (part.start, part.end))


def billed_endpoint(resource: str, endpoints: Container[str]) -> str | None:
    """The endpoint that a bill's resource is, or runs beside for a while."""
    names = (resource.removesuffix(end) for end in _SUFFIXES if resource.endswith(end))
    return next((name for name in names if name in endpoints), None)


def resource_names(resource: str) -> set[str]:
    """What a bill's resource may name: its words, and ids of MLflow's runs anywhere in it."""
    return {*re.split(r"[\s,;+]+", resource), *_RUN.findall(resource)}


def book_bills(parts: Sequence[BillPart], books: BillSubjects, by_day: str = "") -> list[Spend]:
    """Bills as amounts, cut as `spans.cut` does, and the training that no bill is about.

    A bill of an endpoint is serving; one that names runs is theirs, instead of what was measured; any other is `other`, but
    for the training that was measured at its provider in its time: where nothing says which run a rented machine worked
    for, what was measured is taken to be in its bill, so that no money counts twice.
    """
    by_id, named, others = defaultdict[str, list[Spend]](list), list[BillPart](), list[BillPart]()
    for run in books.runs:
        by_id[run.resource].append(run)
    spends = list[Spend]()
    for part in parts:
        if endpoint := billed_endpoint(part.bill.resource, books.endpoints):
            spends += _spread(_spend(part, "serving", books.endpoints[endpoint], endpoint), part, by_day)
        elif any(name in by_id for name in resource_names(part.bill.resource)):
            named.append(part)
        else:
            others.append(part)
    for part in named:
        runs = [run for name in sorted(resource_names(part.bill.resource)) for run in by_id.get(name, [])]
        for run, usd in zip(runs, split_amount(part.usd, [run.usd for run in runs]), strict=True):
            spends += _spread(_billed_run(run, usd, part), part, by_day)
    replaced = {name for part in named for name in resource_names(part.bill.resource)}
    runs, rest = _match_training(others, [run for run in books.runs if run.resource not in replaced])
    return spends + runs + [spend for part in rest for spend in _spread(_spend(part, "other"), part, by_day)]


def _match_training(others: Sequence[BillPart], measured: Sequence[Spend]) -> tuple[list[Spend], list[BillPart]]:
    """Training that is in the bills of other things, and what these come to beyond it. Each run is found in them once."""
    matched, beyond, left = list[Spend](), list[BillPart](), defaultdict[str, list[Spend]](list)
    for run in sorted(measured, key=lambda run: run.at):
        left[run.provider].append(run)
    for part in others:
        (provider, resource), usd = bill_key(part.bill), part.usd
        known = left[provider] if not resource.lower().startswith(_STORES) else []
        first = bisect_left(known, part.start, key=lambda run: run.at)
        for index in range(first, bisect_left(known, part.end, key=lambda run: run.at)):
            run, paid = known[index], min(known[index].usd, usd)
            if paid > 0:
                matched.append(run.model_copy(update={"basis": "billed", "usd": paid}))
                known[index], usd = run.model_copy(update={"usd": run.usd - paid}), usd - paid
        if usd > 0:
            beyond.append(part._replace(usd=usd))
    matched_runs = {(run.model, run.resource) for run in matched}
    rest = [run for runs in left.values() for run in runs if run.usd > 0 or (run.model, run.resource) not in matched_runs]
    return matched + rest, beyond


def _billed_run(run: Spend, usd: Decimal, part: BillPart) -> Spend:
    return run.model_copy(
        update={"basis": "billed", "provider": normalize_provider(part.bill.provider), "usd": usd, "at": part.start}
    )


def _spend(part: BillPart, what: Literal["serving", "other"], model: str = "", resource: str = "") -> Spend:
    provider, thing = bill_key(part.bill)
    fields = {"at": part.start, "provider": provider, "usd": part.usd, "resource": resource or thing, "model": model}
    return Spend.model_validate({"what": what, "basis": "billed"} | fields)


def _spread(spend: Spend, part: BillPart, by_day: str) -> list[Spend]:
    """An amount over its bill's time."""
    spans = cut(part.start, part.end, by_day)
    if len(spans) == 1:
        return [spend]
    amounts = split_amount(spend.usd, [seconds(high - low) for low, high in spans])
    return [spend.model_copy(update={"at": low, "usd": usd}) for (low, _), usd in zip(spans, amounts, strict=True)]
