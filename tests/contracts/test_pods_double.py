"""The double's pods refuse what RunPod's text refuses, cost what they cost, and end as pods do."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import clouds
import httpx
from pod_world import PodWorld, new_pod

from serving.fakes.http import listening
from serving.fakes.runpod.app import runpod_double
from serving.fakes.runpod.check import Checker
from serving.fakes.runpod.pods.state import scoped_key

GOOD = new_pod().as_dict()


@pytest.fixture
def world() -> PodWorld:
    return PodWorld()


@pytest.mark.parametrize(
    ("change", "status", "text"),
    [
        ({"nme": "x"}, 422, "additional properties 'nme'"),
        ({"name": ""}, 422, "name"),
        ({"cloud": "secure"}, 422, "SECURE"),
        ({"ports": ["8000"]}, 422, "ports"),
        ({"env": {"A": 1}}, 422, "env"),
        ({"cmd": "run"}, 422, "cmd"),
        ({"gpu": {"id": "NVIDIA A40", "count": 0}}, 422, "at least 1"),
        ({"gpu": {"id": "NVIDIA A40", "count": 1, "pools": []}}, 422, "pools"),
        ({"gpu": {"id": "NVIDIA A40", "count": 1, "minCudaVersion": "12"}}, 422, "major.minor"),
        ({"mounts": {"persistent": {"size": 20}}}, 422, "path: is required"),
        ({"mounts": {"persistent": {"size": 20, "path": "/w"}, "network": []}}, 400, "mutually exclusive"),
        ({"cpu": {"id": "cpu5c", "vcpuCount": 2}}, 400, "exactly one"),
        ({"gpu": {"id": "NVIDIA A40", "count": 1, "minCudaVersion": "12.1", "allowedCudaVersions": ["12.8"]}}, 400, "mutually"),
        ({"gpu": {"id": "NVIDIA A40"}}, 400, "no longer any instances"),
        ({"gpu": {"id": "NVIDIA L4", "count": 1}}, 400, "no longer any instances"),
        ({"gpu": {"id": "A40", "count": 1}}, 400, "no longer any instances"),
    ],
)
def test_the_double_refuses_what_runpod_would(world, change, status, text) -> None:
    assert world.ask("POST", "/v2/pods", GOOD).status == 201
    answer = world.ask("POST", "/v2/pods", GOOD | change)
    assert answer.status == status
    assert text in answer.body.decode()


CPU_POD = {name: value for name, value in GOOD.items() if name != "gpu"} | {"cpu": {"id": "cpu5c", "vcpuCount": 2}, "disk": 20}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"cpu": {"id": "cpu5c", "vcpuCount": 6}}, "power of two"),
        ({"cpu": {"id": "cpu5c", "vcpuCount": 64}}, "at most 32"),
        ({"cpu": {"id": "cpu9x", "vcpuCount": 2}}, "no such CPU flavour"),
        ({"disk": 31}, "at most 30 GB"),
        ({"dataCenterIds": ["MOON-1"]}, "no such data center"),
        ({"mounts": {"network": [{"volumeId": "vol9", "path": "/w"}]}}, "no such network volume"),
        ({"mounts": {"network": [{"volumeId": "vol1", "path": "/w"}]}, "dataCenterIds": ["US-TX-3"]}, "is in EU-RO-1"),
        ({"mounts": {"persistent": {"size": 20, "path": "/w"}}}, "invalid for CPU pods"),
    ],
)
def test_a_cpu_pod_has_rules_of_its_own(world, change, text) -> None:
    world.cloud.volumes["vol1"] = {"id": "vol1", "dataCenter": "EU-RO-1"}
    assert world.ask("POST", "/v2/pods", CPU_POD).status == 201
    fitting = {"mounts": {"network": [{"volumeId": "vol1", "path": "/w"}]}, "dataCenterIds": ["EU-RO-1"]}
    assert world.ask("POST", "/v2/pods", CPU_POD | fitting).status == 201
    answer = world.ask("POST", "/v2/pods", CPU_POD | change)
    assert (answer.status, text in answer.body.decode()) == (400, True)


def test_a_body_over_the_limit_is_refused_before_the_key_is_looked_at(world) -> None:
    assert world.ask("POST", "/v2/pods", GOOD | {"env": {"A": "x" * 102_400}}, key="wrong").status == 413
    assert world.ask("POST", "/v2/pods", GOOD, key="wrong").status == 401


def test_a_cursor_is_valid_only_for_the_list_that_gave_it(world) -> None:
    for number in range(3):
        world.ask("POST", "/v2/pods", GOOD | {"name": f"pod-{number}"})
    page = json.loads(world.ask("GET", "/v2/pods", limit="2").body)
    cursor = page["pagination"]["nextCursor"]
    assert [pod["name"] for pod in page["pods"]] == ["pod-2", "pod-1"]  # newest first
    assert json.loads(world.ask("GET", "/v2/pods", limit="2", cursor=cursor).body)["pagination"] == {
        "nextCursor": None, "hasNextPage": False,
    }  # fmt: skip
    assert world.ask("GET", "/v2/pods", limit="1", cursor=cursor).status == 422
    assert world.ask("GET", "/v2/pods", cursor="nonsense").status == 422
    assert world.ask("GET", "/v2/pods", limit="0").status == 422


def test_running_is_said_before_anything_answers_and_the_pull_is_billed(world) -> None:
    statuses, ready = set(), set()
    for number in range(8):
        client = world.client()
        pod = client.create_pod(new_pod(f"pod-{number}", "NVIDIA RTX A4000"))
        for _ in range(20):
            world.cloud.advance(10)
            seen = client.pod(pod.id)
            statuses.add(seen.status)
            ready.add((seen.status, seen.maps(8000)))
        client.terminate_pod(pod.id)
        lived = world.cloud.gone[-1].ended - world.cloud.gone[-1].created
        assert world.cloud.gone[-1].billed(world.clock.now()) == pytest.approx(lived * 0.25 / 3600, rel=0.01)
    assert {"STARTING", "RUNNING"} <= statuses
    assert {("RUNNING", False), ("RUNNING", True)} <= ready


def test_an_action_follows_the_status_and_a_bad_one_is_422(world) -> None:
    number = json.loads(world.ask("POST", "/v2/pods", GOOD).body)["id"]
    assert world.ask("POST", f"/v2/pods/{number}/action", {"action": "STOP"}).status == 422
    assert world.ask("POST", f"/v2/pods/{number}/action", {"action": "start"}).status == 409
    assert world.ask("POST", f"/v2/pods/{number}/action", {"action": "stop"}).status == 200
    stopped = json.loads(world.ask("GET", f"/v2/pods/{number}").body)
    assert (stopped["status"], stopped["cost"]) == ("EXITED", 0.44)  # a stopped pod goes on costing
    assert world.ask("POST", f"/v2/pods/{number}/action", {"action": "terminate"}).status == 204
    assert world.ask("DELETE", f"/v2/pods/{number}").status == 404


def test_without_balance_nothing_is_made_and_what_runs_uses_it_up(world) -> None:
    world.cloud.balance = 0.45
    assert world.ask("POST", "/v2/pods", GOOD).status == 201
    world.cloud.advance(300)
    assert world.ask("POST", "/v2/pods", GOOD).status == 402


def test_a_list_is_late_and_a_pod_by_its_id_is_not(world) -> None:
    world.cloud.list_lag_s = 20
    client = world.client()
    pod = client.create_pod(new_pod())
    assert client.pods() == []
    assert client.pod(pod.id).id == pod.id
    world.cloud.advance(25)
    assert [row.id for row in client.pods()] == [pod.id]
    client.terminate_pod(pod.id)
    assert [row.status for row in client.pods()] == ["TERMINATED"]
    world.cloud.advance(25)
    assert client.pods() == []


def test_a_pod_s_own_key_reads_and_ends_that_pod_and_no_other(world) -> None:
    first, second = (json.loads(world.ask("POST", "/v2/pods", GOOD).body)["id"] for _ in range(2))
    key = scoped_key(first)
    assert world.ask("GET", f"/v2/pods/{first}", key=key).status == 200
    assert world.ask("GET", "/v2/pods", key=key).status == 403
    assert world.ask("DELETE", f"/v2/pods/{second}", key=key).status == 403
    world.control.scoped_may_delete = False
    assert world.ask("DELETE", f"/v2/pods/{first}", key=key).status == 403
    world.control.scoped_may_delete = True
    assert world.ask("DELETE", f"/v2/pods/{first}", key=key).status == 204
    assert world.ask("GET", f"/v2/pods/{second}", key=key).status == 401  # it ended with its pod


@pytest.mark.parametrize(("fate", "status"), [("bad-host", "RUNNING"), ("error", "ERROR"), ("dies", "EXITED")])
def test_a_host_that_is_bad_never_comes_up_and_still_costs(world, fate: str, status: str) -> None:
    world.cloud.random.random = lambda: 0.0
    world.control.faults.add(fate, "^POST")
    client = world.client()
    pod = client.create_pod(new_pod())
    world.cloud.advance(3600)
    assert client.pod(pod.id).status == status
    assert not client.pod(pod.id).maps(8000)
    assert world.cloud.spent() == pytest.approx(0.44, rel=0.01)
    assert world.cloud.leaks() == ["modelyard-train-x"]


def test_the_same_double_answers_over_http(world) -> None:
    double = runpod_double(lambda _: None, world.clock, pods=world.cloud)
    with listening(double.app) as url:
        headers = {"Authorization": "Bearer rpa_double"}
        made = httpx.post(f"{url}/v2/pods", json=GOOD, headers=headers)
        assert made.status_code == 201
        world.cloud.advance(300)
        assert httpx.get(f"{url}/proxy/{made.json()['id']}-8000/x").status_code == 200
        assert httpx.get(f"{url}/proxy/{made.json()['id']}-9000/x").status_code == 404  # not a port that it publishes
        params = {"include": "AVAILABILITY", "product": "POD"}
        assert {gpu["id"] for gpu in httpx.get(f"{url}/v2/catalog/gpus", params=params, headers=headers).json()["gpus"]} == set(
            world.cloud.offers
        )


@pytest.mark.skipif(not clouds.SPEC.exists(), reason=f"RunPod's OpenAPI document is not at {clouds.SPEC}")
def test_what_the_double_shows_is_what_is_published(world) -> None:
    check = Checker(clouds.SPEC).by_document
    number = json.loads(world.ask("POST", "/v2/pods", GOOD).body)["id"]
    for _ in range(4):
        assert check("Pod", json.loads(world.ask("GET", f"/v2/pods/{number}").body)) == []
        world.cloud.advance(60)
    for gpu in json.loads(world.ask("GET", "/v2/catalog/gpus", include="AVAILABILITY", product="POD").body)["gpus"]:
        assert check("GpuType", gpu) == []
    for record in json.loads(world.ask("GET", "/v2/billing/pods").body)["records"]:
        assert check("PodBillingRecord", record) == []
