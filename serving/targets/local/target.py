"""The local target: one HTTP process per endpoint, started from the bundle, on loopback.

The order of a deployment: start a process, wait until it is healthy, test it, write the record, end every other process of
that name. The record is the one thing that says which process is live, so a command that is killed anywhere in between leaves
either the old endpoint or the new one, and at most a process too many, which the next deployment finds and ends.

The processes outlive the command that started them; `modelyard up` ends them when it stops.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import httpx

from registry.errors import InputError, IntegrityError, NotFoundError, UnavailableError, shorten
from registry.money.billing import monthly_cost
from registry.money.prices import Price
from serving.bundle.bundle import Bundle, open_bundle
from serving.canary.tally import SplitOrder, Tally, read_tally
from serving.server.options import DRAIN_S
from serving.targets.contract import Ask, Health, LiveEndpoint, Quote, Smoke, Status
from serving.targets.local.process import (
    EndpointProcess,
    any_port,
    as_endpoint,
    end_all,
    endpoint_of,
    is_free,
    last_lines,
    process_of,
    processes_in,
    spawn,
)
from serving.targets.local.records import Records, check_endpoint_name
from serving.targets.waiting import Clock, Stopwatch, tls

_START_S = 60.0
_STOP_S = DRAIN_S + 5.0
"""A server that is told to end answers what it has begun for so long, and then ends its workers."""
_HEALTH_S = 2.0
_PATIENCE_S = 15.0
"""How long an endpoint whose process runs may miss its health check before a deployment replaces it."""
_ASK_S = 30.0


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
        """Start a process, smoke-test it, make it live, and end every other one of that name."""
        check_endpoint_name(name)
        old = self.find(name)
        if old and old.bundle == bundle.index.digest and self._still_answers(old):
            return self._keep(name, old, smoke)
        began, fresh = time.monotonic(), self._start(name, bundle, self._free_port(name))
        try:
            self._wait(fresh)
            self.ready.seconds = time.monotonic() - began
            smoke(self.ask(fresh))
            self._records.commit(fresh, old)
        except BaseException:
            if self._recorded(name) != fresh:  # Ctrl-C may come right after the record was written
                end_all([process for process in [process_of(fresh)] if process], _STOP_S)
            raise
        self._end_others(name, fresh, old)
        return fresh

    def rollback(self, name: str, smoke: Smoke) -> LiveEndpoint:
        """Start the bundle before, and make it live."""
        before = self._records.before(name)
        if before is None:
            raise NotFoundError(f"endpoint {name}", "served no bundle before", "deploy one")
        return self.deploy(name, open_bundle(Path(before.source)), smoke)

    def find(self, name: str) -> LiveEndpoint | None:
        """The endpoint of that name, as recorded; where its record cannot be used, the one process that runs for it."""
        try:
            return self._records.live(name)
        except IntegrityError:
            running = self._processes(name)
            return as_endpoint(name, running[0]) if len(running) == 1 else None

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
        path = self._records.log(name)
        if not path.is_file():
            raise NotFoundError(f"endpoint {name}", "was never started here", "deploy it first")
        return last_lines(path)[-lines:]

    def list(self) -> list[LiveEndpoint]:
        """Every recorded endpoint, by name."""
        return [live for live in map(self.find, self._records.names()) if live]

    def answers(self, live: LiveEndpoint) -> bool:
        """Whether the endpoint's health check names that bundle."""
        return self.probe(live) == "live"

    def probe(self, live: LiveEndpoint) -> Health:
        """What one health check says, and whether the process runs where it says nothing."""
        try:
            answer = httpx.get(f"{live.url}/health", timeout=_HEALTH_S, verify=tls())
            fields = answer.json()
        except httpx.ConnectError:
            return "refusing" if process_of(live) else "gone"
        except (httpx.HTTPError, ValueError):
            return "slow" if process_of(live) else "gone"
        if not isinstance(fields, dict) or fields.get("bundle", live.bundle) != live.bundle:
            return "gone"  # another process took its port
        if answer.status_code == httpx.codes.OK:
            return "live" if "bundle" in fields else "gone"
        return "slow" if process_of(live) else "gone"  # its workers may be starting again

    def is_recorded(self, name: str) -> bool:
        """Whether the endpoint's record can be used; without one its process is found by its command line alone."""
        return self._recorded(name) is not None

    def delete(self, name: str) -> None:
        """End the processes and remove the records."""
        live = self.find(name)
        self._end_others(name, None, live)
        self._records.forget(name)
        self.split(name, None, 0)

    def split(self, name: str, canary: LiveEndpoint | None, share: float) -> None:
        """Send a share of the endpoint's requests to another one; None ends it."""
        path, tally = self._records.order(name), self._records.tally(name)
        if canary is None:
            path.unlink(missing_ok=True)
            tally.unlink(missing_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        SplitOrder(canary.url, canary.bundle, share, str(tally)).write(path)

    def tally(self, name: str) -> Tally | None:
        """The counts since the split began."""
        return read_tally(self._records.tally(name))

    def stop_all(self) -> None:
        """End every process; the records stay, so that the reconciler restarts them next time."""
        recorded = [process for process in map(process_of, self.list()) if process]
        end_all({*recorded, *(running.process for running in self._processes())}, _STOP_S)

    @property
    def _records(self) -> Records:
        return Records(self.folder)

    def _recorded(self, name: str) -> LiveEndpoint | None:
        try:
            return self._records.live(name)
        except IntegrityError:
            return None

    def _processes(self, name: str = "") -> list[EndpointProcess]:
        """The processes of one endpoint, or of all, however they were left."""
        order = self._records.order(name)
        return [running for running in processes_in(order.parent) if not name or running.order.name == order.name]

    def _end_others(self, name: str, live: LiveEndpoint | None, old: LiveEndpoint | None) -> None:
        """End the process before, and whatever a killed command left; the live one stays."""
        processes = {running.process for running in self._processes(name)}
        if old and (before := process_of(old)):  # of a home that was moved, its command line names the old folder
            processes.add(before)
        end_all((process for process in processes if not live or str(process.pid) != live.handle), _STOP_S)

    def _keep(self, name: str, live: LiveEndpoint, smoke: Smoke) -> LiveEndpoint:
        """An endpoint that serves the bundle already. One known by its process alone is tested before it is recorded."""
        if self._recorded(name) != live:
            smoke(self.ask(live))
            self._records.commit(live, None)
        self._end_others(name, live, None)
        return live

    def _still_answers(self, live: LiveEndpoint) -> bool:
        """Whether it answers, if need be after a while: on a busy machine a check that takes long is no fault."""
        for _ in Clock().poll(_PATIENCE_S, pause=0.5):
            if (health := self.probe(live)) in {"live", "gone"}:
                return health == "live"
        return False

    def _free_port(self, name: str) -> int:
        """The port to listen on. A fixed port that our own older endpoint holds cannot be taken over while it runs."""
        if self.port == 0 or (not is_free(self.port) and any(run.port == self.port for run in self._processes(name))):
            return any_port()
        if not is_free(self.port):
            raise InputError(f"port {self.port}", "is taken", "choose another one, or 0 for any free one")
        return self.port

    def _start(self, name: str, bundle: Bundle, port: int) -> LiveEndpoint:
        """Start the process. No record names it before it is proven."""
        self.folder.mkdir(parents=True, exist_ok=True)
        folder = bundle.folder.absolute()
        pid = spawn(folder, self._records.order(name), self.workers, port, self._records.log(name))
        return endpoint_of(name, bundle.index, folder, port, pid)

    def _wait(self, live: LiveEndpoint) -> None:
        """Wait until the process is healthy, or fail with the last line of its log."""
        deadline, log = time.monotonic() + _START_S, self._records.log(live.name)
        while time.monotonic() < deadline:
            if self.answers(live):
                return
            if process_of(live) is None:
                break
            time.sleep(0.05)
        words = last_lines(log)
        last = shorten(words[-1] if words else "its log is empty", 160)
        raise UnavailableError(f"endpoint {live.name}", f"did not become healthy: {last}", f"see {log}")
