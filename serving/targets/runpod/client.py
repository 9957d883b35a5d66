"""RunPod's Serverless endpoints, workers, templates, catalogue and bills over REST v2."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from registry.errors import NotFoundError
from serving.targets.runpod.shapes import (
    Billed,
    CpuType,
    Endpoint,
    EndpointChanges,
    GpuType,
    NewEndpoint,
    Registry,
    Template,
    Workforce,
)
from serving.targets.runpod.transport import BASE, ForbiddenError, LostReplyError, RunPodTransport, UnmetError

__all__ = ["BASE", "LostReplyError", "RunPodClient", "UnmetError"]


class RunPodClient(RunPodTransport):
    """RunPod's control plane, as far as endpoints need it."""

    def endpoints(self) -> list[Endpoint]:
        """Every endpoint of the account."""
        return self._many(Endpoint, "/serverless", "endpoints")

    def endpoint(self, number: str) -> Endpoint:
        """One endpoint. Raises NotFoundError if it is gone."""
        return self._one(Endpoint, "GET", f"/serverless/{number}")

    def create_endpoint(self, new: NewEndpoint) -> Endpoint:
        """Create an endpoint. Raises LostReplyError if it may or may not exist now."""
        return self._one(Endpoint, "POST", "/serverless", new)

    def update_endpoint(self, number: str, changes: EndpointChanges) -> Endpoint:
        """Change the given fields only."""
        return self._one(Endpoint, "PATCH", f"/serverless/{number}", changes)

    def delete_endpoint(self, number: str) -> None:
        """Delete it, if it exists."""
        self._delete(f"/serverless/{number}")

    def workers(self, number: str) -> Workforce:
        """An endpoint's workers."""
        return self._one(Workforce, "GET", f"/serverless/{number}/workers")

    def worker_logs(self, number: str, worker: str, lines: int) -> list[str]:
        """The newest lines of a worker, from its stream of server-sent events."""
        return self._events(f"/serverless/{quote(number)}/workers/{quote(worker)}/logs", {"tail": lines}, lines)

    def worker_limit(self) -> int | None:
        """How many workers RunPod allows this account over all endpoints; None where RunPod does not tell this key.

        RunPod documents the address since November 2026, and not what the object holds.
        """
        try:
            answer = self._send("GET", "/account/limits")
        except (NotFoundError, ForbiddenError):
            return None
        limits = answer.get("serverlessWorkers") if isinstance(answer, dict) else None
        values = [limits.get(name) for name in ("limit", "max", "quota")] if isinstance(limits, dict) else []
        return next((value for value in values if type(value) is int and value >= 0), None)

    def templates(self) -> list[Template]:
        """Every template of the account."""
        return self._many(Template, "/templates", "templates")

    def registries(self) -> list[Registry]:
        """The container registries whose credentials RunPod keeps."""
        return self._many(Registry, "/registries", "registries")

    def gpus(self, count: int = 1, min_cuda: str | None = None) -> list[GpuType]:
        """The GPU catalogue, with its availability on Serverless: of so many GPUs, on hosts of that CUDA version or newer."""
        params: dict[str, Any] = {"include": "AVAILABILITY", "product": "SERVERLESS"}
        params |= {"count": count} if count > 1 else {}
        return self._many(GpuType, "/catalog/gpus", "gpus", params | ({"minCudaVersion": min_cuda} if min_cuda else {}))

    def cpus(self) -> list[CpuType]:
        """The CPU flavours."""
        return self._many(CpuType, "/catalog/cpus", "cpus")

    def billed(self, number: str, since: datetime) -> list[Billed]:
        """What an endpoint cost since then, by day."""
        params = {"serverlessId": number, "startTime": since.astimezone(UTC).isoformat(), "bucketSize": "day"}
        return self._many(Billed, "/billing/serverless", "records", params)
