"""The places that a forecast compares: each plan of serving at the catalogue's newest price, a pod, this machine, a browser."""

from __future__ import annotations

from pydantic import Field

from registry.money.catalogue import Catalogue
from registry.money.fleet import Fleet
from registry.money.forecast import Disk, Place
from registry.money.plans import ServingPlan, distinct, least_price
from registry.money.prices import Price
from registry.records import Record

RUNPOD_COLD_S, HF_COLD_S = 8.0, 120.0
"""Not published by the providers: seconds until a started worker answers, where that was not measured."""

POD_DISK_GB = 5.0
"""The container disk that is assumed of a pod, which no target of ours rents for serving."""


_REPOSITORY = "storage of the repository that holds the bundle is not included"


class ColdStart(Record):
    """Seconds until a started worker answers, and where the figure comes from."""

    seconds: float = Field(ge=0, allow_inf_nan=False)
    source: str = "assumed; measure your own"

    @classmethod
    def given(cls, seconds: float | None) -> ColdStart | None:
        """A figure that the user gives, where they do."""
        return None if seconds is None else cls(seconds=seconds, source="as given")

    @classmethod
    def assumed(cls, seconds: float, first_ms: float | None = None) -> ColdStart:
        """What is assumed of a provider; at least what loading the model and its first answer took on this machine."""
        if first_ms is None:
            return cls(seconds=seconds)
        first = first_ms / 1e3
        return cls(seconds=max(seconds, first), source=f"assumed; loading the model took {first:.2g} s of it here, measured")


class Overrides(Record):
    """What the user says of workers. None means measured or assumed; seconds, and gigabytes of a RunPod network volume."""

    runpod_cold_s: float | None = None
    hf_cold_s: float | None = None
    max_workers: int | None = None
    volume_gb: float = 0.0


class Measurements(Record):
    """What is known of a version. `first_ms` is loading it and its first answer here; `cold` is by target."""

    service_ms: float
    service_from: str
    first_ms: float | None = None
    bundle_mb: float | None = None
    cold: dict[str, ColdStart] = Field(default={})


class Assumptions(Record):
    """What a forecast assumes: how long an answer and a start take, what is stored. `max_workers` None: as each plan says."""

    service_ms: float
    service_from: str
    runpod_cold: ColdStart
    hf_cold: ColdStart
    max_workers: int | None
    bundle_mb: float | None
    volume_gb: float

    @classmethod
    def combine(cls, known: Measurements, overrides: Overrides) -> Assumptions:
        """What the user gives, else what was measured, else what is assumed."""
        assumed = {
            "runpod": ColdStart.assumed(RUNPOD_COLD_S, known.first_ms),
            "huggingface": ColdStart.assumed(HF_COLD_S, known.first_ms),
        }
        cold_starts = assumed | known.cold
        return cls(
            service_ms=known.service_ms,
            service_from=known.service_from,
            runpod_cold=ColdStart.given(overrides.runpod_cold_s) or cold_starts["runpod"],
            hf_cold=ColdStart.given(overrides.hf_cold_s) or cold_starts["huggingface"],
            max_workers=overrides.max_workers,
            bundle_mb=known.bundle_mb,
            volume_gb=overrides.volume_gb,
        )

    def cold_of(self, provider: str) -> ColdStart:
        """The start of a worker at a provider."""
        return self.hf_cold if provider == "huggingface" else self.runpod_cold

    def disk_gb(self, rented: float) -> float:
        """Gigabytes of a worker's disk: what is rented, or more where the bundle is larger."""
        return max(rented, (self.bundle_mb or 0.0) / 1e3)


def list_places(known: Catalogue, local: Price, assumptions: Assumptions, plans: list[ServingPlan]) -> list[Place]:
    """Each plan, the cheapest pod, this machine and the browser. Raises NotFoundError where the catalogue lacks a price."""
    pod = least_price(known, "runpod", "pod")
    single = Fleet(service_s=assumptions.service_ms / 1e3, min_workers=1)
    disks, stored = _disks(known, assumptions, POD_DISK_GB)
    stays = "one worker, always on"
    return [
        *(_planned(known, assumptions, plan) for plan in distinct(plans)),
        _make_place(f"RunPod pod {pod.hardware}", pod, single, [stays, "the cheapest GPU of the secure cloud", *stored], disks),
        _make_place("this machine", local, single, [stays, "its disk is its owner's"]),
        _browser(known, single),
    ]


