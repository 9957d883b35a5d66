"""The places that a forecast compares: the catalogue's newest prices, and how workers come and go at each."""

from __future__ import annotations

from pydantic import Field

from registry.errors import NotFoundError
from registry.money.catalogue import Catalogue
from registry.money.fleet import Fleet
from registry.money.forecast import Disk, Place
from registry.money.prices import Price
from registry.records import Record

SERVERLESS, CPU, GPU = "AMPERE_16", "intel-spr x1", "nvidia-t4 x1"
"""What of each provider is compared: the cheapest pool, the cheapest CPU, the cheapest GPU."""

RUNPOD_COLD_S, HF_COLD_S = 8.0, 120.0
"""Not published by the providers: seconds until a started worker answers, where that was not measured."""

DISK_GB = 5.0
"""The container disk that our target for RunPod rents (`serving/targets/runpod/release.py`)."""


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
    max_workers: int = 3
    volume_gb: float = 0.0


class Measurements(Record):
    """What is known of a version. `first_ms` is loading it and its first answer here; `cold` is by target."""

    service_ms: float
    service_from: str
    first_ms: float | None = None
    bundle_mb: float | None = None
    cold: dict[str, ColdStart] = Field(default={})


class Assumptions(Record):
    """What a forecast assumes: how long an answer and a start take, how many workers there may be, what is stored."""

    service_ms: float
    service_from: str
    runpod_cold: ColdStart
    hf_cold: ColdStart
    max_workers: int
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

    @property
    def disk_gb(self) -> float:
        """Gigabytes of a worker's disk: what our target rents, or more where the bundle is larger."""
        return max(DISK_GB, (self.bundle_mb or 0.0) / 1e3)


def list_places(known: Catalogue, local: Price, assumptions: Assumptions) -> list[Place]:
    """Seven ways to rent, and the browser. Raises NotFoundError where the catalogue lacks a price."""
    serverless = known.find("runpod", "serverless", SERVERLESS).price
    cpu, gpu = (known.find("huggingface", "endpoint", name).price for name in (CPU, GPU))
    pod = _cheapest_pod(known)
    single = Fleet(service_s=assumptions.service_ms / 1e3, min_workers=1)
    many = single.model_copy(update={"min_workers": 0, "max_workers": assumptions.max_workers})
    flex = many.model_copy(update={"cold_start_s": assumptions.runpod_cold.seconds, "idle_s": 5})
    kept = flex.model_copy(update={"min_workers": 1})
    naps = many.model_copy(update={"cold_start_s": assumptions.hf_cold.seconds, "idle_s": 900})
    most, stays = f"at most {assumptions.max_workers} workers", "one worker, always on"
    started = f"a worker starts in {assumptions.runpod_cold.seconds:g} s ({assumptions.runpod_cold.source})"
    woken = (
        f"a replica wakes in {assumptions.hf_cold.seconds:g} s ({assumptions.hf_cold.source}), and sleeps after 15 idle minutes"
    )
    disks, stored = _disks(known, assumptions)
    free = "storage of the repository that holds the bundle is not included"
    idles, no_discount = "a worker stops 5 s after its last answer", "no discount for workers that are always on"
    return [
        _make_place(f"RunPod Serverless {SERVERLESS}", serverless, flex, [started, idles, most, *stored], disks),
        _make_place(
            f"RunPod Serverless {SERVERLESS}, one kept on", serverless, kept, [started, no_discount, most, *stored], disks
        ),
        _make_place(f"RunPod pod {pod.hardware}", pod, single, [stays, "the cheapest GPU of the secure cloud", *stored], disks),
        _make_place(f"Hugging Face {CPU}, asleep when idle", cpu, naps, [woken, most, free]),
        _make_place(f"Hugging Face {CPU}, always on", cpu, single, [stays, free]),
        _make_place(f"Hugging Face {GPU}, asleep when idle", gpu, naps, [woken, most, free]),
        _make_place("this machine", local, single, [stays, "its disk is its owner's"]),
        _browser(known, single),
    ]


def shared_assumptions(assumptions: Assumptions) -> list[str]:
    """What is assumed of every place."""
    took = f"An answer takes {assumptions.service_ms:.3g} ms ({assumptions.service_from})."
    return [
        f"{took} Every place is assumed to answer as fast as the machine where this was measured.",
        "Requests arrive at random, each takes the same time, and a month has 730 hours.",
        "Network traffic, taxes and the time in a provider's own queue are not included.",
    ]


def _cheapest_pod(known: Catalogue) -> Price:
    pods = [entry.price for entry in known.current() if entry.price.key[:2] == ("runpod", "pod")]
    if not pods:
        raise NotFoundError("price of a runpod pod", "is not in the catalogue", "see `modelyard prices`, or refresh it")
    return min(pods, key=lambda price: price.usd_per_hour)


def _disks(known: Catalogue, assumptions: Assumptions) -> tuple[list[Disk], list[str]]:
    """What RunPod keeps: each worker's disk while it runs, and a network volume all month, where one is wanted."""
    worker = Disk(tariff=known.tariff("runpod", "container disk"), gigabytes=assumptions.disk_gb)
    tier, bundle = (
        worker.tariff.tiers[0],
        "" if assumptions.bundle_mb is None else f", with the bundle's {assumptions.bundle_mb:.1f} MB",
    )
    disk = (
        f"a disk of {assumptions.disk_gb:g} GB for each worker while it runs{bundle}, ${tier.usd_per_gb_month} per GB and month"
    )
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
