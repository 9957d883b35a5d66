"""The control plane: endpoints, their workers, releases and logs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from serving.fakes.clock import stamp
from serving.fakes.http import problem
from serving.fakes.runpod.check import Checker
from serving.fakes.runpod.common import invalid, json_of, unknown
from serving.fakes.runpod.logs import stream_of
from serving.fakes.runpod.paging import Paging
from serving.fakes.runpod.rules import refusal_of, refusal_of_change, refusal_of_template
from serving.fakes.runpod.state import CONTAINER, Cloud, Endpoint, changed


@dataclass
class ControlPlane:
    """Each address's handler is a method. `open_s`: how long a stream of logs stays open, in seconds of this machine."""

    cloud: Cloud
    checker: Checker
    url: str = ""
    paging: Paging = field(default_factory=Paging)
    open_s: float = 60.0

    async def list_endpoints(self, request: Request) -> Response:
        """GET /v2/serverless: newest first, in pages."""
        page = self.paging.page("listEndpoints", self.cloud.listed(), request.query_params)
        if page.errors:
            return invalid(page.errors)
        shown = [self.shown(endpoint) for endpoint in page.rows]
        return JSONResponse({"endpoints": shown, "pagination": page.pagination})

    async def create_endpoint(self, request: Request) -> Response:
        """POST /v2/serverless."""
        body = await json_of(request)
        if errors := self.checker.request("CreateEndpointRequest", body):
            return invalid(errors)
        if refused := refusal_of_template(self.cloud, body):
            return problem(refused.status, "Refused", refused.detail)
        body = self._with_template(body)
        counts = body["type"] == "QUEUE" and body["scaling"]["type"] == "REQUEST_COUNT"
        body["workers"] = {"min": 0, "max": 3} | ({} if counts else {"idleTimeout": 10}) | body.get("workers", {})
        if refused := refusal_of(self.cloud, body):
            return problem(refused.status, "Refused", refused.detail)
        endpoint = self.cloud.create({"flashboot": "OFF", "timeout": 0} | body, request.state.fault)
        return JSONResponse(self.shown(endpoint), 201)

    def _with_template(self, body: dict[str, Any]) -> dict[str, Any]:
        """A template's container settings below those of the body, once."""
        if not body.get("templateId"):
            return dict(body)
        template = self.cloud.templates[body["templateId"]]
        settings = {name: value for name, value in template.items() if name in CONTAINER}
        plain = {name: value for name, value in body.items() if name != "templateId"}
        gpu, allowed = plain.get("gpu"), template.get("allowedCudaVersions")
        if gpu and allowed and not {"allowedCudaVersions", "minCudaVersion"} & gpu.keys():
            plain["gpu"] = gpu | {"allowedCudaVersions": allowed}
        return {**settings, **plain, "env": {**template.get("env", {}), **body.get("env", {})}}

    async def get_endpoint(self, request: Request) -> Response:
        """GET /v2/serverless/ID."""
        endpoint = self._of(request)
        return JSONResponse(self.shown(endpoint)) if endpoint else unknown()

    async def update_endpoint(self, request: Request) -> Response:
        """PATCH /v2/serverless/ID: checked as the endpoint would be after it."""
        endpoint, body = self._of(request), await json_of(request)
        if endpoint is None:
            return unknown()
        if errors := self.checker.request("UpdateEndpointRequest", body):
            return invalid(errors)
        refused = refusal_of_change(body, endpoint.spec) or refusal_of_template(self.cloud, body)
        if refused is None:
            body = self._with_template(body)
            refused = refusal_of(self.cloud, changed(endpoint.spec, body), endpoint.id)
        if refused:
            return problem(refused.status, "Refused", refused.detail)
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
                "gpuTypeId": worker.host.gpu or None,
                "dataCenterId": worker.host.data_center,
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
        page = self.paging.page(f"listEndpointReleases {endpoint.id}", endpoint.releases, request.query_params)
        if page.errors:
            return invalid(page.errors)
        total, fresh = len(endpoint.active), sum(worker.version == endpoint.version for worker in endpoint.active)
        counted = [
            release | {"workerCount": sum(worker.version == release["version"] for worker in endpoint.active)}
            for release in page.rows
        ]
        rollout = {"inProgress": fresh < total, "workersOnLatest": fresh, "workersTotal": total}
        rollout["percentOnLatest"] = 100 * fresh // total if total else 0
        answer = {"endpointVersion": endpoint.version, "rollout": rollout, "releases": counted}
        return JSONResponse(answer | {"pagination": page.pagination})

    async def list_builds(self, request: Request) -> Response:
        """GET /v2/serverless/ID/builds: none, for an image is built elsewhere."""
        endpoint = self._of(request)
        if endpoint is None:
            return unknown()
        none = list[dict[str, Any]]()
        page = self.paging.page(f"listEndpointBuilds {endpoint.id}", none, request.query_params, most=100)
        return invalid(page.errors) if page.errors else JSONResponse({"builds": page.rows, "pagination": page.pagination})

    async def get_build(self, _: Request) -> Response:
        """GET /v2/serverless/ID/builds/BUILD."""
        return unknown()

    async def worker_logs(self, request: Request) -> Response:
        """GET /v2/serverless/ID/workers/WORKER/logs: a stream that stays open."""
        endpoint = self._of(request)
        workers = endpoint.workers if endpoint else []
        worker = next((worker for worker in workers if worker.id == request.path_params["worker"]), None)
        return unknown() if worker is None else stream_of(worker.log, request, self.open_s)

    def shown(self, endpoint: Endpoint) -> dict[str, Any]:
        """An endpoint, as the API shows it."""
        self.cloud.settle(endpoint)
        lb, spec = f"{self.url}/lb/{endpoint.id}", {k: v for k, v in endpoint.spec.items() if k != "templateId"}
        if spec.get("flashboot") != "OFF":
            spec["name"] += self.cloud.suffix
        queue = {name: f"{self.url}/queue/{endpoint.id}/{name.lower()}" for name in ("run", "runSync", "health", "purgeQueue")}
        queue |= {name: f"{self.url}/queue/{endpoint.id}/{name}/{{job_id}}" for name in ("status", "stream", "cancel", "retry")}
        urls = {"base": lb, "health": f"{lb}/ping"} if spec["type"] == "LOAD_BALANCER" else queue
        if gpu := spec.get("gpu"):
            spec["gpu"] = {"allowedCudaVersions": [], **gpu, "minCudaVersion": gpu.get("minCudaVersion") or None}
        if cpus := spec.get("cpu"):
            sizes = [self.cloud.hardware.cpus[cpu["id"]].memory * cpu["vcpuCount"] for cpu in cpus]
            spec["cpu"] = [cpu | {"memory": int(size)} for cpu, size in zip(cpus, sizes, strict=True)]
        blank: dict[str, Any] = {"dataCenterIds": [], "networkVolumes": []}
        return blank | spec | {"id": endpoint.id, "requestUrls": urls, "createdAt": stamp(endpoint.created)}

    def _of(self, request: Request) -> Endpoint | None:
        endpoint = self.cloud.endpoints.get(request.path_params["id"])
        if endpoint:
            self.cloud.settle(endpoint)
        return endpoint
