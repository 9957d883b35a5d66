"""What can be asked of RunPod before an endpoint is made there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from registry.amounts import format_usd
from registry.errors import DeniedError, InputError, NotFoundError, RefusedError, UnavailableError
from serving.targets.checks import Check, check
from serving.targets.images import check_image
from serving.targets.runpod.hosts import cuda_floor
from serving.targets.runpod.pods import PodClient
from serving.targets.runpod.release_spec import id_by_name
from serving.targets.runpod.shapes import EndpointChanges

if TYPE_CHECKING:
    from serving.targets.runpod.target import RunPodTarget

_NONE = "modelyard-check"
"""No endpoint has this id: who may change endpoints is told that it is not there, anybody else that they may not."""
_STOCK = ("HIGH", "MEDIUM", "LOW")


def checks_of(target: RunPodTarget, name: str, pods: PodClient) -> list[Check]:
    """Every check. Nothing is created or changed; after a key that is not accepted, nothing else is asked of RunPod."""
    probe = _Probes(target, name, pods)
    key = check("key", probe.key)
    rest = [check(label, ask) for label, ask in probe.all()] if key.state == "ok" else []
    return [key, *rest, check("image", lambda: _image(target)), check("bundle", lambda: _bundle(target))]


class _Probes:
    def __init__(self, target: RunPodTarget, name: str, pods: PodClient) -> None:
        self._target, self._client, self._config, self._name, self._pods = target, target.client, target.config, name, pods

    def all(self) -> Iterator[tuple[str, Callable[[], str]]]:
        yield "rights", self.rights
        yield "balance", self.balance
        yield "quota", self.quota
        yield "cap", self.cap
        yield ("stock", self.stock) if self._config.pools else ("price", self.price)
        if self._config.data_centers:
            yield "region", self.region
        if self._config.registry or self._config.template or self._config.bundle_secret:
            yield "names", self.names

    def key(self) -> str:
        return f"RUNPOD_API_KEY is accepted; the account has {len(self._client.endpoints())} endpoints"

    def rights(self) -> str:
        """A change of an endpoint that does not exist changes nothing, and is refused to keys that may only read."""
        try:
            self._client.update_endpoint(_NONE, EndpointChanges())
        except NotFoundError:
            return "the key may create and change endpoints"
        except (DeniedError, RefusedError):
            raise
        except InputError as error:
            raise UnavailableError("RunPod", "does not tell what the key may do", "a deployment will show it") from error
        raise UnavailableError("RunPod", "does not tell what the key may do", "a deployment will show it")

    def balance(self) -> str:
        raise UnavailableError("RunPod", "tells no balance over REST v2", "see https://console.runpod.io/user/billing")

    def quota(self) -> str:
        """A trial runs beside the endpoint while a new version is tested."""
        quota = self._target.workers_for(self._name)
        if not quota.is_enough:
            remedy = "lower `max_workers`, or set `account_workers` where RunPod allows you more"
            raise RefusedError("quota", f"would need {quota}", remedy)
        return str(quota)

    def cap(self) -> str:
        from serving.targets.runpod.budget import check_budget

        check_budget(self._client, self._config, self._name, self._target.today())
        cap = self._config.max_usd_per_month
        return "no `max_usd_per_month` is set" if cap is None else f"this month is below its cap of {format_usd(cap)}"

    def price(self) -> str:
        return self._target.quote().in_words

    def stock(self) -> str:
        words = self._target.quote().in_words  # raises for a pool that does not exist
        pools, floor = self._config.pools, cuda_floor(self._config)
        gpus = self._client.gpus(self._config.gpus, floor)
        levels = {pool: [gpu.availability for gpu in gpus if gpu.pool == pool and gpu.availability in _STOCK] for pool in pools}
        lacking = [pool for pool, known in levels.items() if not known]
        if len(lacking) == len(pools):
            raise UnavailableError(
                "stock", f"shows none of {', '.join(pools)} with CUDA {floor} now", "name more `pools`, or wait"
            )
        there = ", ".join(f"{pool} {min(known, key=_STOCK.index)}" for pool, known in levels.items() if known)
        none = f"; none of {', '.join(lacking)} now" if lacking else ""
        return f"{there}{none}: {words}"

    def region(self) -> str:
        known = {center.id for center in self._pods.data_centers()}
        if missing := [name for name in self._config.data_centers if name not in known]:
            raise InputError(f"data center {missing[0]}", f"is not RunPod's ({', '.join(sorted(known))})", "fix `data_centers`")
        return f"{', '.join(self._config.data_centers)} {'are' if len(self._config.data_centers) > 1 else 'is'} RunPod's"

    def names(self) -> str:
        """What the job names at RunPod is there."""
        config, kept = self._config, list[str]()
        if config.registry:
            kept.append(f"registry {id_by_name(config.registry, self._client.registries(), 'registry')}")
        if config.template:
            kept.append(f"template {id_by_name(config.template, self._client.templates(), 'template')}")
        if config.bundle_secret:
            secrets = {secret.name for secret in self._pods.secrets()}
            if config.bundle_secret not in secrets:
                raise NotFoundError(
                    f"secret '{config.bundle_secret}'", "is not at RunPod", "keep it there, or fix `bundle_secret`"
                )
            kept.append(f"secret {config.bundle_secret}")
        return f"{', '.join(kept)}: there"


def _image(target: RunPodTarget) -> str:
    """A private registry's image is read with credentials that RunPod has and we have not."""
    try:
        return check_image(target.config.image)
    except DeniedError as error:
        if target.config.registry is None:
            raise
        why = f"needs the credentials '{target.config.registry}', which only RunPod has"
        raise UnavailableError(error.subject, why, "its architecture was not looked at") from error


def _bundle(target: RunPodTarget) -> str:
    return target.store.check()
