"""`python -m pipelines.training.launchers.pod_main`: the agent in a pod, with its port, its clock and its child process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import uvicorn
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipelines.training.launchers.archives import PIECE
from pipelines.training.launchers.pod_agent import PodAgent
from pipelines.training.launchers.pod_switch import Switch
from registry.errors import InputError, ModelyardError, shorten
from serving.environment import safe_environment
from serving.targets.runpod.pods import PodClient

_TICK_S = 1.0


class ChildRunner:
    """`pipelines.training.child` in a process of its own, which sees no token and no key."""

    def __init__(self) -> None:
        """Nothing runs yet."""
        self._process: subprocess.Popen[bytes] | None = None
        self._taken = 0

    def start(self, job: Mapping[str, Any], folder: Path) -> None:
        """Start it; its lines and what it prints go to files, which a slow reader does not hold up."""
        self._out, self._log = folder / "lines", folder / "log"
        (folder / "job.json").write_text(json.dumps(dict(job)))
        command = [sys.executable, "-P", "-m", "pipelines.training.child", str(folder / "job.json")]
        with self._out.open("wb") as out, self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=out, stderr=log, env=safe_environment())

    def poll(self) -> tuple[list[str], int | None]:
        """Whole lines that are new; the exit code is asked for first, so that no line comes after it."""
        if self._process is None:
            return [], None
        code = self._process.poll()
        with self._out.open("rb") as file:
            file.seek(self._taken)
            fresh = file.read()
        whole = fresh[: fresh.rfind(b"\n") + 1]
        self._taken += len(whole)
        return whole.decode(errors="replace").splitlines(), code

    def stop(self) -> None:
        """Kill it."""
        if self._process and self._process.poll() is None:
            self._process.kill()

    def tail(self) -> str:
        """The end of its log."""
        return shorten(self._log.read_text(errors="replace")[-300:])


def app(agent: PodAgent, lock: threading.Lock) -> Starlette:
    """The agent's socket: one request at a time, none larger than a piece."""

    def answer(request: Request, body: bytes) -> Response:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        with lock:
            status, content = agent.handle(request.method, request.url.path, request.query_params, token, body)
        is_piece = request.url.path == "/model" and status == 200  # noqa: PLR2004
        return Response(content, status, media_type="application/octet-stream" if is_piece else "application/json")

    async def endpoint(request: Request) -> Response:
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > PIECE:
                return Response(b'{"detail": "too large"}', 413, media_type="application/json")
        return await run_in_threadpool(answer, request, bytes(body))

    return Starlette(routes=[Route("/{path:path}", endpoint, methods=["GET", "PUT", "POST"])])


def agent_of(env: Mapping[str, str]) -> PodAgent:
    """The agent that a pod's environment describes. Raises InputError for a variable that is missing or no number."""
    try:
        token, number = env["MODELYARD_POD_TOKEN"], env["RUNPOD_POD_ID"]
        key = env.get("MODELYARD_POD_KEY") or env["RUNPOD_API_KEY"]
        deadline, silence = float(env["MODELYARD_POD_DEADLINE"]), float(env["MODELYARD_POD_SILENCE_S"])
        url = env["MODELYARD_RUNPOD_URL"]
    except (KeyError, ValueError) as error:
        raise InputError("environment", f"cannot be used ({error})", "start pods with `modelyard train`") from error
    folder = Path(env.get("MODELYARD_POD_FOLDER", "/workspace"))
    folder.mkdir(parents=True, exist_ok=True)
    pods = PodClient(SecretStr(key), url)
    return PodAgent(folder, SecretStr(token), Switch(pods, number, deadline, silence, time.time), ChildRunner())


def main() -> None:
    """Serve until the pod ends. The clock runs beside the requests, which may be slow."""
    agent, lock = agent_of(os.environ), threading.Lock()

    def keep_time() -> None:
        while True:
            with lock:
                agent.look()
            agent.switch.tick()  # without the lock: RunPod may let it wait, and whoever asks the agent must not
            time.sleep(_TICK_S)

    threading.Thread(target=keep_time, name="clock", daemon=True).start()
    # The image sets the address that RunPod's proxy reaches; anywhere else the agent is for this machine alone.
    host, port = os.environ.get("MODELYARD_POD_HOST", "127.0.0.1"), int(os.environ.get("MODELYARD_POD_PORT", "8000"))
    uvicorn.run(app(agent, lock), host=host, port=port, log_level="warning", access_log=False, lifespan="off", ws="none")


if __name__ == "__main__":
    try:
        main()
    except ModelyardError as problem:
        sys.exit(str(problem))
