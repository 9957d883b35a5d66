"""The in-memory target: predictors in this process, under addresses that nobody can reach."""

from __future__ import annotations

from dataclasses import dataclass, field

from serving.bundle import Bundle
from serving.predictor import Predictor
from serving.targets.contract import Live, Smoke


@dataclass
class MemoryTarget:
    """Endpoints in a dict."""

    _live: dict[str, Live] = field(default_factory=dict)
    _serving: dict[str, Predictor] = field(default_factory=dict)

    def deploy(self, name: str, bundle: Bundle, smoke: Smoke) -> Live:
        """Load the bundle, smoke-test, flip."""
        if (old := self._live.get(name)) and old.bundle == bundle.index.digest:
            return old
        index, url = bundle.index, f"memory://{name}/{bundle.index.digest[:12]}"
        predictor = Predictor(bundle)
        smoke(url)
        self._serving[name] = predictor
        fresh = Live(name=name, model=index.model, version=index.version, bundle=index.digest, url=url, handle=name)
        self._live[name] = fresh
        return fresh

    def find(self, name: str) -> Live | None:
        """The endpoint of that name."""
        return self._live.get(name)

    def list(self) -> list[Live]:
        """Every endpoint, by name."""
        return [self._live[name] for name in sorted(self._live)]

    def answers(self, live: Live) -> bool:
        """Whether it is loaded."""
        return self._live.get(live.name) == live and live.name in self._serving

    def delete(self, name: str) -> None:
        """Forget it."""
        self._live.pop(name, None)
        self._serving.pop(name, None)
