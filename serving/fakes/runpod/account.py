"""An account without its endpoints: templates, registries, the catalogue, the bill."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from serving.fakes.clock import stamp
from serving.fakes.http import problem
from serving.fakes.runpod.check import Checker
from serving.fakes.runpod.common import json_of
from serving.fakes.runpod.state import CPU_USD, DAY, GPUS, Cloud

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

    async def list_templates(self, _: Request) -> Response:
        """GET /v2/templates."""
        return JSONResponse({"templates": [_template(id_, body) for id_, body in self.cloud.templates.items()]})

    async def create_template(self, request: Request) -> Response:
        """POST /v2/templates."""
        return await self._named(request, "CreateTemplateRequest", self.cloud.templates, _template)

    async def list_registries(self, _: Request) -> Response:
        """GET /v2/registries."""
        return JSONResponse({"registries": [_registry(id_, body) for id_, body in self.cloud.registries.items()]})

    async def create_registry(self, request: Request) -> Response:
        """POST /v2/registries."""
        return await self._named(request, "CreateRegistryRequest", self.cloud.registries, _registry)

    async def _named(self, request: Request, schema: str, kept: dict[str, dict[str, Any]], shape: Shape) -> Response:
        """Make one of those whose names are unique."""
        body = await json_of(request)
        if errors := self.checker.request(schema, body):
            return problem(422, "Unprocessable Entity", "the body is not as published", errors=errors)
        if any(other["name"] == body["name"] for other in kept.values()):
            return problem(400, "Bad Request", "that name is taken")
        number = self.cloud.number("tpl" if shape is _template else "reg")
        kept[number] = body
        return JSONResponse(shape(number, body), 201)

    async def list_gpus(self, _: Request) -> Response:
        """GET /v2/catalog/gpus."""
        rows = [
            {
                "id": name,
                "name": name.removeprefix("NVIDIA "),
                "pool": pool,
                "manufacturer": "NVIDIA",
                "memory": memory,
                "secure": True,
                "community": True,
                "price": {"secure": usd, "community": usd, "serverless": usd},
                "maxCount": {"secure": 8, "community": 8},
                "availability": "HIGH",
            }
            for pool, (name, memory, usd) in GPUS.items()
        ]
        return JSONResponse({"gpus": rows})

    async def list_cpus(self, _: Request) -> Response:
        """GET /v2/catalog/cpus."""
        price = {"securePerVcpu": CPU_USD, "serverlessPerVcpu": CPU_USD}
        flavour = {
            "id": "cpu5c",
            "name": "Compute-Optimized",
            "group": "Gen 5",
            "vcpu": {"min": 2, "max": 32},
            "ramGbPerVcpu": 2.0,
        }
        return JSONResponse({"cpus": [flavour | {"price": price}]})

    async def list_bills(self, request: Request) -> Response:
        """GET /v2/billing/serverless: one record for the whole span."""
        query_params, now = request.query_params, self.cloud.clock.now()
        start = datetime.fromisoformat(query_params["startTime"]).timestamp() if "startTime" in query_params else now - 30 * DAY
        until = datetime.fromisoformat(query_params["endTime"]).timestamp() if "endTime" in query_params else now
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
