"""The in-memory target: predictors in this process, under URLs that cannot be reached."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from registry.errors import NotFoundError
from serving.bundle.bundle import Bundle, open_bundle
from serving.inference.predictor import Predictor
from serving.targets.contract import Ask, LiveEndpoint, Quote, Smoke, Status


@dataclass
class MemoryTarget:
    """Endpoints in a dict."""

    _live: dict[str, LiveEndpoint] = field(default_factory=dict)
    _before: dict[str, LiveEndpoint] = field(default_factory=dict)
    _serving: dict[str, Predictor] = field(default_factory=dict)

    def quote(self) -> Quote:
        """It is free."""
        free = Decimal(0)
        return Quote(
            usd_per_busy_hour=free,
            usd_per_idle_month=free,
            usd_per_month_at_most=free,
            hardware="this process",
            as_of="always",
            source="it costs nothing",
        )

    def deploy(self, name: str, bundle: Bundle, smoke: Smoke) -> LiveEndpoint:
        """Load the bundle, smoke-test it, make it live."""
        if (old := self._live.get(name)) and old.bundle == bundle.index.digest:
            return old
        index, url = bundle.index, f"memory://{name}/{bundle.index.digest[:12]}"
        predictor = Predictor(bundle)
        smoke(_ask(predictor))
        if old:
            self._before[name] = old
        fresh = LiveEndpoint(
            name=name,
            model=index.model,
            version=index.version,
            bundle=index.digest,
            url=url,
            handle=name,
            source=str(bundle.folder.absolute()),
        )
        self._serving[name], self._live[name] = predictor, fresh
        return fresh

    def rollback(self, name: str, smoke: Smoke) -> LiveEndpoint:
        """Load the bundle before."""
        if name not in self._before:
            raise NotFoundError(f"endpoint {name}", "served no bundle before", "deploy one")
        return self.deploy(name, open_bundle(Path(self._before[name].source)), smoke)

    def find(self, name: str) -> LiveEndpoint | None:
        """The endpoint of that name."""
        return self._live.get(name)

    def list(self) -> list[LiveEndpoint]:
        """Every endpoint, by name."""
        return [self._live[name] for name in sorted(self._live)]

    def status(self, name: str) -> Status:
        """Whether it is loaded."""
        return Status(state="live", detail="loaded") if name in self._live else Status(state="gone", detail="no such endpoint")

    def answers(self, live: LiveEndpoint) -> bool:
        """Whether it is loaded."""
        return self._live.get(live.name) == live and live.name in self._serving

    def ask(self, live: LiveEndpoint) -> Ask:
        """The predictor itself."""
        return _ask(self._serving[live.name])

    def logs(self, name: str, lines: int) -> list[str]:
        """A single line."""
        if name not in self._live:
            raise NotFoundError(f"endpoint {name}", "is not here", "deploy it first")
        return ["loaded"][:lines]

    def delete(self, name: str) -> None:
        """Remove it."""
        for kept in (self._live, self._before, self._serving):
            kept.pop(name, None)


def _ask(predictor: Predictor) -> Ask:
    return lambda image: predictor.predict([image])[0].probabilities
