"""RunPod: what a worker needs of machines and of the account is asked before anything is made, and trouble is told in words."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr, ValidationError

sys.path.insert(0, str(Path(__file__).parent))
import clouds
from clouds import fails, passes

from registry.errors import InputError, IntegrityError, RefusedError, UnavailableError
from serving.fakes.runpod.hardware import Image
from serving.targets.runpod import hosts
from serving.targets.runpod.client import RunPodClient
from serving.targets.runpod.config import RunPodDeploy

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILES = {"serve-cuda": "serve", "serve-runpod-cuda": "runpod-queue"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[clouds.RunPodWorld]:
    with clouds.runpod_world(tmp_path / "cloud") as made:
        yield made


@pytest.mark.parametrize("name", ["serve-cuda", "serve-runpod-cuda"])
def test_the_floor_is_the_cuda_that_the_lock_of_each_image_for_gpus_brings(name: str) -> None:
    """Both modes have one: a load balancer's worker, and a queue's."""
    lock = (ROOT / "locks" / f"{name}.txt").read_text()
    assert "LOCK=" + name in (ROOT / "docker" / f"{DOCKERFILES[name]}.Dockerfile").read_text()
    (major, minor), = re.findall(r"^nvidia-cuda-runtime[a-z0-9-]*==(\d+)\.(\d+)", lock, re.MULTILINE)  # fmt: skip
    assert f"{major}.{minor}" == hosts.CUDA


def test_a_gpu_is_asked_for_by_its_count_and_with_the_floor(world, make_bundle, tmp_path: Path) -> None:
    world.target().deploy("hand", make_bundle(tmp_path / "one"), passes)
    (endpoint,) = world.double.cloud.endpoints.values()
    assert endpoint.spec["gpu"] == {
        "pools": ["AMPERE_16", "AMPERE_24"], "count": 1, "allowedCudaVersions": [], "minCudaVersion": "13.0",
    }  # fmt: skip
    world.target(min_cuda="12.4", gpus=2).deploy("hand", make_bundle(tmp_path / "one"), passes)
    assert (endpoint.spec["gpu"]["minCudaVersion"], endpoint.spec["gpu"]["count"]) == ("12.4", 2)
    for wrong in ("13", "thirteen", "12.x"):
        with pytest.raises(ValidationError):
            RunPodDeploy(image="x", bundles="https://x", min_cuda=wrong)


def test_pools_without_a_machine_under_the_floor_are_refused_before_anything_is_made(
    world, make_bundle, tmp_path: Path
) -> None:
    world.double.cloud.hardware.stock("AMPERE_16", "HIGH", ("12.4", "12.8"))
    with pytest.raises(UnavailableError, match=r"pools AMPERE_16: have no machine free with 1 GPU and CUDA 13.0 or newer"):
        world.target(pools=("AMPERE_16",)).deploy("hand", make_bundle(tmp_path / "one"), passes)
    assert list(world.shelf.folder.iterdir()) == []  # nothing was published either
    world.target(pools=("AMPERE_16",), min_cuda="12.4").deploy("hand", make_bundle(tmp_path / "one"), passes)
    world.target(pools=("AMPERE_16", "AMPERE_24")).deploy("two", make_bundle(tmp_path / "one"), passes)
    with pytest.raises(InputError, match="pool 'MOON'"):
        world.target(pools=("MOON",)).deploy("three", make_bundle(tmp_path / "one"), passes)
    assert world.names() == ["modelyard-hand", "modelyard-two"]


def test_settings_that_an_endpoint_had_are_restored_and_those_it_had_not_taken_away(world, make_bundle, tmp_path: Path) -> None:
    """An older endpoint without a floor, on whose pools somebody excluded a card; a change that fails leaves it so."""
    world.double.cloud.registries["reg1"] = {"name": "mine"}
    live = world.target().deploy("hand", make_bundle(tmp_path / "one"), passes)
    spec = world.double.cloud.endpoints[live.handle].spec
    spec["gpu"] = {"pools": ["AMPERE_16", "AMPERE_24"], "count": 1, "excludedTypes": ["NVIDIA L4"]}
    spec["gpu"] |= {"allowedCudaVersions": ["12.8", "13.0"], "minCudaVersion": None}
    url, headers = f"{world.url}/v2/serverless/{live.handle}", {"Authorization": "Bearer rpa_double"}
    before = httpx.get(url, headers=headers).json()
    calls = list[int]()

    def fails_on_the_endpoint(_) -> None:
        calls.append(1)
        if len(calls) == 2:  # the trial was fine
            fails(_)

    changed = make_bundle(tmp_path / "two", version=2, gain=30.0)
    with pytest.raises(IntegrityError):
        world.target(registry="mine").deploy("hand", changed, fails_on_the_endpoint)
    assert httpx.get(url, headers=headers).json() == before
    world.target(registry="mine").deploy("hand", changed, passes)
    after = httpx.get(url, headers=headers).json()
    assert after["gpu"]["excludedTypes"] == ["NVIDIA L4"]
    assert (after["gpu"]["minCudaVersion"], after["registry"]) == ("13.0", "reg1")


def test_more_workers_than_the_account_may_have_is_one_clear_line_before_anything_is_made(
    world, make_bundle, tmp_path: Path
) -> None:
    world.double.cloud.quota = 5
    bundles = [make_bundle(tmp_path / str(number), version=number, gain=20.0 + number) for number in (1, 2)]
    world.target(account_workers=None, max_workers=4).deploy("hand", bundles[0], passes)
    made = world.double.cloud.serial
    with pytest.raises(RefusedError) as error:
        world.target(account_workers=None, max_workers=2).deploy("glove", bundles[0], passes)
    assert str(error.value).startswith(
        "endpoint glove: needs 2 workers of the 5 over all endpoints (a new account's limit), 4 are taken by others; lower"
    )
    assert world.double.cloud.serial == made
    world.target(account_workers=None, max_workers=4).deploy(
        "hand", bundles[1], passes
    )  # with the one that is tried beside it, five
    with pytest.raises(RefusedError, match="needs 6 workers"):
        world.target(account_workers=None, max_workers=5).deploy("hand", bundles[0], passes)
    assert any("up to 2 of the 5 workers" in note for note in world.target(account_workers=None).quote().notes)
    quota = world.target(account_workers=None, max_workers=1).workers_for("glove")
    assert (quota.allowed, quota.taken, quota.needed, quota.is_enough) == (5, 4, 1, True)


def test_an_account_with_a_larger_quota_is_not_refused_for_a_new_one_s(world, make_bundle, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "one")
    world.target(account_workers=30, max_workers=20).deploy("hand", bundle, passes)
    world.target(account_workers=None, max_workers=9).deploy(
        "glove", bundle, passes
    )  # what stands shows that five are not the limit
    world.double.cloud.quota = 30
    with pytest.raises(RefusedError, match="of the 30 over all endpoints"):
        world.target(account_workers=30).deploy("cup", bundle, passes)
    with pytest.raises(InputError, match=r"workers quota \(30\)"):  # not known here: RunPod's own words
        world.target(account_workers=None).deploy("cup", bundle, passes)


def test_the_account_s_own_limit_is_used_where_runpod_tells_it() -> None:
    def client(status: int, document: object) -> RunPodClient:
        answer = httpx.Response(status, json=document)
        return RunPodClient(SecretStr("k"), sleep=lambda _: None, transport=httpx.MockTransport(lambda _: answer))

    assert client(200, {"serverlessWorkers": {"limit": 10, "used": 2}}).worker_limit() == 10
    for status, document in ((200, {}), (200, []), (200, {"serverlessWorkers": 7}), (404, {}), (403, {})):
        assert client(status, document).worker_limit() is None


def test_a_queue_s_sdk_asks_for_no_more_memory_than_the_smallest_machine_has(world, make_bundle, tmp_path: Path) -> None:
    world.target(mode="queue", pools=()).deploy("hand", make_bundle(tmp_path / "one"), passes)
    (endpoint,) = world.double.cloud.endpoints.values()
    assert float(endpoint.spec["env"]["RUNPOD_MIN_MEMORY_GB"]) <= 2


@pytest.mark.parametrize("mode", ["load_balancer", "queue"])
@pytest.mark.parametrize("fate", ["wobbly", "eager"])
def test_what_runpod_says_of_a_worker_while_it_starts_is_not_believed(
    world, make_bundle, picture, tmp_path: Path, fate: str, mode: str
) -> None:
    world.double.faults.add(fate, "^POST /v2/serverless$")
    live = world.target(mode=mode).deploy("hand", make_bundle(tmp_path / "one"), lambda ask: ask(picture("red")) and None)
    assert world.names() == ["modelyard-hand"]
    assert live.name == "hand"


@pytest.mark.parametrize(
    ("fault", "words"),
    [("unhealthy", "exit code 1"), ("looping", "start 12: worker exited"), ("stuck", "waiting for capacity")],
)
def test_workers_that_never_come_up_are_quoted(world, make_bundle, picture, tmp_path: Path, fault: str, words: str) -> None:
    """Also those that crash in a loop, which RunPod calls running."""
    bundle = make_bundle(tmp_path / "one")
    for mode in ("load_balancer", "queue"):
        world.double.faults.add(fault, "^POST /v2/serverless$")
        began = world.clock.now()
        with pytest.raises(UnavailableError, match=words):
            world.target(mode=mode, start_seconds=150).deploy("hand", bundle, lambda ask: ask(picture("red")) and None)
        waited = world.clock.now() - began
        assert 60 <= waited < 120 if fault == "unhealthy" else waited >= 150, mode
        assert world.names() == []


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (Image(architecture="arm64"), "exec format error"),
        (Image(missing=True), "manifest unknown"),
        (Image(cuda="none"), "ONNX Runtime would run on CPUExecutionProvider"),
        (Image(cuda="13.2"), "cuda>=13.2"),
    ],
)
def test_an_image_that_cannot_run_is_told_in_its_own_words(
    world, make_bundle, tmp_path: Path, image: Image, words: str
) -> None:
    world.double.cloud.images[clouds.IMAGE] = image
    with pytest.raises(UnavailableError, match=words):
        world.target(start_seconds=150).deploy("hand", make_bundle(tmp_path / "one"), passes)
    assert world.names() == []


def test_a_floor_keeps_workers_off_hosts_that_are_too_old(world, make_bundle, tmp_path: Path) -> None:
    world.double.cloud.images[clouds.IMAGE] = Image(cuda="13.0", pull_s=150)
    world.target(pools=("AMPERE_24",)).deploy("hand", make_bundle(tmp_path / "one"), passes)
    assert {worker.host.cuda for endpoint in world.double.cloud.endpoints.values() for worker in endpoint.workers} == {"13.0"}
    with pytest.raises(UnavailableError, match=r"cuda>=13\.0"):
        world.target(pools=("AMPERE_24",), min_cuda="12.4").deploy("old", make_bundle(tmp_path / "one"), passes)


def stream(chunks: Iterator[bytes]) -> RunPodClient:
    answer = httpx.Response(200, content=chunks, headers={"content-type": "text/event-stream"})
    return RunPodClient(SecretStr("k"), transport=httpx.MockTransport(lambda _: answer))


def event(line: str) -> bytes:
    return f"id: t\ndata: {json.dumps({'ts': 't', 'source': 'container', 'line': line})}\n\n".encode()


def test_a_stream_ends_by_its_lines_by_a_heartbeat_by_its_deadline_and_by_its_size() -> None:
    def endless(chunk: bytes) -> Iterator[bytes]:
        while True:
            yield chunk

    assert stream(endless(event("a"))).worker_logs("e", "w", 3) == ["a", "a", "a"]
    assert stream(iter([event("a"), b": heartbeat\n\n", *[b": heartbeat\n\n"] * 9])).worker_logs("e", "w", 3) == ["a"]
    slow = stream(endless(b"event: other\n\n"))
    seconds = iter(range(1000))
    slow._now = lambda: float(next(seconds))
    assert slow.worker_logs("e", "w", 3) == []
    assert next(seconds) < 10
    assert stream(endless(b"x" * 100_000)).worker_logs("e", "w", 3) == []  # not one whole line
    assert stream(iter([event("whole"), b'data: {"line": "cu'])).worker_logs("e", "w", 3) == ["whole"]


def test_logs_of_a_stream_that_stays_open_are_there_at_once(world, make_bundle, tmp_path: Path) -> None:
    world.double.control.open_s = 60.0
    target = world.target()
    target.deploy("hand", make_bundle(tmp_path / "one"), passes)
    began = time.monotonic()
    assert all("worker started" in line for line in target.logs("hand", 50))
    assert time.monotonic() - began < 30


def test_every_request_names_its_sender(world, make_bundle, picture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library's own default is turned away by the network in front of RunPod."""
    seen = set[str]()
    send = httpx.Client.send

    def spy(self, request: httpx.Request, **options):
        seen.add(request.headers["user-agent"])
        return send(self, request, **options)

    monkeypatch.setattr(httpx.Client, "send", spy)
    world.target().deploy("hand", make_bundle(tmp_path / "one"), lambda ask: ask(picture("red")) and None)
    assert seen == {"modelyard"}
