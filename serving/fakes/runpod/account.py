"""An account without its endpoints: templates, registries, network volumes, its limits, the bill."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from serving.fakes.clock import stamp
from serving.fakes.http import problem
from serving.fakes.runpod.check import Checker
from serving.fakes.runpod.common import invalid, json_of, unknown
from serving.fakes.runpod.paging import Paging
from serving.fakes.runpod.state import DAY, Cloud

Shape = Callable[[str, dict[str, Any]], dict[str, Any]]
"""An id and what was asked for → the answer."""


def _template(number: str, body: dict[str, Any]) -> dict[str, Any]:
    blank = {"args": "", "disk": 5, "mounts": {}, "ports": [], "env": {}, "registry": None, "serverless": False}
    blank |= {"public": False, "category": "NVIDIA", "startSsh": True, "startJupyter": True, "allowedCudaVersions": []}
    return blank | {"id": number} | body


def _registry(number: str, body: dict[str, Any]) -> dict[str, Any]:
    return {"id": number, "name": body["name"]}


@dataclass
class Account:
    """Each address's handler is a method."""

    cloud: Cloud
    checker: Checker
    paging: Paging = field(default_factory=Paging)

    async def list_templates(self, request: Request) -> Response:
        """GET /v2/templates, in pages."""
        rows = [_template(id_, body) for id_, body in self.cloud.templates.items()]
        page = self.paging.page("listTemplates", rows, request.query_params)
        return invalid(page.errors) if page.errors else JSONResponse({"templates": page.rows, "pagination": page.pagination})

    async def create_template(self, request: Request) -> Response:
        """POST /v2/templates."""
        return await self._named(request, "CreateTemplateRequest", self.cloud.templates, _template)

    async def list_registries(self, _: Request) -> Response:
        """GET /v2/registries."""
        return JSONResponse({"registries": [_registry(id_, body) for id_, body in self.cloud.registries.items()]})

    async def create_registry(self, request: Request) -> Response:
        """POST /v2/registries."""
        return await self._named(request, "CreateRegistryRequest", self.cloud.registries, _registry)

    async def list_volumes(self, _: Request) -> Response:
        """GET /v2/network-volumes."""
        return JSONResponse({"networkVolumes": list(self.cloud.volumes.values())})

    async def create_volume(self, request: Request) -> Response:
        """POST /v2/network-volumes: billed until it is deleted."""
        body = await json_of(request)
        if errors := self.checker.request("CreateNetworkVolumeRequest", body):
            return invalid(errors)
        kinds = self.cloud.hardware.data_centers.get(body["dataCenter"], ("", "", ()))[2]
        if not kinds or body.get("type", kinds[0]) not in kinds:
            return problem(400, "Bad Request", f"{body['dataCenter']} has no network volumes of that kind")
        number = self.cloud.number("vol")
        self.cloud.volumes[number] = {"type": kinds[0]} | body | {"id": number}
        return JSONResponse(self.cloud.volumes[number], 201)

    async def get_volume(self, request: Request) -> Response:
        """GET /v2/network-volumes/ID."""
        volume = self.cloud.volumes.get(request.path_params["id"])
        return JSONResponse(volume) if volume else unknown()

    async def update_volume(self, request: Request) -> Response:
        """PATCH /v2/network-volumes/ID: it only grows."""
        volume, body = self.cloud.volumes.get(request.path_params["id"]), await json_of(request)
        if volume is None:
            return unknown()
        if errors := self.checker.request("UpdateNetworkVolumeRequest", body):
            return invalid(errors)
        if body.get("size", volume["size"]) < volume["size"]:
            return problem(400, "Bad Request", "a network volume cannot be made smaller")
        volume |= body
        return JSONResponse(volume)

    async def delete_volume(self, request: Request) -> Response:
        """DELETE /v2/network-volumes/ID."""
        return Response(status_code=204) if self.cloud.volumes.pop(request.path_params["id"], None) else unknown()

    async def _named(self, request: Request, schema: str, kept: dict[str, dict[str, Any]], shape: Shape) -> Response:
        """Make one of those whose names are unique."""
        body = await json_of(request)
        if errors := self.checker.request(schema, body):
            return invalid(errors)
        if body.get("registry") and body["registry"] not in self.cloud.registries:
            return problem(400, "Bad Request", f"no such registry credential: {body['registry']}")
        if any(other["name"] == body["name"] for other in kept.values()):
            return problem(400, "Bad Request", "that name is taken")
        number = self.cloud.number("tpl" if shape is _template else "reg")
        kept[number] = body
        return JSONResponse(shape(number, body), 201)

    async def list_bills(self, request: Request) -> Response:
        """GET /v2/billing/serverless: one record for the whole span."""
        query_params, now = request.query_params, self.cloud.clock.now()
        if errors := _wrong_span(query_params):
            return invalid(errors)
        start = moment(query_params["startTime"]) if "startTime" in query_params else now - 30 * DAY
        until = moment(query_params["endTime"]) if "endTime" in query_params else now
        wanted, rows = query_params.get("serverlessId"), list[dict[str, Any]]()
        self.cloud.spent()  # advances everything to the current time
        for endpoint in [*self.cloud.endpoints.values(), *self.cloud.deleted]:
            if wanted in {None, endpoint.id} and (usd := endpoint.billed(now, start, until)):
                amounts = {"totalAmount": usd, "gpuAmount": usd, "cpuAmount": 0.0, "diskAmount": 0.0, "feeAmount": 0.0}
                rows.append({"serverlessId": endpoint.id, "startTime": stamp(start), "endTime": stamp(until), **amounts})
        totals = {
            name: sum(row[name] for row in rows)
            for name in ("totalAmount", "gpuAmount", "cpuAmount", "diskAmount", "feeAmount")
        }
        query = {
            "startTime": stamp(start),
            "endTime": stamp(until),
            "bucketSize": query_params.get("bucketSize", "day"),
            "serverlessId": wanted,
        }
        metadata = {"query": query, "recordCount": len(rows), "uniqueServerlessCount": len({r["serverlessId"] for r in rows})}
        return JSONResponse({"records": rows, "metadata": metadata | {"totals": totals}})


def moment(text: str) -> float:
    """A time of RFC 3339 as seconds since 1970. Raises ValueError."""
    return datetime.fromisoformat(text).timestamp()


def _wrong_span(query: Mapping[str, str]) -> list[str]:
    """What is wrong with the times and the buckets that a query asks for."""
    errors = list[str]()
    for name in ("startTime", "endTime"):
        try:
            moment(query.get(name, "2026-01-01T00:00:00Z"))
        except (ValueError, OverflowError):
            errors.append(f"$.{name}: is not a time")
    if query.get("bucketSize", "day") not in {"hour", "day", "week", "month", "year"}:
        errors.append("$.bucketSize: value must be one of 'hour', 'day', 'week', 'month', 'year'")
    return errors
