"""What the serving benchmarks share: one model, other servers around it, and a client that is the same for all."""

from __future__ import annotations

import asyncio
import http.client
import io
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import uvicorn
from exporting import digits, order_of, quiet, tools, trained
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PEERS = Path(__file__).resolve().parent / "peers"
OTHERS = ROOT / ".venv-peers" / "bin"
COMMAND = str(Path(sys.executable).with_name("modelyard"))
"""What a person types."""
_PATIENCE_S = 90.0


@dataclass(frozen=True)
class Stage:
    """What every server gets: the bundle for ours, the tensor model for the others, a picture."""

    folder: Path
    bundle: Path
    picture: bytes

    @property
    def environment(self) -> dict[str, str]:
        """What the peers read."""
        model_paths = {"PEER_MODEL": str(self.bundle / "model.tensor.onnx"), "PEER_CHECKPOINT": str(self.folder / "peer.pt")}
        quiet_ones = {"YOLO_OFFLINE": "1", "YOLO_AUTOINSTALL": "0", "BENTOML_DO_NOT_TRACK": "true", "LIT_SERVE_NO_CHECK": "1"}
        programs = Path(uvicorn.__file__).parents[4] / "bin"  # `mlflow models serve` calls uvicorn by its name
        paths = {"PYTHONPATH": str(PEERS), "PATH": f"{programs}:{os.environ['PATH']}", "MODELYARD_BUNDLE_DIR": str(self.bundle)}
        return os.environ | model_paths | quiet_ones | paths | {"MLFLOW_DISABLE_TELEMETRY": "true"}


def set_stage(folder: Path, model: str = "yolo") -> Stage:
    """Train a classifier of the demo's digits at 64 px, export it, and make a 640 x 480 JPEG."""
    from pipelines.data.samples import held_out
    from serving.export.build import build_bundle

    data = digits(folder)
    order = order_of(trained(model, data, folder / "models"), data.files(held_out(data, 50)), [], ("onnx", "onnx-tensor"))
    build_bundle(order, folder / "bundle", tools(), quiet)
    noise = np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    held = io.BytesIO()
    Image.fromarray(noise).resize((640, 480), Image.Resampling.BICUBIC).save(held, "JPEG", quality=90)
    (folder / "picture.jpg").write_bytes(held.getvalue())
    return Stage(folder, folder / "bundle", held.getvalue())


@dataclass(frozen=True)
class Server:
    """How a server is started, and how it is asked."""

    command: list[str]
    path: str = "/predict"
    form: str = ""
    tensor: bool = False
    of_ours: bool = False

    def body(self, stage: Stage) -> tuple[bytes, str]:
        """The request's body and its content type."""
        if self.tensor:
            sys.path.insert(0, str(PEERS))
            from shared import tensor

            return json.dumps({"inputs": tensor(stage.picture).tolist()}).encode(), "application/json"
        if not self.form:
            return stage.picture, "image/jpeg"
        head = f'--x\r\nContent-Disposition: form-data; name="{self.form}"; filename="a.jpg"\r\nContent-Type: image/jpeg'
        return head.encode() + b"\r\n\r\n" + stage.picture + b"\r\n--x--\r\n", "multipart/form-data; boundary=x"


def servers(stage: Stage, port: int) -> dict[str, Server]:
    """Ours and the others, each with two processes that predict where it can have them."""
    here, where = sys.executable, ["--host", "127.0.0.1", "--port", str(port)]
    ours = [COMMAND, "serve", str(stage.bundle), "--workers", "2", *where]
    container = [here, "-P", "-m", "serving.container", "--workers", "2", *where]
    uvicorn = ["-m", "uvicorn", "--log-level", "warning", "--app-dir", str(PEERS), *where]
    served = ["models", "serve", "-m", str(stage.folder / "mlflow"), "--env-manager", "local", *where]
    return {
        "ours": Server(ours, of_ours=True),
        "container": Server(container, of_ours=True),
        "fastapi": Server([str(OTHERS / "python"), *uvicorn, "--workers", "2", "fastapi_app:app"]),
        "litserve": Server([str(OTHERS / "python"), str(PEERS / "litserve_app.py"), str(port)], form="request"),
        "bentoml": Server([str(OTHERS / "bentoml"), "serve", "bento_service:Digits", *where], form="image"),
        "ultralytics": Server([here, *uvicorn, "ultralytics_app:app"]),
        "mlflow": Server([here, "-m", "mlflow", *served], path="/invocations", tensor=True),
    }


