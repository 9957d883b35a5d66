"""What runs in the workers' containers: what it fetches, what it trusts, what it answers. `test_images.py` installs them."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from registry.errors import InputError, IntegrityError, NotFoundError, UnavailableError
from serving import container
from serving.bundle.download import pull
from serving.container import bundle_dir
from serving.fakes.http import listening
from serving.runpod_worker import Loading, handler_of
from serving.server.options import arguments
from serving.targets.huggingface.handler import EndpointHandler

sys.path.insert(0, str(Path(__file__).parent))
from containers import answered, free_port, names_in, shelved, signed

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "mlflow", "tensorflow", "ultralytics", "pydantic", "pandas", "scipy", "streamlit"}


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


def test_a_bundle_that_lies_there_has_to_be_the_one_that_is_named(make_bundle, tmp_path: Path, monkeypatch) -> None:
    bundle = make_bundle(tmp_path / "one")
    monkeypatch.setenv("MODELYARD_BUNDLE_DIR", str(bundle.folder))
    monkeypatch.setenv("MODELYARD_BUNDLE", bundle.index.digest)
    assert bundle_dir() == bundle.folder
    assert Loading().get().labels == ["red", "green", "blue"]
    monkeypatch.setenv("MODELYARD_BUNDLE", "0" * 64)
    for way in (bundle_dir, Loading().get, lambda: EndpointHandler(str(bundle.folder))):
        with pytest.raises(IntegrityError, match=f"holds bundle {bundle.index.digest[:12]} and not 000000000000"):
            way()
    monkeypatch.setenv("MODELYARD_BUNDLE_DIR", str(tmp_path))
    with pytest.raises(NotFoundError, match="holds no complete bundle"):
        bundle_dir()


def test_a_signature_is_checked_wherever_keys_are_named(make_bundle, tmp_path: Path, monkeypatch) -> None:
    bundle = make_bundle(tmp_path / "one")
    others = signed(make_bundle(tmp_path / "two", version=2), tmp_path / "others")
    monkeypatch.setenv("MODELYARD_BUNDLE_DIR", str(bundle.folder))
    monkeypatch.setenv("MODELYARD_KEYS", str(others))

    def ways():
        return Loading().get, lambda: EndpointHandler(str(bundle.folder))

    for way in ways():
        with pytest.raises(IntegrityError, match="is not signed"):
            way()
    ours = signed(bundle, tmp_path / "ours")
    for way in ways():
        with pytest.raises(IntegrityError, match="is not trusted here"):
            way()
    monkeypatch.setenv("MODELYARD_KEYS", str(ours))
    for way in ways():
        way()
    monkeypatch.setitem(sys.modules, "serving.bundle.signature", None)
    for way in ways():
        with pytest.raises(UnavailableError, match="the bundle's signature: cannot be checked here"):
            way()


def test_the_http_container_hands_the_keys_to_the_server(make_bundle, tmp_path: Path, monkeypatch) -> None:
    seen: list[list[str]] = []
    monkeypatch.setenv("MODELYARD_BUNDLE_DIR", str(make_bundle(tmp_path / "one").folder))
    monkeypatch.setenv("MODELYARD_KEYS", "/keys")
    monkeypatch.setattr("os.execv", lambda _, command: seen.append(command))
    monkeypatch.setattr("sys.argv", ["serving.container", "--workers", "1"])
    container.main()
    told = arguments(seen[0][seen[0].index("serving.start") + 1 :])
    assert (told.keys, told.workers, told.pulled) == (Path("/keys"), 1, True)


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
