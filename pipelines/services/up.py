"""`modelyard up`: the MLflow server, the reconciler, the collector and the dashboard, started together and stopped together."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import httpx
import psutil

from pipelines.services.environments import inherited, own_settings
from registry.address import UP, read_running
from registry.errors import DamagedFileError, InputError, MissingFileError, UnavailableError, missing_extra, shorten
from registry.files import open_plainly, set_aside, write_json
from registry.lease import locked
from registry.opening import keys_of
from registry.settings import ROOT, Settings
from serving.targets.waiting import tls

_HOST = "127.0.0.1"
_START_S = 120.0
_STOP_S = 15.0
DASHBOARD = ROOT / "dashboards" / "app.py"


@dataclass(frozen=True, slots=True)
class Ports:
    """Where to listen; 0 takes any free port, None leaves the dashboard out."""

    mlflow: int = 5000
    dashboard: int | None = 8501


@dataclass
class Service:
    """One child process and what it is called in messages."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    url: str | None = None
    health: str | None = None

    def last_words(self) -> str:
        """The end of its log, on one line."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return shorten(lines[-1] if lines else "it said nothing", 160)


@dataclass
class ServiceGroup:
    """The services that are running."""

    services: list[Service] = field(default_factory=list)

    @property
    def addresses(self) -> dict[str, str]:
        """Name → address of those that have one."""
        return {service.name: service.url for service in self.services if service.url}

    def failed(self) -> Service | None:
        """The first service that ended by itself."""
        return next((service for service in self.services if service.process.poll() is not None), None)

    def watch(self) -> NoReturn:
        """Wait for Ctrl-C; raise when a service ends by itself."""
        while True:
            if ended := self.failed():
                raise UnavailableError(ended.name, f"ended by itself: {ended.last_words()}", f"see {ended.log}")
            time.sleep(0.2)


@contextmanager
def running(settings: Settings, ports: Ports, say: Callable[[str], None]) -> Generator[ServiceGroup]:
    """Start everything, wait until each is healthy, and stop everything when the block ends, however it ends."""
    if settings.mlflow_uri:
        raise InputError("MODELYARD_MLFLOW_URI", "names another server, and this command runs its own", "unset it")
    if ports.dashboard is not None:
        require_streamlit()
    home = settings.home.absolute()
    home.mkdir(parents=True, exist_ok=True)
    with _only_one(home):
        _end_left_over(home, say)
        if ports.mlflow and ports.mlflow == ports.dashboard:
            raise InputError(f"port {ports.mlflow}", "cannot serve both MLflow and the dashboard", "choose two different ones")
        mlflow = claim(ports.mlflow, "--mlflow-port")
        dashboard = None if ports.dashboard is None else claim(ports.dashboard, "--dashboard-port")
        keeper = ServiceGroup()
        try:
            _keep(home, keeper, _start_mlflow(home, mlflow))
            wait_for(keeper, say)
            _keep(home, keeper, _start_reconciler(home))
            keys_of(settings).keep_public()
            _keep(home, keeper, _start_collector(home))
            if dashboard is not None:
                _keep(home, keeper, start_dashboard(home, dashboard))
                wait_for(keeper, say)
            yield keeper
        finally:
            with _undisturbed():
                say("stopping")
                stop(keeper)
                _stop_endpoints(settings)
                with contextlib.suppress(OSError):
                    settings.outages.unlink()  # nobody runs any more who does not ask
                (home / UP).unlink(missing_ok=True)


def _stop_endpoints(settings: Settings) -> None:
    """Those on this machine."""
    from serving.targets.local.target import LocalTarget

    LocalTarget(settings.deployments).stop_all()


@contextmanager
def _undisturbed() -> Generator[None]:
    """Within the block neither Ctrl-C nor SIGTERM interrupts: what is being stopped is stopped whole."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _only_one(home: Path) -> Generator[None]:
    """One `up` for one home: two would write to one database and fight over one ledger."""
    busy = InputError(home, "another `modelyard up` runs on it", "stop that one, or choose another --home")
    with locked(home / "up.lock", busy, wait=False):
        yield


def _keep(home: Path, keeper: ServiceGroup, service: Service) -> None:
    """Keep a service, and write down what runs: for other commands, and for the next `up` in case this one is killed."""
    keeper.services.append(service)
    write_json(home / UP, {**keeper.addresses, "pids": [service.process.pid for service in keeper.services]})


