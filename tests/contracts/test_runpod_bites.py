"""What bites at RunPod bites at its double: pulls, limits of bodies, windows of requests, streams that stay open, stock."""

from __future__ import annotations

import base64
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import clouds
from clouds import passes

from registry.errors import InputError
from serving.fakes.runpod.hardware import Image

KEY = {"Authorization": "Bearer rpa_double"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[clouds.RunPodWorld]:
    with clouds.runpod_world(tmp_path / "cloud") as made:
        yield made


def test_a_pull_takes_its_time_once_for_each_host(world, make_bundle, tmp_path: Path) -> None:
    world.double.cloud.images[clouds.IMAGE] = Image(pull_s=120)
    target = world.target(max_workers=2)
    target.deploy("hand", make_bundle(tmp_path / "one"), passes)
    assert target.ready.seconds is None  # nobody asked
    (endpoint,) = world.double.cloud.endpoints.values()
    first = endpoint.workers[0]
    assert first.ready - first.started >= 120
    later = world.double.cloud.start(endpoint)
    assert later.ready - later.started < 20


def test_a_job_that_is_too_large_is_refused_by_the_queue_and_is_the_picture_s_fault(world, make_bundle, tmp_path: Path) -> None:
    live = world.target(mode="queue").deploy("hand", make_bundle(tmp_path / "one"), passes)
    with pytest.raises(InputError, match="10,485,760 bytes"):
        world.target(mode="queue").ask(live)(b"x" * 8_000_000)
    body = {"input": {"image": base64.b64encode(b"x" * 8_000_000).decode()}}
    statuses = [
        httpx.post(f"{world.url}/queue/{live.handle}/{path}", json=body, headers=KEY, timeout=60).status_code
        for path in ("run", "runsync")
    ]
    assert statuses == [413, 200]
    double = {"input": {"image": body["input"]["image"] * 2}}
    assert httpx.post(f"{world.url}/queue/{live.handle}/runsync", json=double, headers=KEY, timeout=60).status_code == 413


def test_requests_are_counted_in_three_windows_and_the_longest_is_waited_for(world) -> None:
    now = world.clock.now()
    world.double.limits.until |= {"minute": now + 3, "hour": now + 50, "day": now + 20}
    refused = httpx.get(f"{world.url}/v2/serverless", headers=KEY)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "3")  # it names the shortest
    assert re.findall(r'"(\w+)";r=0', refused.headers["ratelimit"]) == ["minute", "hour", "day"]
    assert world.client().endpoints() == []
    assert world.clock.now() >= now + 50
    assert world.double.limits.refused == 2  # it asked once, and then waited long enough


def test_an_open_stream_sends_heartbeats_and_nothing_new(world, make_bundle, tmp_path: Path) -> None:
    world.double.control.open_s = 0.2
    world.target().deploy("hand", make_bundle(tmp_path / "one"), passes)
    (endpoint,) = world.double.cloud.endpoints.values()
    logs = f"{world.url}/v2/serverless/{endpoint.id}/workers/{endpoint.workers[0].id}/logs"
    text = httpx.get(logs, headers=KEY).text
    assert text.startswith("id: ")
    assert text.count(": heartbeat") >= 2
    assert "data:" not in httpx.get(logs, params={"source": "system"}, headers=KEY).text
    assert "data:" not in httpx.get(logs, params={"since": "2030-01-01T00:00:00Z"}, headers=KEY).text
    for wrong in ({"tail": "5001"}, {"tail": "-1"}, {"source": "both"}, {"since": "yesterday"}):
        assert httpx.get(logs, params=wrong, headers=KEY).status_code == 422


def test_stock_under_a_floor_is_that_of_hosts_which_meet_it(world) -> None:
    world.double.cloud.hardware.stock("AMPERE_24", "HIGH", ("12.2", "12.11"))
    rows = {gpu.id: gpu for gpu in world.client().gpus(min_cuda="12.3")}
    assert rows["NVIDIA RTX A5000"].availability == "HIGH"  # 12.11 is newer than 12.3
    rows = {gpu.id: gpu for gpu in world.client().gpus(min_cuda="13.0")}
    assert rows["NVIDIA RTX A5000"].availability == "NONE"
    assert rows["NVIDIA RTX A4000"].availability == "HIGH"
    assert {gpu.availability for gpu in world.client().gpus(count=9)} == {"NONE"}


def test_workers_wait_for_machines_that_there_are_none_of(world, make_bundle, tmp_path: Path) -> None:
    target = world.target(pools=("AMPERE_16",))
    target.deploy("hand", make_bundle(tmp_path / "one"), passes)
    world.clock.advance(600)
    world.double.cloud.hardware.stock("AMPERE_16", "NONE")
    (endpoint,) = world.double.cloud.endpoints.values()
    spent = world.double.cloud.spent()
    world.double.cloud.take(endpoint)
    assert target.status("hand").detail == "1 throttled"
    world.clock.advance(600)
    assert world.double.cloud.spent() == spent  # which costs nothing


def test_a_template_s_cuda_versions_are_taken_over_unless_the_body_has_its_own(world) -> None:
    world.double.cloud.templates["tpl1"] = {"name": "t", "image": "x", "serverless": True, "allowedCudaVersions": ["12.8"]}
    body = {"name": "x", "type": "QUEUE", "templateId": "tpl1", "scaling": {"type": "QUEUE_DELAY", "queueDelay": 1}}
    for gpu, allowed in (({}, ["12.8"]), ({"minCudaVersion": "12.1"}, []), ({"allowedCudaVersions": ["13.0"]}, ["13.0"])):
        asked = body | {"gpu": {"pools": ["AMPERE_16"]} | gpu}
        made = httpx.post(f"{world.url}/v2/serverless", json=asked, headers=KEY)
        assert made.json()["gpu"]["allowedCudaVersions"] == allowed
