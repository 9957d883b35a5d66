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

ROOT = Path(__file__).resolve().parents[2]
SERVE, QUEUE = ".runpod/load-balancer/Dockerfile", ".runpod/Dockerfile"
"""docker/serve.Dockerfile and docker/runpod-queue.Dockerfile, each with one more step (see test_image_names.py)."""
LOCKS = {SERVE: "serve.txt", QUEUE: "serve-runpod.txt"}


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
    return Image(SERVE, tmp_path_factory.mktemp("serve"))


@pytest.fixture(scope="session")
def queue(reachable, tmp_path_factory: pytest.TempPathFactory) -> Image:
    return Image(QUEUE, tmp_path_factory.mktemp("queue"))


@pytest.fixture(params=[SERVE, pytest.param(QUEUE, marks=pytest.mark.soak)])
def image(request: pytest.FixtureRequest) -> Image:
    return request.getfixturevalue("serve" if request.param == SERVE else "queue")


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
    lock = LOCKS[SERVE if image.check else QUEUE]
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


@pytest.mark.soak
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


def listing(folder: str, root: Path) -> tuple[dict, dict[str, str]]:
    """The first test of a listing at RunPod's Hub, and the environment that it asks for."""
    tests = json.loads((ROOT / folder / "tests.json").read_text())
    env = {pair["key"]: pair["value"].replace("/opt/", f"{root}/opt/") for pair in tests["config"]["env"]}
    return tests["tests"][0], env


@pytest.mark.soak
def test_the_hub_s_test_of_the_queue_is_answered_by_the_bundle_in_the_image(queue: Image) -> None:
    case, env = listing(".runpod", queue.root)
    command = queue.command("--test_input", json.dumps({"id": "hub", "input": case["input"]}), **env)
    done = subprocess.run(**command, capture_output=True, text=True, check=False, timeout=case["timeout"] / 1000)
    assert done.returncode == 0, done.stderr
    assert "probabilities" in done.stdout + done.stderr
    assert "error" not in (done.stdout + done.stderr).lower()


def test_the_hub_s_load_balancer_is_healthy_with_the_bundle_in_the_image(serve: Image, picture) -> None:
    _, env = listing(".runpod/load-balancer", serve.root)
    port = str(free_port())
    with running(serve, **(env | {"PORT": port, "PORT_HEALTH": port})) as log:
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}")
        with client:
            assert answered(lambda: client.get("/ping")).status_code == 200, log.read_text()
            assert client.post("/predict", content=picture("green")).json()["label"] == "green"


def test_the_image_that_trains_has_all_of_our_code_that_its_agent_and_its_child_import(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    """The packages are those of this environment, which is of the same lock; the sources are what the Dockerfile copies."""
    packages = next(Path(path) for path in sys.path if path.endswith("site-packages") and (Path(path) / "torch").is_dir())
    train = Image("docker/train.Dockerfile", tmp_path_factory.mktemp("train"), packages)
    modules = ("pipelines.training.launchers.pod_main", "pipelines.training.child", "pipelines.training.trainers.torch")
    script = f"import importlib, json; print(json.dumps([importlib.import_module(m).__file__ for m in {modules}]))"
    command = train.command() | {"args": [train.entry[0], "-P", "-c", script]}
    done = subprocess.run(**command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(path.startswith(str(train.root / "opt" / "app")) for path in json.loads(done.stdout))
    started = subprocess.run(**train.command(), capture_output=True, text=True, check=False, timeout=60)
    assert (started.returncode, started.stderr.count("\n"), "Traceback" in started.stderr) == (1, 1, False), started.stderr


@pytest.mark.parametrize("lock", ["serve-cuda", "serve-runpod-cuda"])
def test_the_locks_for_gpus_hold_the_build_for_cuda_and_else_what_those_for_cpus_do(lock: str) -> None:
    gpu, cpu = set(names_in(f"{lock}.txt")), set(names_in(f"{lock.removesuffix('-cuda')}.txt"))
    assert "onnxruntime-gpu" in gpu
    assert cpu - gpu == {"onnxruntime"}
    assert {name for name in gpu - cpu if not name.startswith("nvidia-")} == {"onnxruntime-gpu"}