def _end_left_over(home: Path, say: Callable[[str], None]) -> None:
    """End the services of an `up` that was killed before it could. Only processes that were started for this home."""
    try:
        pids = read_running(home).pids
    except MissingFileError:
        return
    except DamagedFileError as error:
        say(f"{error.subject} {error.expectation}, so it is kept as {set_aside(home / UP).name}; what it named is not ended")
        return
    ended: list[psutil.Process] = []
    for number in pids:
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            process = psutil.Process(number)
            if process.environ().get("MODELYARD_HOME") == str(home):
                ended += [process, *process.children(recursive=True)]
                os.killpg(number, signal.SIGKILL)
    psutil.wait_procs(ended, timeout=_STOP_S)
    (home / UP).unlink()


def claim(port: int, option: str) -> int:
    """A port that is free now: the given one, or any where it is 0."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            raise InputError(f"port {port}", "is taken", f"choose another with {option}, or 0 for any free one") from error
        return int(probe.getsockname()[1])


def _start_mlflow(home: Path, port: int, app: str | None = "modelyard") -> Service:
    """Stock MLflow with our gates inside: SQLite, artifacts through the server, loopback only."""
    command = ["-m", "mlflow", "server", "--host", _HOST, "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{home / 'mlflow.db'}", "--artifacts-destination", str(home / "artifacts")]
    command += ["--app-name", app] if app else []
    url = f"http://{_HOST}:{port}"
    return _spawn("mlflow", command, home, url=url, health="/health")


def _start_reconciler(home: Path) -> Service:
    return _spawn(
        "reconciler", ["-m", "pipelines.cli.main", "reconcile", "--watch", "--home", str(home), "--webhook-port", "0"], home
    )


def _start_collector(home: Path) -> Service:
    return _spawn("collector", ["-m", "pipelines.cli.main", "collect", "--home", str(home)], home)


def require_streamlit() -> None:
    """Raise UnavailableError where the dashboard's extra is not installed, before anything is started."""
    if find_spec("streamlit") is None:
        raise missing_extra("streamlit", "dashboard")


def start_dashboard(home: Path, port: int, host: str = _HOST, servers: Mapping[str, str] | None = None) -> Service:
    """Start Streamlit on a home; `servers` names the MLflow server, where it is not the home's own."""
    command = ["-m", "streamlit", "run", str(DASHBOARD), "--server.headless", "true", "--server.address", host]
    command += [
        "--client.toolbarMode",
        "viewer",
        "--server.port",
        str(port),
        "--browser.gatherUsageStats",
        "false",
        "--server.fileWatcherType",
        "none",
    ]
    return _spawn("dashboard", command, home, url=f"http://{host}:{port}", health="/_stcore/health", more=servers)


def _spawn(
    name: str,
    command: Sequence[str],
    home: Path,
    url: str | None = None,
    health: str | None = None,
    more: Mapping[str, str] | None = None,
) -> Service:
    """Start a service in a process group of its own, so that Ctrl-C reaches us first and its children end with it."""
    log = home / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(open_plainly(log, os.O_WRONLY | os.O_APPEND), "ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-P", *command],  # a folder named like a room where the user stands is not ours
            stdout=file,
            stderr=file,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={**inherited(name), **own_settings(name, home), **(more or {})},
        )
    return Service(name, process, log, url, health)


def wait_for(keeper: ServiceGroup, say: Callable[[str], None]) -> None:
    """Wait until the last service that was started passes its health check."""
    service = keeper.services[-1]
    deadline = time.monotonic() + _START_S
    say(f"waiting for {service.name}")
    while not _healthy(f"{service.url}{service.health}"):
        if (ended := keeper.failed()) or time.monotonic() > deadline:
            late = ended or service
            raise UnavailableError(late.name, f"did not start: {late.last_words()}", f"see {late.log}")
        time.sleep(0.1)


def _healthy(url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(url, timeout=2, verify=tls()).is_success
    return False


def stop(keeper: ServiceGroup) -> None:
    """End the services, the last started first, each with everything it started."""
    for service in reversed(keeper.services):
        _signal(service, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_S
    for service in reversed(keeper.services):
        with contextlib.suppress(subprocess.TimeoutExpired):
            service.process.wait(max(0.1, deadline - time.monotonic()))
        _signal(service, signal.SIGKILL)  # whatever of its group is left
        service.process.wait()


def _signal(service: Service, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(service.process.pid, number)
