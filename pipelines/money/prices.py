"""The price catalogue of this home: what was published, brought up to date from the providers that there is a key for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING

from registry.errors import InputError, ModelyardError
from registry.money.catalogue import Catalogue, read_catalogue, write_catalogue
from registry.money.prices import Price, today
from registry.records import Record

if TYPE_CHECKING:
    from registry.settings import Settings


class Refreshed(Record):
    """What a refresh found: sentences, and why a provider's prices stayed as they were."""

    said: list[str]
    failed: list[str]


def prices(settings: Settings) -> Catalogue:
    """Every known price. Raises InputError for a catalogue that cannot be read."""
    return read_catalogue(settings.price_catalogue)


def refresh(settings: Settings) -> Refreshed:
    """Ask each provider that there is a key for; what one of them does not answer stays as it was.

    Raises InputError where there is no key at all.
    """
    asked = _providers(settings)
    if not asked:
        raise InputError("prices", "cannot be refreshed: no key is set", "set RUNPOD_API_KEY or HF_TOKEN")
    known, lines, failed = prices(settings), list[str](), list[str]()
    for name, ask in asked.items():
        try:
            fetched = ask(today())
        except ModelyardError as error:
            failed.append(str(error))
            continue
        before = {price.price.key: price.price.usd_per_hour for price in known.current()}
        known = known.with_fetched(fetched, today())
        changed = [price for price in fetched if before.get(price.key, price.usd_per_hour) != price.usd_per_hour]
        fresh = sum(price.key not in before for price in fetched)
        lines.append(f"{name}: {len(fetched)} prices, {len(changed)} changed, {fresh} new")
        lines += [f"  {' '.join(price.key)}: ${before[price.key]} → ${price.usd_per_hour} an hour" for price in changed]
    if lines:
        write_catalogue(settings.price_catalogue, known)
    return Refreshed(said=lines, failed=failed)


def _providers(settings: Settings) -> dict[str, Callable[[date], list[Price]]]:
    providers = dict[str, Callable[[date], list[Price]]]()
    if settings.runpod_api_key is not None:
        providers["RunPod"] = lambda day: _of_runpod(settings, day)
    if settings.hf_token is not None:
        providers["Hugging Face"] = lambda day: _of_huggingface(settings, day)
    return providers


def _of_runpod(settings: Settings, day: date) -> list[Price]:
    from serving.targets.runpod.catalogue import catalogue_prices
    from serving.targets.runpod.client import RunPodClient

    assert settings.runpod_api_key is not None  # noqa: S101 it was looked at before
    return catalogue_prices(RunPodClient(settings.runpod_api_key, settings.runpod_url), day)


def _of_huggingface(settings: Settings, day: date) -> list[Price]:
    from serving.targets.huggingface.catalogue import catalogue_prices
    from serving.targets.huggingface.endpoints import Endpoints
    from serving.targets.huggingface.hub import hub_of

    hub = hub_of(settings)
    owner = str(hub.call(hub.api.whoami)["name"])
    return catalogue_prices(Endpoints(hub, owner, settings.hf_endpoints_url), day)
