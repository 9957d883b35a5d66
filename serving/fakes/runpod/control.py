"""The control plane: endpoints, their workers, releases and logs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from serving.fakes.clock import stamp
from serving.fakes.http import problem
from serving.fakes.runpod.check import Checker
from serving.fakes.runpod.common import json_of, unknown
from serving.fakes.runpod.state import CONTAINER, GPUS, Cloud, Endpoint


@dataclass
class ControlPlane:
    """Each address's handler is a method."""

    cloud: Cloud
    checker: Checker
    url: str = ""

    async def list_endpoints(self, _: Request) -> Response:
        """GET /v2/serverless."""
        return JSONResponse({"endpoints": [self.shown(endpoint) for endpoint in list(self.cloud.endpoints.values())]})

    async def create_endpoint(self, request: Request) -> Response:
        """POST /v2/serverless."""
        body = await json_of(request)
        if errors := self.checker.request("CreateEndpointRequest", body):
            return problem(422, "Unprocessable Entity", "the body is not as published", errors=errors)
        if ("gpu" in body) == ("cpu" in body):
            return problem(400, "Bad Request", "exactly one of gpu and cpu")
        if missing := [pool for pool in body.get("gpu", {}).get("pools", []) if pool not in GPUS]:
            return problem(400, "Bad Request", f"no such pool: {missing[0]}")
        if (body := self._with_template(body)) is None:
            return problem(404, "Not Found", "no such template")
        body["workers"] = {"min": 0, "max": 3} | ({} if _counts(body) else {"idleTimeout": 10}) | body.get("workers", {})
        endpoint = self.cloud.create({"flashboot": "OFF", "timeout": 0} | body, request.state.fault)
        return JSONResponse(self.shown(endpoint), 201)

    def _with_template(self, body: dict[str, Any]) -> dict[str, Any] | None:
        """A template's container settings below those of the body, once; None where there is no such template."""
        if "templateId" not in body:
            return body
        template = self.cloud.templates.get(body["templateId"])
        if template is None:
            return None
        settings = {name: value for name, value in template.items() if name in CONTAINER}
        plain = {name: value for name, value in body.items() if name != "templateId"}
        return {**settings, **plain, "env": {**template.get("env", {}), **body.get("env", {})}}

    async def get_endpoint(self, request: Request) -> Response:
        """GET /v2/serverless/ID."""
        endpoint = self._of(request)
        return JSONResponse(self.shown(endpoint)) if endpoint else unknown()

    async def update_endpoint(self, request: Request) -> Response:
        """PATCH /v2/serverless/ID."""
        endpoint, body = self._of(request), await json_of(request)
        if endpoint is None:
            return unknown()
        if errors := self.checker.request("UpdateEndpointRequest", body):
            return problem(422, "Unprocessable Entity", "the body is not as published", errors=errors)
        if ("gpu" in body) + ("cpu" in endpoint.spec) == 2 or ("cpu" in body and "gpu" in endpoint.spec):  # noqa: PLR2004
            return problem(400, "Bad Request", "an endpoint's kind of compute cannot be changed")
        if (body := self._with_template(body)) is None:
            return problem(404, "Not Found", "no such template")
        endpoint.never_cycles = request.state.fault == "stale"
        endpoint.asked = self.cloud.clock.now()
        self.cloud.change(endpoint, body)
        return JSONResponse(self.shown(endpoint))

    async def delete_endpoint(self, request: Request) -> Response:
        """DELETE /v2/serverless/ID."""
        endpoint = self._of(request)
        if endpoint is None:
            return unknown()
        self.cloud.delete(endpoint)
        return Response(status_code=204)

    async def list_workers(self, request: Request) -> Response:
        """GET /v2/serverless/ID/workers."""
        endpoint = self._of(request)
        if endpoint is None:
            return unknown()
        now, gpu = self.cloud.clock.now(), endpoint.spec.get("gpu")
        rows = [
            {
                "id": worker.id,
                "status": worker.status(now),
                "isStale": worker.version != endpoint.version,
                "version": worker.version,
                "gpuCount": gpu.get("count", 1) if gpu else 0,
                "image": worker.image,
                "uptimeSeconds": int(now - worker.started),
                "startedAt": stamp(worker.started),
            }
            for worker in endpoint.active
        ]
        names = ("RUNNING", "IDLE", "INITIALIZING", "THROTTLED", "UNHEALTHY")
        summary = {name.lower(): sum(row["status"] == name for row in rows) for name in names} | {"total": len(rows)}
        return JSONResponse({"workers": rows, "summary": summary, "endpointVersion": endpoint.version})

    async def list_releases(self, request: Request) -> Response:
        """GET /v2/serverless/ID/releases."""
        endpoint = self._of(request)
        if endpoint is None:
            return unknown()
        total, fresh = len(endpoint.active), sum(worker.version == endpoint.version for worker in endpoint.active)
        counted = [
            release | {"workerCount": sum(worker.version == release["version"] for worker in endpoint.active)}
            for release in endpoint.releases
        ]
        rollout = {"inProgress": fresh < total, "workersOnLatest": fresh, "workersTotal": total}
        rollout["percentOnLatest"] = 100 * fresh // total if total else 0
        return JSONResponse({"endpointVersion": endpoint.version, "rollout": rollout, "releases": counted})

    async def worker_logs(self, request: Request) -> Response:
        """GET /v2/serverless/ID/workers/WORKER/logs: what there is; unlike RunPod's, the stream ends there."""
        endpoint = self._of(request)
        worker = next(
            (worker for worker in (endpoint.workers if endpoint else []) if worker.id == request.path_params["worker"]), None
        )
        if worker is None:
            return unknown()
        tail = int(request.query_params.get("tail", "100"))
        events = [{"source": "container", "line": line, "ts": stamp(at)} for at, line in worker.log[-tail:]]
        text = "".join(f"id: {event['ts']}\ndata: {json.dumps(event)}\n\n" for event in events)
        return StreamingResponse(iter([text]), media_type="text/event-stream")

    def shown(self, endpoint: Endpoint) -> dict[str, Any]:
        """An endpoint, as the API shows it."""
        self.cloud.settle(endpoint)
        lb, spec = (
            f"{self.url}/lb/{endpoint.id}",
            {name: value for name, value in endpoint.spec.items() if name != "templateId"},
        )
        queue = {name: f"{self.url}/queue/{endpoint.id}/{name.lower()}" for name in ("run", "runSync", "health", "purgeQueue")}
        queue |= {name: f"{self.url}/queue/{endpoint.id}/{name}/{{job_id}}" for name in ("status", "stream", "cancel", "retry")}
        urls = {"base": lb, "health": f"{lb}/ping"} if spec["type"] == "LOAD_BALANCER" else queue
        if gpu := spec.get("gpu"):
            spec["gpu"] = {"allowedCudaVersions": [], "minCudaVersion": None, **gpu}
        if cpus := spec.get("cpu"):
            spec["cpu"] = [cpu | {"memory": 2 * cpu["vcpuCount"]} for cpu in cpus]
        blank: dict[str, Any] = {"dataCenterIds": [], "networkVolumes": []}
        return blank | spec | {"id": endpoint.id, "requestUrls": urls, "createdAt": stamp(endpoint.created)}

    def _of(self, request: Request) -> Endpoint | None:
        endpoint = self.cloud.endpoints.get(request.path_params["id"])
        if endpoint:
            self.cloud.settle(endpoint)
        return endpoint


def _counts(body: dict[str, Any]) -> bool:
    """Whether a queue scales by requests: then there is no idle timeout."""
    return body["type"] == "QUEUE" and body["scaling"]["type"] == "REQUEST_COUNT"
