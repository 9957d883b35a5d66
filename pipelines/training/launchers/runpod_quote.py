"""Which GPUs a launch may try, in which order, at what price: said before anything is paid."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches

from pipelines.job.launch_runpod import RunPodLaunch
from pipelines.training.launchers.runpod_meter import LEAST_S, RESERVE_S
from registry.amounts import format_usd
from registry.errors import InputError, RefusedError
from serving.targets.runpod.pod_shapes import PodGpuType
from serving.targets.runpod.pods import PodClient

_STOCK = {"HIGH": 0, "MEDIUM": 1, "LOW": 2, "NONE": 3}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A kind of pod, by the catalogue: its price for all its GPUs together, and its stock."""

    gpu: str
    usd_per_hour: Decimal
    stock: str
    data_center: str | None = None

    def __str__(self) -> str:
        where = f" in {self.data_center}" if self.data_center else ""
        return f"{self.gpu}{where} at {format_usd(self.usd_per_hour)}/h"


@dataclass(frozen=True, slots=True)
class PodQuote:
    """The candidates, first the one that is tried first. `usd_at_most` and `minutes_at_most` are of one training."""

    candidates: tuple[Candidate, ...]
    usd_at_most: Decimal
    minutes_at_most: float

    def __str__(self) -> str:
        best = self.candidates[0]
        others = f", else {', '.join(map(str, self.candidates[1:]))}" if len(self.candidates) > 1 else ""
        return f"a pod with {best}{others}; {format_usd(self.usd_at_most)} and {self.minutes_at_most:.0f} minutes at most"


def quote_pods(client: PodClient, launch: RunPodLaunch) -> PodQuote:
    """The candidates by the catalogue of now. What has stock comes first, the cheaper first.

    Stock is a hint: a GPU without any is tried last, not left out. Raises InputError for a GPU that RunPod has not, or not in
    that cloud or number, and RefusedError where the cap does not pay for a pod at any of the prices.
    """
    known = {gpu.id: gpu for gpu in client.pod_gpus()}
    offers = [_offer(launch, known, name) for name in dict.fromkeys(launch.gpus)]
    least_s = LEAST_S + RESERVE_S
    affordable = [offer for offer in offers if offer.usd_per_hour * Decimal(least_s) / 3600 <= launch.max_usd]
    if not affordable:
        best = min(offers, key=lambda offer: offer.usd_per_hour)
        minutes = float(launch.max_usd / best.usd_per_hour) * 60
        why = f"max_usd {format_usd(launch.max_usd)} pays for {minutes:.1f} minutes of {best}; a pod takes {least_s / 60:.0f}"
        raise RefusedError("launch", why, "raise max_usd, or name a cheaper GPU")
    if launch.max_minutes * 60 < least_s:
        why = f"max_minutes {launch.max_minutes:g} is less than the {least_s / 60:.0f} minutes that a pod takes at least"
        raise InputError("launch", why, "raise max_minutes")
    ordered = sorted(affordable, key=lambda offer: (offer.stock == "NONE", offer.usd_per_hour, _STOCK.get(offer.stock, 3)))
    centers: tuple[str | None, ...] = launch.data_centers or (None,)
    candidates = [Candidate(offer.gpu, offer.usd_per_hour, offer.stock, center) for offer in ordered for center in centers]
    dearest = max(offer.usd_per_hour for offer in affordable)
    return PodQuote(tuple(candidates), min(launch.max_usd, dearest * Decimal(launch.max_minutes) / 60), launch.max_minutes)


def _offer(launch: RunPodLaunch, known: dict[str, PodGpuType], name: str) -> Candidate:
    gpu = known.get(name)
    if gpu is None:
        same = [other.id for other in known.values() if name.lower() in {other.name.lower(), other.id.lower()}]
        near = same or get_close_matches(name, known, n=3, cutoff=0.4)
        remedy = f"did you mean '{near[0]}'?" if near else f"choose one of {', '.join(sorted(known))}"
        raise InputError(f"GPU '{name}'", "is not in RunPod's catalogue", remedy)
    secure = launch.cloud == "secure"
    usd, most = (gpu.price.secure, gpu.max_count.secure) if secure else (gpu.price.community, gpu.max_count.community)
    if not usd:
        raise InputError(f"GPU '{name}'", f"is not offered in the {launch.cloud} cloud", "change `launch: {cloud: …}`")
    if launch.gpu_count > most:
        raise InputError(f"GPU '{name}'", f"comes {most} at most in a pod, not {launch.gpu_count}", "lower gpu_count")
    return Candidate(name, usd * launch.gpu_count, gpu.availability or "NONE")
