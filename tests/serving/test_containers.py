"""What runs in the workers' containers: what it fetches, what it trusts, what it answers. `test_images.py` installs them."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from registry.errors import IntegrityError, NotFoundError, UnavailableError
from serving import container
from serving.container import bundle_dir
from serving.runpod_worker import Loading, handler_of
from serving.server.options import arguments
from serving.targets.huggingface.handler import EndpointHandler

sys.path.insert(0, str(Path(__file__).parent))
from containers import answered, free_port, names_in, signed

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"torch", "mlflow", "tensorflow", "ultralytics", "pydantic", "pandas", "scipy", "streamlit"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "must hold 'image'"),
        ({"image": "x", "images": []}, "must hold 'image'"),
        ({"images": []}, "is not a list of images"),
        ({"image": 5}, "is missing"),
        ({"image": "%%%"}, "neither base64 nor a data URL"),
        ({"image": base64.b64encode(b"no image").decode()}, "image"),
    ],
)
def test_a_job_that_cannot_be_done_is_an_error_in_one_line(
    make_bundle, tmp_path: Path, monkeypatch, given, message: str
) -> None:
    monkeypatch.setenv("MODELYARD_BUNDLE_DIR", str(make_bundle(tmp_path / "one").folder))
    answer = handler_of(Loading())({"id": "1", "input": given})
    assert message in answer["error"]
    assert "\n" not in answer["error"]


def test_a_job_is_answered(make_bundle, picture, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("MODELYARD_BUNDLE_DIR", str(make_bundle(tmp_path / "one").folder))
    handler = handler_of(Loading())
    red, green = (base64.b64encode(picture(colour)).decode() for colour in ("red", "green"))
    assert handler({"input": {"image": red}})["label"] == "red"
    assert [
        prediction["label"]
        for prediction in handler({"input": {"images": [green, f"data:image/png;base64,{red}"]}})["predictions"]
    ] == [
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
    for start in (bundle_dir, Loading().get, lambda: EndpointHandler(str(bundle.folder))):
        with pytest.raises(IntegrityError, match=f"holds bundle {bundle.index.digest[:12]} and not 000000000000"):
            start()
    monkeypatch.setenv("MODELYARD_BUNDLE_DIR", str(tmp_path))
    with pytest.raises(NotFoundError, match="holds no complete bundle"):
        bundle_dir()


def test_a_signature_is_checked_wherever_keys_are_named(make_bundle, tmp_path: Path, monkeypatch) -> None:
    bundle = make_bundle(tmp_path / "one")
    others = signed(make_bundle(tmp_path / "two", version=2), tmp_path / "others")
    monkeypatch.setenv("MODELYARD_BUNDLE_DIR", str(bundle.folder))
    monkeypatch.setenv("MODELYARD_KEYS", str(others))

    def starts():
        return Loading().get, lambda: EndpointHandler(str(bundle.folder))

    for start in starts():
        with pytest.raises(IntegrityError, match="is not signed"):
            start()
    ours = signed(bundle, tmp_path / "ours")
    for start in starts():
        with pytest.raises(IntegrityError, match="is not trusted here"):
            start()
    monkeypatch.setenv("MODELYARD_KEYS", str(ours))
    for start in starts():
        start()
    monkeypatch.setitem(sys.modules, "serving.bundle.signature", None)
    for start in starts():
        with pytest.raises(UnavailableError, match="the bundle's signature: cannot be checked here"):
            start()


def test_the_http_container_hands_the_keys_to_the_server(make_bundle, tmp_path: Path, monkeypatch) -> None:
    seen: list[list[str]] = []
    monkeypatch.setenv("MODELYARD_BUNDLE_DIR", str(make_bundle(tmp_path / "one").folder))
    monkeypatch.setenv("MODELYARD_KEYS", "/keys")
    monkeypatch.setattr("os.execve", lambda _, command, _environment: seen.append(command))
    monkeypatch.setattr("sys.argv", ["serving.container", "--workers", "1"])
    container.main()
    options = arguments(seen[0][seen[0].index("serving.start") + 1 :])
    assert (options.keys, options.workers, options.pulled) == (Path("/keys"), 1, True)


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
    files = [*(ROOT / "docker").glob("*.Dockerfile"), *(ROOT / ".runpod").rglob("Dockerfile")]
    assert len(files) == 5
    done = subprocess.run([program, *files], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.journey
def test_a_container_without_a_bundle_is_one_line(tmp_path: Path) -> None:
    for module in ("serving.container", "serving.runpod_worker"):
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MODELYARD_")} | {
            "PYTHONWARNINGS": "ignore"
        }
        done = subprocess.run(
            [sys.executable, "-m", module],
            env=environment | {"PYTHONPATH": str(ROOT)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 2
        assert "MODELYARD_BUNDLE_URL: is not set" in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.journey
def test_the_queue_worker_s_local_server_answers(make_bundle, picture, tmp_path: Path) -> None:
    port = free_port()
    environment = os.environ | {
        "MODELYARD_BUNDLE_DIR": str(make_bundle(tmp_path / "one").folder),
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore",
    }
    command = [sys.executable, "-m", "serving.runpod_worker", "--rp_serve_api", "--rp_api_port", str(port)]
    process = subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        body = {"input": {"image": base64.b64encode(picture("blue")).decode()}}
        answer = answered(lambda: httpx.post(f"http://127.0.0.1:{port}/runsync", json=body, timeout=10), 60)
        assert answer.json()["output"]["label"] == "blue"
    finally:
        os.killpg(process.pid, 9)
        process.wait(30)
