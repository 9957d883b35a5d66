"""RunPod's addresses: the control plane below /v2, the endpoints' own below /lb and /queue, the pods' ports below /proxy."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
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
from serving.fakes.runpod.catalogue import Catalogue
from serving.fakes.runpod.check import Checker
from serving.fakes.runpod.common import Handler
from serving.fakes.runpod.control import ControlPlane
from serving.fakes.runpod.gateway import Gateway
from serving.fakes.runpod.pods.control import PodControl
from serving.fakes.runpod.pods.limits import Limits
from serving.fakes.runpod.pods.state import PodCloud, nothing
from serving.fakes.runpod.state import FATES, Boot, Cloud

Address = tuple[str, str, Handler]
_ANY = frozenset({"429", "500", "503", "dropped"})
_CHANGES = _ANY | {"402", "403", "lost"}
_CREATES = _CHANGES | FATES | {"no-capacity"}
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
    account: Account
    limits: Limits = field(default_factory=Limits)
    draw: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311 not for secrets

    @property
    def app(self) -> Starlette:
        """The HTTP app."""
        paths = [*_serverless(self.control), *_account(self.account), *self._catalogue(), *_gateway(Gateway(self.cloud))]
        routes = [Route(path, self._guarded(handler), methods=[method]) for method, path, handler in paths]
        retired = Route("/v1/{rest:path}", _retired, methods=["GET", "POST", "PATCH", "DELETE"])
        return Starlette(routes=[*self._routes_of_pods(), *routes, retired])

    def _catalogue(self) -> list[Address]:
        """The catalogue; the pods' part of it is theirs."""
        catalogue, of_pods = Catalogue(self.cloud.hardware), endpoint(self.pods.handle)

        async def list_gpus(request: Request) -> Response:
            pods = request.query_params.get("product") == "POD"
            return await (of_pods if pods else catalogue.list_gpus)(request)

        return [
            ("GET", "/v2/catalog/gpus", list_gpus),
            ("GET", "/v2/catalog/gpus/{id}", catalogue.get_gpu),
            ("GET", "/v2/catalog/cpus", catalogue.list_cpus),
            ("GET", "/v2/catalog/datacenters", catalogue.list_data_centers),
        ]

    def _routes_of_pods(self) -> list[Route]:
        """The pods' control plane is a function of its own, which checks keys and fails by itself."""
        handler = endpoint(self.pods.handle, lambda: self.control.open_s)
        paths = ["/v2/pods", "/v2/pods/{id}", "/v2/pods/{id}/action", "/v2/pods/{id}/logs", "/v2/billing/pods"]
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
                self.limits.exhaust(self.cloud.clock.now(), self.draw)
            if (own or fault == "429") and (limited := self.limits.refuse(self.cloud.clock.now())):
                return Response(limited.body, limited.status, dict(limited.headers))
            if fault in {"402", "403", "500", "503"}:
                return problem(int(fault), "Refused" if fault < "500" else "Broken", "as this double was told")
            if fault == "no-capacity":
                return problem(400, "Bad Request", "no instances of the requested kind are available")
            request.state.fault = fault
            answer = await handler(request)
            return Cut() if fault == "lost" else answer

        return guarded


def _serverless(control: ControlPlane) -> list[Address]:
    endpoint_path = "/v2/serverless/{id}"
    return [
        ("GET", "/v2/serverless", control.list_endpoints),
        ("POST", "/v2/serverless", control.create_endpoint),
        ("GET", endpoint_path, control.get_endpoint),
        ("PATCH", endpoint_path, control.update_endpoint),
        ("DELETE", endpoint_path, control.delete_endpoint),
        ("GET", f"{endpoint_path}/workers", control.list_workers),
        ("GET", f"{endpoint_path}/releases", control.list_releases),
        ("GET", f"{endpoint_path}/builds", control.list_builds),
        ("GET", f"{endpoint_path}/builds/{{buildId}}", control.get_build),
        ("GET", f"{endpoint_path}/workers/{{worker}}/logs", control.worker_logs),
    ]


def _account(account: Account) -> list[Address]:
    volume = "/v2/network-volumes/{id}"
    return [
        ("GET", "/v2/templates", account.list_templates),
        ("POST", "/v2/templates", account.create_template),
        ("GET", "/v2/registries", account.list_registries),
        ("POST", "/v2/registries", account.create_registry),
        ("GET", "/v2/network-volumes", account.list_volumes),
        ("POST", "/v2/network-volumes", account.create_volume),
        ("GET", volume, account.get_volume),
        ("PATCH", volume, account.update_volume),
        ("DELETE", volume, account.delete_volume),
        ("GET", "/v2/billing/serverless", account.list_bills),
    ]


def _gateway(gateway: Gateway) -> list[Address]:
    return [
        ("GET", "/lb/{id}/ping", gateway.ping),
        ("POST", "/lb/{id}/predict", gateway.predict),
        ("POST", "/queue/{id}/runsync", gateway.run_sync),
        ("POST", "/queue/{id}/run", gateway.run),
        ("GET", "/queue/{id}/status/{job}", gateway.job),
        ("GET", "/queue/{id}/health", gateway.counts),
    ]


async def _retired(_: Request) -> Response:
    return problem(410, "Gone", "REST v1 was retired; use /v2")


def runpod_double(
    boot: Boot, clock: VirtualClock, key: str = "rpa_double", spec: Path | None = None, pods: PodCloud | None = None
) -> RunPodDouble:
    """A new account. With RunPod's OpenAPI document at `spec`, each request is checked against it, too."""
    control = PodControl(pods or PodCloud(clock, nothing), key=key)
    cloud = Cloud(clock, boot, volumes=control.cloud.volumes)
    checker = Checker(spec)
    return RunPodDouble(cloud, Faults(KINDS), ControlPlane(cloud, checker), key, control, Account(cloud, checker))
