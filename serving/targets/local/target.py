"""The local target: one HTTP process per endpoint, started from the bundle, on loopback.

    <folder>/<name>.json             the live endpoint; replaced atomically when traffic switches
    <folder>/<name>.before.json      the endpoint before, for a rollback
    <folder>/<name>.candidate.json   a process that was started and is not live yet; the next call ends it
    <folder>/<name>.log              the process's log
    <folder>/canary/<name>.json      the split order, and the counts of both versions

The processes outlive the command that started them; `modelyard up` ends them when it stops.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import httpx
import psutil

from registry.errors import InputError, NotFoundError, UnavailableError, shorten
from registry.files import read_json, write_json
from registry.money.billing import monthly_cost
from registry.money.prices import Price
from serving.bundle.bundle import Bundle, open_bundle
from serving.canary.tally import SplitOrder, Tally, read_tally
from serving.environment import safe_environment
from serving.targets.contract import Ask, LiveEndpoint, Quote, Smoke, Status
from serving.targets.waiting import Stopwatch, tls

_START_S = 60.0
_STOP_S = 10.0
_HEALTH_S = 2.0
_ASK_S = 30.0
_HOST = "127.0.0.1"


@dataclass(frozen=True)
class LocalTarget:
    """Endpoints below one folder. `port` 0 takes any free port for each deployment; `workers` predict in parallel.

    `headers` are sent to our own endpoints; `price` is what an hour of this machine costs.
    """

    folder: Path
    port: int = 0
    workers: int = 1
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    price: Price | None = None
    ready: Stopwatch = field(default_factory=Stopwatch, compare=False)

    def quote(self) -> Quote:
        """The cost of this machine, always on."""
        hour = self.price.usd_per_hour if self.price else Decimal(0)
        month = monthly_cost(self.price) if self.price else Decimal(0)
        return Quote(
            usd_per_busy_hour=hour,
            usd_per_idle_month=month,
            usd_per_month_at_most=month,
            hardware="this machine",
            as_of=self.price.as_of.isoformat() if self.price else "always",
            source=self.price.source if self.price else "no price is set",
        )

    def deploy(self, name: str, bundle: Bundle, smoke: Smoke) -> LiveEndpoint:
        """Start a process, smoke-test it, make it live, and end the one before."""
        old = self.find(name)
        if old and old.bundle == bundle.index.digest and self.answers(old):
            return old
        self._end_candidate(name)
        began, fresh = time.monotonic(), self._start(name, bundle, self._free_port(old))
        try:
            self._wait(fresh)
            self.ready.seconds = time.monotonic() - began
            smoke(self.ask(fresh))
            if old:
                write_json(self._before(name), old.model_dump(mode="json"))
            write_json(self._record(name), fresh.model_dump(mode="json"))
        except BaseException:
            self._end_candidate(name)
            raise
        self._candidate(name).unlink(missing_ok=True)
        if old:
            _end(old)
        return fresh

    def rollback(self, name: str, smoke: Smoke) -> LiveEndpoint:
        """Start the bundle before, and make it live."""
        before = _read(self._before(name))
        if before is None:
            raise NotFoundError(f"endpoint {name}", "served no bundle before", "deploy one")
        return self.deploy(name, open_bundle(Path(before.source)), smoke)

    def find(self, name: str) -> LiveEndpoint | None:
        """The endpoint of that name, as recorded."""
        return _read(self._record(name))

    def status(self, name: str) -> Status:
        """Whether its process runs and is healthy."""
        live = self.find(name)
        if live is None:
            return Status(state="gone", detail="no endpoint of that name")
        if self.answers(live):
            return Status(state="live", detail=f"process {live.handle} at {live.url}")
        return Status(state="broken", detail="its process does not answer: `modelyard reconcile` starts it again")

    def ask(self, live: LiveEndpoint) -> Ask:
        """Over HTTP, as a client would."""

        def ask(image: bytes) -> dict[str, float]:
            try:
                answer = httpx.post(f"{live.url}/predict", content=image, timeout=_ASK_S, headers=dict(self.headers))
                return dict(answer.raise_for_status().json()["probabilities"])
            except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
                why = shorten(error, 120)
                raise UnavailableError(f"endpoint {live.name}", f"gave no valid answer ({why})", "see its log") from error

        return ask

    def logs(self, name: str, lines: int) -> list[str]:
        """The end of its log file."""
        path = self.folder / f"{name}.log"
        if not path.exists():
            raise NotFoundError(f"endpoint {name}", "was never started here", "deploy it first")
        return path.read_text(errors="replace").splitlines()[-lines:]

    def list(self) -> list[LiveEndpoint]:
        """Every recorded endpoint, by name."""
        beside = (".candidate.json", ".before.json")
        names = sorted(path.stem for path in self.folder.glob("*.json") if not path.name.endswith(beside))
        return [live for live in map(self.find, names) if live]

    def answers(self, live: LiveEndpoint) -> bool:
        """Whether the endpoint's health check names that bundle."""
        try:
            health = httpx.get(f"{live.url}/health", timeout=_HEALTH_S, verify=tls()).json()
        except (httpx.HTTPError, ValueError):
            return False
        return health.get("bundle") == live.bundle

    def delete(self, name: str) -> None:
        """End the process and remove its records."""
        self._end_candidate(name)
        if live := self.find(name):
            _end(live)
            self._record(name).unlink(missing_ok=True)
        self._before(name).unlink(missing_ok=True)
        self.split(name, None, 0)

    def split(self, name: str, canary: LiveEndpoint | None, share: float) -> None:
        """Send a share of the endpoint's requests to another one; None ends it."""
        path = self._order(name)
        if canary is None:
            path.unlink(missing_ok=True)
            self._tally(name).unlink(missing_ok=True)
            return
        rule = SplitOrder(canary.url, canary.bundle, share, str(self._tally(name).absolute()))
        path.parent.mkdir(parents=True, exist_ok=True)
        rule.write(path)

    def tally(self, name: str) -> Tally | None:
        """The counts since the split began."""
        return read_tally(self._tally(name))

    def stop_all(self) -> None:
        """End every process; the records stay, so that the reconciler restarts them next time."""
        for path in self.folder.glob("*.candidate.json"):
            self._end_candidate(path.name.removesuffix(".candidate.json"))
        for live in self.list():
            _end(live)

    def _record(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _before(self, name: str) -> Path:
        return self.folder / f"{name}.before.json"

    def _order(self, name: str) -> Path:
        return self.folder / "canary" / f"{name}.json"

    def _tally(self, name: str) -> Path:
        return self.folder / "canary" / f"{name}.tally.json"

    def _candidate(self, name: str) -> Path:
        return self.folder / f"{name}.candidate.json"

    def _free_port(self, old: LiveEndpoint | None) -> int:
        """The port to listen on. A fixed port that our own older endpoint holds cannot be taken over while it answers."""
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_HOST, self.port))
            except OSError as error:
                if old and old.url.endswith(f":{self.port}") and self.answers(old):
                    return _any_port()
                raise InputError(f"port {self.port}", "is taken", "choose another one, or 0 for any free one") from error
            return int(probe.getsockname()[1])

    def _start(self, name: str, bundle: Bundle, port: int) -> LiveEndpoint:
        """Start the process and record it as a candidate before anything else can fail."""
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-P", "-m", "serving.start", "--bundle", str(bundle.folder.absolute())]
        command += ["--workers", str(self.workers), "--canary", str(self._order(name).absolute()), "--port", str(port)]
        pid = _detach(command, self.folder / f"{name}.log")
        index = bundle.index
        live = LiveEndpoint(
            name=name,
            model=index.model,
            version=index.version,
            bundle=index.digest,
            url=f"http://{_HOST}:{port}",
            handle=str(pid),
            source=str(bundle.folder.absolute()),
        )
        write_json(self._candidate(name), live.model_dump(mode="json"))
        return live

    def _wait(self, live: LiveEndpoint) -> None:
        """Wait until the process is healthy, or fail with the last line of its log."""
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
            f"did not become healthy: {shorten(words[-1] if words else 'its log is empty', 160)}",
            f"see {self.folder / f'{live.name}.log'}",
        )

    def _end_candidate(self, name: str) -> None:
        """End a process that was started and never became live."""
        path = self._candidate(name)
        with contextlib.suppress(FileNotFoundError):
            _end(LiveEndpoint.model_validate(read_json(path)))
            path.unlink(missing_ok=True)


