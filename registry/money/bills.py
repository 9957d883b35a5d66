"""Bills in the books: each time of a thing is billed once, in the months that it lies in, and beats what was measured of it.

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

from registry.money.amounts import dollars
from registry.money.books import Spend
from registry.money.spans import IntervalSet, aware, cut, seconds, shared
from registry.spending import Billed

_BESIDE = ("", "-next", "-canary")
"""What stands beside an endpoint for a while is the endpoint's."""
_STORES = ("storage", "volume")
"""How a resource's name begins that holds files and no training."""
_RUN = re.compile(r"[0-9a-f]{32}")


class Part(NamedTuple):
    """What a bill counts for: one of the spans that no later bill is about."""

    bill: Billed
    start: datetime
    end: datetime
    usd: Decimal


class Books(NamedTuple):
    """What bills are matched with: an endpoint's name → its model, and what was measured of training."""

    endpoints: Mapping[str, str]
    runs: Sequence[Spend]


def provider_of(told: str) -> str:
    """A provider's name as it is compared: `Hugging Face` and `huggingface` are one."""
    return "".join(told.split()).lower()


def thing_of(bill: Billed) -> tuple[str, str]:
    """What a bill is about."""
    return (provider_of(bill.provider), bill.resource)


def counted(bills: Iterable[Billed]) -> list[Part]:
    """Bills in the order of their recording → what each of them counts for, in order of time."""
    taken, found = dict[tuple[str, str], IntervalSet](), list[Part]()
    for one in reversed(list(bills)):
        start, end = aware(one.start), aware(one.end)
        known, whole = taken.setdefault(thing_of(one), IntervalSet()), seconds(end - start)
        for low, high in known.free(start, end):
            share = seconds(high - low)
            found.append(Part(one, low, high, one.usd if share == whole else dollars(one.usd * share / whole)))
        if start < end:
            known.take(start, end)
    return sorted(found, key=lambda part: (part.start, part.end))


def endpoint_billed(resource: str, endpoints: Container[str]) -> str | None:
    """The endpoint that a bill's resource is, or stands beside for a while."""
    names = (resource.removesuffix(end) for end in _BESIDE if resource.endswith(end))
    return next((name for name in names if name in endpoints), None)


def names_in(resource: str) -> set[str]:
    """What a bill's resource may name: its words, and ids of MLflow's runs anywhere in it."""
    return {*re.split(r"[\s,;+]+", resource), *_RUN.findall(resource)}


def booked(parts: Sequence[Part], books: Books, by_day: str = "") -> list[Spend]:
    """Bills as amounts, cut as `spans.cut` does, and the training that no bill is about.

    A bill of an endpoint is serving; one that names runs is theirs, instead of what was measured; any other is `other`, but
    for the training that was measured at its provider in its time: where nothing says which run a rented machine worked
    for, what was measured is taken to be in its bill, so that no money counts twice.
    """
    by_id, named, others = defaultdict[str, list[Spend]](list), list[Part](), list[Part]()
    for run in books.runs:
        by_id[run.resource].append(run)
    found = list[Spend]()
    for part in parts:
        if endpoint := endpoint_billed(part.bill.resource, books.endpoints):
            found += _spread(_spend(part, "serving", books.endpoints[endpoint], endpoint), part, by_day)
        elif any(name in by_id for name in names_in(part.bill.resource)):
            named.append(part)
        else:
            others.append(part)
    for part in named:
        runs = [run for name in sorted(names_in(part.bill.resource)) for run in by_id.get(name, [])]
        for run, usd in zip(runs, shared(part.usd, [one.usd for one in runs]), strict=True):
            found += _spread(_paid(run, usd, part), part, by_day)
    replaced = {name for part in named for name in names_in(part.bill.resource)}
    runs, rest = _within(others, [one for one in books.runs if one.resource not in replaced])
    return found + runs + [one for part in rest for one in _spread(_spend(part, "other"), part, by_day)]


def _within(others: Sequence[Part], measured: Sequence[Spend]) -> tuple[list[Spend], list[Part]]:
    """Training that is in the bills of other things, and what these come to beyond it. Each run is found in them once."""
    found, beyond, left = list[Spend](), list[Part](), defaultdict[str, list[Spend]](list)
    for run in sorted(measured, key=lambda one: one.at):
        left[run.provider].append(run)
    for part in others:
        (provider, resource), usd = thing_of(part.bill), part.usd
        known = left[provider] if not resource.lower().startswith(_STORES) else []
        first = bisect_left(known, part.start, key=lambda one: one.at)
        for place in range(first, bisect_left(known, part.end, key=lambda one: one.at)):
            run, paid = known[place], min(known[place].usd, usd)
            if paid > 0:
                found.append(run.model_copy(update={"basis": "billed", "usd": paid}))
                known[place], usd = run.model_copy(update={"usd": run.usd - paid}), usd - paid
        if usd > 0:
            beyond.append(part._replace(usd=usd))
    told = {(one.model, one.resource) for one in found}
    rest = [one for runs in left.values() for one in runs if one.usd > 0 or (one.model, one.resource) not in told]
    return found + rest, beyond


def _paid(run: Spend, usd: Decimal, part: Part) -> Spend:
    return run.model_copy(update={"basis": "billed", "provider": provider_of(part.bill.provider), "usd": usd, "at": part.start})


def _spend(part: Part, what: Literal["serving", "other"], model: str = "", resource: str = "") -> Spend:
    provider, thing = thing_of(part.bill)
    told = {"at": part.start, "provider": provider, "usd": part.usd, "resource": resource or thing, "model": model}
    return Spend.model_validate({"what": what, "basis": "billed"} | told)


def _spread(spend: Spend, part: Part, by_day: str) -> list[Spend]:
    """An amount over its bill's time."""
    spans = cut(part.start, part.end, by_day)
    if len(spans) == 1:
        return [spend]
    amounts = shared(spend.usd, [seconds(high - low) for low, high in spans])
    return [spend.model_copy(update={"at": low, "usd": usd}) for (low, _), usd in zip(spans, amounts, strict=True)]
