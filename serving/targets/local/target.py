"""The local target: one HTTP process per endpoint, started from the bundle, on loopback.

    <folder>/<name>.json             what the name means; replaced in one step when traffic flips
    <folder>/<name>.candidate.json   a process that was started and not yet flipped to; the next call ends it
    <folder>/<name>.log              what the process said

The processes outlive the command that started them; `modelyard up` ends them with everything else.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from registry.errors import InputError, UnavailableError, shorten
from registry.files import read_json, write_json
from serving.bundle import Bundle
from serving.targets.contract import Live, Smoke

_START_S = 60.0
_STOP_S = 10.0
_HEALTH_S = 2.0
_HOST = "127.0.0.1"


@dataclass(frozen=True)
class LocalTarget:
    """Endpoints below one folder. `port` 0 takes any free one for each deployment; `workers` predict side by side."""

    folder: Path
    port: int = 0
    workers: int = 1

    def deploy(self, name: str, bundle: Bundle, smoke: Smoke) -> Live:
        """Start a process, smoke-test it, let the name mean it, and end the one before."""
        old = self.find(name)
        if old and old.bundle == bundle.index.digest and self.answers(old):
            return old
        self._end_candidate(name)
        fresh = self._start(name, bundle, self._free_port(old))
        try:
            self._wait(fresh)
            smoke(fresh.url)
            write_json(self._record(name), fresh.model_dump(mode="json"))
        except BaseException:
            self._end_candidate(name)
            raise
        self._candidate(name).unlink(missing_ok=True)
        if old:
            _end(old)
        return fresh

    def find(self, name: str) -> Live | None:
        """The endpoint of that name, as recorded."""
        try:
            return Live.model_validate(read_json(self._record(name)))
        except FileNotFoundError:
            return None

    def list(self) -> list[Live]:
        """Every recorded endpoint, by name."""
        names = sorted(path.stem for path in self.folder.glob("*.json") if not path.name.endswith(".candidate.json"))
        return [live for live in map(self.find, names) if live]

    def answers(self, live: Live) -> bool:
        """Whether the endpoint's health says that it serves that bundle."""
        try:
            said = httpx.get(f"{live.url}/health", timeout=_HEALTH_S).json()
        except (httpx.HTTPError, ValueError):
            return False
        return said.get("bundle") == live.bundle

    def delete(self, name: str) -> None:
        """End the process and forget the name."""
        self._end_candidate(name)
        if live := self.find(name):
            _end(live)
            self._record(name).unlink(missing_ok=True)

    def stop_all(self) -> None:
        """End every process; the records stay, so that the reconciler starts them again next time."""
        for path in self.folder.glob("*.candidate.json"):
            self._end_candidate(path.name.removesuffix(".candidate.json"))
        for live in self.list():
            _end(live)

    def _record(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _candidate(self, name: str) -> Path:
        return self.folder / f"{name}.candidate.json"

    def _free_port(self, old: Live | None) -> int:
        """The port to listen on. A fixed one that our own older endpoint holds cannot be taken over while it answers."""
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_HOST, self.port))
            except OSError as error:
                if old and old.url.endswith(f":{self.port}") and self.answers(old):
                    return _any_port()
                raise InputError(f"port {self.port}", "is taken", "choose another one, or 0 for any free one") from error
            return int(probe.getsockname()[1])

    def _start(self, name: str, bundle: Bundle, port: int) -> Live:
        """Start the process and note it as a candidate before anything else can fail."""
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-P", "-m", "serving.start", "--bundle", str(bundle.folder.absolute())]
        command += ["--workers", str(self.workers), "--port", str(port)]
        pid = _detach(command, self.folder / f"{name}.log")
        index = bundle.index
        live = Live(
            name=name,
            model=index.model,
            version=index.version,
            bundle=index.digest,
            url=f"http://{_HOST}:{port}",
            handle=str(pid),
        )
        write_json(self._candidate(name), live.model_dump(mode="json"))
        return live

    def _wait(self, live: Live) -> None:
        """Wait until the process is healthy, or say its last words."""
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if self.answers(live):
                return
            if _process(live) is None:
                break
            time.sleep(0.05)
        words = (self.folder / f"{live.name}.log").read_text(errors="replace").strip().splitlines()
        raise UnavailableError(
            f"endpoint {live.name}",
            f"did not become healthy: {shorten(words[-1] if words else 'no words', 160)}",
            f"see {self.folder / f'{live.name}.log'}",
        )

    def _end_candidate(self, name: str) -> None:
        """End a process that was started and never flipped to."""
        path = self._candidate(name)
        with contextlib.suppress(FileNotFoundError):
            _end(Live.model_validate(read_json(path)))
            path.unlink(missing_ok=True)


def _detach(command: list[str], log: Path) -> int:
    """Start a process in a session of its own that outlives us, with its output in `log`; return its number."""
    wanted = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), wanted, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    return os.posix_spawn(command[0], command, os.environ, file_actions=actions, setsid=True)


def _any_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


def _process(live: Live) -> psutil.Process | None:
    """The endpoint's process, if it is still that one: process numbers are used again."""
    try:
        process = psutil.Process(int(live.handle))
        words = process.cmdline()
        ours = "serving.start" in words and words[-1] == live.url.rpartition(":")[2]
        if process.status() == psutil.STATUS_ZOMBIE or not ours:
            return None
    except psutil.Error:
        return None
    return process


def _end(live: Live) -> None:
    """Ask the process to end; insist after a while."""
    process = _process(live)
    if process is None:
        return
    with contextlib.suppress(psutil.NoSuchProcess):
        process.terminate()
        try:
            process.wait(_STOP_S)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(_STOP_S)