def _planned(known: Catalogue, assumptions: Assumptions, plan: ServingPlan) -> Place:
    """A plan as a place: the same workers, on which requests wait as its rule says."""
    cold = assumptions.cold_of(plan.provider)
    fixed = plan.min_workers == plan.max_workers  # what is always on does not scale
    most = plan.max_workers if fixed else max(plan.min_workers, assumptions.max_workers or plan.max_workers)
    fleet = Fleet(
        service_s=assumptions.service_ms / 1e3,
        min_workers=plan.min_workers,
        max_workers=most,
        cold_start_s=cold.seconds,
        idle_s=plan.idle_s,
        scale_after_s=plan.scale_after_s,
        scale_after_requests=plan.scale_after_requests,
    )
    woken = "a replica wakes" if plan.provider == "huggingface" else "a worker starts"
    assumed = [f"{woken} in {cold.seconds:g} s ({cold.source})"] if most > plan.min_workers else []
    if plan.starts == "disputed" and assumed:
        assumed.append("the provider's pages disagree on whether a start is billed: the range is without and with it")
    kept = f"{plan.min_workers} kept on, " if plan.min_workers else ""
    workers = [f"{kept}at most {most} workers", plan.rule]
    disks, stored = _disks(known, assumptions, plan.disk_gb) if plan.disk_gb else ([], [_REPOSITORY])
    dearest = ["the dearest hardware that it may get"] if len(plan.hardware) > 1 else []
    made = _make_place(plan.name, plan.price(known), fleet, [*dearest, *assumed, *workers, *stored], disks)
    return made.model_copy(update={"starts_disputed": plan.starts == "disputed", "chosen": plan.chosen})


def shared_assumptions(assumptions: Assumptions) -> list[str]:
    """What is assumed of every place."""
    took = f"An answer takes {assumptions.service_ms:.3g} ms ({assumptions.service_from})."
    return [
        f"{took} Every place is assumed to answer as fast as the machine where this was measured.",
        "Requests arrive at random, each takes the same time, and a month has 730 hours.",
        "Network traffic, taxes and the time in a provider's own queue are not included.",
    ]


def _disks(known: Catalogue, assumptions: Assumptions, rented_gb: float) -> tuple[list[Disk], list[str]]:
    """What RunPod keeps: each worker's disk while it runs, and a network volume all month, where one is wanted."""
    gigabytes = assumptions.disk_gb(rented_gb)
    worker = Disk(tariff=known.tariff("runpod", "container disk"), gigabytes=gigabytes)
    tier, bundle = (
        worker.tariff.tiers[0],
        "" if assumptions.bundle_mb is None else f", with the bundle's {assumptions.bundle_mb:.1f} MB",
    )
    disk = f"a disk of {gigabytes:g} GB for each worker while it runs{bundle}, ${tier.usd_per_gb_month} per GB and month"
    if not assumptions.volume_gb:
        return [worker], [disk, "no network volume"]
    volume = Disk(tariff=known.tariff("runpod", "network volume"), gigabytes=assumptions.volume_gb, always=True)
    price = volume.tariff.tiers[0].usd_per_gb_month
    return [worker, volume], [
        disk,
        f"a network volume of {assumptions.volume_gb:g} GB all month, from ${price} per GB and month",
    ]


def _browser(known: Catalogue, fleet: Fleet) -> Place:
    price = known.find("browser", "", "the visitor's device").price
    assumed = ["it runs on the visitor's device, at that device's speed", "it needs a TF.js export (`modelyard space`)"]
    return _make_place("the visitor's browser", price, fleet, assumed).model_copy(update={"rented": False})


def _make_place(name: str, price: Price, fleet: Fleet, assumed: list[str], disks: list[Disk] | None = None) -> Place:
    rate = f"${price.usd_per_hour.normalize():f} per hour, {price.as_of} ({price.source})"
    return Place(name=name, price=price, fleet=fleet, assumed=[rate, *assumed], disks=disks or [])
