"""Creating an endpoint exactly once, though RunPod's answers may be lost and its list may be late."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from serving.targets.runpod.client import LostReplyError, RunPodClient, UnmetError
from serving.targets.runpod.config import RunPodDeploy
from serving.targets.runpod.identity import Ours
from serving.targets.runpod.release import PREFIX
from serving.targets.runpod.release_spec import new_endpoint
from serving.targets.runpod.shapes import Endpoint, EndpointChanges
from serving.targets.waiting import Clock

_SEARCHES = 4


@dataclass(frozen=True)
class Maker:
    """Creates the endpoints of one config."""

    client: RunPodClient
    config: RunPodDeploy
    clock: Clock

    def create(self, name: str, spec: EndpointChanges) -> Endpoint:
        """Create it exactly once. After a lost answer it is searched for; without capacity each pool is tried alone."""
        refused: UnmetError | None = None
        for pools in [self.config.pools, *((pool,) for pool in self.config.pools if len(self.config.pools) > 1)]:
            gpu = spec.gpu.model_copy(update={"pools": list(pools)}) if spec.gpu else None
            new = new_endpoint(PREFIX + name, self.config, spec.model_copy(update={"gpu": gpu}))
            try:
                return self._once(name, lambda new=new: self.client.create_endpoint(new))
            except UnmetError as error:
                refused = refused or error
        assert refused is not None  # noqa: S101 the loop runs at least once
        raise refused

    def _once(self, name: str, create: Callable[[], Endpoint]) -> Endpoint:
        for tried in range(_SEARCHES):
            try:
                return create()
            except LostReplyError:
                if endpoint := self.search(name):
                    return endpoint
                if tried == _SEARCHES - 1:
                    raise
        raise AssertionError

    def search(self, name: str) -> Endpoint | None:
        """The endpoint, if it was created after all; it may take a moment to be listed."""
        for waited in range(1, _SEARCHES):
            if endpoint := Ours(self.client).only(name):
                return endpoint
            self.clock.sleep(2.0**waited)
        return Ours(self.client).only(name)
