"""RunPod's addresses: the control plane below /v2, the endpoints' own below /lb and /queue, the pods' ports below /proxy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serving.fakes.clock import VirtualClock
from serving.fakes.faults import Faults
from serving.fakes.http import Cut, problem
from serving.fakes.plain import endpoint
from serving.fakes.runpod.account import Account
from serving.fakes.runpod.check import Checker
from serving.fakes.runpod.common import Handler
from serving.fakes.runpod.control import ControlPlane
from serving.fakes.runpod.gateway import Gateway
from serving.fakes.runpod.pods.control import PodControl
from serving.fakes.runpod.pods.state import PodCloud, nothing
from serving.fakes.runpod.state import Boot, Cloud

_ANY = frozenset({"429", "500", "503", "dropped"})
_CHANGES = _ANY | {"402", "403", "lost"}
_CREATES = _CHANGES | {"no-capacity", "stuck", "unhealthy"}
_UPDATES = _CHANGES | {"stale"}
_KINDS = {"GET": _ANY, "DELETE": _ANY | {"lost"}, "POST": _CREATES, "PATCH": _UPDATES}
KINDS = _CREATES | _UPDATES
"""Every kind of fault."""


@dataclass
class RunPodDouble:
    """An account whose key is `key`."""

    cloud: Cloud
    faults: Faults
    control: ControlPlane
    key: str
    pods: PodControl

    @property
    def app(self) -> Starlette:
        """The HTTP app."""
        control, account, gateway = self.control, Account(self.cloud, self.control.checker), Gateway(self.cloud)
        paths: list[tuple[str, str, Handler]] = [
            ("GET", "/v2/serverless", control.list_endpoints),
            ("POST", "/v2/serverless", control.create_endpoint),
            ("GET", "/v2/serverless/{id}", control.get_endpoint),
            ("PATCH", "/v2/serverless/{id}", control.update_endpoint),
            ("DELETE", "/v2/serverless/{id}", control.delete_endpoint),
            ("GET", "/v2/serverless/{id}/workers", control.list_workers),
            ("GET", "/v2/serverless/{id}/releases", control.list_releases),
            ("GET", "/v2/serverless/{id}/workers/{worker}/logs", control.worker_logs),
            ("GET", "/v2/templates", account.list_templates),
            ("POST", "/v2/templates", account.create_template),
            ("GET", "/v2/registries", account.list_registries),
            ("POST", "/v2/registries", account.create_registry),
            ("GET", "/v2/catalog/gpus", self._gpus(account)),
            ("GET", "/v2/catalog/cpus", account.list_cpus),
            ("GET", "/v2/billing/serverless", account.list_bills),
            ("GET", "/lb/{id}/ping", gateway.ping),
            ("POST", "/lb/{id}/predict", gateway.predict),
            ("POST", "/queue/{id}/runsync", gateway.run),
            ("POST", "/queue/{id}/run", gateway.run),
            ("GET", "/queue/{id}/status/{job}", gateway.job),
            ("GET", "/queue/{id}/health", gateway.counts),
        ]
        routes = [Route(path, self._guarded(handler), methods=[method]) for method, path, handler in paths]
        return Starlette(
            routes=[
                *self._routes_of_pods(),
                *routes,
                Route("/v1/{rest:path}", _retired, methods=["GET", "POST", "PATCH", "DELETE"]),
            ]
        )

    def _gpus(self, account: Account) -> Handler:
        """The catalogue, of pods or of Serverless."""
        of_pods = endpoint(self.pods.handle)

        async def list_gpus(request: Request) -> Response:
            return await (of_pods if request.query_params.get("product") == "POD" else account.list_gpus)(request)

        return list_gpus

    def _routes_of_pods(self) -> list[Route]:
        """The pods' control plane is a function of its own, which checks keys and fails by itself."""
        handler = endpoint(self.pods.handle)
        paths = ["/v2/pods", "/v2/pods/{id}", "/v2/pods/{id}/action", "/v2/billing/pods"]
        paths += ["/v2/account/secrets", "/v2/account/secrets/{id}", "/proxy/{rest:path}"]
        methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
        return [Route(path, handler, methods=methods) for path in paths]

    def _guarded(self, handler: Handler) -> Handler:
        """Check the key, and apply faults."""

        async def guarded(request: Request) -> Response:
            if request.headers.get("Authorization") != f"Bearer {self.key}":
                return problem(401, "Unauthorized", "the API key is missing or wrong")
            own = request.url.path.startswith("/v2/")
            fault = self.faults.next(f"{request.method} {request.url.path}", _KINDS[request.method] if own else _ANY)
            if fault == "dropped":
                return Cut()
            if fault == "429":
                return problem(429, "Too Many Requests", "slow down", {"Retry-After": "2"})
            if fault in {"402", "403", "500", "503"}:
                return problem(int(fault), "Refused" if fault < "500" else "Broken", "as this double was told")
            if fault == "no-capacity":
                return problem(400, "Bad Request", "no instances of the requested kind are available")
            request.state.fault = fault
            answer = await handler(request)
            return Cut() if fault == "lost" else answer

        return guarded


async def _retired(_: Request) -> Response:
    return problem(410, "Gone", "REST v1 was retired; use /v2")


def runpod_double(
    boot: Boot, clock: VirtualClock, key: str = "rpa_double", spec: Path | None = None, pods: PodCloud | None = None
) -> RunPodDouble:
    """A new account. With RunPod's OpenAPI document at `spec`, each request is checked against it, too."""
    cloud = Cloud(clock, boot)
    control = PodControl(pods or PodCloud(clock, nothing), key=key)
    return RunPodDouble(cloud, Faults(KINDS), ControlPlane(cloud, Checker(spec)), key, control)
