"""RunPod's Serverless endpoints, workers, templates, catalogue and bills over REST v2."""

from __future__ import annotations

from datetime import UTC, datetime

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
from serving.targets.runpod.transport import BASE, LostReplyError, RunPodTransport, UnmetError

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
        return list(self._events(f"/serverless/{number}/workers/{worker}/logs", {"tail": lines}))

    def templates(self) -> list[Template]:
        """Every template of the account."""
        return self._many(Template, "/templates", "templates")

    def registries(self) -> list[Registry]:
        """The container registries whose credentials RunPod keeps."""
        return self._many(Registry, "/registries", "registries")

    def gpus(self) -> list[GpuType]:
        """The GPU catalogue, with its availability on Serverless."""
        return self._many(GpuType, "/catalog/gpus", "gpus", {"include": "AVAILABILITY", "product": "SERVERLESS"})

    def cpus(self) -> list[CpuType]:
        """The CPU flavours."""
        return self._many(CpuType, "/catalog/cpus", "cpus")

    def billed(self, number: str, since: datetime) -> list[Billed]:
        """What an endpoint cost since then, by day."""
        params = {"serverlessId": number, "startTime": since.astimezone(UTC).isoformat(), "bucketSize": "day"}
        return self._many(Billed, "/billing/serverless", "records", params)
