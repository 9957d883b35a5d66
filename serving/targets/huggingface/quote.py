"""What an endpoint at Hugging Face costs: by the account's own list of hardware, or by prices that are known without asking."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

from registry.errors import InputError
from registry.money.billing import HOURS_PER_MONTH
from registry.money.catalogue import Catalogue
from serving.targets.contract import Quote
from serving.targets.huggingface.config import HuggingFaceDeploy

if TYPE_CHECKING:
    from huggingface_hub import InferenceEndpointHardware

_USUAL = "aws"
_STARTS = "a replica's start is billed, its sleep is not"


def hardware_name(vendor: str, instance: str, size: str) -> str:
    """What an instance is called in the catalogue; a vendor's name is left out where it is the usual one."""
    return f"{instance} {size}" if vendor == _USUAL else f"{instance} {size} at {vendor}"


def listed_quote(hardware: Iterable[InferenceEndpointHardware], config: HuggingFaceDeploy, today: date) -> Quote | None:
    """The cost by Hugging Face's own list; of a region that it does not name, the vendor's dearest. None: not listed."""
    wanted = (config.vendor, config.instance, config.size)
    offers = [item for item in hardware if (item.vendor, item.instance_type, item.instance_size) == wanted]
    here = [item for item in offers if item.region == config.region] or offers
    if not here:
        return None
    hour = max(Decimal(str(item.price_per_hour)) for item in here)
    return _quote(config, hour, today.isoformat(), "Hugging Face's hardware list")


def catalogue_quote(known: Catalogue, config: HuggingFaceDeploy) -> Quote:
    """The cost by a catalogue; nobody is asked. Raises InputError for an instance that it lacks."""
    name = hardware_name(config.vendor, config.instance, config.size)
    rows = {
        entry.price.hardware: entry.price for entry in known.current() if entry.price.key[:2] == ("huggingface", "endpoint")
    }
    if name not in rows:
        what = f"instance '{config.instance}' of size {config.size} at {config.vendor}"
        raise InputError(what, f"has no known price (known: {', '.join(sorted(rows))})", "choose one of them, or vendor: aws")
    return _quote(config, rows[name].usd_per_hour, rows[name].as_of.isoformat(), rows[name].source)


def _quote(config: HuggingFaceDeploy, hour: Decimal, as_of: str, source: str) -> Quote:
    return Quote(
        usd_per_busy_hour=hour,
        usd_per_idle_month=hour * config.min_replicas * HOURS_PER_MONTH,
        usd_per_month_at_most=hour * config.max_replicas * HOURS_PER_MONTH,
        hardware=hardware_name(config.vendor, config.instance, config.size),
        as_of=as_of,
        source=source,
        notes=(_STARTS,),
    )
