"""The workers' containers, as far as they can be shown without an engine: what they install, how they start, what they answer."""

from __future__ import annotations

import base64
import importlib.metadata
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from registry.errors import InputError, IntegrityError, UnavailableError
from serving.fakes.wire import listening
from serving.pull import pull
from serving.runpod_worker import Loading, handler_of

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "mlflow", "tensorflow", "ultralytics", "pydantic", "pandas", "scipy", "streamlit"}


def names_in(lock: str) -> list[str]:
    return re.findall(r"^([a-z0-9._-]+)==", (ROOT / "locks" / lock).read_text(), re.MULTILINE)


@contextmanager
def shelved(bundle, folder: Path) -> Iterator[str]:
    shutil.copytree(bundle.folder, folder / bundle.index.digest)
    with listening(Starlette(routes=[Mount("/", StaticFiles(directory=folder))])) as url:
        yield f"{url}/{bundle.index.digest}"


def only_these(lock: str, into: Path) -> Path:
    """A folder of packages that holds what the image would install, by the same lock, and nothing else."""
    into.mkdir()
    for name in names_in(lock):
        for file in importlib.metadata.distribution(name).files or []:
            top = file.parts[0]
            if top not in {"..", "__pycache__"} and not (into / top).exists():
                (into / top).symlink_to(
                    Path(file.locate()).parents[len(file.parts) - 2] if len(file.parts) > 1 else file.locate()
                )
    return into


def clean(packages: Path, **told: str) -> dict[str, str]:
    """An environment in which Python sees these packages and our two folders."""
    kept = {key: os.environ[key] for key in ("PATH", "LD_LIBRARY_PATH") if key in os.environ}
    return kept | {"PYTHONPATH": f"{packages}:{ROOT}"} | told


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answered(call, seconds: float = 30):
    end = time.monotonic() + seconds
    while True:
        try:
            return call()
        except httpx.HTTPError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def test_what_is_pulled_is_what_was_asked_for(make_bundle, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "one")
    with shelved(bundle, tmp_path / "shelf") as url:
        digest = bundle.index.digest
        place = pull(url, digest, tmp_path / "a")
        assert {path.name for path in place.iterdir()} == {"bundle.json", "model.onnx", "preprocess.json", "labels.json"}
        assert pull("http://127.0.0.1:1", digest, tmp_path / "a") == place
        with pytest.raises(IntegrityError, match="and not 000000000000"):
            pull(url, "0" * 64, tmp_path / "b")
        (tmp_path / "shelf" / digest / "model.onnx").write_bytes(b"x")
        with pytest.raises(IntegrityError, match=r"model\.onnx: is not the file"):
            pull(url, digest, tmp_path / "c")
        with pytest.raises(UnavailableError, match="404"):
            pull(f"{url}/nowhere", digest, tmp_path / "d")
        with pytest.raises(InputError, match="no http address"):
            pull("file:///etc", digest, tmp_path / "e")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "one", "shelf"]


def test_a_token_goes_to_the_address_and_not_where_it_redirects(make_bundle, tmp_path: Path) -> None:
    bundle, seen = make_bundle(tmp_path / "one"), list[tuple[str, str | None]]()

    def app(name: str, target) -> Starlette:
        async def give(request: Request) -> Response:
            seen.append((name, request.headers.get("Authorization")))
            return await target(request)

        return Starlette(routes=[Route("/{path}", give)])

    async def files(request: Request) -> Response:
        path = bundle.folder / request.path_params["path"]
        return Response(path.read_bytes()) if path.exists() else Response(status_code=404)

    with listening(app("store", files)) as store:

        async def redirect(request: Request) -> Response:
            return Response(status_code=302, headers={"Location": f"{store}/{request.path_params['path']}"})

        with listening(app("hub", redirect)) as hub:
            pull(hub, bundle.index.digest, tmp_path / "a", "hf_secret")
    assert {value for name, value in seen if name == "hub"} == {"Bearer hf_secret"}
    assert {value for name, value in seen if name == "store"} == {None}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "must hold 'image'"),
        ({"image": "x", "images": []}, "must hold 'image'"),
        ({"images": []}, "is not a list of images"),
        ({"image": 5}, "is missing"),
        ({"image": "%%%"}, "neither base64 nor a data URL"),
        ({"image": base64.b64encode(b"no image").decode()}, "image"),
    ],
)
def test_a_job_that_cannot_be_done_is_an_error_in_one_line(make_bundle, tmp_path: Path, monkeypatch, given, said: str) -> None:
    monkeypatch.setenv("MODELYARD_BUNDLE_DIR", str(make_bundle(tmp_path / "one").folder))
    told = handler_of(Loading())({"id": "1", "input": given})
    assert said in told["error"]
    assert "\n" not in told["error"]


