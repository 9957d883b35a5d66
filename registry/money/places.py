"""The places that a forecast compares: the catalogue's newest prices, and how workers come and go at each."""

from __future__ import annotations

from registry.money.catalogue import Catalogue
from registry.money.fleet import Fleet
from registry.money.forecast import Place
from registry.money.prices import Price
from registry.records import Record

SERVERLESS, CPU, GPU = "AMPERE_16", "intel-spr x1", "nvidia-t4 x1"
"""What of each provider is compared: the cheapest pool, the cheapest CPU, the cheapest GPU."""


class Assumed(Record):
    """What nobody publishes. Seconds until a worker that was started answers, and how many there may be."""

    runpod_cold_s: float = 8.0
    hf_cold_s: float = 120.0
    max_workers: int = 3


def places(known: Catalogue, local: Price, service_s: float, assumed: Assumed) -> list[Place]:
    """Seven ways to serve. Raises NotFoundError where the catalogue lacks a price."""
    serverless = known.find("runpod", "serverless", SERVERLESS).price
    cpu, gpu = (known.find("huggingface", "endpoint", name).price for name in (CPU, GPU))
    pods = [one.price for one in known.current() if one.price.key[:2] == ("runpod", "pod")]
    pod = min(pods, key=lambda one: one.usd_per_hour)
    one = Fleet(service_s=service_s, min_workers=1)
    started = f"a worker starts in {assumed.runpod_cold_s:g} s (assumed; measure your own)"
    woken = f"a replica wakes in {assumed.hf_cold_s:g} s (assumed), and sleeps after 15 minutes"
    many = Fleet(service_s=service_s, max_workers=assumed.max_workers)
    flex = many.model_copy(update={"cold_start_s": assumed.runpod_cold_s, "idle_s": 5})
    kept = flex.model_copy(update={"min_workers": 1})
    naps = many.model_copy(update={"cold_start_s": assumed.hf_cold_s, "idle_s": 900})
    stays, no_discount = "one, always on", "no discount for what is kept on"
    return [
        _place(f"RunPod Serverless {SERVERLESS}", serverless, flex, [started, "a worker stays 5 s after its last answer"]),
        _place(f"RunPod Serverless {SERVERLESS}, one kept on", serverless, kept, [started, no_discount]),
        _place(f"RunPod pod {pod.hardware}", pod, one, [stays, "the cheapest GPU of the secure cloud"]),
        _place(f"Hugging Face {CPU}, asleep when idle", cpu, naps, [woken]),
        _place(f"Hugging Face {CPU}, always on", cpu, one, [stays]),
        _place(f"Hugging Face {GPU}, asleep when idle", gpu, naps, [woken]),
        _place("this machine", local, one, [stays]),
    ]


def _place(name: str, price: Price, fleet: Fleet, assumed: list[str]) -> Place:
    told = f"${price.usd_per_hour.normalize():f} an hour, {price.as_of} ({price.source})"
    return Place(name=name, price=price, fleet=fleet, assumed=[told, *assumed])
