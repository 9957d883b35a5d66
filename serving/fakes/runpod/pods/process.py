"""Pods whose containers are processes of this machine: what the image would run is run, and is really killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from serving.fakes.plain import Answer, Ask

_START_S = 60.0
_INHERITED = ("PATH", "PYTHONPATH", "LANG", "TMPDIR", "MODELYARD_CACHE", "COVERAGE_PROCESS_START")


class ProcessContainer:
    """A container's process, in a group of its own, that listens on a port of loopback."""

    def __init__(self, env: Mapping[str, str], command: Sequence[str], folder: Path) -> None:
        """Start it. It sees what its pod was given, and nothing of this process's own environment but where programs are.

        An image has a network and a disk of its own: here a free port and a folder stand for them.
        """
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        folder.mkdir(parents=True, exist_ok=True)
        of_here = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        given = {"MODELYARD_POD_PORT": str(port), "MODELYARD_POD_FOLDER": str(folder), "HOME": str(folder)}
        words = [sys.executable if word == "python" else word for word in command]
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                words, env={**of_here, **env, **given}, stdout=log, stderr=log, start_new_session=True, cwd=folder
            )
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=_START_S)

    @property
    def ended(self) -> bool:
        """Whether it has exited."""
        return self.process.poll() is not None

    def ask(self, ask: Ask) -> Answer:
        """Hand a request on; 502 where nothing answers yet."""
        try:
            answer = self._client.request(
                ask.method, ask.path, params=dict(ask.query), content=ask.body, headers=_headers(ask.headers)
            )
        except httpx.HTTPError:
            return Answer(502, b"<html><body>502</body></html>", {"content-type": "text/html"})
        return Answer(answer.status_code, answer.content, {"content-type": answer.headers.get("content-type", "")})

    def tick(self) -> None:
        """Processes have their own clock."""

    def kill(self) -> None:
        """SIGKILL to it and to all that it has started, as the end of a machine is."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        until = time.monotonic() + 10
        while self.process.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        self._client.close()


def _headers(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name in {"authorization", "content-type"}}