def test_a_job_is_answered(make_bundle, picture, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("MODELYARD_BUNDLE_DIR", str(make_bundle(tmp_path / "one").folder))
    handler = handler_of(Loading())
    red, green = (base64.b64encode(picture(colour)).decode() for colour in ("red", "green"))
    assert handler({"input": {"image": red}})["label"] == "red"
    assert [one["label"] for one in handler({"input": {"images": [green, f"data:image/png;base64,{red}"]}})["predictions"]] == [
        "green",
        "red",
    ]


def test_the_images_hold_nothing_of_training() -> None:
    assert HEAVY.isdisjoint(names_in("serve.txt"))
    assert {"torch", "mlflow", "tensorflow", "ultralytics"}.isdisjoint(names_in("serve-runpod.txt"))
    for dockerfile in (ROOT / "docker").glob("*.Dockerfile"):
        text = dockerfile.read_text()
        assert "USER 10001" in text
        assert "--require-hashes --only-binary :all:" in text


def test_the_dockerfiles_are_linted() -> None:
    import onnxruntime

    program = Path(onnxruntime.__file__).parents[4] / "bin" / "hadolint"
    if not program.exists():
        pytest.skip("hadolint has no build for this machine")
    done = subprocess.run([program, *(ROOT / "docker").glob("*.Dockerfile")], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_listing_at_runpod_s_hub_is_whole() -> None:
    folder = ROOT / ".runpod"
    hub, tests = (json.loads((folder / f"{name}.json").read_text()) for name in ("hub", "tests"))
    assert hub["type"] == "serverless"
    assert all(one["input"]["image"] for one in tests["tests"])
    assert "serving.runpod_worker" in (folder / "Dockerfile").read_text()


@pytest.mark.journey
def test_the_http_worker_starts_from_its_lock_alone(make_bundle, picture, tmp_path: Path) -> None:
    bundle, port = make_bundle(tmp_path / "one"), free_port()
    packages = only_these("serve.txt", tmp_path / "packages")
    with shelved(bundle, tmp_path / "shelf") as url:
        told = clean(
            packages, MODELYARD_BUNDLE_URL=url, MODELYARD_BUNDLE=bundle.index.digest, PORT=str(port), TMPDIR=str(tmp_path)
        )
        process = subprocess.Popen([sys.executable, "-S", "-P", "-m", "serving.container"], env=told, cwd=tmp_path)
        try:
            answer = answered(lambda: httpx.post(f"http://127.0.0.1:{port}/predict", content=picture("red")))
            assert answer.json()["label"] == "red"
            assert httpx.get(f"http://127.0.0.1:{port}/ping").status_code == 200
            assert httpx.get(f"http://127.0.0.1:{port}/health").json()["bundle"] == bundle.index.digest
            assert b"modelyard_requests_total" in httpx.get(f"http://127.0.0.1:{port}/metrics").content
        finally:
            process.terminate()
            process.wait(30)


@pytest.mark.journey
def test_a_container_without_a_bundle_is_one_line(tmp_path: Path) -> None:
    for module in ("serving.container", "serving.runpod_worker"):
        told = {key: value for key, value in os.environ.items() if not key.startswith("MODELYARD_")} | {
            "PYTHONWARNINGS": "ignore"
        }
        done = subprocess.run(
            [sys.executable, "-m", module], env=told | {"PYTHONPATH": str(ROOT)}, cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 2
        assert "MODELYARD_BUNDLE_URL: is not set" in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.journey
def test_the_queue_worker_takes_jobs_from_a_queue(make_bundle, picture, tmp_path: Path) -> None:
    """RunPod's own loop, from the packages of its lock, against a queue: one good job, one bad, and it is told what happened."""
    jobs = [
        {"id": "good", "input": {"image": base64.b64encode(picture("green")).decode()}},
        {"id": "bad", "input": {"image": "bm90IGFuIGltYWdl"}},
    ]
    done, both = dict[str, dict](), threading.Event()

    async def take(_: Request) -> Response:
        return JSONResponse(jobs.pop(0)) if jobs else Response(status_code=204)

    async def finish(request: Request) -> Response:
        body = json.loads(await request.body())
        done[request.path_params["job"]] = body
        if len(done) == 2:
            both.set()
        return Response()

    async def ping(_: Request) -> Response:
        return Response()

    app = Starlette(
        routes=[
            Route("/job-take/{id}", take),
            Route("/job-done/{worker}/{job}", finish, methods=["POST"]),
            Route("/ping", ping),
        ]
    )
    with listening(app) as url:
        told = clean(
            only_these("serve-runpod.txt", tmp_path / "packages"),
            MODELYARD_BUNDLE_DIR=str(make_bundle(tmp_path / "one").folder),
            RUNPOD_WEBHOOK_GET_JOB=f"{url}/job-take/$ID?gpu=x",
            RUNPOD_WEBHOOK_POST_OUTPUT=f"{url}/job-done/$RUNPOD_POD_ID/$ID?gpu=x",
            RUNPOD_WEBHOOK_PING=f"{url}/ping?x=1",
            RUNPOD_POD_ID="pod1",
            RUNPOD_ENDPOINT_ID="ep1",
            RUNPOD_AI_API_KEY="rpa_worker",
            RUNPOD_SKIP_AUTO_SYSTEM_CHECKS="true",
            RUNPOD_SKIP_GPU_CHECK="true",
            HOME=str(tmp_path),
        )
        log = (tmp_path / "log").open("wb")
        process = subprocess.Popen(
            [sys.executable, "-S", "-P", "-m", "serving.runpod_worker"],
            env=told,
            cwd=tmp_path,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            assert both.wait(60), (tmp_path / "log").read_text()[-2000:]
        finally:
            os.killpg(process.pid, 9)
            process.wait(30)
            log.close()
    assert done["good"]["output"]["label"] == "green"
    assert "image" in done["bad"]["error"]
    assert "Traceback" not in json.dumps(done["bad"])


@pytest.mark.journey
def test_the_queue_worker_s_local_server_answers(make_bundle, picture, tmp_path: Path) -> None:
    port = free_port()
    told = os.environ | {
        "MODELYARD_BUNDLE_DIR": str(make_bundle(tmp_path / "one").folder),
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore",
    }
    command = [sys.executable, "-m", "serving.runpod_worker", "--rp_serve_api", "--rp_api_port", str(port)]
    process = subprocess.Popen(
        command, env=told, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        body = {"input": {"image": base64.b64encode(picture("blue")).decode()}}
        answer = answered(lambda: httpx.post(f"http://127.0.0.1:{port}/runsync", json=body, timeout=10), 60)
        assert answer.json()["output"]["label"] == "blue"
    finally:
        os.killpg(process.pid, 9)
        process.wait(30)
