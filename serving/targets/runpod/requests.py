"""Asking an endpoint on RunPod as a client does: through its load balancer, or through its queue."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from registry.errors import InputError, UnavailableError, shorten
from serving.inference.traffic import REFUSED
from serving.targets.refusals import json_of, refusal
from serving.targets.runpod.client import RunPodClient
from serving.targets.runpod.shapes import Endpoint
from serving.targets.runpod.workers import WorkerWatch
from serving.targets.waiting import Clock, tls

_TIMEOUT_S = 60.0
_WAITING = {204, 400, 408, 425, 429, 500, 502, 503, 504, 524}
"""What the gateway answers while no worker is ready; our own server answers neither 204 nor 400."""
_HELD = {"IN_QUEUE", "IN_PROGRESS"}


@dataclass(frozen=True)
class EndpointClient:
    """A client of one endpoint."""

    client: RunPodClient
    endpoint: Endpoint
    clock: Clock
    seconds: float

    def wait(self) -> None:
        """Wake it, and wait until a worker is ready. Raises UnavailableError with the workers' log."""
        status, watch = "nothing", self._watch
        for waited in self._poll():
            try:
                answer = self._send("GET", self._urls.health)
                status = f"{answer.status_code}"
                if answer.status_code == httpx.codes.OK and (self._urls.base is None or self._ready()):
                    return
            except httpx.HTTPError as error:
                status = type(error).__name__
            if waited > 0 and (broken := watch.broken()):
                raise self._failed(broken)
        raise self._failed(f"gave no answer in {self.seconds:.0f} s ({status})", watch)

    def ask(self, image: bytes) -> dict[str, float]:
        """An image file's bytes → each class's probability."""
        answer = self._queued(image) if self._urls.base is None else self._direct(image)
        try:
            return {str(label): float(value) for label, value in answer["probabilities"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UnavailableError(
                f"endpoint {self.endpoint.name}", "answered without probabilities", "see its logs"
            ) from error

    @property
    def _urls(self) -> Any:
        if self.endpoint.request_urls is None:
            raise UnavailableError(f"endpoint {self.endpoint.name}", "has no address", "deploy it again")
        return self.endpoint.request_urls

    def _direct(self, image: bytes) -> Any:
        answer: httpx.Response | None = None
        for _ in self._poll():
            try:
                answer = self._send("POST", f"{self._urls.base}/predict", content=image)
            except httpx.HTTPError:
                continue
            if answer.is_success and answer.status_code == httpx.codes.OK:
                return json_of(answer, self.endpoint.name)
            if answer.status_code not in _WAITING:
                raise refusal(self.endpoint.name, answer)
        raise self._failed(f"had no worker within {self.seconds:.0f} s", self._watch)

    def _queued(self, image: bytes) -> Any:
        """Submit the job once and poll until it is done; submit again only if the submission got no answer."""
        body = {"input": {"image": base64.b64encode(image).decode()}}
        job, watch = dict[str, Any](), self._watch
        for waited in self._poll():
            if job and waited > 0 and (broken := watch.broken()):
                raise self._failed(broken)
            try:
                if job:
                    address = self._urls.status.replace("{job_id}", job["id"]).rstrip("/")
                    answer = self._send("GET", address)
                else:
                    answer = self._send("POST", self._urls.run, json=body)
            except httpx.HTTPError:
                continue
            if answer.status_code in _WAITING:
                continue
            if not answer.is_success:
                raise refusal(self.endpoint.name, answer)
            job = json_of(answer, self.endpoint.name)
            if job.get("status") not in _HELD:
                return self._output(job)
        raise self._failed(f"did not finish the job in {self.seconds:.0f} s", watch)

    def _output(self, job: dict[str, Any]) -> Any:
        """What a job that has ended answered. Raises InputError where its worker blames the picture."""
        output = job.get("output")
        error = job.get("error") or (output.get("error") if isinstance(output, dict) else None)
        if job.get("status") == "COMPLETED" and not error:
            return output
        why = shorten(error or job.get("status"), 160)
        if REFUSED in why:
            raise InputError(f"endpoint {self.endpoint.name}", why, "send an image file")
        raise UnavailableError(f"endpoint {self.endpoint.name}", f"failed: {why}", "see its logs")

    def _send(self, method: str, address: str, **options: Any) -> httpx.Response:
        return httpx.request(
            method, address, headers=self.client.headers, timeout=min(_TIMEOUT_S, self.seconds), verify=tls(), **options
        )

    def _poll(self) -> Iterator[float]:
        """Poll often: a woken worker idles away again soon."""
        return self.clock.poll(self.seconds, pause=0.5, longest=2.0)

    def _ready(self) -> bool:
        return any(worker.status in {"RUNNING", "IDLE"} for worker in self.client.workers(self.endpoint.id).workers)

    @property
    def _watch(self) -> WorkerWatch:
        return WorkerWatch(self.client, self.endpoint, self.clock)

    def _failed(self, how: str, watch: WorkerWatch | None = None) -> UnavailableError:
        """The error for an endpoint that does not answer, with what its workers logged last."""
        words = watch.last_words() if watch else ""
        return UnavailableError(
            f"endpoint {self.endpoint.name}",
            f"{how}; a worker logged: {words}" if words else how,
            "see `modelyard endpoint logs`",
        )