def prepare(name: str, stage: Stage) -> None:
    """What a peer needs besides the tensor model."""
    if name == "ultralytics":
        from ultralytics import YOLO

        YOLO("yolov8n-cls.yaml", verbose=False).save(stage.environment["PEER_CHECKPOINT"])
    elif name == "mlflow" and not (stage.folder / "mlflow").exists():
        import mlflow
        import onnx

        mlflow.onnx.save_model(onnx.load(stage.environment["PEER_MODEL"]), stage.folder / "mlflow")
    elif name in {"fastapi", "litserve", "bentoml"} and not OTHERS.exists():
        sys.exit("bench: the peers are not installed; run `python3 tools/environments.py peers`")


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(server: Server, stage: Stage, port: int) -> Iterator[float]:
    """Start a server; seconds from its process's start to its first answer."""
    body, kind = server.body(stage)
    with (stage.folder / "peer.log").open("wb") as log:
        began = time.perf_counter()
        process = subprocess.Popen(
            server.command, stdout=log, stderr=log, env=stage.environment, cwd=ROOT if server.of_ours else PEERS,
            start_new_session=True,
        )  # fmt: skip
        try:
            while not _asked(port, server.path, body, kind):
                if process.poll() is not None or time.perf_counter() - began > _PATIENCE_S:
                    sys.exit(f"bench: {server.command[:4]} did not answer; see {stage.folder / 'peer.log'}")
                time.sleep(0.002)
            yield time.perf_counter() - began
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """The server, and all that it started."""
    with suppress(psutil.NoSuchProcess):
        family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        psutil.wait_procs(family, timeout=10)
    process.wait()


def _asked(port: int, path: str, body: bytes, kind: str) -> bool:
    wire = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        wire.request("POST", path, body, {"Content-Type": kind})
        return wire.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        wire.close()


def cold_start(server: str, stage: Stage) -> float:
    """One cold start, in seconds."""
    port = free_port()
    with running(servers(stage, port)[server], stage, port) as seconds:
        return seconds


def bare(stage: Stage, count: int = 1) -> float:
    """Without HTTP: seconds of a whole process that answers once, or of an answer within one."""
    command = [sys.executable, "-P", str(PEERS / "bare.py"), str(stage.folder / "picture.jpg"), str(count)]
    began = time.perf_counter()
    done = subprocess.run(command, env=stage.environment, check=True, capture_output=True, text=True)
    return float(done.stdout) if count > 1 else time.perf_counter() - began


def load(server: str, stage: Stage, seconds: float, connections: int = 8) -> tuple[float, float]:
    """Milliseconds an answer takes of the server's time, and the 99th percentile of what a client waits, under full load."""
    port = free_port()
    with running(servers(stage, port)[server], stage, port):
        target = servers(stage, port)[server]
        asyncio.run(_load(port, target, stage, 1.5, connections))  # warm
        spans, wall = asyncio.run(_load(port, target, stage, seconds, connections))
    return wall / len(spans) * 1e3, float(np.quantile(spans, 0.99)) * 1e3


def paced(server: str, stage: Stage, gap_s: float, seconds: float) -> float:
    """The 99th percentile of milliseconds from when a request was due to its answer, one every `gap_s`."""
    port = free_port()
    with running(servers(stage, port)[server], stage, port):
        target = servers(stage, port)[server]
        asyncio.run(_load(port, target, stage, 1.5, 8))  # warm
        return float(np.quantile(asyncio.run(_paced(port, target, stage, gap_s, int(seconds / gap_s))), 0.99)) * 1e3


async def _paced(port: int, server: Server, stage: Stage, gap_s: float, count: int) -> list[float]:
    request, loop = _request(server, stage), asyncio.get_running_loop()
    due, spans, began = iter(range(count)), list[float](), loop.time()

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for turn in due:
            at = began + turn * gap_s
            await asyncio.sleep(max(at - loop.time(), 0))
            await _ask(reader, writer, request)
            spans.append(loop.time() - at)
        writer.close()

    await asyncio.gather(*(client() for _ in range(32)))
    return spans


def grown(server: str, stage: Stage, first: int, last: int) -> tuple[float, float]:
    """Megabytes that a server and its children hold after `first` requests, and after `last`."""
    port, megabytes = free_port(), list[float]()
    with running(servers(stage, port)[server], stage, port):
        target = servers(stage, port)[server]
        listener = next(c for c in psutil.net_connections("tcp") if c.laddr and c.laddr[1] == port and c.status == "LISTEN")
        parent = psutil.Process(listener.pid)
        for count in (first, last - first):
            asyncio.run(_count(port, target, stage, count))
            family = [parent, *parent.children(recursive=True)]
            megabytes.append(sum(process.memory_full_info().uss for process in family) / 1e6)
    return megabytes[0], megabytes[1]


async def _count(port: int, server: Server, stage: Stage, count: int) -> None:
    request, left = _request(server, stage), iter(range(count))

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in left:
            await _ask(reader, writer, request)
        writer.close()

    await asyncio.gather(*(client() for _ in range(8)))


async def _load(port: int, server: Server, stage: Stage, seconds: float, connections: int) -> tuple[list[float], float]:
    request, spans = _request(server, stage), list[float]()
    began = time.perf_counter()

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() - began < seconds:
            start = time.perf_counter()
            await _ask(reader, writer, request)
            spans.append(time.perf_counter() - start)
        writer.close()

    await asyncio.gather(*(client() for _ in range(connections)))
    return spans, time.perf_counter() - began


def _request(server: Server, stage: Stage) -> bytes:
    body, kind = server.body(stage)
    head = f"POST {server.path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
    writer.write(request)
    answer = await reader.readuntil(b"\r\n\r\n")
    if not answer.startswith(b"HTTP/1.1 200"):
        sys.exit(f"bench: a server answered {answer[:60]!r} under load")
    size = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(int(size.split(b":")[1]))
