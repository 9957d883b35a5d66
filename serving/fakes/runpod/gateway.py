"""The endpoints' own addresses: a load balancer that hands requests to workers, and a queue that keeps jobs for them."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from serving.fakes.http import problem
from serving.fakes.runpod.common import json_of, unknown
from serving.fakes.runpod.state import Cloud, Endpoint

_RUN_BYTES, _RUN_SYNC_BYTES = 10_485_760, 20_971_520


@dataclass
class Gateway:
    """Each address's handler is a method."""

    cloud: Cloud

    async def ping(self, request: Request) -> Response:
        """An endpoint's health: 200 with a worker that is ready, 204 while one boots."""
        endpoint = self._of(request)
        if endpoint is None:
            return unknown()
        return (
            JSONResponse({"status": "ok"})
            if self.cloud.take(endpoint)
            else Response(status_code=204 if endpoint.active else 400)
        )

    async def counts(self, request: Request) -> Response:
        """A queue's health: counts only, wakes no worker."""
        endpoint = self._of(request)
        if endpoint is None:
            return unknown()
        return JSONResponse({"jobs": {"inQueue": len(endpoint.jobs)}, "workers": {"ready": len(endpoint.active)}})

    async def predict(self, request: Request) -> Response:
        """A load balancer's worker; without one the gateway answers 400."""
        endpoint, data = self._of(request), await request.body()
        if endpoint is None:
            return unknown()
        worker = self.cloud.take(endpoint)
        if worker is None or worker.program is None:
            return problem(400, "Bad Request", "no workers available")
        return JSONResponse(worker.program(data))

    async def run(self, request: Request) -> Response:
        """A queue accepts every job up to a size; it runs once a worker is ready."""
        return await self._queue(request, _RUN_BYTES)

    async def run_sync(self, request: Request) -> Response:
        """The same; a larger job, since nobody keeps it."""
        return await self._queue(request, _RUN_SYNC_BYTES)

    async def _queue(self, request: Request, most: int) -> Response:
        endpoint, body = self._of(request), await json_of(request)
        if endpoint is None:
            return unknown()
        if len(await request.body()) > most:
            return problem(413, "Content Too Large", f"a job has {most:,} bytes at most")
        if not isinstance(body, dict) or "input" not in body:
            return problem(400, "Bad Request", "input is missing")
        number = self.cloud.number("job")
        endpoint.jobs[number] = {"id": number, "status": "IN_QUEUE", "input": body["input"]}
        return JSONResponse(self._worked(endpoint, number))

    async def job(self, request: Request) -> Response:
        """A job's status."""
        endpoint = self._of(request)
        if endpoint is None or request.path_params["job"] not in endpoint.jobs:
            return unknown()
        return JSONResponse(self._worked(endpoint, request.path_params["job"]))

    def _worked(self, endpoint: Endpoint, number: str) -> dict[str, Any]:
        """Let a worker do the job, if one is ready; returns the job's status."""
        job = endpoint.jobs[number]
        if job["status"] == "IN_QUEUE" and (worker := self.cloud.take(endpoint)) and worker.program:
            try:
                output = worker.program(base64.b64decode(job["input"]["image"]))
                job |= {"status": "COMPLETED", "output": output, "delayTime": 1, "executionTime": 1}
            except Exception as error:  # noqa: BLE001 whatever a handler raises
                job |= {"status": "FAILED", "error": str(error)}
        return {name: value for name, value in job.items() if name != "input"}

    def _of(self, request: Request) -> Endpoint | None:
        endpoint = self.cloud.endpoints.get(request.path_params["id"])
        if endpoint:
            self.cloud.settle(endpoint)
        return endpoint
