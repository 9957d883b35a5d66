"""A request is a prediction that somebody asks for; nothing else is counted, shared or paid for as one."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboards.money.spending import _idle
from serving.canary.splitter import _may_split
from serving.inference.outputs import NOTHING, detection
from serving.inference.traffic import is_request, protocol_of
from serving.series.polling import EndpointReading
from serving.series.scrape import parse_metrics
from serving.server.app import Endpoint, build_app
from serving.server.protocols import mlflow, plain
from serving.server.protocols.served import Served
from serving.workers.pool import Timings

POSTS = ["/predict", "/invocations", "/v2/models/hand/infer", "/v2/models/hand/versions/1/infer"]
GETS = ["/", "/health", "/ping", "/version", "/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/hand", "/metrics"]
GETS += ["/v2/models/hand/ready", "/v2/models/hand/versions/1", "/v2/models/hand/versions/1/ready", "/openapi.json"]
METHODS = ["GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE"]
ODD = [
    "/predict/",
    "/Predict",
    "/v2/models/infer",
    "/v2/models/a/b/infer",
    "//predict",
    "/nonsense",
    "/v2/repository/index",
    "/favicon.ico",
]
PATHS = [*POSTS, *GETS, *ODD]


class Pool:
    """Predicts at once."""

    def __init__(self) -> None:
        self.timings, self.ready, self.waiting, self.alive, self.size = Timings(), True, 0, 2, 2
        self.row = (3,)

    most = 64

    def check_room(self, _: int) -> None:
        """There is room."""

    def check_count(self, _: int) -> None:
        """There is room for all of them."""

    async def answer(self, items: list[Any]) -> list[bytes]:
        self.timings.batches.append((len(items), 0.25, 0.75))
        return [b"\0\0\x80\x3f" + bytes(8)] * len(items)


def app_of() -> Any:
    return build_app(Endpoint(Served("hand", 1, "0" * 64, ["a", "b", "c"], (3,)), Pool()))  # type: ignore[arg-type]


def routes() -> set[tuple[str, str]]:
    """Every method and address that the server's router knows."""
    known = app_of()._app.routes
    return {(method, route.path) for route in known for method in route.methods}


def test_every_route_that_predicts_is_a_request_and_no_other_is() -> None:
    for method, path in routes():
        asked = path.replace("{model}", "hand").replace("{version}", "1")
        assert is_request(protocol_of(method, asked)) is (method == "POST"), (method, path)
    assert {path for method, path in routes() if method == "POST"} == {
        "/predict", "/invocations", "/v2/models/{model}/infer", "/v2/models/{model}/versions/{version}/infer"
    }  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", PATHS)
def test_only_a_request_that_names_no_version_is_shared_with_a_canary(method: str, path: str) -> None:
    request = is_request(protocol_of(method, path))
    assert request is (method == "POST" and path in POSTS)
    assert _may_split(method, path) is (request and "/versions/" not in path)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from(METHODS), st.sampled_from(PATHS)), max_size=25))
def test_what_live_and_the_costs_count_is_what_was_asked_for_whatever_else_came(calls: list[tuple[str, str]]) -> None:
    app = app_of()

    async def run() -> str:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
            for method, path in calls:
                await client.request(method, path, content=b"x" if path == "/predict" else b"{}")
            return (await client.get("/metrics")).text

    page = asyncio.run(run())
    figures = parse_metrics(page).figures()
    asked = [(method, path) for method, path in calls if method == "POST" and path in POSTS]
    assert figures["requests"] == len(asked)
    assert figures["errors"] == 0
    assert figures["refused"] == sum(path != "/predict" for _, path in asked)
    assert (figures["p95_ms"] is None) is (not asked)
    protocols = {line.split('protocol="')[1].split('"')[0] for line in page.splitlines() if 'protocol="' in line}
    assert protocols <= {"plain", "mlflow", "oip", "health", "other"}


@given(
    st.floats(1, 1e6),
    st.lists(st.floats(0, 1), min_size=1, max_size=64),
    st.sampled_from(["modelyard_worker_slots", "modelyard_workers"]),
)
def test_the_idle_share_is_that_of_all_workers(seconds: float, shares: list[float], name: str) -> None:
    busy = sum(shares) * seconds
    page = f"# TYPE {name} gauge\n{name} {len(shares)}\n# TYPE modelyard_predict_seconds histogram\nmodelyard_predict_seconds_sum {busy}\n"
    figures = parse_metrics(page).figures()
    reading = EndpointReading("hand", "v", "local", "u", "up", **(figures | {"seconds": seconds}))
    idle = _idle(SimpleNamespace(usd_per_month=100, target="local"), reading)  # type: ignore[arg-type]
    assert idle == pytest.approx(100 * (1 - sum(shares) / len(shares)), abs=1e-6)


def test_a_server_of_an_older_release_is_one_worker() -> None:
    reading = EndpointReading("hand", "v", "local", "u", "up", seconds=100.0, busy_seconds=25.0)
    assert _idle(SimpleNamespace(usd_per_month=100, target="local"), reading) == 75.0  # type: ignore[arg-type]


def test_both_protocols_with_labels_say_the_same_of_an_image_without_detections() -> None:
    """One row of padding: every score is 0."""
    served = Served("hand", 1, "0" * 64, ["a", "b"], (2, 6))
    rows = [bytes(4 * 12)]
    assert detection(["a", "b"], [(0, 0, 0, 0, 0, 0)])["label"] == NOTHING
    assert plain.respond(served, served.read(rows), several=False)["label"] == NOTHING
    assert mlflow.respond(served.read(rows))["predictions"][0]["label"] == NOTHING
