"""What can be asked of Hugging Face before an endpoint is made there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from registry.amounts import format_usd
from registry.errors import DeniedError, InputError, RefusedError, UnavailableError
from serving.targets.checks import Check, check
from serving.targets.images import check_image

if TYPE_CHECKING:
    from huggingface_hub import InferenceEndpointHardware

    from serving.targets.huggingface.target import HuggingFaceTarget

_SCARCE = {"low_availability"}
_OFFERED = {"available", *_SCARCE}


def checks_of(target: HuggingFaceTarget, name: str) -> list[Check]:
    """Every check. Nothing is created or changed; after a token that is not accepted, nothing else is asked of Hugging Face."""
    probe = _Probes(target, name)
    key = check("key", probe.key)
    rest = [check(label, ask) for label, ask in probe.all()] if key.state == "ok" else []
    return [key, *rest, check("image", probe.image)]


class _Probes:
    def __init__(self, target: HuggingFaceTarget, name: str) -> None:
        self._target, self._config, self._hub, self._name = target, target.config, target.endpoints.hub, name

    def all(self) -> Iterator[tuple[str, Callable[[], str]]]:
        yield "rights", self.rights
        yield "balance", self.balance
        yield "cap", self.cap
        yield "stock", self.stock
        yield "quota", self.quota
        yield "bundle", self.bundle

    def key(self) -> str:
        owner = self._hub.owner()
        return f"HF_TOKEN is accepted, of {owner.names[0]}{f' (role {owner.role})' if owner.role else ''}"

    def rights(self) -> str:
        self._hub.check_may_write(*filter(None, (self._config.repository, self._config.space)))
        self._target.check_standing(self._name)
        return f"the token may write in {self._config.repository.partition('/')[0]}, and no endpoint of another is in the way"

    def balance(self) -> str:
        can_pay = self._hub.owner().can_pay
        if can_pay is None:
            raise UnavailableError(
                "Hugging Face", "does not tell this token whether the account can pay", "see its billing page"
            )
        if not can_pay:
            raise RefusedError("the account", "cannot pay", "add a way to pay at https://huggingface.co/settings/billing")
        return "the account can pay"

    def cap(self) -> str:
        self._target.check_budget()
        cap = self._config.max_idle_usd_per_month
        return "no `max_idle_usd_per_month` is set" if cap is None else f"an idle month is below {format_usd(cap)}"

    def stock(self) -> str:
        offer = self._offer()
        if offer.status not in _OFFERED:
            raise UnavailableError(f"{offer.instance_type} {offer.instance_size}", f"is {offer.status}", "choose another")
        scarce = ", scarce now" if offer.status in _SCARCE else ""
        return f"{self._config.vendor} {self._config.region} offers it{scarce}: {self._target.quote().in_words}"

    def quota(self) -> str:
        offer, wanted = self._offer(), self._config.max_replicas
        if self._config.accelerator == "cpu" or not offer.max_accelerators:
            raise UnavailableError("Hugging Face", "tells no quota for it", "see https://endpoints.huggingface.co")
        needed = offer.used_accelerators + wanted * offer.num_accelerators
        counted = f"{offer.used_accelerators} of {offer.max_accelerators} accelerators are used, {wanted} replicas are wanted"
        if needed > offer.max_accelerators:
            raise RefusedError("quota", counted, "lower `max_replicas`, or ask Hugging Face for more")
        return counted

    def bundle(self) -> str:
        name, private = self._config.repository, self._config.private
        there = "is there" if self._hub.check_may_hold(name, private=private) else "will be made"
        if self._config.space:
            self._hub.check_may_hold(self._config.space, private=private, kind="space")
        return f"{name} {there}, {'private' if private else 'public'}; the endpoint reads it as its owner"

    def image(self) -> str:
        if self._config.image is None:
            return "Hugging Face's own, with the handler in the repository"
        try:
            return check_image(self._config.image)
        except DeniedError as error:
            raise InputError(error.subject, error.expectation, "make it public: no credentials are sent with it") from error

    def _offer(self) -> InferenceEndpointHardware:
        config = self._config
        wanted = (config.vendor, config.region, config.instance, config.size)
        offers = self._target.endpoints.hardware()
        for offer in offers:
            if (offer.vendor, offer.region, offer.instance_type, offer.instance_size) == wanted:
                return offer
        regions = sorted({o.region for o in offers if (o.vendor, o.instance_type, o.instance_size) == (wanted[0], *wanted[2:])})
        known = f"it is in {', '.join(regions)}" if regions else f"no region of {config.vendor} has it"
        raise InputError(
            f"{config.instance} {config.size}", f"is not offered in {config.region}: {known}", "fix the job's `deploy`"
        )
