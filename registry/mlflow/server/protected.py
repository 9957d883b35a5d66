"""What promoted versions hang on: runs, logged models and files, found once for each version that was ratified."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from registry.errors import ModelyardError
from registry.mlflow.server.store import InsideStore, Location
from registry.promotion.due import View
from registry.protocols import Ledger
from registry.stages import Stage

_AGAIN_S = 5.0
"""After how long a version that MLflow did not have is asked for again."""


class Protected:
    """Asks the ledger what is promoted and MLflow's stores where it lies. Any number of threads may ask."""

    def __init__(self, store: InsideStore, ledger: Ledger, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is read before the first question."""
        self._store, self._view = store, View(ledger)
        self._locations: dict[tuple[str, tuple[int, int]], Location] = {}
        self._missed: dict[tuple[str, tuple[int, int]], float] = {}
        self._lock, self._clock = threading.Lock(), clock

    def where(self, which: Callable[[Location], bool], *, stale: bool = False) -> list[tuple[str, Stage]]:
        """The promoted versions that hang on a location, each with its stage.

        `stale` answers by what is known already where the ledger cannot be asked: training goes on while it is away, and
        what was promoted before is kept.
        """
        if stale:
            with suppress(ModelyardError):
                self.warm()
        else:
            self.warm()
        with self._lock:
            located = list(self._locations.items())
        promoted: list[tuple[str, Stage]] = []
        for (name, identity), location in located:
            if which(location) and (stage := self._view.state(name).backing.get(identity)):
                promoted.append((f"{name}/{identity[0]}", stage))
        return promoted

    def warm(self) -> None:
        """Look up the location of each promoted version, once; one that is gone from MLflow may come back."""
        self._view.refresh()
        for name in self._view.models():
            backing = self._view.state(name).backing
            with self._lock:
                missing = [key for key in backing if (name, key) not in self._locations and self._is_due((name, key))]
            if missing:
                self._locate(name, missing)

    def _is_due(self, key: tuple[str, tuple[int, int]]) -> bool:
        return self._clock() - self._missed.get(key, float("-inf")) >= _AGAIN_S

    def _locate(self, name: str, missing: list[tuple[int, int]]) -> None:
        try:
            versions = {version.identity: version for version in self._store.versions(name)}
        except ModelyardError:
            versions = {}
        for identity in missing:
            location = self._store.location(versions[identity]) if identity in versions else None
            with self._lock:
                if location is None:
                    self._missed[name, identity] = self._clock()
                else:
                    self._locations[name, identity] = location
