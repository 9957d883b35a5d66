"""RunPod's double refuses what RunPod's own text refuses: one case for each rule, on a create and, where it applies, a change."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import clouds

from serving.fakes.clock import VirtualClock
from serving.fakes.http import listening
from serving.fakes.runpod.app import runpod_double

Body = dict[str, Any]
DELAY = {"type": "QUEUE_DELAY", "queueDelay": 1}
GPU: Body = {"name": "x", "image": "y", "type": "QUEUE", "gpu": {"pools": ["AMPERE_16"], "count": 1}, "scaling": DELAY}
CPU: Body = {"name": "x", "image": "y", "type": "QUEUE", "cpu": [{"id": "cpu5c", "vcpuCount": 2}], "scaling": DELAY}
BOTH_CUDA = {"pools": ["AMPERE_16"], "allowedCudaVersions": ["12.8"], "minCudaVersion": "12.1"}


def cpu(**fields: object) -> Body:
    return {"cpu": [{"id": "cpu5c", "vcpuCount": 2} | fields]}


def gpu(**fields: object) -> Body:
    return {"gpu": {"pools": ["AMPERE_16"], "count": 1} | fields}


RULES: dict[str, tuple[Body, Body, int, str]] = {
    # the form of a body
    "an unknown field": (GPU, {"nme": "x"}, 422, "nme"),
    "an unknown field within": (GPU, {"workers": {"mn": 1}}, 422, "mn"),
    "no name": (GPU, {"name": ""}, 422, "name"),
    "no image": (GPU, {"image": ""}, 422, "image"),
    "env that is no text": (GPU, {"env": {"A": 1}}, 422, "env"),
    "a port without its protocol": (GPU, {"ports": ["8000"]}, 422, "ports"),
    "a disk of nothing": (GPU, {"disk": 0}, 422, "disk"),
    "min below 0": (GPU, {"workers": {"min": -1}}, 422, "workers.min"),
    "an idle timeout of nothing": (GPU, {"workers": {"idleTimeout": 0}}, 422, "idleTimeout"),
    "an idle timeout over an hour": (GPU, {"workers": {"idleTimeout": 3601}}, 422, "idleTimeout"),
    "a delay that is too short": (GPU, {"scaling": {"type": "QUEUE_DELAY", "queueDelay": 0.1}}, 422, "scaling"),
    "a count of nothing": (GPU, {"scaling": {"type": "REQUEST_COUNT", "requestCount": 0}}, 422, "scaling"),
    "two rules of scaling": (GPU, {"scaling": DELAY | {"requestCount": 1}}, 422, "scaling"),
    "an unknown flashboot": (GPU, {"flashboot": "ON"}, 422, "flashboot"),
    "no pools": (GPU, gpu(pools=[]), 422, "pools"),
    "no GPU": (GPU, gpu(count=0), 422, "count"),
    "a CUDA version without its minor": (GPU, gpu(minCudaVersion="12"), 422, "minCudaVersion"),
    "an allowed CUDA version without its minor": (GPU, gpu(allowedCudaVersions=["12"]), 422, "allowedCudaVersions"),
    "an exclusion twice": (GPU, gpu(excludedTypes=["NVIDIA RTX A4500"] * 2), 422, "excludedTypes"),
    "one vCPU": (CPU, cpu(vcpuCount=1), 422, "vcpuCount"),
    "a CPU twice": (CPU, {"cpu": cpu()["cpu"] * 2}, 422, "cpu"),
    "CUDA on a CPU": (CPU, cpu(minCudaVersion="12.1"), 422, "minCudaVersion"),
    "a timeout that is no whole number": (GPU, {"timeout": 1.5}, 422, "timeout"),
    # rules between fields, and of what the account holds
    "vCPUs that are no power of two": (CPU, cpu(vcpuCount=6), 400, "power of two"),
    "more vCPUs than the flavour has": (CPU, cpu(vcpuCount=64), 400, "at most 32"),
    "an unknown flavour": (CPU, cpu(id="cpu9x"), 400, "no such CPU flavour: cpu9x"),
    "a disk over the flavour's": (CPU, {"disk": 31}, 400, "at most 30 GB"),
    "an unknown pool": (GPU, gpu(pools=["MOON"]), 400, "no such pool: MOON"),
    "an unknown data centre": (GPU, {"dataCenterIds": ["MOON-1"]}, 400, "no such data center: MOON-1"),
    "an unknown volume": (GPU, {"networkVolumes": ["vol9"]}, 400, "no such network volume: vol9"),
    "a volume elsewhere": (GPU, {"networkVolumes": ["vol1"], "dataCenterIds": ["US-TX-3"]}, 400, "is in EU-RO-1"),
    "an unknown registry": (GPU, {"registry": "reg9"}, 400, "no such registry credential: reg9"),
    "an unknown template": (GPU, {"templateId": "tpl9"}, 404, "no such template"),
    "a pod's template": (GPU, {"templateId": "tpl1"}, 422, "serverless template"),
    "an exclusion that is in no pool": (GPU, gpu(excludedTypes=["NVIDIA L4"]), 400, "not a GPU type in one of the pools"),
    "exclusions that leave nothing": (GPU, gpu(excludedTypes=["NVIDIA RTX A4000", " NVIDIA RTX A4500"]), 400, "leaves no GPU"),
    "both CUDA fields": (GPU, {"gpu": BOTH_CUDA}, 400, "mutually exclusive"),
    "more GPUs than a machine has": (GPU, gpu(count=9), 400, "more than any machine"),
    "min over max": (GPU, {"workers": {"min": 3, "max": 2}}, 400, "workers.min is more"),
    "max over the quota": (GPU, {"workers": {"max": 6}}, 400, "workers quota (5)"),
    "a timeout of 1 ms": (GPU, {"timeout": 1}, 400, "timeout must be"),
    "a timeout of eight days": (GPU, {"timeout": 8 * 86_400_000}, 400, "timeout must be"),
    "an idle timeout where requests count": (
        GPU, {"scaling": {"type": "REQUEST_COUNT", "requestCount": 1}, "workers": {"idleTimeout": 5}}, 422, "idleTimeout",
    ),
}  # fmt: skip
ON_CREATE: dict[str, tuple[Body, Body, int, str]] = {
    "a GPU and a CPU": (GPU, cpu(), 400, "exactly one"),
    "an unknown type": (GPU, {"type": "POD"}, 422, "type"),
    "a load balancer with a queue's scaling": (GPU, {"type": "LOAD_BALANCER"}, 422, "scaling"),
}
ON_CHANGE: dict[str, tuple[Body, Body, int, str]] = {
    "another type": (GPU, {"type": "QUEUE"}, 422, "type"),
    "a CPU instead of a GPU": (GPU, cpu(), 400, "cannot be changed"),
    "a GPU instead of a CPU": (CPU, gpu(), 400, "cannot be changed"),
    "both": (GPU, cpu() | gpu(), 400, "cannot be changed"),
    "exclusions without their pools": (GPU, {"gpu": {"excludedTypes": ["NVIDIA RTX A4500"]}}, 422, "excludedTypes"),
    "a floor beside a set that stands": (
        GPU | gpu(allowedCudaVersions=["12.8"]), {"gpu": {"minCudaVersion": "12.1"}}, 400, "mutually exclusive",
    ),
    "a queue's scaling for a load balancer": (
        GPU | {"type": "LOAD_BALANCER", "scaling": {"type": "REQUEST_COUNT", "requestCount": 1}}, {"scaling": DELAY}, 422,
        "REQUEST_COUNT",
    ),
}  # fmt: skip
DOCUMENTS = [None, *([clouds.SPEC] if clouds.SPEC.exists() else [])]


def booted(_: dict[str, str]) -> Callable[[bytes], dict[str, Any]]:
    return lambda _: {}


@pytest.fixture(scope="module", params=DOCUMENTS, ids=lambda spec: "with the document" if spec else "alone")
def ask(request: pytest.FixtureRequest) -> Iterator[Callable[..., httpx.Response]]:
    """Requests to a double whose account is emptied before each create."""
    double = runpod_double(booted, VirtualClock(start=clouds.START.timestamp()), spec=request.param)
    cloud = double.cloud
    cloud.templates["tpl1"] = {"name": "a pod's", "image": "x", "serverless": False}
    cloud.volumes["vol1"] = {"id": "vol1", "name": "v", "size": 10, "dataCenter": "EU-RO-1", "type": "STANDARD"}
    with listening(double.app) as url, httpx.Client(base_url=f"{url}/v2", timeout=60) as client:
        client.headers["Authorization"] = "Bearer rpa_double"

        def asked(method: str, path: str, body: object = None, **query: str) -> httpx.Response:
            if method == "POST" and path == "/serverless":
                cloud.endpoints.clear()
            return client.request(method, path, json=body, params=query)

        yield asked


def is_refused(answer: httpx.Response, status: int, text: str) -> bool:
    lines = " ".join([answer.json().get("detail", ""), *answer.json().get("errors", [])])
    assert (answer.status_code, text in lines) == (status, True), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return True


@pytest.mark.parametrize("rule", RULES | ON_CREATE)
def test_a_new_endpoint_that_breaks_a_rule_is_refused(ask, rule: str) -> None:
    good, change, status, text = (RULES | ON_CREATE)[rule]
    assert ask("POST", "/serverless", good).status_code == 201
    assert is_refused(ask("POST", "/serverless", good | change), status, text)


@pytest.mark.parametrize("rule", RULES | ON_CHANGE)
def test_a_change_that_breaks_a_rule_is_refused_and_changes_nothing(ask, rule: str) -> None:
    good, change, status, text = (RULES | ON_CHANGE)[rule]
    before = ask("POST", "/serverless", good).json()
    assert is_refused(ask("PATCH", f"/serverless/{before['id']}", change), status, text)
    assert ask("GET", f"/serverless/{before['id']}").json() == before


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("/catalog/gpus", {"include": "AVAILABILITY"}, 400),
        ("/catalog/gpus", {"product": "SERVERLESS"}, 400),
        ("/catalog/gpus", {"count": "2"}, 400),
        ("/catalog/gpus", {"minCudaVersion": "12"}, 400),
        ("/catalog/gpus", {"include": "STOCK"}, 422),
        ("/catalog/gpus", {"include": "AVAILABILITY", "product": "MOON"}, 422),
        ("/catalog/gpus", {"include": "AVAILABILITY", "product": "SERVERLESS", "minCudaVersion": "x"}, 422),
        ("/catalog/gpus", {"include": "AVAILABILITY", "product": "SERVERLESS", "cudaVersions": "12"}, 422),
        (
            "/catalog/gpus",
            {"include": "AVAILABILITY", "product": "SERVERLESS", "cudaVersions": "12.8", "minCudaVersion": "12"},
            400,
        ),
        ("/catalog/cpus", {"include": "AVAILABILITY", "product": "CLUSTER"}, 422),
        ("/catalog/datacenters", {"include": "STOCK"}, 422),
        ("/serverless", {"limit": "0"}, 422),
        ("/serverless", {"limit": "1001"}, 422),
        ("/serverless", {"cursor": "nonsense"}, 422),
        ("/templates", {"cursor": "bm9uc2Vuc2U="}, 422),
        ("/billing/serverless", {"startTime": "yesterday"}, 422),
        ("/billing/serverless", {"bucketSize": "second"}, 422),
    ],
)
def test_a_query_that_is_not_as_published_is_refused(ask, path: str, query: dict[str, str], status: int) -> None:
    assert ask("GET", path, **query).status_code == status


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/templates", {"name": "t"}, 422),
        ("/templates", {"name": "t", "image": "x", "category": "TPU"}, 422),
        ("/templates", {"name": "t", "image": "x", "mounts": {"network": []}}, 422),
        ("/templates", {"name": "t", "image": "x", "registry": "reg9"}, 400),
        ("/registries", {"name": "r" * 192, "username": "u", "password": "p"}, 422),
        ("/registries", {"name": "r", "username": "", "password": "p"}, 422),
        ("/network-volumes", {"name": "v", "size": 9, "dataCenter": "EU-RO-1"}, 422),
        ("/network-volumes", {"name": "v", "size": 10, "dataCenter": "MOON-1"}, 400),
        ("/network-volumes", {"name": "v", "size": 10, "dataCenter": "US-TX-3", "type": "HIGH_PERFORMANCE"}, 400),
        ("/serverless", [], 422),
    ],
)
def test_other_resources_have_rules_too(ask, path: str, body: object, status: int) -> None:
    assert ask("POST", path, body).status_code == status


def test_what_has_no_rule_against_it_is_accepted(ask) -> None:
    for good in (
        GPU | gpu(excludedTypes=[" NVIDIA RTX A4500"], allowedCudaVersions=[], minCudaVersion="12.1"),
        GPU | {"networkVolumes": ["vol1"], "dataCenterIds": ["EU-RO-1"], "registry": None, "timeout": 0},
        GPU | {"entrypoint": ["python"], "cmd": ["-m", "x"]},
        CPU | cpu(vcpuCount=4) | {"disk": 60, "workers": {"min": 1, "max": 5}},
    ):
        made = ask("POST", "/serverless", good)
        assert made.status_code == 201, made.text
    number = made.json()["id"]
    assert ask("PATCH", f"/serverless/{number}", {"workers": {"max": 5, "idleTimeout": 3600}}).status_code == 200


def test_a_network_volume_only_grows(ask) -> None:
    number = ask("POST", "/network-volumes", {"name": "v", "size": 20, "dataCenter": "EU-RO-1"}).json()["id"]
    assert ask("PATCH", f"/network-volumes/{number}", {"size": 30}).json()["size"] == 30
    assert ask("PATCH", f"/network-volumes/{number}", {"size": 20}).status_code == 400
    assert ask("PATCH", f"/network-volumes/{number}", {}).status_code == 422
    assert [ask("DELETE", f"/network-volumes/{number}").status_code for _ in range(2)] == [204, 404]
