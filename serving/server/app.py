"""The HTTP app around one worker pool: four protocols, one error format.

GET  /                              what this is
GET  /health, /ping                 200 while it can answer; 503, or 204 for /ping, while it cannot
POST /predict                       an image file as the body, a form's file, or JSON
POST /invocations                   MLflow's scoring protocol;  GET /version
GET  /v2, /v2/health/{live,ready}   Open Inference Protocol
GET  /v2/models/NAME[/versions/N][/ready];  POST …/infer
GET  /metrics, /openapi.json
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from registry.errors import InputError
from serving.server.forms import file_of
from serving.server.images import Fetch, image_bytes
from serving.server.metrics import CONTENT_TYPE, Metrics
from serving.server.middleware import Guard, Limits
from serving.server.protocols import mlflow, oip, plain
from serving.server.protocols.served import AnsweredPicture, Served
from serving.server.routing import Handler, NoSuchAddressError, router
from serving.workers.messages import Item
from serving.workers.pool import WorkerPool


def as_json(content: object, status: int = 200) -> Response:
    """A JSON response."""
    return Response(msgspec.json.encode(content), status, media_type="application/json")


@dataclass
class Endpoint:
    """One served bundle, as HTTP sees it."""

    served: Served
    pool: WorkerPool
    limits: Limits = field(default_factory=Limits)
    fetch: Fetch | None = None

    def __post_init__(self) -> None:
        """Start counting."""
        self.metrics = Metrics(self.served, self.pool.timings)

    async def home(self, _: Request) -> Response:
        """What this server is, and its addresses."""
        paths = ["/predict", "/invocations", f"/v2/models/{self.served.model}/infer"]
        return as_json({"service": "modelyard", **self.served.named(), "post": paths, "openapi": "/openapi.json"})

    async def health(self, request: Request) -> Response:
        """Whether it is ready, and which bundle it serves."""
        return self._state(request, {"status": "ok" if self._ready else "not ready", **self.served.named()})

    async def ping(self, _: Request) -> Response:
        """MLflow's and RunPod's health check: 204 while it starts."""
        return Response(b"\n", media_type="application/json") if self.pool.ready else Response(status_code=204)

    async def predict(self, request: Request) -> Response:
        """A picture, or a list of them in JSON."""
        self.pool.check_room(1)
        kind, several = plain.kind_of(request.headers.get("content-type", "")), False
        if kind == "raw":
            items: list[Item | str] = [Item(await request.body())]
        elif kind == "form":
            items = [Item(await file_of(request))]
        else:
            texts, several = plain.texts_of(await request.body())
            items = list(texts)
        return as_json(plain.respond(self.served, await self._answer(items), several=several))

    async def invocations(self, request: Request) -> Response:
        """MLflow's scoring protocol."""
        self.pool.check_room(1)
        texts = mlflow.texts_of(await request.body(), request.headers.get("content-type", ""))
        return as_json(mlflow.respond(await self._answer(list(texts))))

    async def infer(self, request: Request) -> Response:
        """An inference by the Open Inference Protocol."""
        self._check_served(request)
        self.pool.check_room(1)
        length = request.headers.get("inference-header-content-length")
        parsed = oip.read_request(self.served, await request.body(), length, self.pool.most)
        answer, behind = oip.respond(self.served, parsed, await self._answer(parsed.items))
        if not any(binary for _, binary in parsed.outputs):
            return as_json(answer)
        head = msgspec.json.encode(answer)
        header = {"inference-header-content-length": str(len(head))}
        return Response(head + behind, headers=header, media_type="application/octet-stream")

    async def model(self, request: Request) -> Response:
        """The model's inputs and outputs."""
        self._check_served(request)
        return as_json(oip.metadata(self.served))

    async def model_ready(self, request: Request) -> Response:
        """Whether the model is ready."""
        self._check_served(request)
        return self._state(request, {"name": self.served.model, "ready": self._ready})

    async def server(self, _: Request) -> Response:
        """The server's name and extensions."""
        return as_json({"name": "modelyard", "version": "2", "extensions": ["binary_tensor_data"]})

    async def live(self, _: Request) -> Response:
        """Whether the process is alive."""
        return as_json({"live": True})

    async def ready(self, request: Request) -> Response:
        """Whether it can answer."""
        return self._state(request, {"ready": self._ready})

    async def version(self, _: Request) -> Response:
        """The served version, for MLflow's clients."""
        return Response(str(self.served.version), media_type="text/plain")

    async def figures(self, _: Request) -> Response:
        """Metrics for Prometheus."""
        return Response(self.metrics.render(self.pool), media_type=CONTENT_TYPE)

    async def openapi(self, _: Request) -> Response:
        """The OpenAPI document."""
        from serving.server.openapi import document

        return as_json(document())

    @property
    def _ready(self) -> bool:
        return self.pool.ready

    def _state(self, request: Request, state: dict[str, object]) -> Response:
        """A state; with 503, and the fields of every error, while it cannot answer."""
        if self._ready:
            return as_json(state)
        error = {"error": "server: no worker runs at the moment; try again in a second"}
        return as_json(state | error | {"request_id": request.scope["request_id"]}, 503)

    async def _answer(self, items: Sequence[Item | str]) -> list[AnsweredPicture]:
        """Each picture's row. What may be refused by its count is, before anything is decoded."""
        if not items:
            raise InputError("request", "holds no picture", "send at least one")
        self.pool.check_count(len(items))
        self.pool.check_room(len(items))
        texts = [item for item in items if isinstance(item, str)]
        read = iter(await asyncio.gather(*(image_bytes(text, self.fetch, f"image {n}") for n, text in enumerate(texts, 1))))
        pictures = [Item(next(read)) if isinstance(item, str) else item for item in items]
        if any(not picture.data for picture in pictures):
            raise InputError("request", "its body is empty", "send an image file")
        answered = self.served.read(await self.pool.answer(pictures))
        for picture in answered:
            self.metrics.count_answer(picture.label, picture.score)
        return answered

    def _check_served(self, request: Request) -> None:
        """Raise NoSuchAddressError for another model or version than the one that is served."""
        asked = request.path_params
        if asked["model"] != self.served.model or asked.get("version", str(self.served.version)) != str(self.served.version):
            here = f"{self.served.model}/{self.served.version}"
            raise NoSuchAddressError("model", "is not served here", f"{here} is, at /v2/models/{self.served.model}")


def build_app(endpoint: Endpoint, around: Callable[[ASGIApp], ASGIApp] = lambda app: app) -> Guard:
    """The app. Its worker pool must have started: a server that listens can answer.

    `around` wraps the router, inside the guard.
    """
    get: dict[str, Handler] = {
        "/": endpoint.home,
        "/health": endpoint.health,
        "/ping": endpoint.ping,
        "/version": endpoint.version,
        "/v2": endpoint.server,
        "/v2/health/live": endpoint.live,
        "/v2/health/ready": endpoint.ready,
        "/v2/models/{model}": endpoint.model,
        "/v2/models/{model}/ready": endpoint.model_ready,
        "/v2/models/{model}/versions/{version}": endpoint.model,
        "/v2/models/{model}/versions/{version}/ready": endpoint.model_ready,
        "/metrics": endpoint.figures,
        "/openapi.json": endpoint.openapi,
    }
    post: dict[str, Handler] = {
        "/predict": endpoint.predict,
        "/invocations": endpoint.invocations,
        "/v2/models/{model}/infer": endpoint.infer,
        "/v2/models/{model}/versions/{version}/infer": endpoint.infer,
    }

    return Guard(around(router(get, post)), endpoint.limits, endpoint.metrics)