def _read(path: Path) -> LiveEndpoint | None:
    try:
        return LiveEndpoint.model_validate(read_json(path))
    except FileNotFoundError:
        return None


def _detach(command: list[str], log: Path) -> int:
    """Start a process in a session of its own that outlives us, with its output in `log`; return its number."""
    wanted = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), wanted, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    return os.posix_spawn(command[0], command, safe_environment("MODELYARD_API_KEY"), file_actions=actions, setsid=True)


def _any_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


def _process(live: LiveEndpoint) -> psutil.Process | None:
    """The endpoint's process, if it is still the same: process ids are reused."""
    try:
        process = psutil.Process(int(live.handle))
        words = process.cmdline()
        ours = "serving.start" in words and words[-1] == live.url.rpartition(":")[2]
        if process.status() == psutil.STATUS_ZOMBIE or not ours:
            return None
    except psutil.Error:
        return None
    return process


def _end(live: LiveEndpoint) -> None:
    """Terminate the process; kill it after a while. A zombie counts as ended."""
    if (process := _process(live)) is None:
        return
    for tell in (process.terminate, process.kill):
        with contextlib.suppress(psutil.NoSuchProcess):
            tell()
        deadline = time.monotonic() + _STOP_S
        while time.monotonic() < deadline:
            if _process(live) is None:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(process.pid, os.WNOHANG)
                return
            time.sleep(0.02)
