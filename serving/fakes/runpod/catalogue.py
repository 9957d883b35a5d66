"""The catalogue: GPUs and CPU flavours of Serverless with price and stock, and the data centres."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from serving.fakes.http import problem
from serving.fakes.runpod.common import invalid, unknown
from serving.fakes.runpod.hardware import GpuType, Hardware, fits_cuda

_SCOPES = ("count", "cudaVersions", "minCudaVersion")
_LEVELS = ("NONE", "LOW", "MEDIUM", "HIGH")
_CENTER_INCLUDES = ("GPU_AVAILABILITY", "CPU_AVAILABILITY")


@dataclass
class Catalogue:
    """Each address's handler is a method."""

    hardware: Hardware

    async def list_gpus(self, request: Request) -> Response:
        """GET /v2/catalog/gpus; stock only where it is asked for, under the CUDA constraint that is asked for."""
        if refused := _refused(request.query_params, ("POD", "CLUSTER", "SERVERLESS")):
            return refused
        return JSONResponse({"gpus": [_gpu(name, row, request.query_params) for name, row in self.hardware.gpus.items()]})

    async def get_gpu(self, request: Request) -> Response:
        """GET /v2/catalog/gpus/ID."""
        name = request.path_params["id"]
        if refused := _refused(request.query_params, ("POD", "CLUSTER", "SERVERLESS")):
            return refused
        row = self.hardware.gpus.get(name)
        return JSONResponse(_gpu(name, row, request.query_params)) if row else unknown()

    async def list_cpus(self, request: Request) -> Response:
        """GET /v2/catalog/cpus."""
        if refused := _refused(request.query_params, ("POD", "SERVERLESS")):
            return refused
        stock = {"availability": "HIGH"} if "include" in request.query_params else {}
        rows = [
            {
                "id": name,
                "name": flavour.name,
                "group": f"Gen {name[3]}",
                "vcpu": {"min": 2, "max": flavour.vcpus},
                "ramGbPerVcpu": flavour.memory,
                "price": {"securePerVcpu": flavour.usd, "serverlessPerVcpu": flavour.usd},
            }
            for name, flavour in self.hardware.cpus.items()
        ]
        return JSONResponse({"cpus": [row | stock for row in rows]})

    async def list_data_centers(self, request: Request) -> Response:
        """GET /v2/catalog/datacenters: values of one filter are joined by commas."""
        query = request.query_params
        asked = [name for name in query.get("include", "").split(",") if name]
        if not set(asked) <= set(_CENTER_INCLUDES) or len(query.getlist("include")) > 1:
            return invalid([f"$.include: value must be one of {', '.join(_CENTER_INCLUDES)}"])
        regions = set(query.get("regions", "").split(",")) - {""}
        rows = list[dict[str, Any]]()
        for number, (name, region, kinds) in self.hardware.data_centers.items():
            if regions and region not in regions:
                continue
            row: dict[str, Any] = {"id": number, "name": name, "region": region, "globalNetwork": True}
            row |= {"networkVolumeTypes": list(kinds), "compliance": ["GDPR"] if region == "EUROPE" else []}
            if "GPU_AVAILABILITY" in asked:
                gpus = self.hardware.gpus.items()
                row["gpuAvailability"] = [{"id": id_, "name": _short(id_), "availability": gpu.stock} for id_, gpu in gpus]
            if "CPU_AVAILABILITY" in asked:
                cpus = self.hardware.cpus.items()
                row["cpuAvailability"] = [{"id": id_, "name": cpu.name, "availability": "HIGH"} for id_, cpu in cpus]
            rows.append(row)
        return JSONResponse({"dataCenters": rows})


def _gpu(name: str, row: GpuType, query: Mapping[str, str]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": name,
        "name": _short(name),
        "pool": row.pool,
        "manufacturer": "NVIDIA",
        "memory": row.memory,
        "secure": True,
        "community": True,
        "price": {"secure": row.usd, "community": row.usd, "serverless": row.usd},
        "maxCount": {"secure": row.most, "community": row.most},
    }
    if "include" not in query:
        return shown
    wanted = {"minCudaVersion": query.get("minCudaVersion", "")}
    wanted |= {"allowedCudaVersions": query["cudaVersions"].split(",")} if "cudaVersions" in query else {}
    versions = [cuda for cuda in row.cuda if fits_cuda(cuda, wanted)]
    fits = bool(versions) and int(query.get("count", "1")) <= row.most
    level = row.stock if fits else "NONE"
    rows = [{"version": cuda, "available": level != "NONE"} for cuda in versions]
    return shown | {"availability": level} | ({"cudaVersions": rows} if rows else {})


def _short(name: str) -> str:
    return name.removeprefix("NVIDIA ").removeprefix("GeForce ")


def _refused(query: Mapping[str, str], products: tuple[str, ...]) -> Response | None:
    """422 for what is malformed, 400 for what does not go together."""
    errors = list[str]()
    if query.get("include", "AVAILABILITY") != "AVAILABILITY":
        errors.append("$.include: value must be 'AVAILABILITY'")
    if "product" in query and not set(query["product"].split(",")) <= set(products):
        errors.append(f"$.product: value must be one of {', '.join(products)}")
    if not re.fullmatch(r"[1-9]\d{0,8}", query.get("count", "1"), re.ASCII):
        errors.append("$.count: must be at least 1")
    if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", query.get("minCudaVersion", "1"), re.ASCII):
        errors.append("$.minCudaVersion: does not match")
    if any(not re.fullmatch(r"\d{1,9}\.\d{1,9}", text, re.ASCII) for text in query.get("cudaVersions", "1.0").split(",")):
        errors.append("$.cudaVersions: does not match")
    if errors:
        return invalid(errors)
    if ("include" in query) != ("product" in query):
        return problem(400, "Bad Request", "include=AVAILABILITY and product need each other")
    if "include" not in query and any(name in query for name in _SCOPES):
        return problem(400, "Bad Request", "these filters need include=AVAILABILITY")
    if "cudaVersions" in query and "minCudaVersion" in query:
        return problem(400, "Bad Request", "cudaVersions and minCudaVersion are mutually exclusive")
    return None
