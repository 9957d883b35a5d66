"""The workers' images, but for the engine: installed, copied and started by the lines of their Dockerfiles, they answer."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from serving.fakes.http import listening

sys.path.insert(0, str(Path(__file__).parent))
from containers import answered, free_port, hosted, names_in, signed
from dockerfiles import Image

pytestmark = pytest.mark.journey

LOCKS = {"serve.Dockerfile": "serve.txt", "runpod-queue.Dockerfile": "serve-runpod.txt"}


@pytest.fixture(scope="session")
def reachable(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skips where nothing can be installed."""
    if sys.version_info[:2] != (3, 11):
        pytest.skip("the images hold Python 3.11, and this is another one")
    asked = [f"{sys.base_prefix}/bin/python3", "-m", "pip", "download", "--no-deps", "--no-cache-dir", "--retries", "1"]
    done = subprocess.run([*asked, "--dest", tmp_path_factory.mktemp("asked"), "idna"], capture_output=True, text=True)
    if done.returncode:
        pytest.skip("the package index cannot be reached")


@pytest.fixture(scope="session")
def serve(reachable, tmp_path_factory: pytest.TempPathFactory) -> Image:
    return Image("serve.Dockerfile", tmp_path_factory.mktemp("serve"))


@pytest.fixture(scope="session")
def queue(reachable, tmp_path_factory: pytest.TempPathFactory) -> Image:
    return Image("runpod-queue.Dockerfile", tmp_path_factory.mktemp("queue"))


@pytest.fixture(params=LOCKS)
def image(request: pytest.FixtureRequest) -> Image:
    return request.getfixturevalue("serve" if request.param == "serve.Dockerfile" else "queue")


@contextmanager
def running(image: Image, *arguments: str, **environment: str) -> Iterator[Path]:
    """Its process; the file that it prints into."""
    log = image.root / "log"
    with log.open("wb") as file:
        command = image.command(*arguments, **environment)
        process = subprocess.Popen(**command, stdout=file, stderr=file, start_new_session=True)
        try:
            yield log
        finally:
            os.killpg(process.pid, 9)
            process.wait(30)


def test_it_sees_the_packages_of_its_lock_and_our_two_folders_and_nothing_else(image: Image) -> None:
    script = "import importlib.metadata as m, json, serving; print(json.dumps([[d.name for d in m.distributions()], serving.__file__]))"
    installed, where = json.loads(image.python("-P", "-c", script))
    plain = {re.sub(r"[-_.]+", "-", name).lower() for name in installed}
    lock = LOCKS["serve.Dockerfile" if image.check else "runpod-queue.Dockerfile"]
    assert plain - {"pip", "setuptools"} == {re.sub(r"[-_.]+", "-", name) for name in names_in(lock)}
    assert where == str(image.root / "opt" / "app" / "serving" / "__init__.py")


def test_the_http_worker_fetches_checks_and_answers(serve: Image, make_bundle, picture, tmp_path: Path) -> None:
    bundle, port = make_bundle(tmp_path / "one"), str(free_port())
    keys, digest = signed(bundle, tmp_path / "signed"), bundle.index.digest
    with hosted(bundle, tmp_path / "shelf") as url:
        environment = {"MODELYARD_BUNDLE_URL": url, "MODELYARD_BUNDLE": digest, "MODELYARD_KEYS": str(keys), "PORT": port}
        environment["MODELYARD_NO_KEY"] = "1"  # it listens at every address, as a container does
        assert not serve.healthy(PORT=port)
        with running(serve, "--fetch", **environment) as log, httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            answer = answered(lambda: client.post("/predict", content=picture("red")).raise_for_status())
            assert answer.json()["label"] == "red", log.read_text()
            assert serve.healthy(PORT=port)
            assert client.get("/health").json()["bundle"] == digest
            assert b"modelyard_requests_total" in client.get("/metrics").content
            inward = client.post("/predict", json={"image": "https://localhost/a.jpg"})
            assert (inward.status_code, "not a public host" in inward.json()["error"]) == (422, True)


def test_the_queue_worker_takes_jobs_from_a_queue(queue: Image, make_bundle, picture, tmp_path: Path) -> None:
    """RunPod's own loop against a queue: one good job, one bad, and it is told what happened."""
    jobs = [
        {"id": "good", "input": {"image": base64.b64encode(picture("green")).decode()}},
        {"id": "bad", "input": {"image": "bm90IGFuIGltYWdl"}},
    ]
    done, both = dict[str, dict](), threading.Event()

    async def take(_: Request) -> Response:
        return JSONResponse(jobs.pop(0)) if jobs else Response(status_code=204)

    async def finish(request: Request) -> Response:
        done[request.path_params["job"]] = json.loads(await request.body())
        if len(done) == 2:
            both.set()
        return Response()

    async def ping(_: Request) -> Response:
        return Response()

    finished = Route("/job-done/{worker}/{job}", finish, methods=["POST"])
    bundle = make_bundle(tmp_path / "one")
    with listening(Starlette(routes=[Route("/job-take/{id}", take), finished, Route("/ping", ping)])) as url:
        environment = {
            "MODELYARD_BUNDLE_DIR": str(bundle.folder),
            "MODELYARD_BUNDLE": bundle.index.digest,
            "MODELYARD_KEYS": str(signed(bundle, tmp_path / "signed")),
            "RUNPOD_WEBHOOK_GET_JOB": f"{url}/job-take/$ID?gpu=x",
            "RUNPOD_WEBHOOK_POST_OUTPUT": f"{url}/job-done/$RUNPOD_POD_ID/$ID?gpu=x",
            "RUNPOD_WEBHOOK_PING": f"{url}/ping?x=1",
            "RUNPOD_POD_ID": "pod1",
            "RUNPOD_ENDPOINT_ID": "ep1",
            "RUNPOD_AI_API_KEY": "rpa_worker",
            "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
            "RUNPOD_SKIP_GPU_CHECK": "true",
        }
        with running(queue, **environment) as log:
            assert both.wait(60), log.read_text()[-2000:]
    assert done["good"]["output"]["label"] == "green"
    assert "image" in done["bad"]["error"]
    assert "Traceback" not in json.dumps(done["bad"])


def test_what_it_may_not_serve_is_one_line(image: Image, make_bundle, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "one")
    keys = signed(make_bundle(tmp_path / "two", version=2), tmp_path / "signed")
    folder = {"MODELYARD_BUNDLE_DIR": str(bundle.folder), "PORT": str(free_port()), "MODELYARD_NO_KEY": "1"}
    for environment, message in (
        ({}, "MODELYARD_BUNDLE_URL: is not set"),
        (folder | {"MODELYARD_BUNDLE": "0" * 64}, f"holds bundle {bundle.index.digest[:12]} and not 000000000000"),
        (folder | {"MODELYARD_KEYS": str(keys)}, "is not signed"),
        (folder | {"MODELYARD_KEYS": str(tmp_path)}, "holds no public key"),
    ):
        done = subprocess.run(**image.command(**environment), capture_output=True, text=True, check=False, timeout=60)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert message in done.stderr
