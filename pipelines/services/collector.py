"""`modelyard collect`: what endpoints on this machine have counted, looked at every few seconds and kept in the home."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing
from typing import NoReturn

from registry.errors import BusyError, describe
from registry.lease import locked
from registry.reports.endpoints import RELEVANT, existing_deployments
from registry.reports.reader import LedgerReader
from registry.settings import Settings
from serving.series.polling import EndpointReading, is_on_this_machine, poll_endpoints
from serving.series.store import Look, SeriesStore

_GAP_S = 60.0
_GAP_LOOKS = 3
"""Looks that may be missed before nobody knows any more when requests came."""


class Collector:
    """Looks at the endpoints that exist, by the ledger, and records what they have counted since the last look.

    Those in clouds are asleep or paid for by the request: nobody wakes them to count.
    """

    def __init__(self, settings: Settings, every: float, say: Callable[[str], None]) -> None:
        """Nothing is read or opened yet. `say` is called with a line when an endpoint's state or a problem is another one."""
        self._settings, self._every, self._say = settings, every, say
        self._reader = LedgerReader(settings, RELEVANT)
        self._store = SeriesStore(settings.metrics, say)
        self._states: dict[str, str] = {}
        self._problem = ""

    def once(self) -> list[EndpointReading]:
        """One look at each endpoint, recorded. Raises BusyError while another collector records this home."""
        with self._alone(), closing(self._store):
            return self._look()

    def keep_on(self) -> NoReturn:
        """Look after look. Whatever fails is said once and tried again; another collector on this home is waited for."""
        while True:
            try:
                with self._alone(), closing(self._store):
                    while True:
                        began = time.monotonic()
                        self._note(self._look())
                        self._problem = ""
                        time.sleep(max(self._every - (time.monotonic() - began), 0))
            except Exception as error:  # noqa: BLE001 a collector that dies records nothing; the next look tries again
                if (line := describe(error)) != self._problem:
                    self._say(line)
                self._problem = line
                time.sleep(self._every)

    def _alone(self) -> AbstractContextManager[None]:
        home = self._settings.home
        busy = BusyError(f"home {home}", "another collector records it", "stop that one, or leave it to `modelyard up`")
        return locked(home / "collector.lock", busy, wait=False)

    def _look(self) -> list[EndpointReading]:
        deployed = existing_deployments(self._reader.head(self._reader.refresh()))
        here = [event for event in deployed if is_on_this_machine(event.target, event.url)]
        readings = poll_endpoints(here, self._settings.endpoint_headers)
        looks = {reading.endpoint: Look(reading.served or reading.version, reading.counters) for reading in readings}
        if looks or self._settings.metrics.exists():
            gap_s = max(_GAP_S, _GAP_LOOKS * self._every)
            self._store.add(looks, int(time.time() * 1000), int(gap_s * 1000))
        return readings

    def _note(self, readings: Sequence[EndpointReading]) -> None:
        states = {reading.endpoint: reading.state for reading in readings}
        for endpoint, state in states.items():
            if self._states.get(endpoint) != state:
                self._say(f"{endpoint} is {state}")
        self._states = states
