"""The price catalogue: what was published, what was fetched since, and from when to when each price held.

Prices are never overwritten: a changed one gets a row of its own, so that what ran before keeps its price.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from pathlib import Path

from pydantic import Field

from registry.errors import MissingFileError, NotFoundError
from registry.files import read_record, write_json
from registry.money.prices import Price, StoragePrice
from registry.records import Record

STALE_DAYS = 60
"""RunPod's pod prices moved by 20 to 30 % within three months of 2026."""
_PUBLISHED = Path(__file__).parent / "published.json"


class DatedPrice(Record):
    """A price, and when a refresh last found it unchanged."""

    price: Price
    seen: date

    def age(self, today: date) -> int:
        """Days since it was last known to hold; a clock that was set back makes nothing newer than today."""
        return max((today - self.seen).days, 0)

    def stale(self, today: date) -> bool:
        """Whether it is too old to be relied on."""
        return self.age(today) > STALE_DAYS


class Catalogue(Record):
    """Every price that is known, old ones too."""

    prices: list[DatedPrice] = Field(default=[])
    storage: list[StoragePrice] = Field(default=[])

    def current(self) -> list[DatedPrice]:
        """The newest price of each thing."""
        newest = dict[tuple[str, str, str], DatedPrice]()
        for entry in self.prices:
            if entry.price.key not in newest or entry.price.as_of >= newest[entry.price.key].price.as_of:
                newest[entry.price.key] = entry
        return [newest[key] for key in sorted(newest)]

    def find(self, provider: str, product: str, hardware: str, on: date | None = None) -> DatedPrice:
        """The price that held on a day, or holds now. Before the first known one, the first.

        Raises NotFoundError, naming what there is.
        """
        entries = [entry for entry in self.prices if entry.price.key == (provider, product, hardware)]
        if not entries:
            known = sorted(entry.price.hardware for entry in self.current() if entry.price.key[:2] == (provider, product))
            expected = f"is not in the catalogue (there: {', '.join(known)})" if known else "is not in the catalogue"
            what = " ".join(word for word in (provider, product, hardware) if word)
            raise NotFoundError(f"price of {what}", expected, "see `modelyard prices`, or refresh it")
        before = [entry for entry in entries if on is None or entry.price.as_of <= on]
        return max(before, key=lambda entry: entry.price.as_of) if before else min(entries, key=lambda entry: entry.price.as_of)

    def tariff(self, provider: str, product: str) -> StoragePrice:
        """The newest price of storage. Raises NotFoundError."""
        tariffs = [tariff for tariff in self.storage if (tariff.provider, tariff.product) == (provider, product)]
        if not tariffs:
            raise NotFoundError(f"price of {provider} {product}", "is not in the catalogue", "see `modelyard prices`")
        return max(tariffs, key=lambda tariff: tariff.as_of)

    def with_fetched(self, fetched: Iterable[Price], today: date) -> Catalogue:
        """The catalogue after a refresh: what is unchanged was seen today, what changed or is new gets a row."""
        rows = list(self.prices)
        for price in fetched:
            indexes = [index for index, entry in enumerate(rows) if entry.price.key == price.key]
            newest = max(indexes, key=lambda index: rows[index].price.as_of) if indexes else None
            if newest is not None and _terms(rows[newest].price) == _terms(price):
                rows[newest] = rows[newest].model_copy(update={"seen": max(today, rows[newest].seen)})
            else:
                rows.append(DatedPrice(price=price.model_copy(update={"as_of": today}), seen=today))
        return Catalogue(prices=rows, storage=self.storage)


def _terms(price: Price) -> tuple[object, ...]:
    return (price.usd_per_hour, price.billed_seconds, price.least_seconds)


class _PublishedFile(Record):
    prices: list[Price]
    storage: list[StoragePrice]


def published() -> Catalogue:
    """What comes with this version, read by hand from the providers' pages."""
    file = _PublishedFile.model_validate_json(_PUBLISHED.read_bytes())
    return Catalogue(prices=[DatedPrice(price=price, seen=price.as_of) for price in file.prices], storage=file.storage)


def read_catalogue(path: Path) -> Catalogue:
    """What is kept at `path` over what was published. Raises DamagedFileError for a file that is none."""
    known = published()
    try:
        kept = read_record(path, Catalogue, "a price catalogue", "remove it, then run `modelyard prices --refresh`")
    except MissingFileError:
        return known
    mine = {(entry.price.key, entry.price.as_of) for entry in kept.prices}
    older = [entry for entry in known.prices if (entry.price.key, entry.price.as_of) not in mine]
    return Catalogue(prices=older + kept.prices, storage=known.storage + kept.storage)


def write_catalogue(path: Path, catalogue: Catalogue) -> None:
    """Keep what was fetched, whole or not at all."""
    write_json(path, catalogue.model_dump(mode="json", exclude={"storage"}))
