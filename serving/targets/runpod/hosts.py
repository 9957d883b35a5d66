"""What a worker needs of RunPod's machines and of the account, asked before anything is made."""

from __future__ import annotations

from collections.abc import Iterable

from registry.errors import InputError, RefusedError, UnavailableError
from registry.records import Record
from registry.refs import NEXT_SUFFIX
from serving.targets.runpod.client import RunPodClient
from serving.targets.runpod.config import RunPodDeploy, is_offered
from serving.targets.runpod.identity import own_name
from serving.targets.runpod.shapes import Endpoint

CUDA = "13.0"
"""The CUDA that our images for GPUs bring (`locks/serve-cuda.txt`): a host's driver must know it, or no worker starts."""

ACCOUNT_WORKERS = 5
"""How many workers RunPod allows a new account, over the `max_workers` of all its endpoints."""


class WorkerQuota(Record):
    """The workers that RunPod allows an account, those that other endpoints may start, and those that this one needs.

    A standing endpoint needs one more while a new bundle is tried beside it.
    """

    allowed: int
    taken: int
    needed: int
    is_assumed: bool

    @property
    def is_enough(self) -> bool:
        """Whether it fits; an account that has more than is assumed already is asked no further."""
        return self.taken + self.needed <= self.allowed or (self.is_assumed and self.taken > self.allowed)

    def __str__(self) -> str:
        source = "a new account's limit" if self.is_assumed else "this account's limit"
        return f"{self.needed} workers of the {self.allowed} over all endpoints ({source}), {self.taken} are taken by others"


def cuda_floor(config: RunPodDeploy) -> str | None:
    """The oldest CUDA of hosts that will do; None for workers without a GPU."""
    return (config.min_cuda or CUDA) if config.pools else None


def worker_quota(client: RunPodClient, config: RunPodDeploy, name: str, every: Iterable[Endpoint]) -> WorkerQuota:
    """What an endpoint of that name needs of the account's workers."""
    known = list(every)
    standing = any(own_name(endpoint) == name for endpoint in known)
    ours = {name, name + NEXT_SUFFIX}
    taken = sum(endpoint.workers.max for endpoint in known if own_name(endpoint) not in ours)
    allowed = client.worker_limit() if config.account_workers is None else config.account_workers
    return WorkerQuota(
        allowed=ACCOUNT_WORKERS if allowed is None else allowed,
        taken=taken,
        needed=config.max_workers + standing,
        is_assumed=allowed is None,
    )


def check_quota(client: RunPodClient, config: RunPodDeploy, name: str, every: Iterable[Endpoint]) -> None:
    """Raise RefusedError where RunPod would refuse the endpoint, or its trial, for the account's number of workers."""
    quota = worker_quota(client, config, name, every)
    if not quota.is_enough:
        remedy = "lower max_workers, delete an endpoint, or set account_workers where RunPod allows you more"
        raise RefusedError(f"endpoint {name}", f"needs {quota}", remedy)


def check_stock(client: RunPodClient, config: RunPodDeploy) -> None:
    """Raise UnavailableError where RunPod has no machine for a worker now; InputError for what it never has."""
    if not config.pools:
        if not is_offered(config.cpu.vcpus):
            why = f"{config.cpu.vcpus} is no power of two, as RunPod's machines are"
            raise InputError("cpu.vcpus", why, "choose 2, 4, 8, 16 or 32")
        return
    floor = cuda_floor(config)
    rows = [gpu for gpu in client.gpus(config.gpus, floor) if gpu.pool in config.pools]
    if missing := sorted(set(config.pools) - {str(gpu.pool) for gpu in rows}):
        raise InputError(f"pool '{missing[0]}'", "is not in RunPod's catalogue", "choose another")
    if all(gpu.availability == "NONE" for gpu in rows):
        wanted = f"{config.gpus} GPU" if config.gpus == 1 else f"{config.gpus} GPUs"
        why = f"have no machine free with {wanted} and CUDA {floor} or newer"
        raise UnavailableError(f"pools {' or '.join(config.pools)}", why, "add other pools, or try again later")
