"""Plans of serving: what of the catalogue an endpoint rents, and how its workers come and go, as its target will set it.

A plan is a deployment without its provider's words, so that a forecast and a deployment cannot differ.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from registry.errors import NotFoundError
from registry.money.catalogue import Catalogue
from registry.money.prices import Price
from registry.records import Record

Starts = Literal["billed", "disputed"]
"""Whether a worker's start is billed; `disputed`: the provider's own pages contradict each other."""


class ServingPlan(Record):
    """An endpoint's hardware, any of which it may get, and its workers. Seconds, gigabytes.

    `scale_after_s` is how long a request waits before another worker starts for it, `scale_after_requests` how many are given
    to each worker first. `units` are what one worker has of the hardware: GPUs, vCPUs.
    """

    name: str
    provider: str
    product: str
    hardware: tuple[str, ...] = Field(min_length=1)
    units: int = Field(default=1, ge=1)
    min_workers: int = Field(default=0, ge=0)
    max_workers: int = Field(default=1, ge=1)
    idle_s: float = Field(default=0, ge=0)
    scale_after_s: float = Field(default=0, ge=0)
    scale_after_requests: int = Field(default=0, ge=0)
    disk_gb: float = Field(default=0, ge=0)
    starts: Starts = "billed"
    chosen: bool = Field(default=False, description="the job deploys so; others are alternatives")

    @property
    def settings(self) -> tuple[object, ...]:
        """What tells two plans apart that are called differently."""
        return tuple(self.model_dump(exclude={"name", "chosen"}).values())

    def price(self, known: Catalogue) -> Price:
        """An hour of one worker, by the dearest hardware that it may get. Raises NotFoundError for what has no price."""
        prices = [known.find(self.provider, self.product, name).price for name in self.hardware]
        dearest = max(prices, key=lambda price: price.usd_per_hour)
        return dearest if self.units == 1 else dearest.model_copy(update={"usd_per_hour": dearest.usd_per_hour * self.units})

    @property
    def rule(self) -> str:
        """When workers start and stop, in words."""
        waits = f"after {self.scale_after_s:g} s of waiting" if self.scale_after_s else ""
        counts = f"for each {self.scale_after_requests} requests at once" if self.scale_after_requests else ""
        another = waits or counts or "as soon as all are busy"
        if self.min_workers == self.max_workers:
            return f"{self.min_workers} always on"
        return f"another worker starts {another}, and stops {self.idle_s:g} s after its last answer"


def distinct(plans: list[ServingPlan]) -> list[ServingPlan]:
    """Each plan once: what the job chose goes before an alternative that is the same."""
    kept = dict[tuple[object, ...], ServingPlan]()
    for plan in plans:
        kept.setdefault(plan.settings, plan)
    return list(kept.values())


def least_price(known: Catalogue, provider: str, product: str) -> Price:
    """The cheapest hardware of a product. Raises NotFoundError where there is none."""
    prices = [entry.price for entry in known.current() if entry.price.key[:2] == (provider, product)]
    if not prices:
        raise NotFoundError(
            f"price of a {provider} {product}", "is not in the catalogue", "see `modelyard prices`, or refresh it"
        )
    return min(prices, key=lambda price: price.usd_per_hour)
